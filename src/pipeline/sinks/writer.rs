//! A thread that writes to something that may block for ever: a pipe or a terminal.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{mpsc, oneshot};

use crate::{
    base::{backoff::Backoff, fs::reason},
    observability::metrics::ComponentMetrics,
};

/// The way to the thread. Cheap to clone. When the last one is dropped, the thread ends after what it was given.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    // One chunk is being written, one waits: whoever brings more waits, and its own input fills up.
    jobs: mpsc::Sender<Job>,
    state: Arc<State>,
}

/// Lines to be written.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) events: usize,
    /// Where they are counted once they are written.
    pub(super) metrics: Arc<ComponentMetrics>,
}

/// Nothing more can be written, because of this.
#[derive(Debug)]
pub(super) struct Closed(pub(super) String);

/// Room for one chunk.
pub(super) struct Room<'a> {
    permit: mpsc::Permit<'a, Job>,
    state: &'a State,
}

#[derive(Debug, Default)]
struct State {
    // Locks for a moment, once a chunk.
    closed: Mutex<Option<String>>,
    spare: Mutex<Vec<u8>>,
}

enum Job {
    Write(Chunk),
    Flush(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(name: &str, file: File) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(1);
        let state = Arc::new(State::default());
        let thread = Thread { file, state: state.clone(), backoff: backoff() };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || thread.run(queue))?;
        Ok(Writer { jobs, state })
    }

    /// Waits until a chunk can be given.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(super) async fn room(&self) -> Result<Room<'_>, Closed> {
        let permit = self.jobs.reserve().await.map_err(|_| self.reason())?;
        Ok(Room { permit, state: &self.state })
    }

    /// Waits until all that was given is written.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(super) async fn flushed(&self) -> Result<(), Closed> {
        let (done, written) = oneshot::channel();
        self.jobs.send(Job::Flush(done)).await.map_err(|_| self.reason())?;
        written.await.map_err(|_| self.reason())
    }

    /// Waits until nothing more can be written.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(super) async fn closed(&self) -> Closed {
        self.jobs.closed().await;
        self.reason()
    }

    fn reason(&self) -> Closed {
        let reason = self.state.closed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Closed(reason.unwrap_or_else(|| "its thread has ended".to_owned()))
    }
}

impl Room<'_> {
    /// An empty vector, perhaps one that was used before.
    pub(super) fn buffer(&self) -> Vec<u8> {
        std::mem::take(&mut *self.state.spare.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the chunk written.
    pub(super) fn write(self, chunk: Chunk) {
        self.permit.send(Job::Write(chunk));
    }
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}

struct Thread {
    file: File,
    state: Arc<State>,
    backoff: Backoff,
}

impl Thread {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.blocking_recv() {
            match job {
                Job::Write(mut chunk) => {
                    if let Err(error) = self.write(&chunk) {
                        let mut closed = self.state.closed.lock().unwrap_or_else(PoisonError::into_inner);
                        *closed = Some(reason(&error));
                        return;
                    }
                    chunk.metrics.sent(chunk.events, chunk.bytes.len());
                    chunk.bytes.clear();
                    *self.state.spare.lock().unwrap_or_else(PoisonError::into_inner) = chunk.bytes;
                }
                Job::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Writes all of it, however long that takes. An error means that it will never work again.
    fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        let mut rest = &chunk.bytes[..];
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.backoff.succeeded();
                }
                Err(error) => self.bear(error, &chunk.metrics)?,
            }
        }
        Ok(())
    }

    /// Waits, if what failed may work later: the target may be a file on a full disk, or have been made non-blocking
    /// by somebody who shares it.
    fn bear(&mut self, error: io::Error, metrics: &ComponentMetrics) -> io::Result<()> {
        match error.kind() {
            ErrorKind::Interrupted => Ok(()),
            ErrorKind::WouldBlock => {
                let mut targets = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut targets, PollTimeout::NONE) {
                    Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                if self.backoff.failures() == 0 {
                    metrics.error("write");
                    tracing::error!(error = %reason(&error), "cannot write, trying again");
                }
                // Nobody unparks this thread: it only waits.
                std::thread::park_timeout(self.backoff.failed());
                Ok(())
            }
            _ => Err(error),
        }
    }
}
