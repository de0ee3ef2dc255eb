//! `socket`: lines or datagrams from whoever connects or sends.

mod datagram;
mod stream;
#[cfg(test)]
mod tests;

use std::{num::NonZeroUsize, path::PathBuf};

use self::{datagram::DatagramOptions, stream::StreamOptions};
use super::connections::ConnectionOptions;
use crate::{
    activation::claim::Use,
    base::{addr::ListenAddr, fault::Fault},
    config::{Fields, FromNode, Node, Span, choice},
    pipeline::{
        component::{BuildContext, Source, SourceSpec},
        lines::LineOptions,
    },
};

/// The longest message by default, as in Vector.
const MAX_LENGTH: usize = 102_400;

/// `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Tcp,
    Udp,
    Unix,
    UnixDatagram,
}

impl FromNode for Mode {
    const EXPECTED: &'static str = "`tcp`, `udp`, `unix` or `unix_datagram`";

    fn from_node(node: &Node) -> Result<Self, String> {
        let words = [
            ("tcp", Mode::Tcp),
            ("udp", Mode::Udp),
            ("unix", Mode::Unix),
            ("unix_stream", Mode::Unix),
            ("unix_datagram", Mode::UnixDatagram),
        ];
        choice(node, &words)
    }
}

/// `framing.method`: where a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// At each line end.
    Lines,
    /// After as many bytes as its first four say.
    LengthDelimited,
    /// At the end of what is read at once: a datagram.
    Bytes,
}

impl FromNode for Framing {
    const EXPECTED: &'static str = "`newline_delimited`, `length_delimited` or `bytes`";

    fn from_node(node: &Node) -> Result<Self, String> {
        let words = [
            ("newline_delimited", Framing::Lines),
            ("length_delimited", Framing::LengthDelimited),
            ("bytes", Framing::Bytes),
        ];
        choice(node, &words)
    }
}

/// How messages become events.
#[derive(Debug, Clone)]
struct MessageOptions {
    /// `max_length`: longer ones are discarded, and counted.
    max_length: usize,
    framing: Framing,
    lines: LineOptions,
}

/// The options.
#[derive(Debug)]
enum Options {
    Stream(StreamOptions),
    Datagram(DatagramOptions),
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SourceSpec>> {
    let mode = fields.required_spanned::<Mode>("mode");
    let max_length = fields.optional::<NonZeroUsize>("max_length").map_or(MAX_LENGTH, NonZeroUsize::get);
    let lines = LineOptions::read(fields);
    let framing = fields.table("framing").and_then(|mut framing| {
        let method = framing.required::<Framing>("method");
        framing.finish();
        method
    });
    let address = read_address(fields, mode.as_ref().map(|(mode, _)| *mode));
    // Options of connections are read in any case, so that they are known; for datagrams they must not be there.
    let (mode, span) = mode?;
    let datagrams = matches!(mode, Mode::Udp | Mode::UnixDatagram);
    let framing = framing.unwrap_or(if datagrams { Framing::Bytes } else { Framing::Lines });
    let message = MessageOptions { max_length, framing, lines };
    if datagrams {
        if framing == Framing::LengthDelimited {
            fields.error(span, "datagrams are not `length_delimited`: use `bytes` or `newline_delimited`");
        }
        let receive_buffer = fields.optional("receive_buffer_bytes");
        return Some(Box::new(Options::Datagram(DatagramOptions {
            address: address?,
            message,
            receive_buffer,
        })));
    }
    let placeholder = ListenAddr::SystemdIndex(1);
    let connections = ConnectionOptions::read(fields, address.clone().unwrap_or(placeholder));
    address?;
    Some(Box::new(Options::Stream(StreamOptions { connections, message })))
}

/// `address`, or `path` for a Unix socket.
fn read_address(fields: &mut Fields<'_>, mode: Option<Mode>) -> Option<ListenAddr> {
    let unix = matches!(mode, Some(Mode::Unix | Mode::UnixDatagram));
    if mode.is_some_and(|_| unix) && fields.has("path") {
        let (path, span) = fields.optional_spanned::<PathBuf>("path")?;
        if fields.has("address") {
            fields.error(span, "`path` and `address` are the same here: leave one out");
            fields.node("address");
        }
        if path.is_relative() {
            fields.error(span, "expected an absolute path");
        }
        return Some(ListenAddr::Unix(path));
    }
    if mode.is_none() {
        // It is not known which is wanted; both are known options.
        fields.node("path");
        return fields.optional("address");
    }
    if unix && !fields.has("address") {
        return fields.required::<PathBuf>("path").map(ListenAddr::Unix);
    }
    let (address, span): (ListenAddr, Span) = fields.required_spanned("address")?;
    match (&address, unix) {
        (ListenAddr::Unix(_), false) => fields.error(span, "for a Unix socket write `mode = \"unix\"`"),
        (ListenAddr::Ip(_), true) => fields.error(span, "a Unix socket needs a `path`"),
        _ => {}
    }
    Some(address)
}

impl SourceSpec for Options {
    fn listens(&self) -> Option<(Use, ListenAddr)> {
        Some(match self {
            Options::Stream(options) => (Use::Connections, options.connections.address.clone()),
            Options::Datagram(options) => (Use::Datagrams, options.address.clone()),
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Options::Stream(options) => options.connections.tls.iter().flat_map(|tls| tls.files()).collect(),
            Options::Datagram(_) => Vec::new(),
        }
    }

    fn check(&self) -> Result<(), Fault> {
        match self {
            Options::Stream(options) => options.connections.load_tls().map(drop),
            Options::Datagram(_) => Ok(()),
        }
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault> {
        match self {
            Options::Stream(options) => Ok(Box::new(options.build(cx)?)),
            Options::Datagram(options) => Ok(Box::new(options.build(cx)?)),
        }
    }
}
