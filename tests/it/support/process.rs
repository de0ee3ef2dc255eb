//! A child process that cannot outlive its test.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use super::{
    seen::{Seen, State},
    wait::LIMIT,
};

/// A running process. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    pub(crate) seen: Seen,
}

/// How a process ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its exit code.
    pub(crate) code: i32,
    /// All of standard output.
    pub(crate) stdout: String,
    /// All of standard error.
    pub(crate) stderr: String,
}

impl Process {
    /// Starts `command`; its output is kept, unless it was led elsewhere.
    #[track_caller]
    pub(crate) fn spawn(name: &str, command: &mut Command, seen: Seen) -> Self {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        if let Some(stdout) = child.stdout.take() {
            seen.read(stdout, |state| &mut state.stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            seen.read(stderr, |state| &mut state.stderr);
        }
        let process = Process { name: name.to_owned(), child, seen };
        process.watch();
        process
    }

    /// Tells when the process has ended. It is not reaped yet, so that its id stays its own.
    fn watch(&self) {
        let (pid, seen) = (self.pid(), self.seen.clone());
        thread::spawn(move || {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            while waitid(Id::Pid(pid), flags) == Err(nix::errno::Errno::EINTR) {}
            seen.update(|state| state.exited = true);
        });
    }

    /// Its id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// What leads to its standard input.
    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Sends a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process is not reaped yet");
    }

    /// Waits until `find` finds something in what it lets us see.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, what: &str, find: impl FnMut(&State) -> Option<T>) -> T {
        match self.seen.wait(LIMIT, find) {
            Some(found) => found,
            None => panic!("{} has not come in {LIMIT:?}: {what}\n{}", self.name, self.shown()),
        }
    }

    /// Waits for a line of standard error that contains `part`; returns it.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, part: &str) -> String {
        let what = format!("a line with `{part}`");
        self.wait_for(&what, |state| state.stderr.iter().find(|line| line.contains(part)).cloned())
    }

    /// Has it printed a line with `part` to standard error so far?
    pub(crate) fn has_said(&self, part: &str) -> bool {
        self.seen.look(|state| state.stderr.iter().any(|line| line.contains(part)))
    }

    /// Waits for its end; returns the exit code.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> i32 {
        self.wait_at_most(LIMIT)
    }

    /// Waits for its end, for a test of how long that takes; returns the exit code.
    #[track_caller]
    pub(crate) fn wait_at_most(&mut self, limit: Duration) -> i32 {
        let ended = self.seen.wait(limit, |state| (state.exited && state.streams == 0).then_some(()));
        assert!(ended.is_some(), "{} does not end in {limit:?}\n{}", self.name, self.shown());
        let status = self.child.wait().expect("it is our child");
        match (status.code(), status.signal()) {
            (Some(code), _) => code,
            (None, signal) => panic!("{} was killed by signal {signal:?}\n{}", self.name, self.shown()),
        }
    }

    /// Waits for its end; returns all there is to know.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        let code = self.wait();
        self.seen.look(|state| {
            let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect();
            Finished { code, stdout: text(&state.stdout), stderr: text(&state.stderr) }
        })
    }

    /// What was seen of it, for messages.
    pub(crate) fn shown(&self) -> String {
        self.seen.look(|state| format!("{state:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command` to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Finished {
    let name = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::spawn(&name, command, Seen::default()).finish()
}
