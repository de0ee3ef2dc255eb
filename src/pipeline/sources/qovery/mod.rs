//! `qovery` (`vector`): events from the sinks of other machines, over wire protocol v1.
//!
//! The peer never hears anything: there is no acknowledgement in this protocol. What a peer has sent before it closes
//! is read to the end; what it has not sent when a connection is cut is its to send again.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use bytes::BytesMut;

use super::{
    connections::{ConnectionOptions, Listening},
    conversation::{Found, Protocol},
};
use crate::{
    activation::claim::Use,
    base::{addr::ListenAddr, fault::Fault},
    config::{Fields, FromNode},
    event::codec::{
        framing::LengthDelimited,
        proto::{self, MAX_FRAME},
    },
    pipeline::component::{BuildContext, DataType, Source, SourceContext, SourceSpec, Task},
};

/// The options.
#[derive(Debug)]
struct Options {
    connections: ConnectionOptions,
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SourceSpec>> {
    let address = fields.required::<ListenAddr>("address");
    read_version(fields);
    // Read before giving up, so that all mistakes are found.
    let placeholder = ListenAddr::SystemdIndex(1);
    let connections = ConnectionOptions::read(fields, address.clone().unwrap_or(placeholder));
    address?;
    Some(Box::new(Options { connections }))
}

/// `version`, as Vector has it: only 1 is spoken.
pub(in crate::pipeline) fn read_version(fields: &mut Fields<'_>) {
    let Some(node) = fields.node("version") else { return };
    let version =
        node.as_str().map(str::to_owned).or_else(|| i64::from_node(node).ok().map(|n| n.to_string()));
    match version.as_deref() {
        Some("1") => {}
        Some("2") => fields.diagnostics().error_help(
            node.span,
            "version 2 of the protocol (gRPC) is not spoken here",
            "write `version = \"1\"`, here and at the peer; Vector before 0.25 speaks it",
        ),
        Some(_) | None => fields.error(node.span, node.mismatch("`\"1\"`")),
    }
}

impl SourceSpec for Options {
    fn output(&self) -> DataType {
        DataType::Any
    }

    fn listens(&self) -> Option<(Use, ListenAddr)> {
        Some((Use::Connections, self.connections.address.clone()))
    }

    fn files(&self) -> Vec<PathBuf> {
        self.connections.tls.iter().flat_map(|tls| tls.files()).collect()
    }

    fn check(&self) -> Result<(), Fault> {
        self.connections.load_tls().map(drop)
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(Qovery { listening: self.connections.listen(cx)? }))
    }
}

struct Qovery {
    listening: Listening,
}

impl Source for Qovery {
    fn run(self: Box<Self>, cx: SourceContext) -> Task<'static, Result<(), Fault>> {
        Box::pin(async move {
            self.listening.run(cx, |_, _| Frames(LengthDelimited::new(MAX_FRAME))).await;
            Ok(())
        })
    }
}

/// Reads frames of one connection.
struct Frames(LengthDelimited);

impl Protocol for Frames {
    fn take(&mut self, bytes: &mut BytesMut, end: bool, found: &mut Found) {
        while !found.is_full() {
            let frame = if end { self.0.finish(bytes) } else { self.0.next(bytes) };
            let frame = match frame {
                None => return,
                Some(Ok(frame)) => frame,
                // A frame that was cut off is the peer's to send again; it ends the connection only because that
                // has ended.
                Some(Err(error)) if end => return found.wrong(error.kind(), error),
                Some(Err(error)) => return found.fatal(error.kind(), error),
            };
            match proto::decode(frame) {
                Ok(decoded) => {
                    if decoded.dropped_fields > 0 {
                        found.wrong(
                            "dropped_field",
                            "an event has values of no kind that is known here; left them out",
                        );
                    }
                    found.push(decoded.event);
                }
                Err(error) => found.undecodable(error.kind(), error),
            }
        }
    }
}
