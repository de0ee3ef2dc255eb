//! Takes batches, sorts events by file, and has the files written.

use std::{path::Path, time::Duration};

use nix::unistd::{AccessFlags, access};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};

use super::{files::Files, options::Options, template::Renderer};
use crate::{
    base::{backoff::Backoff, fault::Fault},
    event::Batch,
    pipeline::{
        buffer::Intake,
        component::{Sink, SinkContext, Task},
        encoding::Encoder,
    },
};

/// So much is encoded before it is written.
pub(super) const CHUNK: usize = 512 * 1024;

pub(super) struct FileSink {
    options: Options,
}

impl FileSink {
    pub(super) fn new(options: Options) -> Self {
        FileSink { options }
    }
}

impl Sink for FileSink {
    fn healthcheck(&self) -> Task<'static, Result<(), String>> {
        let path = self.options.path.fixed().map(str::to_owned);
        Box::pin(async move {
            // A path that events decide about can only be tried with events.
            let Some(path) = path else { return Ok(()) };
            let check = spawn_blocking(move || can_write(Path::new(&path)));
            check.await.unwrap_or_else(|error| Err(error.to_string()))
        })
    }

    fn run<'a>(self: Box<Self>, intake: &'a mut Intake, mut cx: SinkContext) -> Task<'a, Result<(), Fault>> {
        Box::pin(async move {
            let Options { path, idle_timeout, encoder } = self.options;
            let files = Files::new(cx.id.clone(), cx.metrics.clone(), path.has_fields());
            let mut sorter = Sorter { renderer: Renderer::new(path), path: String::new(), encoder, files };
            let mut reopens = true;
            loop {
                let idle = sorter.files.next_idle(idle_timeout);
                let idle = async {
                    match idle {
                        Some(due) => sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                };
                // Cancel safe: `next` loses no batch, the others only wait.
                tokio::select! {
                    biased;
                    changed = cx.shared.reopen.changed(), if reopens => {
                        reopens = changed.is_ok();
                        sorter.files.close_all();
                    }
                    batch = intake.next() => {
                        let Some(batch) = batch else { return Ok(()) };
                        sorter.take(batch, intake, &cx);
                        sorter.write(intake).await?;
                        if intake.is_interrupted() {
                            return Ok(());
                        }
                    }
                    () = idle => sorter.files.close_idle(Instant::now(), idle_timeout),
                }
            }
        })
    }
}

struct Sorter {
    renderer: Renderer,
    /// The path of the event at hand; kept for its memory.
    path: String,
    encoder: Encoder,
    files: Files,
}

impl Sorter {
    /// Takes `batch`, and what else is there, up to a chunk.
    fn take(&mut self, batch: Batch, intake: &mut Intake, cx: &SinkContext) {
        let (wall, now) = (chrono::Utc::now(), Instant::now());
        let mut next = Some(batch);
        let mut failed = 0;
        while let Some(batch) = next {
            for event in batch {
                match self.renderer.render(&event, wall, &mut self.path) {
                    Ok(()) => self.files.add(&self.path, event, &self.encoder, now),
                    Err(_) => failed += 1,
                }
            }
            next = if self.files.waiting() < CHUNK { intake.try_next() } else { None };
        }
        if failed > 0 {
            cx.metrics.error("template");
            cx.metrics.discard("template", failed);
        }
    }

    /// Writes all that was taken, however long it takes. When another sink takes over, what is not written goes back.
    async fn write(&mut self, intake: &mut Intake) -> Result<(), Fault> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        while !self.attempt(backoff.failures() > 0).await? {
            let interrupted = intake.interrupted();
            // Cancel safe: all of them only wait.
            tokio::select! {
                () = interrupted => {
                    intake.put_back(self.files.give_up());
                    return Ok(());
                }
                () = sleep(backoff.failed()) => {}
            }
        }
        Ok(())
    }

    /// Writes once, on a thread where a slow disk holds up nobody.
    async fn attempt(&mut self, retry: bool) -> Result<bool, Fault> {
        let mut files = self.files.take();
        let now = Instant::now();
        let written = spawn_blocking(move || {
            let done = files.write(now, retry);
            (files, done)
        });
        let (files, done) =
            written.await.map_err(|error| Fault::internal(format!("writing files: {error}")))?;
        self.files = files;
        Ok(done)
    }
}

/// Could a file be made or written to at `path`?
fn can_write(path: &Path) -> Result<(), String> {
    let existing = path.ancestors().find(|path| path.exists());
    let existing = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if existing == path && path.is_dir() {
        return Err(format!("{} is a folder", path.display()));
    }
    access(existing, AccessFlags::W_OK)
        .map_err(|error| format!("cannot write to {}: {}", existing.display(), error.desc().to_lowercase()))
}
