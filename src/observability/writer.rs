//! The thread that writes the log, so that nobody else ever waits for a terminal, a pipe or the journal.

use std::{collections::VecDeque, io, sync::Arc};

use super::{
    layer::{Capture, wall_time},
    queue::Queue,
    record::Record,
};

/// Where lines go. May take as long as it wants; it has a thread of its own.
pub(super) trait Output: Send + 'static {
    /// Writes lines, oldest first. What cannot be written is lost; there is nobody to tell.
    fn write(&mut self, lines: &VecDeque<Record>);
}

/// Starts the thread. It ends after [`Queue::close`], or with the process.
///
/// # Errors
///
/// When no thread can be started.
pub(super) fn start(queue: Arc<Queue>, mut output: impl Output) -> io::Result<()> {
    let run = move || {
        while let Some(batch) = queue.take() {
            output.write(&batch.lines);
            if batch.dropped > 0 {
                output.write(&said(|| {
                    tracing::warn!(lines = batch.dropped, "the log was too slow, lines were dropped");
                }));
            }
            queue.written(&batch);
        }
    };
    std::thread::Builder::new().name("log".into()).spawn(run).map(drop)
}

/// The records that `log` makes, for lines that are written here and must not pass through the queue.
pub(super) fn said(log: impl FnOnce()) -> VecDeque<Record> {
    use tracing_subscriber::layer::SubscriberExt;
    let queue = Arc::new(Queue::default());
    let capture = Capture { queue: queue.clone(), now: wall_time };
    // Less than everything: a subscriber that wants all would make every disabled line of the process dearer.
    let only = tracing::level_filters::LevelFilter::WARN;
    tracing::subscriber::with_default(tracing_subscriber::registry().with(only).with(capture), log);
    queue.close();
    queue.take().map(|batch| batch.lines).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::{layer::tests::records, queue};
    use std::{os::unix::net::UnixDatagram, sync::mpsc, time::Duration};
    use tracing_subscriber::layer::SubscriberExt;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// As tracing-journald does it: one datagram a line, waiting for as long as it takes.
    struct Journal(UnixDatagram);

    impl Output for Journal {
        fn write(&mut self, lines: &VecDeque<Record>) {
            for line in lines {
                let text = line.message().map(ToString::to_string).unwrap_or_default();
                let fields: String = line.fields().map(|(name, value)| format!(" {name}={value}")).collect();
                let _ = self.0.send(format!("{text}{fields}").as_bytes());
            }
        }
    }

    #[test]
    fn a_stopped_journal_holds_nobody_up_and_what_was_dropped_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let stopped = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        let queue = Arc::new(Queue::default());
        start(queue.clone(), Journal(sender)).unwrap();
        let capture = Capture { queue: queue.clone(), now: wall_time };
        let subscriber = tracing_subscriber::registry().with(capture);

        let (done, is_done) = mpsc::sync_channel(1);
        let logger = std::thread::spawn(move || {
            tracing::subscriber::with_default(subscriber, || {
                for n in 0..20_000 {
                    tracing::info!(n, "line");
                }
            });
            done.send(()).unwrap();
        });
        is_done.recv_timeout(PATIENCE).expect("logging does not wait for the journal");
        logger.join().unwrap();
        let dropped = queue.dropped_ever();
        assert!(dropped > 10_000, "{dropped}");
        assert!(queue.flush(Duration::from_millis(10)) > 0, "a flush ends although nothing moves");

        // The journal moves again: the lines that were kept come in order, then the count.
        stopped.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 256];
        let mut read = || {
            let length = stopped.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        let mut kept = 0;
        let mut told = 0;
        while kept + told < 20_000 {
            let line = read();
            match line.strip_prefix("line n=") {
                Some(_) => kept += 1,
                None => told += line.rsplit('=').next().unwrap().parse::<u64>().unwrap(),
            }
        }
        assert_eq!((kept, told), (20_000 - dropped, dropped));
        assert_eq!(queue.flush(PATIENCE), 0);
        queue.close();
    }

    #[test]
    fn a_few_large_lines_fill_the_queue_as_many_small_ones_do() {
        let queue = Queue::default();
        let text = "x".repeat(30_000);
        let large = records(|| tracing::info!("{text}")).remove(0);
        for _ in 0..1000 {
            queue.push(large.clone());
        }
        let dropped = queue.dropped_ever();
        assert!(dropped >= 1000 - (queue::BYTES / 30_000) as u64, "{dropped}");
        let batch = queue.take().unwrap();
        assert_eq!(batch.dropped, dropped);
        queue.push(large.clone());
        assert_eq!(queue.dropped_ever(), dropped + 1, "lines being written still count");
        queue.written(&batch);
        queue.push(large);
        assert_eq!(queue.dropped_ever(), dropped + 1);
    }

    #[test]
    fn a_flush_waits_for_the_line_that_is_being_written() {
        struct Slow(mpsc::Receiver<()>, mpsc::SyncSender<String>);
        impl Output for Slow {
            fn write(&mut self, lines: &VecDeque<Record>) {
                for line in lines {
                    let _ = self.0.recv();
                    let _ = self.1.send(line.message().unwrap().to_string());
                }
            }
        }
        let (go, when) = mpsc::sync_channel(2);
        let (out, written) = mpsc::sync_channel(2);
        let queue = Arc::new(Queue::default());
        start(queue.clone(), Slow(when, out)).unwrap();
        records(|| {
            tracing::info!("one");
            tracing::info!("two");
        })
        .into_iter()
        .for_each(|record| queue.push(record));

        let limit = Duration::from_millis(20);
        assert_eq!(queue.flush(limit), 2);
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(queue.flush(PATIENCE), 0);
        assert_eq!(written.iter().take(2).collect::<Vec<_>>(), ["one", "two"]);
        queue.close();
    }
}
