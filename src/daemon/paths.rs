//! Where things live (design: "Interfaces that scripts rely on").

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::environment::variable;

/// Where state is kept: `configured`, else `$STATE_DIRECTORY`, else `/var/lib/qovery`.
pub fn data_dir(configured: Option<&Path>) -> PathBuf {
    let state = || variable("STATE_DIRECTORY").and_then(first);
    configured.map(Path::to_owned).or_else(state).unwrap_or_else(|| "/var/lib/qovery".into())
}

/// Where sockets are: `$RUNTIME_DIRECTORY`, else `/run/qovery` for root, else `run` in the data directory.
pub fn runtime_dir(configured_data_dir: Option<&Path>) -> PathBuf {
    if let Some(runtime) = variable("RUNTIME_DIRECTORY").and_then(first) {
        return runtime;
    }
    if geteuid().is_root() { "/run/qovery".into() } else { data_dir(configured_data_dir).join("run") }
}

/// The control socket: `asked` for, else `$QOVERY_SOCKET`, else `api.sock` in the runtime directory.
pub fn control_socket(asked: Option<&Path>, configured_data_dir: Option<&Path>) -> PathBuf {
    let variable = || variable("QOVERY_SOCKET").map(PathBuf::from);
    let default = || runtime_dir(configured_data_dir).join("api.sock");
    asked.map(Path::to_owned).or_else(variable).unwrap_or_else(default)
}

/// systemd passes several directories separated by colons.
fn first(list: String) -> Option<PathBuf> {
    list.split(':').find(|path| !path.is_empty()).map(PathBuf::from)
}
