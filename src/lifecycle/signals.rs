//! The signals that the daemon listens to.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What somebody outside asks for by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: stop gracefully.
    Terminate,
    /// SIGINT: end at once.
    Interrupt,
    /// SIGQUIT: let a new binary take over.
    Quit,
    /// SIGHUP: reload.
    Hangup,
}

/// Receives the signals. From [`Signals::install`] on, none of them ends the process by itself any more,
/// not even after this was dropped.
///
/// SIGPIPE needs nothing: Rust ignores it from the start, a write to a closed pipe is an error.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    /// Begins to receive them. To be called within the runtime, before the daemon says that it is ready.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Signals {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            hangup: unix::signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal. Of several that are pending, the one that ends sooner comes first; equal ones
    /// that are pending together are one, as the system has it.
    ///
    /// # Cancel safety
    ///
    /// Safe: a signal that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Signal {
        // Each branch is cancel safe: tokio keeps a signal pending until `recv` has returned it.
        tokio::select! {
            biased;
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.quit.recv() => Signal::Quit,
            Some(()) = self.hangup.recv() => Signal::Hangup,
            // Only while the runtime itself goes away: nothing more to come.
            else => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::{
        sys::signal::{Signal as Raw, kill},
        unistd::Pid,
    };
    use std::{
        io::{BufRead, BufReader, Write},
        process::{Child, Command, Stdio},
    };

    /// Set in the child that gets the signals; other tests of this process must not.
    const CHILD: &str = "QOVERY_TEST_SIGNALS_CHILD";

    #[test]
    fn signals_arrive_as_what_they_ask_for_and_do_not_end_the_process() {
        #[expect(clippy::disallowed_methods, reason = "how the child knows that it is one")]
        let is_child = std::env::var(CHILD).is_ok();
        if is_child {
            return child();
        }
        #[expect(clippy::disallowed_methods, reason = "signals go to a process of their own")]
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "--test-threads=1"]);
        command
            .arg("lifecycle::signals::tests::signals_arrive_as_what_they_ask_for_and_do_not_end_the_process");
        let spawned = command.env(CHILD, "1").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = KilledWithTheTest(spawned.unwrap());
        let pid = Pid::from_raw(child.0.id().cast_signed());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);

        // The test harness has a line of its own in front, without an end.
        assert!(lines.any(|line| line.ends_with("ready")));
        for (signal, word) in [
            (Raw::SIGHUP, "Hangup"),
            (Raw::SIGQUIT, "Quit"),
            (Raw::SIGHUP, "Hangup"),
            (Raw::SIGINT, "Interrupt"),
            (Raw::SIGTERM, "Terminate"),
        ] {
            kill(pid, signal).unwrap();
            assert_eq!(lines.next().as_deref(), Some(word));
        }
        lines.for_each(drop);
        assert!(child.0.wait().unwrap().success());
    }

    struct KilledWithTheTest(Child);

    impl Drop for KilledWithTheTest {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Says each signal on a line; ends after SIGTERM.
    fn child() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut signals = Signals::install().unwrap();
            let mut out = std::io::stdout();
            writeln!(out, "ready").unwrap();
            loop {
                let signal = signals.next().await;
                writeln!(out, "{signal:?}").unwrap();
                if signal == Signal::Terminate {
                    return;
                }
            }
        });
    }

    #[test]
    fn a_closed_pipe_is_an_error_and_not_the_end() {
        let (read, mut write) = std::io::pipe().unwrap();
        drop(read);
        assert_eq!(write.write_all(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
