//! The one table of components: type → constructor. A new one is a file of its own and a line here.

use super::{
    component::{SinkSpec, SourceSpec, TransformSpec},
    sinks, sources, transforms,
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
    Kind { name: "demo", aliases: &["demo_logs"], about: "made-up lines", read: sources::demo::read },
    Kind {
        name: "file",
        aliases: &[],
        about: "lines of files, as they are appended",
        read: sources::file::read,
    },
    Kind {
        name: "internal_metrics",
        aliases: &[],
        about: "what the daemon counts about itself",
        read: sources::internal_metrics::read,
    },
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
    Kind { name: "stdin", aliases: &[], about: "lines from standard input", read: sources::stdin::read },
];

/// All transforms.
pub const TRANSFORMS: &[Kind<dyn TransformSpec>] = &[
    Kind {
        name: "filter",
        aliases: &[],
        about: "passes on events that meet a condition",
        read: transforms::filter::FilterSpec::read,
    },
    Kind {
        name: "remap",
        aliases: &[],
        about: "changes events with a program in VRL",
        read: transforms::remap::RemapSpec::read,
    },
    Kind {
        name: "route",
        aliases: &[],
        about: "sends events to named outputs, by conditions",
        read: transforms::route::RouteSpec::read,
    },
    Kind {
        name: "sample",
        aliases: &[],
        about: "passes on one of so many logs",
        read: transforms::sample::SampleSpec::read,
    },
];

/// All sinks.
pub const SINKS: &[Kind<dyn SinkSpec>] = &[
    Kind {
        name: "blackhole",
        aliases: &[],
        about: "takes everything, keeps nothing",
        read: sinks::blackhole::read,
    },
    Kind {
        name: "console",
        aliases: &[],
        about: "lines on standard output or error",
        read: sinks::console::read,
    },
    Kind { name: "file", aliases: &[], about: "lines of files", read: sinks::file::read },
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
