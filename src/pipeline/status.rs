//! What others may see of the pipeline.
//!
//! Pure.

use std::collections::BTreeMap;

use super::Role;
use crate::base::id::ComponentId;

/// The pipeline at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Sources first, then transforms, then sinks; each by name.
    pub components: Vec<ComponentStatus>,
}

/// One component at one moment.
#[derive(Debug, Clone)]
pub struct ComponentStatus {
    /// Its name.
    pub id: ComponentId,
    /// What it is for.
    pub role: Role,
    /// Its type.
    pub kind: &'static str,
    /// Where its events come from.
    pub inputs: Vec<String>,
    /// Is it running? False when it has ended by itself: `stdin` at the end of its input.
    pub running: bool,
    /// Events that came in.
    pub received: u64,
    /// Events that went out.
    pub sent: u64,
    /// Events waiting in its buffer.
    pub buffered: u64,
    /// Open connections.
    pub connections: u64,
    /// Events discarded, by reason.
    pub discarded: BTreeMap<&'static str, u64>,
    /// Errors, by kind.
    pub errors: BTreeMap<&'static str, u64>,
}
