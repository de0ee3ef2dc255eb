//! The one table of components: type → constructor. A new one is a file of its own and a line here.

use super::{
    component::{SinkSpec, SourceSpec, TransformSpec},
    sinks, sources,
};
use crate::config::Fields;

/// A type of component, as written in `type = "…"`.
#[derive(Debug)]
pub struct Kind<S: ?Sized> {
    /// Its name.
    pub name: &'static str,
    /// Other names by which it is known.
    pub aliases: &'static [&'static str],
    /// What it does, in a few words.
    pub about: &'static str,
    /// Reads its options; `None` when they are wrong, which has then been reported.
    pub read: fn(&mut Fields<'_>) -> Option<Box<S>>,
}

/// All sources.
pub const SOURCES: &[Kind<dyn SourceSpec>] = &[
    Kind {
        name: "qovery",
        aliases: &["vector"],
        about: "events from other machines' `qovery` sinks",
        read: sources::qovery::read,
    },
    Kind {
        name: "socket",
        aliases: &[],
        about: "lines or datagrams over TCP, UDP or a Unix socket",
        read: sources::socket::read,
    },
];

/// All transforms.
pub const TRANSFORMS: &[Kind<dyn TransformSpec>] = &[];

/// All sinks.
pub const SINKS: &[Kind<dyn SinkSpec>] = &[
    Kind {
        name: "qovery",
        aliases: &["vector"],
        about: "events to another machine's `qovery` source",
        read: sinks::qovery::read,
    },
    Kind {
        name: "socket",
        aliases: &[],
        about: "lines or datagrams over TCP, UDP or a Unix socket",
        read: sinks::socket::read,
    },
];

/// The kind called `name`.
pub fn find<S: ?Sized>(kinds: &'static [Kind<S>], name: &str) -> Option<&'static Kind<S>> {
    kinds.iter().find(|kind| kind.name == name || kind.aliases.contains(&name))
}
