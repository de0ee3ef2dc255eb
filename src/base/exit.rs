//! How the process ends, as scripts and systemd see it.
//!
//! The numbers are those of `sysexits.h` where it has one, 1 as the product's documents say, 130 as
//! shells say it. The unit has `SuccessExitStatus=1` and `RestartPreventExitStatus=78`.

use std::fmt;

/// Why the process ends. A component that died and a start that failed are never a 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 0: it had sources, all have ended, everything was delivered; or a dry run or a command went well.
    Finished,
    /// 0: a successor serves.
    HandedOver,
    /// 1: stopped as asked, everything was delivered.
    Stopped,
    /// 2: wrong arguments.
    Usage,
    /// 69: a listener, an engine or a peer is not available.
    Unavailable,
    /// 70: a fault of our own.
    Internal,
    /// 71: the operating system did not give what was needed.
    System,
    /// 74: reading or writing failed.
    Io,
    /// 75: stopped as asked, but a limit of time passed and something had to be cut off.
    Late,
    /// 77: not permitted.
    Permission,
    /// 78: bad configuration.
    Config,
    /// 130: interrupted (SIGINT), the fast way out.
    Interrupted,
}

impl Exit {
    /// All of them, in the order of their codes.
    pub const ALL: [Exit; 12] = [
        Exit::Finished,
        Exit::HandedOver,
        Exit::Stopped,
        Exit::Usage,
        Exit::Unavailable,
        Exit::Internal,
        Exit::System,
        Exit::Io,
        Exit::Late,
        Exit::Permission,
        Exit::Config,
        Exit::Interrupted,
    ];

    /// The number that the parent process sees.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Finished | Exit::HandedOver => 0,
            Exit::Stopped => 1,
            Exit::Usage => 2,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::System => 71,
            Exit::Io => 74,
            Exit::Late => 75,
            Exit::Permission => 77,
            Exit::Config => 78,
            Exit::Interrupted => 130,
        }
    }

    /// Whether something went wrong that is not just a matter of time: it is reported whatever happens later.
    pub const fn is_failure(self) -> bool {
        match self {
            Exit::Finished | Exit::HandedOver | Exit::Stopped | Exit::Late | Exit::Interrupted => false,
            Exit::Usage
            | Exit::Unavailable
            | Exit::Internal
            | Exit::System
            | Exit::Io
            | Exit::Permission
            | Exit::Config => true,
        }
    }

    /// The same end, after a limit of time passed: a failure stays what it is.
    #[must_use]
    pub const fn late(self) -> Exit {
        if self.is_failure() { self } else { Exit::Late }
    }
}

/// A phrase that follows "the daemon ends: ".
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exit::Finished => "finished",
            Exit::HandedOver => "handed over to the successor",
            Exit::Stopped => "stopped as asked",
            Exit::Usage => "wrong arguments",
            Exit::Unavailable => "something that is needed is not available",
            Exit::Internal => "a fault of our own",
            Exit::System => "the operating system refused",
            Exit::Io => "reading or writing failed",
            Exit::Late => "stopped as asked, but something had to be cut off",
            Exit::Permission => "not permitted",
            Exit::Config => "bad configuration",
            Exit::Interrupted => "interrupted",
        })
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_scripts_rely_on() {
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [0, 0, 1, 2, 69, 70, 71, 74, 75, 77, 78, 130]);
    }

    #[test]
    fn being_late_does_not_hide_a_failure() {
        assert_eq!(Exit::Stopped.late(), Exit::Late);
        assert_eq!(Exit::Finished.late(), Exit::Late);
        assert_eq!(Exit::Internal.late(), Exit::Internal);
    }
}
