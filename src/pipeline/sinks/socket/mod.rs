//! `socket`: events as lines over TCP or a Unix socket, or as datagrams over UDP.

mod datagrams;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use self::datagrams::Datagrams;
use super::{
    chunk::Framing,
    connection::{Delivery, Destination, Ready},
};
use crate::{
    base::fault::Fault,
    config::{Fields, FromNode, Node, choice},
    event::{Event, codec::Encoding},
    net::{RemoteAddr, TlsOptions},
    pipeline::{
        buffer::Intake,
        component::{BuildContext, Sink, SinkContext, SinkSpec, Task},
        encoding::Encoder,
        sources::connections::read_keepalive,
    },
};

/// `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Tcp,
    Udp,
    Unix,
}

impl FromNode for Mode {
    const EXPECTED: &'static str = "`tcp`, `udp` or `unix`";

    fn from_node(node: &Node) -> Result<Self, String> {
        let words =
            [("tcp", Mode::Tcp), ("udp", Mode::Udp), ("unix", Mode::Unix), ("unix_stream", Mode::Unix)];
        choice(node, &words)
    }
}

/// The options.
#[derive(Debug)]
enum Options {
    Stream { destination: Destination, encoder: Encoder },
    Datagrams { address: RemoteAddr, encoder: Encoder },
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SinkSpec>> {
    let mode = fields.required::<Mode>("mode");
    let encoder = Encoder::read(fields, Encoding::Json);
    let address = match mode {
        Some(Mode::Unix) => read_path(fields),
        Some(Mode::Tcp | Mode::Udp) => read_address(fields),
        None => {
            // It is not known which is wanted; both are known options.
            fields.node("path");
            fields.optional("address")
        }
    };
    if mode == Some(Mode::Udp) {
        return Some(Box::new(Options::Datagrams { address: address?, encoder }));
    }
    let tls = TlsOptions::read_client(fields);
    let keepalive = read_keepalive(fields);
    mode?;
    Some(Box::new(Options::Stream {
        destination: Destination { address: address?, tls, keepalive },
        encoder,
    }))
}

/// `path`, or `address = "unix:/path"`.
fn read_path(fields: &mut Fields<'_>) -> Option<RemoteAddr> {
    if !fields.has("path") && fields.has("address") {
        let (address, span) = fields.required_spanned::<RemoteAddr>("address")?;
        if matches!(address, RemoteAddr::Host { .. }) {
            fields.error(span, "a Unix socket needs a `path`");
        }
        return Some(address);
    }
    let (path, span) = fields.required_spanned::<PathBuf>("path")?;
    if path.is_relative() {
        fields.error(span, "expected an absolute path");
    }
    Some(RemoteAddr::Unix(path))
}

fn read_address(fields: &mut Fields<'_>) -> Option<RemoteAddr> {
    let (address, span) = fields.required_spanned::<RemoteAddr>("address")?;
    if matches!(address, RemoteAddr::Unix(_)) {
        fields.error(span, "for a Unix socket write `mode = \"unix\"`");
    }
    Some(address)
}

impl SinkSpec for Options {
    fn files(&self) -> Vec<PathBuf> {
        match self {
            Options::Stream { destination, .. } => destination.files(),
            Options::Datagrams { .. } => Vec::new(),
        }
    }

    fn check(&self) -> Result<(), Fault> {
        match self {
            Options::Stream { destination, .. } => destination.load_tls().map(drop),
            Options::Datagrams { .. } => Ok(()),
        }
    }

    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Sink>, Fault> {
        match self {
            Options::Stream { destination, encoder } => {
                Ok(Box::new(LineSink { ready: destination.ready()?, encoder: encoder.clone() }))
            }
            Options::Datagrams { address, encoder } => {
                Ok(Box::new(Datagrams { address: address.clone(), encoder: encoder.clone() }))
            }
        }
    }
}

struct LineSink {
    ready: Ready,
    encoder: Encoder,
}

impl Sink for LineSink {
    fn healthcheck(&self) -> Task<'static, Result<(), String>> {
        self.ready.healthcheck()
    }

    fn run<'a>(self: Box<Self>, intake: &'a mut Intake, cx: SinkContext) -> Task<'a, Result<(), Fault>> {
        Box::pin(async move {
            Delivery::new(self.ready, LineFraming(self.encoder), cx).run(intake).await;
            Ok(())
        })
    }
}

/// A line for each event.
#[derive(Debug)]
struct LineFraming(Encoder);

impl Framing for LineFraming {
    type Buffer = Vec<u8>;

    fn append(&self, event: &Event, to: &mut Vec<u8>) -> Result<(), (&'static str, String)> {
        self.0.encode_line(event, to);
        Ok(())
    }

    fn clear(buffer: &mut Vec<u8>) {
        buffer.clear();
    }
}
