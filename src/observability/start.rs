//! Starts the log, and ends it.

use std::{fmt, io, io::IsTerminal, sync::Arc, time::Duration};

use tracing::Dispatch;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt};

use super::{
    journald::Journal,
    layer::{Capture, wall_time},
    options::{Format, Options},
    queue::Queue,
    stderr::{Lines, Stderr},
    text::Style,
    writer::{self, Output},
};

/// Why there is no log.
#[derive(Debug)]
pub enum LogError {
    /// Standard error cannot be used, or no thread can be started.
    System(io::Error),
    /// There is one already.
    AlreadyStarted,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::System(error) => write!(f, "cannot start the log: {}", crate::base::fs::reason(error)),
            LogError::AlreadyStarted => f.write_str("the log of this process was started before"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LogError::System(error) => Some(error),
            LogError::AlreadyStarted => None,
        }
    }
}

/// Keeps the log going. To be dropped last: what was logged before is then written, for as long as it takes, but at
/// most [`LogGuard::PATIENCE`]. What is logged afterwards is lost.
#[derive(Debug)]
#[must_use = "the log ends when this is dropped"]
pub struct LogGuard {
    queue: Arc<Queue>,
}

impl LogGuard {
    /// How long the end of the process waits for its last lines.
    pub const PATIENCE: Duration = Duration::from_millis(500);

    /// Waits until all lines so far are written, at most `limit`. Returns how many are left. Blocks: not for tasks.
    pub fn flush(&self, limit: Duration) -> usize {
        self.queue.flush(limit)
    }

    /// A look at the number of lines that were dropped since the start, for a metric; valid after the guard is gone.
    pub fn dropped(&self) -> impl Fn() -> u64 + Clone + Send + Sync + 'static {
        let queue = self.queue.clone();
        move || queue.dropped_ever()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.flush(Self::PATIENCE);
        self.queue.close();
    }
}

/// Starts the log of this process.
///
/// Starts a thread: a process that daemonizes does so before. `QOVERY_LOG` that cannot be understood is reported in the
/// log and ignored: a typo there is no reason not to run.
///
/// # Errors
///
/// When it was started before, or the system does not give what it needs.
pub fn init(options: &Options) -> Result<LogGuard, LogError> {
    let (dispatch, guard, ignored) = parts(options)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| LogError::AlreadyStarted)?;
    if let Some(error) = ignored {
        let directives = options.directives.as_deref().unwrap_or_default();
        tracing::warn!(directives, error, "cannot understand QOVERY_LOG, going on without it");
    }
    Ok(guard)
}

/// The same log, for a part of the process only: see [`tracing::dispatcher::with_default`].
///
/// # Errors
///
/// When the system does not give what it needs.
pub fn build(options: &Options) -> Result<(Dispatch, LogGuard), LogError> {
    parts(options).map(|(dispatch, guard, _)| (dispatch, guard))
}

fn parts(options: &Options) -> Result<(Dispatch, LogGuard, Option<String>), LogError> {
    let to_journal = libsystemd::logging::connected_to_journal();
    let style =
        Style { color: !to_journal && options.has_color(io::stderr().is_terminal()), priority: to_journal };
    let stderr = |lines| Stderr::new(lines).map_err(LogError::System);
    let format = options.format.unwrap_or(if to_journal { Format::Journald } else { Format::Text });
    match format {
        Format::Text => with_output(options, stderr(Lines::Text(style))?),
        Format::Json => with_output(options, stderr(Lines::Json)?),
        Format::Journald => with_output(options, Journal::new(stderr(Lines::Text(style))?)),
    }
}

fn with_output(
    options: &Options,
    output: impl Output,
) -> Result<(Dispatch, LogGuard, Option<String>), LogError> {
    let asked = options.directives.as_deref().map(EnvFilter::try_new);
    let by_level = || EnvFilter::new(options.level.directives());
    let (filter, ignored) = match asked {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (by_level(), Some(error.to_string())),
        None => (by_level(), None),
    };
    let queue = Arc::new(Queue::default());
    writer::start(queue.clone(), output).map_err(LogError::System)?;
    let capture = Capture { queue: queue.clone(), now: wall_time };
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(filter).with(capture));
    Ok((dispatch, LogGuard { queue }, ignored))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::{options::Level, record::Record};
    use std::{collections::VecDeque, sync::mpsc};
    use tracing::dispatcher::with_default;

    struct Lines(mpsc::SyncSender<String>);

    impl Output for Lines {
        fn write(&mut self, lines: &VecDeque<Record>) {
            for line in lines {
                let _ = self.0.send(format!("{} {}", line.metadata.level(), line.message().unwrap()));
            }
        }
    }

    /// What gets through of one line of each level, ours and a library's.
    fn logged(options: &Options) -> (Vec<String>, Option<String>) {
        let (sender, lines) = mpsc::sync_channel(100);
        let (dispatch, guard, ignored) = with_output(options, Lines(sender)).unwrap();
        with_default(&dispatch, || {
            tracing::error!(target: "qovery", "ours");
            tracing::warn!(target: "qovery", "ours");
            tracing::info!(target: "qovery::x", "ours");
            tracing::debug!(target: "qovery::x", "ours");
            tracing::trace!(target: "qovery::x", "ours");
            tracing::info!(target: "hyper", "theirs");
        });
        drop(guard);
        (lines.iter().collect(), ignored)
    }

    #[test]
    fn the_level_decides_what_is_logged() {
        let count = |level| logged(&Options { level, ..Options::default() }).0.len();
        use Level::*;
        assert_eq!([Off, Error, Warn, Info, Debug, Trace].map(count), [0, 1, 2, 3, 5, 6]);
    }

    #[test]
    fn directives_win_over_the_level_and_nonsense_is_reported_and_ignored() {
        let with = |text: &str| Options { directives: Some(text.to_owned()), ..Options::default() };
        assert_eq!(logged(&with("off,hyper=info")), (vec!["INFO theirs".to_owned()], None));
        let (lines, ignored) = logged(&with("qovery=loud"));
        assert_eq!(lines.len(), 3);
        assert!(ignored.is_some());
    }

    #[test]
    fn lines_dropped_can_be_counted_after_the_end() {
        let (sender, _lines) = mpsc::sync_channel(1);
        let (_, guard, _) = with_output(&Options::default(), Lines(sender)).unwrap();
        let dropped = guard.dropped();
        drop(guard);
        assert_eq!(dropped(), 0);
    }

    #[test]
    fn a_log_for_standard_error_can_be_built_in_each_format() {
        for format in [Format::Text, Format::Json] {
            let options = Options { format: Some(format), level: Level::Off, ..Options::default() };
            let (_dispatch, guard) = build(&options).unwrap();
            assert_eq!(guard.flush(Duration::ZERO), 0);
        }
    }
}
