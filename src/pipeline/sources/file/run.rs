//! Reads, passes on, waits for more.

use std::time::Duration;

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    checkpoints::Store,
    options::Options,
    tailer::{Read, Step, Tailer},
};
use crate::{
    base::{backoff::Backoff, fault::Fault},
    pipeline::{
        component::{Source, SourceContext, Task},
        lines::LineEvents,
    },
};

/// How long to wait when nothing is new: at first, and at most.
const LEAST_WAIT: Duration = Duration::from_millis(50);
const MOST_WAIT: Duration = Duration::from_millis(500);

pub(super) struct FileSource {
    options: Options,
    store: Store,
}

impl FileSource {
    pub(super) fn new(options: Options, store: Store) -> Self {
        FileSource { options, store }
    }
}

impl Source for FileSource {
    fn run(self: Box<Self>, mut cx: SourceContext) -> Task<'static, Result<(), Fault>> {
        Box::pin(async move {
            let events = LineEvents::new(self.options.lines.clone(), cx.shared.host.clone(), "file");
            let mut tailer = Tailer::new(cx.id.clone(), self.options, events, self.store, cx.metrics.clone());
            let mut wait = Backoff::new(LEAST_WAIT, MOST_WAIT);
            while !cx.stop.is_stopped() {
                let found;
                (tailer, found) = step(tailer).await?;
                if !found.is_idle {
                    wait.succeeded();
                    tailer = deliver(tailer, found.reads, &mut cx).await?;
                    continue;
                }
                // Cancel safe: both only wait.
                tokio::select! {
                    _ = cx.stop.stopped() => {}
                    () = sleep(wait.failed()) => {}
                }
            }
            save(tailer).await?;
            Ok(())
        })
    }
}

/// One step, on a thread where a slow disk holds up nobody.
async fn step(mut tailer: Tailer) -> Result<(Tailer, Step), Fault> {
    let now = Instant::now();
    let step = spawn_blocking(move || {
        let found = tailer.step(now, chrono::Utc::now());
        (tailer, found)
    });
    step.await.map_err(|error| Fault::internal(format!("reading files: {error}")))
}

/// Writes down where files were read up to.
async fn save(mut tailer: Tailer) -> Result<Tailer, Fault> {
    let saved = spawn_blocking(move || {
        tailer.save(chrono::Utc::now());
        tailer
    });
    saved.await.map_err(|error| Fault::internal(format!("keeping places in files: {error}")))
}

async fn deliver(mut tailer: Tailer, reads: Vec<Read>, cx: &mut SourceContext) -> Result<Tailer, Fault> {
    for mut read in reads {
        // What is not passed on is read again by the next run: its place is not written down.
        if cx.stop.is_stopped() {
            break;
        }
        let batch = std::mem::take(&mut read.batch);
        let count = batch.len();
        let mut send = std::pin::pin!(cx.outlet.send(batch));
        // Cancel safe: `send` is not dropped but gone on with, `stopped` only waits.
        tokio::select! {
            () = &mut send => {}
            _ = cx.stop.stopped() => {
                // What comes after may not move any more, and this task be aborted for it: what was taken before is
                // written down first, so that it is not repeated.
                tailer = save(tailer).await?;
                send.await;
            }
        }
        cx.metrics.sent_events.add(count);
        tailer.delivered(&read);
    }
    Ok(tailer)
}
