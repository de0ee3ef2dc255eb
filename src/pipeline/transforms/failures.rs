//! Counts programs that fail, and says so without filling the log.

use std::time::Duration;

use tokio::time::Instant;

use super::program::Stopped;
use crate::{base::id::ComponentId, observability::metrics::ComponentMetrics};

/// At most one line in so much time: a program that fails mostly fails for every event.
const QUIET: Duration = Duration::from_secs(60);

/// Failures of one transform.
#[derive(Debug)]
pub(super) struct Failures {
    id: ComponentId,
    said: Option<Instant>,
    /// Failures since then.
    since: u64,
}

impl Failures {
    pub(super) fn new(id: &ComponentId) -> Self {
        Failures { id: id.clone(), said: None, since: 0 }
    }

    /// A program did not come to its end; `then` says what becomes of the event. An `abort` is no error.
    pub(super) fn note(&mut self, stopped: &Stopped, then: &'static str, metrics: &ComponentMetrics) {
        let Stopped::Failed(message) = stopped else { return };
        metrics.error("program_failed");
        self.since += 1;
        let now = Instant::now();
        if self.said.is_none_or(|said| now.duration_since(said) >= QUIET) {
            tracing::warn!(transform = %self.id, failures = self.since, "the program fails, {then}: {message}");
            self.said = Some(now);
            self.since = 0;
        }
    }
}
