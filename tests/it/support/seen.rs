//! All that a process lets us see, in one place that can be waited on.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

/// Shared between those who read and those who wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct State {
    /// Lines of standard output.
    pub(crate) stdout: Vec<String>,
    /// Lines of standard error.
    pub(crate) stderr: Vec<String>,
    /// Datagrams to NOTIFY_SOCKET.
    pub(crate) notifications: Vec<String>,
    /// It has ended.
    pub(crate) exited: bool,
    /// So many of its output streams are open.
    pub(crate) streams: usize,
}

impl Seen {
    /// Changes what was seen, and wakes those who wait.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.0.changed.notify_all();
    }

    /// Waits until `find` finds something; `None` after `limit`.
    pub(crate) fn wait<T>(&self, limit: Duration, mut find: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let begin = Instant::now();
        let mut state = self.lock();
        loop {
            if let Some(found) = find(&state) {
                return Some(found);
            }
            let left = limit.checked_sub(begin.elapsed())?;
            state = self.0.changed.wait_timeout(state, left).expect("no reader panics").0;
        }
    }

    /// Looks at what was seen.
    pub(crate) fn look<T>(&self, see: impl FnOnce(&State) -> T) -> T {
        see(&self.lock())
    }

    /// Reads lines from `stream` on a thread of its own, to its end.
    pub(crate) fn read(&self, stream: impl Read + Send + 'static, lines: fn(&mut State) -> &mut Vec<String>) {
        self.update(|state| state.streams += 1);
        let seen = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                seen.update(|state| lines(state).push(line));
            }
            seen.update(|state| state.streams -= 1);
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no reader panics")
    }
}

/// For the message of a test that failed: the end of everything.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            [("stdout", &self.stdout), ("stderr", &self.stderr), ("notifications", &self.notifications)];
        for (name, lines) in parts {
            writeln!(f, "--- {name}, {} lines", lines.len())?;
            for line in lines.iter().skip(lines.len().saturating_sub(40)) {
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        writeln!(f, "--- {}", if self.exited { "exited" } else { "running" })
    }
}
