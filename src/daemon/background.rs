//! `--daemon`: into the background, with a pid file (spec 3).

use std::{
    fs::{File, OpenOptions},
    io::{self, PipeReader, PipeWriter, Read, Write, pipe},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
};

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    base::{
        exit::Exit,
        fault::{Class, Fault},
        fs::{self, FileError},
    },
    config::DaemonOptions,
    lifecycle::phase::ExecutionPhase,
    sys::process::{Forked, fork, new_session},
};

/// Which process this is now.
#[derive(Debug)]
pub enum Background {
    /// The one that was started. It has waited until the daemon serves, 0, or has ended instead, its exit code; that is
    /// how it ends too.
    Parent(u8),
    /// One between the two, which ends at once.
    Between,
    /// The daemon. Dropping the guard removes the pid file.
    Daemon(PidFile, Starter),
}

/// The process that started the daemon waits for a word: does it serve?
#[derive(Debug)]
pub struct Starter(PipeWriter);

impl Starter {
    /// Lets it go: with 0 as soon as the daemon serves, else with the code that `life` returns.
    ///
    /// `phases` must be those of that life, from its beginning to its end.
    pub fn follow(self, mut phases: Receiver<ExecutionPhase>, life: impl FnOnce() -> Exit) -> Exit {
        let follower = thread::spawn(move || {
            loop {
                match phases.blocking_recv() {
                    Ok(ExecutionPhase::Running(_)) => {
                        self.say(0);
                        return None;
                    }
                    Err(RecvError::Closed) => return Some(self),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                }
            }
        });
        let exit = life();
        if let Ok(Some(starter)) = follower.join() {
            starter.say(exit.code());
        }
        exit
    }

    fn say(mut self, code: u8) {
        // It may have been killed meanwhile.
        let _ = self.0.write_all(&[code]);
    }
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
/// so that relative paths mean what they meant. The process that was started waits for [`Starter`]'s word.
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
    let (reader, writer) = pipe().map_err(system("pipe"))?;
    if fork().map_err(system("fork"))? == Forked::Parent {
        drop(writer);
        return Ok(Background::Parent(heard(reader)));
    }
    drop(reader);
    let starter = Starter(writer);
    let daemon = detach(&null, log.as_ref()).and_then(|forked| match forked {
        Forked::Parent => Ok(None),
        Forked::Child => pid_file(options.pid_file.as_deref()).map(Some),
    });
    match daemon {
        Ok(None) => Ok(Background::Between),
        Ok(Some(pid_file)) => Ok(Background::Daemon(pid_file, starter)),
        Err(fault) => {
            starter.say(fault.class.code());
            Err(fault)
        }
    }
}

/// What the daemon says, or the code of a fault of ours if it is gone without a word.
fn heard(mut reader: PipeReader) -> u8 {
    let mut code = [Exit::Internal.code()];
    let _ = reader.read_exact(&mut code);
    code[0]
}

/// Leaves the terminal and splits once more; standard streams lead elsewhere in both.
fn detach(null: &File, log: Option<&File>) -> Result<Forked, Fault> {
    new_session().map_err(system("setsid"))?;
    dup2_stdin(null.as_fd()).map_err(|error| system("stdin")(error.into()))?;
    dup2_stdout(null.as_fd()).map_err(|error| system("stdout")(error.into()))?;
    dup2_stderr(log.unwrap_or(null).as_fd()).map_err(|error| system("stderr")(error.into()))?;
    fork().map_err(system("fork"))
}

fn pid_file(path: Option<&Path>) -> Result<PidFile, Fault> {
    if let Some(path) = path {
        fs::write_atomic(path, format!("{}\n", std::process::id()).as_bytes())?;
    }
    Ok(PidFile(path.map(Path::to_owned)))
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> Fault {
    move |error| Fault::new(Class::System, format!("cannot go into the background: {what}: {error}"))
}
