//! Messages in datagrams.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::time::{sleep, timeout};

use super::{Framing, MessageOptions};
use crate::{
    activation::{Datagram, Sender},
    base::{
        addr::ListenAddr,
        backoff::Backoff,
        fault::{Class, Fault},
        fs::reason,
    },
    event::{Value, codec::framing::Lines},
    pipeline::{
        component::{BuildContext, Source, SourceContext, Task},
        lines::{LineEvents, NotDecodable},
        sources::{connections::LATE, conversation::Found, seldom::Seldom},
    },
};

/// The largest datagram over IP.
const UDP_MOST: usize = 65_535;

/// At most so many batches are received when the source is to stop.
const MOST_LATE: usize = 64;

/// The options.
#[derive(Debug)]
pub(super) struct DatagramOptions {
    pub(super) address: ListenAddr,
    pub(super) message: MessageOptions,
    /// `receive_buffer_bytes`: of the kernel. What comes when it is full is lost, and only the kernel knows.
    pub(super) receive_buffer: Option<NonZeroUsize>,
}

impl DatagramOptions {
    pub(super) fn build(&self, cx: &BuildContext<'_>) -> Result<DatagramSource, Fault> {
        let socket = cx.listeners.datagram(&self.address)?;
        if let Some(bytes) = self.receive_buffer {
            SockRef::from(&*socket).set_recv_buffer_size(bytes.get()).map_err(|error| {
                let why = reason(&error);
                Fault::new(
                    Class::System,
                    format!("cannot set `receive_buffer_bytes` of {}: {why}", self.address),
                )
            })?;
        }
        Ok(DatagramSource { address: self.address.clone(), socket, message: self.message.clone() })
    }
}

/// A source, ready to start.
pub(super) struct DatagramSource {
    address: ListenAddr,
    pub(super) socket: Arc<Datagram>,
    message: MessageOptions,
}

impl Source for DatagramSource {
    fn run(self: Box<Self>, cx: SourceContext) -> Task<'static, Result<(), Fault>> {
        Box::pin(async move {
            tracing::info!(source = %cx.id, address = %self.address, "receiving");
            Receiver::new(*self, cx).run().await;
            Ok(())
        })
    }
}

struct Receiver {
    socket: Arc<Datagram>,
    message: MessageOptions,
    /// Who sent the last one, and what makes events of it: mostly it is one sender for long.
    sender: Option<Sender>,
    events: LineEvents,
    found: Found,
    garbage: Seldom,
    cx: SourceContext,
}

impl Receiver {
    fn new(source: DatagramSource, cx: SourceContext) -> Self {
        let DatagramSource { socket, message, .. } = source;
        let events = LineEvents::new(message.lines.clone(), cx.shared.host.clone(), "socket");
        let found = Found::new(cx.metrics.clone());
        Receiver { socket, message, sender: None, events, found, garbage: Seldom::default(), cx }
    }

    async fn run(mut self) {
        // One more than allowed, to see which are longer.
        let mut space = vec![0; self.message.max_length.clamp(1, 1 << 20).max(UDP_MOST) + 1];
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        let mut stopped = self.cx.stop.clone();
        loop {
            // Cancel safe: `stopped` only waits; a datagram that `receive` does not return stays where it is.
            let first = tokio::select! {
                biased;
                _ = stopped.stopped() => break,
                first = self.socket.receive(&mut space) => first,
            };
            match first {
                Ok((length, sender)) => {
                    backoff.succeeded();
                    self.datagram(&space[..length], sender);
                    self.take_waiting(&mut space).await;
                    self.send().await;
                }
                Err(error) => {
                    self.cx.metrics.error("receive");
                    if backoff.failures() == 0 {
                        let error = reason(&error);
                        tracing::warn!(source = %self.cx.id, error, "cannot receive datagrams, trying again");
                    }
                    // Cancel safe: both only wait.
                    tokio::select! {
                        () = sleep(backoff.failed()) => {}
                        _ = stopped.stopped() => break,
                    }
                }
            }
        }
        // What the kernel has taken in is delivered, unless a successor receives there. Not for ever: senders go on.
        for _ in 0..MOST_LATE {
            if Arc::strong_count(&self.socket) > 1 {
                break;
            }
            // Cancel safe: a datagram that `receive` does not return stays where it is.
            let Ok(Ok((length, sender))) = timeout(LATE, self.socket.receive(&mut space)).await else {
                break;
            };
            self.datagram(&space[..length], sender);
            self.take_waiting(&mut space).await;
            self.send().await;
        }
    }

    /// Takes what is there without waiting, up to a batch.
    async fn take_waiting(&mut self, space: &mut [u8]) {
        while !self.found.is_full() {
            // Cancel safe: a datagram that `receive` does not return stays where it is.
            let next = tokio::select! {
                biased;
                next = self.socket.receive(space) => next,
                () = std::future::ready(()) => return,
            };
            match next {
                Ok((length, sender)) => self.datagram(&space[..length], sender),
                Err(_) => return, // the next wait meets it again
            }
        }
    }

    fn datagram(&mut self, datagram: &[u8], sender: Sender) {
        self.cx.metrics.received_bytes.add(datagram.len());
        if !same_host(self.sender.as_ref(), &sender) {
            let host: Value = match &sender {
                Sender::Ip(addr) => addr.ip().to_string().into(),
                Sender::Unix(_) => self.cx.shared.host.clone(),
            };
            self.events = LineEvents::new(self.message.lines.clone(), host, "socket");
            self.sender = Some(sender);
        }
        let Receiver { message: MessageOptions { max_length, framing, .. }, events, found, .. } = self;
        let now = chrono::Utc::now();
        let take = |found: &mut Found, message: Bytes| match events.event(message, now, None) {
            Ok(log) => found.push(log.into()),
            Err(NotDecodable) => {
                found.undecodable(NotDecodable::KIND, "a message is not what `decoding` says");
            }
        };
        match framing {
            Framing::Lines => {
                let (mut lines, mut bytes) = (Lines::new(*max_length), BytesMut::from(datagram));
                while let Some(line) = lines.finish(&mut bytes) {
                    match line {
                        Ok(line) => take(found, line),
                        Err(error) => found.discard(error.kind(), error.kind(), error),
                    }
                }
            }
            Framing::Bytes | Framing::LengthDelimited if datagram.len() > *max_length => {
                let why = format!("a datagram of more than {max_length} bytes was left out");
                found.discard("datagram_too_long", "datagram_too_long", why);
            }
            Framing::Bytes | Framing::LengthDelimited => take(found, Bytes::copy_from_slice(datagram)),
        }
    }

    async fn send(&mut self) {
        let events = self.found.take();
        let count = events.len();
        self.cx.metrics.received_events.add(count);
        self.cx.outlet.send(events).await;
        self.cx.metrics.sent_events.add(count);
        if let Some(error) = self.found.first_wrong()
            && let Some(others) = self.garbage.may_say()
        {
            tracing::warn!(source = %self.cx.id, error, others, "a datagram is not readable, going on");
        }
    }
}

/// Does a message from `sender` come from the same machine as the last one?
fn same_host(last: Option<&Sender>, sender: &Sender) -> bool {
    match (last, sender) {
        (Some(Sender::Ip(last)), Sender::Ip(addr)) => last.ip() == addr.ip(),
        (Some(Sender::Unix(_)), Sender::Unix(_)) => true,
        (None | Some(Sender::Ip(_) | Sender::Unix(_)), _) => false,
    }
}
