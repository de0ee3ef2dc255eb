//! What goes over the control socket, version 1.
//!
//! Fields are only ever added; a client ignores those it does not know.
//!
//! Format.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::pipeline::{Applied, ComponentStatus};

/// `GET /v1/status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where it is in its life.
    pub phase: String,
    /// How long it has been running.
    pub uptime_secs: f64,
    /// The configuration files in use.
    pub config: Vec<PathBuf>,
    /// How the last reload went.
    pub last_reload: Option<LastReload>,
    /// Sources, transforms, sinks.
    pub components: Vec<Component>,
}

/// How a reload went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastReload {
    /// When it ended, RFC 3339.
    pub at: String,
    /// Was the new configuration taken?
    pub ok: bool,
    /// Why not.
    pub errors: Vec<String>,
}

/// One component of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Its name.
    pub id: String,
    /// `source`, `transform`, `sink`.
    pub role: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where its events come from.
    pub inputs: Vec<String>,
    /// False when it has ended by itself.
    pub running: bool,
    /// Events that came in.
    pub received_events: u64,
    /// Events that went out.
    pub sent_events: u64,
    /// Events waiting in its buffer.
    pub buffered_events: u64,
    /// Open connections.
    pub connections: u64,
    /// Events discarded, by reason.
    pub discarded_events: BTreeMap<String, u64>,
    /// Errors, by kind.
    pub errors: BTreeMap<String, u64>,
}

/// `POST /v1/reload`: what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// New components.
    pub added: usize,
    /// Components made anew.
    pub rebuilt: usize,
    /// Components gone.
    pub removed: usize,
    /// Components not touched.
    pub kept: usize,
}

/// Every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A word for scripts: `not_found`, `forbidden`, `reload_refused`, …
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// More sentences, one for each thing that is wrong.
    #[serde(default)]
    pub details: Vec<String>,
    /// The exit code of `sysexits.h` that fits.
    #[serde(default)]
    pub exit_code: u8,
}

impl Problem {
    /// A problem without details.
    pub fn new(code: &str, message: impl Into<String>, exit_code: u8) -> Self {
        Problem { code: code.to_owned(), message: message.into(), details: Vec::new(), exit_code }
    }
}

impl From<Applied> for Reloaded {
    fn from(Applied { added, rebuilt, removed, kept }: Applied) -> Self {
        Reloaded { added, rebuilt, removed, kept }
    }
}

impl From<ComponentStatus> for Component {
    fn from(status: ComponentStatus) -> Self {
        let owned = |counts: BTreeMap<&'static str, u64>| {
            counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
        };
        Component {
            id: status.id.to_string(),
            role: status.role.name().to_owned(),
            kind: status.kind.to_owned(),
            inputs: status.inputs,
            running: status.running,
            received_events: status.received,
            sent_events: status.sent,
            buffered_events: status.buffered,
            connections: status.connections,
            discarded_events: owned(status.discarded),
            errors: owned(status.errors),
        }
    }
}
