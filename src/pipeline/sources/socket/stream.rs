//! Messages over connections.

use bytes::BytesMut;

use super::{Framing, MessageOptions};
use crate::{
    activation::Peer,
    base::fault::Fault,
    event::{
        Value,
        codec::framing::{FrameError, LengthDelimited, Lines},
    },
    pipeline::{
        component::{BuildContext, Source, SourceContext, Task},
        lines::{LineEvents, NotDecodable},
        sources::{
            connections::{ConnectionOptions, Listening},
            conversation::{Found, Protocol},
        },
    },
};

/// The options.
#[derive(Debug)]
pub(super) struct StreamOptions {
    pub(super) connections: ConnectionOptions,
    pub(super) message: MessageOptions,
}

impl StreamOptions {
    pub(super) fn build(&self, cx: &BuildContext<'_>) -> Result<StreamSource, Fault> {
        Ok(StreamSource { listening: self.connections.listen(cx)?, message: self.message.clone() })
    }
}

/// A source, ready to start.
pub(super) struct StreamSource {
    pub(super) listening: Listening,
    message: MessageOptions,
}

impl Source for StreamSource {
    fn run(self: Box<Self>, cx: SourceContext) -> Task<'static, Result<(), Fault>> {
        Box::pin(async move {
            let message = self.message;
            let protocol = |peer: &Peer, cx: &SourceContext| Messages::new(&message, host(peer, cx));
            self.listening.run(cx, protocol).await;
            Ok(())
        })
    }
}

/// Who sent it: the machine at the other end, or this one.
fn host(peer: &Peer, cx: &SourceContext) -> Value {
    match peer {
        Peer::Ip(addr) => addr.ip().to_string().into(),
        Peer::Unix(_) => cx.shared.host.clone(),
    }
}

/// Reads messages of one connection.
struct Messages {
    framer: Framer,
    events: LineEvents,
}

enum Framer {
    Lines(Lines),
    LengthDelimited(LengthDelimited),
    /// What comes at once, in pieces of this length.
    Bytes(usize),
}

impl Messages {
    fn new(options: &MessageOptions, host: Value) -> Self {
        let framer = match options.framing {
            Framing::Lines => Framer::Lines(Lines::new(options.max_length)),
            Framing::LengthDelimited => Framer::LengthDelimited(LengthDelimited::new(options.max_length)),
            Framing::Bytes => Framer::Bytes(options.max_length),
        };
        Messages { framer, events: LineEvents::new(options.lines.clone(), host, "socket") }
    }
}

impl Protocol for Messages {
    fn take(&mut self, bytes: &mut BytesMut, end: bool, found: &mut Found) {
        let now = chrono::Utc::now();
        while !found.is_full() {
            let message = match (&mut self.framer, end) {
                (Framer::Lines(lines), false) => lines.next(bytes),
                (Framer::Lines(lines), true) => lines.finish(bytes),
                (Framer::LengthDelimited(frames), false) => frames.next(bytes),
                (Framer::LengthDelimited(frames), true) => frames.finish(bytes),
                (Framer::Bytes(_), _) if bytes.is_empty() => None,
                (Framer::Bytes(most), _) => Some(Ok(bytes.split_to(bytes.len().min(*most)).freeze())),
            };
            match message {
                None => return,
                Some(Ok(message)) => match self.events.event(message, now, None) {
                    Ok(log) => found.push(log.into()),
                    Err(NotDecodable) => {
                        found.undecodable(NotDecodable::KIND, "a message is not what `decoding` says");
                    }
                },
                Some(Err(error @ FrameError::LineTooLong { .. })) => {
                    found.discard(error.kind(), error.kind(), error);
                }
                Some(Err(error)) if end => return found.wrong(error.kind(), error),
                Some(Err(error)) => return found.fatal(error.kind(), error),
            }
        }
    }
}
