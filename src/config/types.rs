//! What the rest of the crate reads.
//!
//! Pure.

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf, time::Duration};

use super::{
    diagnostic::Diagnostics,
    fields::Fields,
    node::{Span, Table},
    report::{Files, Report},
};
use crate::base::id::ComponentId;

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What is not about one component.
    pub global: Global,
    /// `[sources.ID]`, in the order of the files.
    pub sources: Vec<Component>,
    /// `[transforms.ID]`, in the order of the files.
    pub transforms: Vec<Component>,
    /// `[sinks.ID]`, in the order of the files.
    pub sinks: Vec<Component>,
    /// Each component that the files name, and where: also those that had errors and are therefore in no list.
    pub declared: BTreeMap<String, Span>,
    /// The files it was read from, for errors that are found later.
    pub files: Files,
    /// What somebody should look at.
    pub warnings: Report,
}

impl Config {
    /// Sources, transforms and sinks, in this order.
    pub fn components(&self) -> impl Iterator<Item = &Component> {
        self.sources.iter().chain(&self.transforms).chain(&self.sinks)
    }
}

/// A source, transform or sink, its own options not yet read.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its name.
    pub id: ComponentId,
    /// Where the name stands.
    pub id_span: Span,
    /// Where the table's header stands.
    pub span: Span,
    /// `type`.
    pub kind: String,
    /// Where the type stands.
    pub kind_span: Span,
    /// `inputs`, each with its place; empty for a source, and where they had a mistake, which is already noted.
    pub inputs: Vec<(String, Span)>,
    /// Everything but `type` and `inputs`.
    pub options: Table,
}

impl Component {
    /// Reads the options. `role` is `sources`, `transforms` or `sinks`.
    pub fn fields<'a>(&'a self, role: &str, diagnostics: &'a Diagnostics) -> Fields<'a> {
        Fields::new(&self.options, self.span, format!("{role}.{}", self.id), diagnostics)
    }
}

impl PartialEq for Component {
    /// Whether a reload may leave it alone: places do not count.
    fn eq(&self, other: &Self) -> bool {
        let names =
            |component: &Self| component.inputs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        self.id == other.id
            && self.kind == other.kind
            && names(self) == names(other)
            && self.options == other.options
    }
}

impl Eq for Component {}

/// What is not about one component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Global {
    /// `data_dir`: where state is kept.
    pub data_dir: Option<PathBuf>,
    /// `threads`: worker threads.
    pub threads: Option<NonZeroUsize>,
    /// `[shutdown]`.
    pub shutdown: Shutdown,
    /// `[daemon]`.
    pub daemon: DaemonOptions,
    /// `[api]`.
    pub api: ApiOptions,
}

/// `[shutdown]`: how long a graceful stop may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// `connections_secs`: for open connections of sources (20 s).
    pub connections: Duration,
    /// `buffers_secs`: then for what sinks still hold (20 s).
    pub buffers: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { connections: Duration::from_secs(20), buffers: Duration::from_secs(20) }
    }
}

/// `[daemon]`: for `--daemon`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DaemonOptions {
    /// `pid_file`.
    pub pid_file: Option<PathBuf>,
    /// `error_log`: where stderr goes.
    pub error_log: Option<PathBuf>,
}

/// `[api]`: the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiOptions {
    /// `socket`: its path.
    pub socket: Option<PathBuf>,
    /// `group`: who may use it, beside root and the daemon's own user.
    pub group: Option<String>,
}
