//! The life of the daemon: start, serve, reload, hand over, stop.
//!
//! Pure.
//!
//! `daemon/run.rs` performs the actions; what comes of each is the next event. Whatever goes wrong while
//! serving (a bad configuration, a successor that does not get ready) ends in serving as before. A graceful stop
//! has two limits, one after the other: for connections, then for buffers; each ends as soon as nothing is left.
//!
//! In the table, `*` is a reload that was asked for meanwhile, and the number is the exit code as far as it is
//! known (`err`: that of the failure).
//!
//! ```text
#![doc = include_str!("machine.states.txt")]
//! ```

// A new state or event shows every place that has to think about it.
#![warn(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]

use std::{fmt, time::Duration};

use super::phase_name::PhaseName;
use crate::base::{clock::Time, exit::Exit};

/// The daemon, as seen by the one loop that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    limits: Limits,
    phase: Phase,
}

/// What the daemon is doing, with the data that means something only then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Loading the first configuration and starting its parts.
    Starting {
        /// When to give up.
        deadline: Time,
        /// A reload was asked for after the first configuration began to be read.
        again: bool,
    },
    /// Doing its work.
    Serving,
    /// Doing its work, and applying a new configuration.
    Reloading {
        /// Another reload was asked for after this one began to read.
        again: bool,
    },
    /// Doing its work, and waiting for the successor to get ready.
    HandingOver {
        /// When to give up on the successor.
        deadline: Time,
    },
    /// Stopping, first half: sources take nothing new, open connections get time to close.
    Closing {
        /// When to cut them off.
        deadline: Time,
        /// How the process will end, as far as it is known.
        exit: Exit,
    },
    /// Stopping, second half: sinks get time to deliver what they hold.
    Flushing {
        /// When to give up on the rest.
        deadline: Time,
        /// How the process will end, as far as it is known.
        exit: Exit,
    },
    /// The last action was [`Action::Exit`].
    Exited,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The configuration was loaded and applied.
    Applied,
    /// It was not; what ran before still runs. At start, this is how the process ends.
    NotApplied(Exit),
    /// Asked to reload (SIGHUP, the API, a changed file).
    Reload,
    /// Asked to let a new binary take over (SIGQUIT, the API).
    Upgrade,
    /// The successor serves.
    SuccessorReady,
    /// The successor has exited, or could not be started.
    SuccessorGone,
    /// Asked to stop (SIGTERM, the API).
    Stop,
    /// Asked to end at once (SIGINT).
    Interrupt,
    /// All sources have ended by themselves, and there is nothing else to do.
    ///
    /// A level, not an edge: only a daemon that is serving acts on it, so whoever says it says it again after
    /// each [`Event::Applied`], [`Event::NotApplied`] and [`Event::SuccessorGone`] for as long as it is so.
    SourcesEnded,
    /// A part died that should not have; how that is reported.
    ComponentFailed(Exit),
    /// No source has an open connection any more.
    ConnectionsClosed,
    /// No sink holds anything any more.
    BuffersEmpty,
    /// [`Lifecycle::deadline`] has passed.
    Deadline,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Load the configuration and apply it. Answered by [`Event::Applied`] or [`Event::NotApplied`].
    Apply,
    /// Tell those who follow the phases.
    Announce(PhaseName),
    /// Tell the service manager.
    Notify(Notice),
    /// What was asked for cannot be done in this phase: say so in the log, and to who asked.
    Refuse(Request),
    /// Start the new binary with our sockets. Answered by [`Event::SuccessorReady`] or
    /// [`Event::SuccessorGone`].
    StartSuccessor,
    /// End it.
    KillSuccessor,
    /// Give up an [`Action::Apply`] under way, take nothing new, half-close the connections. Answered by
    /// [`Event::ConnectionsClosed`].
    CloseConnections,
    /// Time is up: cut off the connections that are left, and say in the log which.
    CutConnections,
    /// Deliver what is left, open batches at once. Answered by [`Event::BuffersEmpty`].
    FlushBuffers,
    /// Return from the loop. `ShutdownRuntimes` and `Terminated` are announced by who runs the loop.
    Exit(Exit),
}

/// What can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// [`Event::Reload`]
    Reload,
    /// [`Event::Upgrade`]
    Upgrade,
}

/// What the service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// READY=1
    Ready,
    /// RELOADING=1
    Reloading,
    /// STOPPING=1
    Stopping,
    /// EXTEND_TIMEOUT_USEC=: the stop takes up to so long from now, and then some.
    ExtendTimeout(Duration),
    /// MAINPID= of the successor: the unit goes on, only this process ends. From here on this process says
    /// nothing more; a STOPPING=1 would be about the unit.
    Successor,
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the first configuration to be applied.
    pub start: Duration,
    /// For the successor to get ready.
    pub handover: Duration,
    /// For connections to close.
    pub connections: Duration,
    /// For buffers to get empty, after that.
    pub buffers: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // Less than the 90 s after which systemd gives up, so that our reason is in the log first.
            start: Duration::from_secs(80),
            handover: Duration::from_secs(30),
            connections: Duration::from_secs(20),
            buffers: Duration::from_secs(20),
        }
    }
}

impl Phase {
    /// In plain words; fits into "cannot reload while …".
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting { .. } => "starting",
            Phase::Serving => "serving",
            Phase::Reloading { .. } => "reloading",
            Phase::HandingOver { .. } => "handing over",
            Phase::Closing { .. } => "closing connections",
            Phase::Flushing { .. } => "flushing buffers",
            Phase::Exited => "ending",
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Request::Reload => "reload",
            Request::Upgrade => "upgrade",
        })
    }
}

impl Lifecycle {
    /// A daemon that begins to load its first configuration.
    pub fn start(limits: Limits, now: Time) -> (Self, Vec<Action>) {
        let phase = Phase::Starting { deadline: now + limits.start, again: false };
        (Lifecycle { limits, phase }, vec![Action::Announce(PhaseName::Bootstrap), Action::Apply])
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes new limits, those of a new configuration. Deadlines that already run stay.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// When [`Event::Deadline`] is due, if the phase is waiting for time to pass.
    pub fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Starting { deadline, .. }
            | Phase::HandingOver { deadline }
            | Phase::Closing { deadline, .. }
            | Phase::Flushing { deadline, .. } => Some(deadline),
            Phase::Serving | Phase::Reloading { .. } | Phase::Exited => None,
        }
    }

    /// Takes one event; returns what to do, in order.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Time) -> Vec<Action> {
        // Not `Action::Exit`: the exit itself has that name.
        use Action::{
            Announce, Apply, CloseConnections, CutConnections, KillSuccessor, Notify, Refuse, StartSuccessor,
        };
        use Event::*;
        let (next, actions) = match self.phase {
            Phase::Starting { deadline, again } => match event {
                Applied => {
                    let mut actions = vec![
                        Announce(PhaseName::BootstrapComplete),
                        Announce(PhaseName::Running),
                        Notify(Notice::Ready),
                    ];
                    if again {
                        actions.extend([Notify(Notice::Reloading), Apply]);
                        (Phase::Reloading { again: false }, actions)
                    } else {
                        (Phase::Serving, actions)
                    }
                }
                NotApplied(exit) => fast(vec![], exit),
                Deadline => fast(vec![], Exit::Unavailable),
                Reload => (Phase::Starting { deadline, again: true }, vec![]),
                Stop => self.terminate(now, vec![]),
                Interrupt => fast(vec![], Exit::Interrupted),
                ComponentFailed(exit) => self.end(now, vec![], exit),
                Upgrade => return vec![Refuse(Request::Upgrade)],
                SuccessorReady | SuccessorGone | SourcesEnded | ConnectionsClosed | BuffersEmpty => {
                    return vec![];
                }
            },
            Phase::Serving => match event {
                Reload => (Phase::Reloading { again: false }, vec![Notify(Notice::Reloading), Apply]),
                Upgrade => {
                    let deadline = now + self.limits.handover;
                    let actions = vec![Announce(PhaseName::GracefulUpgradeTransferringFds), StartSuccessor];
                    (Phase::HandingOver { deadline }, actions)
                }
                Stop => self.terminate(now, vec![]),
                Interrupt => fast(vec![], Exit::Interrupted),
                SourcesEnded => self.end(now, vec![], Exit::Finished),
                ComponentFailed(exit) => self.end(now, vec![], exit),
                Applied | NotApplied(_) | SuccessorReady | SuccessorGone | ConnectionsClosed
                | BuffersEmpty | Deadline => return vec![],
            },
            Phase::Reloading { again } => match event {
                Applied | NotApplied(_) if again => (Phase::Reloading { again: false }, vec![Apply]),
                Applied | NotApplied(_) => (Phase::Serving, vec![Notify(Notice::Ready)]),
                Reload => (Phase::Reloading { again: true }, vec![]),
                Stop => self.terminate(now, vec![]),
                Interrupt => fast(vec![], Exit::Interrupted),
                ComponentFailed(exit) => self.end(now, vec![], exit),
                Upgrade => return vec![Refuse(Request::Upgrade)],
                SuccessorReady | SuccessorGone | SourcesEnded | ConnectionsClosed | BuffersEmpty
                | Deadline => return vec![],
            },
            Phase::HandingOver { .. } => match event {
                SuccessorReady => {
                    let deadline = now + self.limits.connections;
                    let actions = vec![
                        Announce(PhaseName::GracefulUpgradeCloseTimeout),
                        Notify(Notice::Successor),
                        Announce(PhaseName::ShutdownStarted),
                        Announce(PhaseName::ShutdownGracePeriod),
                        CloseConnections,
                    ];
                    (Phase::Closing { deadline, exit: Exit::HandedOver }, actions)
                }
                SuccessorGone => (Phase::Serving, upgrade_failed(vec![])),
                Deadline => (Phase::Serving, upgrade_failed(vec![KillSuccessor])),
                Stop => self.terminate(now, vec![KillSuccessor]),
                Interrupt => fast(vec![KillSuccessor], Exit::Interrupted),
                ComponentFailed(exit) => self.end(now, vec![KillSuccessor], exit),
                Reload => return vec![Refuse(Request::Reload)],
                Upgrade => return vec![Refuse(Request::Upgrade)],
                Applied | NotApplied(_) | SourcesEnded | ConnectionsClosed | BuffersEmpty => {
                    return vec![];
                }
            },
            Phase::Closing { deadline, exit } => match event {
                ConnectionsClosed => self.flush(now, vec![], exit),
                Deadline => self.flush(now, vec![CutConnections], exit.late()),
                Interrupt => (Phase::Exited, vec![Action::Exit(Exit::Interrupted)]),
                ComponentFailed(failure) if !exit.is_failure() => {
                    (Phase::Closing { deadline, exit: failure }, vec![])
                }
                Reload => return vec![Refuse(Request::Reload)],
                Upgrade => return vec![Refuse(Request::Upgrade)],
                ComponentFailed(_) | Stop | Applied | NotApplied(_) | SuccessorReady | SuccessorGone
                | SourcesEnded | BuffersEmpty => return vec![],
            },
            Phase::Flushing { deadline, exit } => match event {
                BuffersEmpty => (Phase::Exited, vec![Action::Exit(exit)]),
                Deadline => (Phase::Exited, vec![Action::Exit(exit.late())]),
                Interrupt => (Phase::Exited, vec![Action::Exit(Exit::Interrupted)]),
                ComponentFailed(failure) if !exit.is_failure() => {
                    (Phase::Flushing { deadline, exit: failure }, vec![])
                }
                Reload => return vec![Refuse(Request::Reload)],
                Upgrade => return vec![Refuse(Request::Upgrade)],
                ComponentFailed(_) | Stop | Applied | NotApplied(_) | SuccessorReady | SuccessorGone
                | SourcesEnded | ConnectionsClosed => return vec![],
            },
            Phase::Exited => return vec![],
        };
        self.phase = next;
        actions
    }

    /// The graceful end that somebody asked for.
    fn terminate(&self, now: Time, mut actions: Vec<Action>) -> (Phase, Vec<Action>) {
        actions.push(Action::Announce(PhaseName::GracefulTerminate));
        self.end(now, actions, Exit::Stopped)
    }

    /// A graceful end, first half.
    fn end(&self, now: Time, mut actions: Vec<Action>, exit: Exit) -> (Phase, Vec<Action>) {
        actions.extend([
            Action::Notify(Notice::Stopping),
            Action::Announce(PhaseName::ShutdownStarted),
            Action::Announce(PhaseName::ShutdownGracePeriod),
            Action::Notify(Notice::ExtendTimeout(self.limits.connections)),
            Action::CloseConnections,
        ]);
        (Phase::Closing { deadline: now + self.limits.connections, exit }, actions)
    }

    /// A graceful end, second half.
    fn flush(&self, now: Time, mut actions: Vec<Action>, exit: Exit) -> (Phase, Vec<Action>) {
        // The successor's unit is not ours to extend. An old process that was late, or lost a component, is not
        // told apart here, and need not be: the service manager does not listen to it any more.
        if exit != Exit::HandedOver {
            actions.push(Action::Notify(Notice::ExtendTimeout(self.limits.buffers)));
        }
        actions.push(Action::FlushBuffers);
        (Phase::Flushing { deadline: now + self.limits.buffers, exit }, actions)
    }
}

/// The end without waiting for anything.
fn fast(mut actions: Vec<Action>, exit: Exit) -> (Phase, Vec<Action>) {
    actions.push(Action::Notify(Notice::Stopping));
    actions.push(Action::Announce(PhaseName::ShutdownStarted));
    actions.push(Action::Exit(exit));
    (Phase::Exited, actions)
}

fn upgrade_failed(mut actions: Vec<Action>) -> Vec<Action> {
    actions.push(Action::Announce(PhaseName::UpgradeFailed));
    actions.push(Action::Announce(PhaseName::Running));
    actions
}

#[cfg(test)]
mod tests;
