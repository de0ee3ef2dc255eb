//! The names of the phases that a program which embeds the daemon can follow.
//!
//! Pure.

use std::fmt;

/// A phase without what it carries; [`super::phase::ExecutionPhase`] has the rest.
///
/// The orders are:
///
/// - start: `Setup`, `Bootstrap`, `BootstrapComplete`, `Running`
/// - SIGTERM: `GracefulTerminate`, `ShutdownStarted`, `ShutdownGracePeriod`, then the end
/// - SIGQUIT: `GracefulUpgradeTransferringFds`, then either `GracefulUpgradeCloseTimeout`, `ShutdownStarted`,
///   `ShutdownGracePeriod` and the end, or `UpgradeFailed`, `Running`
/// - SIGINT: `ShutdownStarted`, then the end
/// - all sources have ended, or a component failed: `ShutdownStarted`, `ShutdownGracePeriod`, then the end
/// - the end: `ShutdownRuntimes`, `Terminated`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PhaseName {
    /// Nothing has been done yet.
    Setup,
    /// The configuration is being loaded, listeners and components are being started.
    Bootstrap,
    /// All of them are there.
    BootstrapComplete,
    /// Serving. Signals are handled from before this is said.
    Running,
    /// The listeners go to a successor, which gets ready.
    GracefulUpgradeTransferringFds,
    /// The successor serves; connections of the old process are being finished.
    GracefulUpgradeCloseTimeout,
    /// A graceful stop was asked for.
    GracefulTerminate,
    /// The end has begun, in whichever way.
    ShutdownStarted,
    /// Connections, then buffers, get time to finish. Ends as soon as they have.
    ShutdownGracePeriod,
    /// The runtime is being ended.
    ShutdownRuntimes,
    /// The last.
    Terminated,
    /// The successor did not get ready; this process goes on as before.
    UpgradeFailed,
}

impl PhaseName {
    /// As text, equal to the name in the code.
    pub const fn as_str(self) -> &'static str {
        match self {
            PhaseName::Setup => "Setup",
            PhaseName::Bootstrap => "Bootstrap",
            PhaseName::BootstrapComplete => "BootstrapComplete",
            PhaseName::Running => "Running",
            PhaseName::GracefulUpgradeTransferringFds => "GracefulUpgradeTransferringFds",
            PhaseName::GracefulUpgradeCloseTimeout => "GracefulUpgradeCloseTimeout",
            PhaseName::GracefulTerminate => "GracefulTerminate",
            PhaseName::ShutdownStarted => "ShutdownStarted",
            PhaseName::ShutdownGracePeriod => "ShutdownGracePeriod",
            PhaseName::ShutdownRuntimes => "ShutdownRuntimes",
            PhaseName::Terminated => "Terminated",
            PhaseName::UpgradeFailed => "UpgradeFailed",
        }
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
