//! May containers run on this machine?

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const TOOLS: [&str; 5] = ["mmdebstrap", "nsenter", "setpriv", "systemd-nspawn", "unshare"];

/// Whether the test is to run. `false` (after saying so) where containers cannot: without root, without the tools.
///
/// With `QOVERY_TEST_SYSTEMD=1`, as `make test` sets it, what is missing is a failure instead.
pub(crate) fn wanted() -> bool {
    let mut missing: Vec<&str> = TOOLS.into_iter().filter(|tool| !installed(tool)).collect();
    if !is_root() {
        missing.insert(0, "root");
    }
    if env::var_os("QOVERY_DEB").is_none() {
        missing.push("QOVERY_DEB (the package to test)");
    }
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    assert!(
        env::var_os("QOVERY_TEST_SYSTEMD").is_none(),
        "tests in containers need {missing}: use `make test`"
    );
    println!("skipped: needs root and systemd-nspawn (make test installs them); missing: {missing}");
    false
}

/// The Debian package to test.
pub(crate) fn package() -> PathBuf {
    let path = PathBuf::from(env::var_os("QOVERY_DEB").expect("asked for only where `wanted`"));
    path.canonicalize().unwrap_or_else(|error| panic!("QOVERY_DEB={}: {error}", path.display()))
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn installed(tool: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| Path::new(&folder).join(tool).exists())
}

/// Runs a tool of the host and fails with what it said.
#[track_caller]
pub(super) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
}
