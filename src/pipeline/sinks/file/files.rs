//! The files that a sink has open, by path.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use tracing::{error, info};

use super::target::{Target, Torn};
use crate::{
    base::{fs::reason, id::ComponentId},
    event::Event,
    observability::metrics::ComponentMetrics,
    pipeline::encoding::Encoder,
};

/// How many files are open at once. The one that was written to longest ago is closed first.
const MOST_OPEN: usize = 256;

/// All files of a sink.
#[derive(Debug)]
pub(super) struct Files {
    id: ComponentId,
    metrics: Arc<ComponentMetrics>,
    targets: Vec<Target>,
    by_path: HashMap<String, usize>,
    /// The target of the last event: the next one mostly goes there as well.
    last: usize,
    /// May events be discarded because their path cannot be opened? Only where events choose it.
    chosen_by_events: bool,
    /// Logged already that writing fails.
    failing: bool,
}

impl Files {
    pub(super) fn new(id: ComponentId, metrics: Arc<ComponentMetrics>, chosen_by_events: bool) -> Self {
        Files {
            id,
            metrics,
            targets: Vec::new(),
            by_path: HashMap::new(),
            last: 0,
            chosen_by_events,
            failing: false,
        }
    }

    /// Takes all, leaving none: so that another thread can have them for a while.
    pub(super) fn take(&mut self) -> Files {
        let none = Files::new(self.id.clone(), self.metrics.clone(), self.chosen_by_events);
        std::mem::replace(self, none)
    }

    /// Adds an event to what waits for `path`.
    pub(super) fn add(&mut self, path: &str, event: Event, encoder: &Encoder, now: Instant) {
        let is_last = |target: &Target| target.path().as_os_str() == path;
        if !self.targets.get(self.last).is_some_and(is_last) {
            self.last = match self.by_path.get(path) {
                Some(index) => *index,
                None => {
                    self.targets.push(Target::new(PathBuf::from(path), now));
                    self.by_path.insert(path.to_owned(), self.targets.len() - 1);
                    self.targets.len() - 1
                }
            };
        }
        self.targets[self.last].add(event, |event, bytes| encoder.encode_line(event, bytes));
    }

    /// How many bytes wait, for all files together.
    pub(super) fn waiting(&self) -> usize {
        self.targets.iter().map(Target::waiting).sum()
    }

    /// Writes what waits for each file. False when something is left that should be tried again later.
    ///
    /// A file that cannot be written to does not keep the others from being written to.
    pub(super) fn write(&mut self, now: Instant, retry: bool) -> bool {
        let mut failure = None;
        for target in self.targets.iter_mut().filter(|target| target.waiting() > 0) {
            let (written, result) = target.write(now, retry);
            self.metrics.sent(written.events, written.bytes);
            let Err(error) = result else { continue };
            if self.chosen_by_events && is_for_ever(&error) {
                let events = target.discard();
                self.metrics.error("path");
                self.metrics.discard("path", events);
                let (path, reason) = (target.path().display(), reason(&error));
                error!(sink = %self.id, %path, reason, events, "events name a path that cannot be, discarded");
            } else {
                failure = Some((target.path().display().to_string(), error));
            }
        }
        match &failure {
            Some((path, error)) if !self.failing => {
                self.metrics.error("write");
                error!(sink = %self.id, path, reason = %reason(error), "cannot write, trying again");
            }
            None if self.failing => info!(sink = %self.id, "writing works again"),
            Some(_) | None => {}
        }
        self.failing = failure.is_some();
        self.bound();
        failure.is_none()
    }

    /// Closes all files, so that they are opened anew.
    pub(super) fn close_all(&mut self) {
        for target in &mut self.targets {
            target.close();
        }
    }

    /// Forgets the files that nothing was written to for `timeout`.
    pub(super) fn close_idle(&mut self, now: Instant, timeout: Duration) {
        self.retain(|target| target.waiting() > 0 || now.saturating_duration_since(target.used) < timeout);
    }

    /// When the next file will have been idle for `timeout`.
    pub(super) fn next_idle(&self, timeout: Duration) -> Option<Instant> {
        self.targets.iter().map(|target| target.used).min().map(|used| used + timeout)
    }

    /// Gives back all events that are not written.
    pub(super) fn give_up(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for target in &mut self.targets {
            let (left, torn) = target.give_up();
            if let Some(Torn) = torn {
                self.metrics.error("torn_line");
                self.metrics.discard("torn_line", 1);
            }
            events.extend(left);
        }
        events
    }

    fn bound(&mut self) {
        let open = self.targets.iter().filter(|target| target.is_open()).count();
        if open <= MOST_OPEN && self.targets.len() <= 2 * MOST_OPEN {
            return;
        }
        let mut used: Vec<_> =
            self.targets.iter().filter(|target| target.waiting() == 0).map(|target| target.used).collect();
        used.sort_unstable();
        // Half of the places are made free, so that this is not to be done at once again.
        let surplus = self.targets.len().saturating_sub(MOST_OPEN / 2);
        let Some(newest) = used.get(surplus.saturating_sub(1)).or(used.last()).copied() else { return };
        let mut surplus = surplus;
        self.retain(|target| {
            let forget = surplus > 0 && target.waiting() == 0 && target.used <= newest;
            surplus -= usize::from(forget);
            !forget
        });
    }

    fn retain(&mut self, keep: impl FnMut(&mut Target) -> bool) {
        let before = self.targets.len();
        self.targets.retain_mut(keep);
        if self.targets.len() < before {
            let names = self.targets.iter().enumerate();
            let names = names.filter_map(|(index, target)| Some((target.path().to_str()?.to_owned(), index)));
            self.by_path = names.collect();
        }
    }
}

/// Is the path itself the reason, whatever happens to the disk?
fn is_for_ever(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
    )
}
