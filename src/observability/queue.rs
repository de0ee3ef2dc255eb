//! The bounded queue between those who log and the thread that writes.
//!
//! Pushing never waits for the writer. When the queue is full, the new line is dropped and counted; the writer says
//! how many, once it gets through.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::record::Record;

/// At most so many lines wait.
pub(super) const LINES: usize = 8192;
/// At most so many bytes wait, in all lines together.
pub(super) const BYTES: usize = 4 * 1024 * 1024;

/// Shared by everybody who logs.
#[derive(Debug, Default)]
pub(super) struct Queue {
    // A lock and not a channel, because a flush has to know when the last line was written, and because the bound is
    // in bytes, too. It is held for moving one line, never while one is written or formatted.
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Record>,
    /// Of the lines that wait and of those being written.
    bytes: usize,
    /// How many the writer has taken and not yet written.
    writing: usize,
    /// Dropped and not yet reported.
    dropped: u64,
    /// Dropped since the start.
    dropped_ever: u64,
    closed: bool,
}

/// What the writer has to do next.
#[derive(Debug)]
pub(super) struct Batch {
    /// Lines to be written, oldest first.
    pub(super) lines: VecDeque<Record>,
    /// So many were dropped after them.
    pub(super) dropped: u64,
    bytes: usize,
}

impl Queue {
    /// Adds a line, or drops and counts it when there is no room. Never waits for the writer.
    pub(super) fn push(&self, record: Record) {
        let size = record.size();
        let mut state = self.lock();
        if state.lines.len() + state.writing >= LINES || state.bytes + size > BYTES {
            state.dropped += 1;
            state.dropped_ever += 1;
            return;
        }
        state.bytes += size;
        state.lines.push_back(record);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits for lines and takes all that wait. `None` after [`Queue::close`], once nothing is left.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        while state.lines.is_empty() && state.dropped == 0 {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let lines = std::mem::take(&mut state.lines);
        state.writing = lines.len();
        let dropped = std::mem::take(&mut state.dropped);
        Some(Batch { bytes: state.bytes, lines, dropped })
    }

    /// Says that what was taken last is written.
    pub(super) fn written(&self, batch: &Batch) {
        let mut state = self.lock();
        state.bytes -= batch.bytes;
        state.writing = 0;
        drop(state);
        self.emptied.notify_all();
    }

    /// Waits until everything pushed so far is written, at most `limit`. Returns how many lines are left.
    pub(super) fn flush(&self, limit: Duration) -> usize {
        let state = self.lock();
        let busy = |state: &mut State| !state.lines.is_empty() || state.writing > 0;
        let (state, _) =
            self.emptied.wait_timeout_while(state, limit, busy).unwrap_or_else(PoisonError::into_inner);
        state.lines.len() + state.writing
    }

    /// Lets the writer end when nothing is left.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// How many lines were dropped since the start.
    pub(super) fn dropped_ever(&self) -> u64 {
        self.lock().dropped_ever
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held cannot leave it half changed in a way that matters to a log.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
