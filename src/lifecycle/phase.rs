//! Tells programs that embed the daemon where it is in its life.

use std::fmt;

use tokio::{runtime::Handle, sync::broadcast};

use super::phase_name::PhaseName;

/// Where the daemon is in its life. Phases in which its runtime is active carry a handle to it, so that a
/// listener on a thread of its own can start tasks there.
///
/// The orders in which they come are with [`PhaseName`]. Two phases are equal when their names are.
#[derive(Clone)]
#[non_exhaustive]
pub enum ExecutionPhase {
    /// Nothing has been done yet.
    Setup,
    /// The configuration is being loaded, listeners and components are being started.
    Bootstrap,
    /// All of them are there.
    BootstrapComplete,
    /// Serving. Signals are handled from before this is said.
    Running(Handle),
    /// The listeners go to a successor, which gets ready. Reserved: this version refuses an upgrade.
    GracefulUpgradeTransferringFds(Handle),
    /// The successor serves; connections of the old process are being finished. Reserved, too.
    GracefulUpgradeCloseTimeout(Handle),
    /// A graceful stop was asked for.
    GracefulTerminate(Handle),
    /// The end has begun, in whichever way.
    ShutdownStarted,
    /// Connections, then buffers, get time to finish. Ends as soon as they have.
    ShutdownGracePeriod,
    /// The runtime is being ended: handles of earlier phases are of no use from now on.
    ShutdownRuntimes,
    /// The last.
    Terminated,
    /// The successor did not get ready; this process goes on as before.
    UpgradeFailed,
}

impl ExecutionPhase {
    /// The phase of that name; `runtime` goes into those that carry a handle.
    pub fn new(name: PhaseName, runtime: &Handle) -> Self {
        let handle = || runtime.clone();
        match name {
            PhaseName::Setup => ExecutionPhase::Setup,
            PhaseName::Bootstrap => ExecutionPhase::Bootstrap,
            PhaseName::BootstrapComplete => ExecutionPhase::BootstrapComplete,
            PhaseName::Running => ExecutionPhase::Running(handle()),
            PhaseName::GracefulUpgradeTransferringFds => {
                ExecutionPhase::GracefulUpgradeTransferringFds(handle())
            }
            PhaseName::GracefulUpgradeCloseTimeout => ExecutionPhase::GracefulUpgradeCloseTimeout(handle()),
            PhaseName::GracefulTerminate => ExecutionPhase::GracefulTerminate(handle()),
            PhaseName::ShutdownStarted => ExecutionPhase::ShutdownStarted,
            PhaseName::ShutdownGracePeriod => ExecutionPhase::ShutdownGracePeriod,
            PhaseName::ShutdownRuntimes => ExecutionPhase::ShutdownRuntimes,
            PhaseName::Terminated => ExecutionPhase::Terminated,
            PhaseName::UpgradeFailed => ExecutionPhase::UpgradeFailed,
        }
    }

    /// Its name.
    pub fn name(&self) -> PhaseName {
        match self {
            ExecutionPhase::Setup => PhaseName::Setup,
            ExecutionPhase::Bootstrap => PhaseName::Bootstrap,
            ExecutionPhase::BootstrapComplete => PhaseName::BootstrapComplete,
            ExecutionPhase::Running(_) => PhaseName::Running,
            ExecutionPhase::GracefulUpgradeTransferringFds(_) => PhaseName::GracefulUpgradeTransferringFds,
            ExecutionPhase::GracefulUpgradeCloseTimeout(_) => PhaseName::GracefulUpgradeCloseTimeout,
            ExecutionPhase::GracefulTerminate(_) => PhaseName::GracefulTerminate,
            ExecutionPhase::ShutdownStarted => PhaseName::ShutdownStarted,
            ExecutionPhase::ShutdownGracePeriod => PhaseName::ShutdownGracePeriod,
            ExecutionPhase::ShutdownRuntimes => PhaseName::ShutdownRuntimes,
            ExecutionPhase::Terminated => PhaseName::Terminated,
            ExecutionPhase::UpgradeFailed => PhaseName::UpgradeFailed,
        }
    }

    /// The runtime, in the phases in which it is active.
    pub fn runtime(&self) -> Option<&Handle> {
        match self {
            ExecutionPhase::Running(handle)
            | ExecutionPhase::GracefulUpgradeTransferringFds(handle)
            | ExecutionPhase::GracefulUpgradeCloseTimeout(handle)
            | ExecutionPhase::GracefulTerminate(handle) => Some(handle),
            ExecutionPhase::Setup
            | ExecutionPhase::Bootstrap
            | ExecutionPhase::BootstrapComplete
            | ExecutionPhase::ShutdownStarted
            | ExecutionPhase::ShutdownGracePeriod
            | ExecutionPhase::ShutdownRuntimes
            | ExecutionPhase::Terminated
            | ExecutionPhase::UpgradeFailed => None,
        }
    }
}

impl fmt::Debug for ExecutionPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().as_str())
    }
}

impl PartialEq for ExecutionPhase {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ExecutionPhase {}

impl PartialEq<PhaseName> for ExecutionPhase {
    fn eq(&self, name: &PhaseName) -> bool {
        self.name() == *name
    }
}

/// Tells every subscriber each phase, in order. Works without a runtime, before it and after it.
#[derive(Debug, Clone)]
pub struct Phases {
    sender: broadcast::Sender<ExecutionPhase>,
}

impl Phases {
    /// So many phases are kept for a subscriber that does not read; after that it misses the oldest and is
    /// told how many. A life without reloads and failed upgrades has nine.
    pub const KEPT: usize = 100;

    /// A teller without listeners.
    pub fn new() -> Self {
        // When full, the oldest is dropped: the daemon never waits for a listener.
        Phases { sender: broadcast::channel(Self::KEPT).0 }
    }

    /// All phases from now on. `recv` is for tasks, `blocking_recv` for threads outside the runtime.
    pub fn subscribe(&self) -> broadcast::Receiver<ExecutionPhase> {
        self.sender.subscribe()
    }

    /// Tells the subscribers, if there are any. Never waits.
    pub fn announce(&self, phase: ExecutionPhase) {
        tracing::debug!(phase = %phase.name(), "phase");
        // An error only means that nobody listens.
        let _ = self.sender.send(phase);
    }
}

impl Default for Phases {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [PhaseName; 12] = [
        PhaseName::Setup,
        PhaseName::Bootstrap,
        PhaseName::BootstrapComplete,
        PhaseName::Running,
        PhaseName::GracefulUpgradeTransferringFds,
        PhaseName::GracefulUpgradeCloseTimeout,
        PhaseName::GracefulTerminate,
        PhaseName::ShutdownStarted,
        PhaseName::ShutdownGracePeriod,
        PhaseName::ShutdownRuntimes,
        PhaseName::Terminated,
        PhaseName::UpgradeFailed,
    ];

    #[tokio::test]
    async fn a_phase_keeps_its_name() {
        for name in ALL {
            let phase = ExecutionPhase::new(name, &Handle::current());
            assert_eq!(phase, name);
            assert_eq!(format!("{phase:?}"), format!("{name:?}"));
            assert_eq!(phase, ExecutionPhase::new(phase.name(), &Handle::current()));
        }
    }

    #[tokio::test]
    async fn phases_with_an_active_runtime_carry_a_handle_to_it() {
        let carries = |name| ExecutionPhase::new(name, &Handle::current()).runtime().is_some();
        let with: Vec<_> = ALL.into_iter().filter(|name| carries(*name)).collect();
        assert_eq!(
            with,
            [
                PhaseName::Running,
                PhaseName::GracefulUpgradeTransferringFds,
                PhaseName::GracefulUpgradeCloseTimeout,
                PhaseName::GracefulTerminate,
            ]
        );
    }

    #[test]
    fn a_listener_without_a_runtime_can_start_a_task_in_the_daemons() {
        let phases = Phases::new();
        let mut listener = phases.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        phases.announce(ExecutionPhase::Bootstrap);
        phases.announce(ExecutionPhase::Running(runtime.handle().clone()));

        assert_eq!(listener.blocking_recv().unwrap(), PhaseName::Bootstrap);
        let ExecutionPhase::Running(handle) = listener.blocking_recv().unwrap() else {
            panic!("not running")
        };
        assert_eq!(handle.block_on(async { 7 }), 7);
    }

    #[test]
    fn a_listener_that_sleeps_holds_nobody_up_and_learns_what_it_missed() {
        let phases = Phases::new();
        let mut listener = phases.subscribe();
        for _ in 0..1000 {
            phases.announce(ExecutionPhase::UpgradeFailed);
        }
        let lost = listener.try_recv();
        assert!(matches!(lost, Err(broadcast::error::TryRecvError::Lagged(n)) if n >= 800), "{lost:?}");
    }
}
