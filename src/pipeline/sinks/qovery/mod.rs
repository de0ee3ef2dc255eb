//! `qovery` (`vector`): events to the source of another machine, over wire protocol v1.
//!
//! The protocol knows no acknowledgement: see `sinks/connection.rs` for what can be lost, and what cannot.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use bytes::BytesMut;

use super::{
    chunk::Framing,
    connection::{Delivery, Destination, Ready},
};
use crate::{
    base::fault::Fault,
    config::Fields,
    event::{Event, codec::proto},
    net::{RemoteAddr, TlsOptions},
    pipeline::{
        buffer::Intake,
        component::{BuildContext, Sink, SinkContext, SinkSpec, Task},
        sources::{connections::read_keepalive, qovery::read_version},
    },
};

/// The options.
#[derive(Debug)]
struct Options {
    destination: Destination,
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SinkSpec>> {
    let address = fields.required::<RemoteAddr>("address");
    read_version(fields);
    let tls = TlsOptions::read_client(fields);
    let keepalive = read_keepalive(fields);
    Some(Box::new(Options { destination: Destination { address: address?, tls, keepalive } }))
}

impl SinkSpec for Options {
    fn files(&self) -> Vec<PathBuf> {
        self.destination.files()
    }

    fn check(&self) -> Result<(), Fault> {
        self.destination.load_tls().map(drop)
    }

    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Sink>, Fault> {
        Ok(Box::new(Qovery { ready: self.destination.ready()? }))
    }
}

struct Qovery {
    ready: Ready,
}

impl Sink for Qovery {
    fn healthcheck(&self) -> Task<'static, Result<(), String>> {
        self.ready.healthcheck()
    }

    fn run<'a>(self: Box<Self>, intake: &'a mut Intake, cx: SinkContext) -> Task<'a, Result<(), Fault>> {
        Box::pin(async move {
            Delivery::new(self.ready, Frames, cx).run(intake).await;
            Ok(())
        })
    }
}

/// One frame for each event.
#[derive(Debug)]
struct Frames;

impl Framing for Frames {
    type Buffer = BytesMut;

    fn append(&self, event: &Event, to: &mut BytesMut) -> Result<(), (&'static str, String)> {
        proto::encode_frame(event, to).map_err(|error| (error.kind(), error.to_string()))
    }

    fn clear(buffer: &mut BytesMut) {
        buffer.clear();
    }
}
