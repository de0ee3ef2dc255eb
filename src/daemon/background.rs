//! `--daemon`: into the background, with a pid file (spec 3).

use std::{
    fs::OpenOptions,
    io,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::{
    base::{
        fault::{Class, Fault},
        fs::{self, FileError},
    },
    config::DaemonOptions,
    sys::process::{Forked, fork, new_session},
};

/// Which process this is now.
#[derive(Debug)]
pub enum Background {
    /// The one that was started: it has nothing left to do.
    Parent,
    /// The daemon. Dropping the guard removes the pid file.
    Daemon(PidFile),
}

/// Removes the pid file when the daemon ends.
#[derive(Debug)]
pub struct PidFile(Option<PathBuf>);

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Forks twice, so that the daemon belongs to init and can never get a terminal. Must be called while the process has
/// one thread. stdin and stdout lead to `/dev/null`, stderr to `error_log` if there is one; the working directory stays,
/// so that relative paths mean what they meant.
///
/// # Errors
///
/// When a file cannot be opened (before anything was forked) or the system has no more processes.
pub fn into_background(options: &DaemonOptions) -> Result<Background, Fault> {
    let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
    let null = open(Path::new("/dev/null")).map_err(FileError::new("open", "/dev/null"))?;
    let log = match &options.error_log {
        Some(path) => {
            let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
            Some(file.map_err(FileError::new("open", path))?)
        }
        None => None,
    };
    let system = |what: &'static str| {
        move |error: io::Error| {
            Fault::new(Class::System, format!("cannot go into the background: {what}: {error}"))
        }
    };
    if fork().map_err(system("fork"))? == Forked::Parent {
        return Ok(Background::Parent);
    }
    new_session().map_err(system("setsid"))?;
    if fork().map_err(system("fork"))? == Forked::Parent {
        return Ok(Background::Parent);
    }
    dup2_stdin(null.as_fd()).map_err(|error| system("stdin")(error.into()))?;
    dup2_stdout(null.as_fd()).map_err(|error| system("stdout")(error.into()))?;
    let stderr = log.as_ref().map_or(null.as_fd(), AsFd::as_fd);
    dup2_stderr(stderr).map_err(|error| system("stderr")(error.into()))?;
    if let Some(path) = &options.pid_file {
        fs::write_atomic(path, format!("{}\n", std::process::id()).as_bytes())?;
    }
    Ok(Background::Daemon(PidFile(options.pid_file.clone())))
}
