//! What an error of `accept` means, and how long to wait after it.

use std::{io, time::Duration};

use crate::base::backoff::Backoff;

/// After an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It was about one connection, which has gone: accept the next one.
    Now,
    /// It is about this process or this machine: wait. `first` for the first one in a row, to be logged.
    After { wait: Duration, first: bool },
}

/// Keeps a loop of `accept` from spinning while the system has nothing to give.
#[derive(Debug)]
pub(super) struct Pace {
    backoff: Backoff,
}

impl Pace {
    pub(super) fn new() -> Self {
        Pace { backoff: Backoff::new(Duration::from_millis(10), Duration::from_secs(1)) }
    }

    /// A connection was accepted. True when that ends a row of errors.
    pub(super) fn accepted(&mut self) -> bool {
        let ends = self.backoff.failures() > 0;
        self.backoff.succeeded();
        ends
    }

    /// `accept` failed.
    pub(super) fn failed(&mut self, error: &io::Error) -> Next {
        use io::ErrorKind as Kind;
        match error.kind() {
            // accept(2): "already pending network errors on the new socket" are to be tried again.
            Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::TimedOut
            | Kind::PermissionDenied => Next::Now,
            // Out of descriptors or memory, and whatever nobody thought of.
            _ => {
                let first = self.backoff.failures() == 0;
                Next::After { wait: self.backoff.failed(), first }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    fn check(errors: &[Errno], expected: &[Next]) {
        let mut pace = Pace::new();
        let next: Vec<_> = errors.iter().map(|error| pace.failed(&io::Error::from(*error))).collect();
        assert_eq!(next, expected);
    }

    #[test]
    fn running_out_of_descriptors_waits_longer_each_time_and_is_told_once() {
        let after = |millis, first| Next::After { wait: Duration::from_millis(millis), first };
        check(
            &[Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS],
            &[after(10, true), after(20, false), after(40, false), after(80, false)],
        );
    }

    #[test]
    fn a_connection_that_ended_before_it_was_accepted_is_no_reason_to_wait() {
        check(&[Errno::ECONNABORTED, Errno::EINTR, Errno::EPERM, Errno::EHOSTUNREACH], &[Next::Now; 4]);
    }

    #[test]
    fn an_unknown_error_never_spins() {
        check(&[Errno::EINVAL], &[Next::After { wait: Duration::from_millis(10), first: true }]);
    }

    #[test]
    fn a_success_ends_the_spell() {
        let mut pace = Pace::new();
        assert!(!pace.accepted());
        pace.failed(&Errno::EMFILE.into());
        assert!(pace.accepted());
        assert_eq!(
            pace.failed(&Errno::EMFILE.into()),
            Next::After { wait: Duration::from_millis(10), first: true }
        );
    }
}
