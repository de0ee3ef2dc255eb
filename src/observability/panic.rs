//! A panic is a line in the log, with its place, thread and task.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    thread,
};

/// From now on panics are logged as errors. Where errors are not logged (before the log has started, or with `-qqq`),
/// they are printed as before. What a panic ends stays the same.
///
/// Tasks are named by their number; which of our tasks it was is logged by its owner, who sees it end.
pub fn log_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if tracing::enabled!(tracing::Level::ERROR) {
            log(info);
        } else {
            before(info);
        }
    }));
}

fn log(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let reason = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is not a text");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    let task = tokio::task::try_id().map(|id| id.to_string());
    // Taken only if RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        reason,
        place,
        thread = thread.name().unwrap_or("without a name"),
        task,
        backtrace,
        "panic: a fault of our own"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::layer::tests::records;

    #[test]
    fn a_panic_is_logged_with_reason_place_and_thread() {
        // The hook is the process's; where nothing is logged, as in all other tests, it does what was done before.
        log_panics();
        let name = "panicking test";
        let log = thread::Builder::new().name(name.into()).spawn(|| {
            records(|| {
                let _ = panic::catch_unwind(|| panic!("reason {}", 7));
            })
        });
        let records = log.unwrap().join().unwrap();
        let fields: Vec<_> = records[0].fields().map(|(name, value)| format!("{name}={value}")).collect();
        assert!(fields.contains(&"reason=reason 7".to_owned()), "{fields:?}");
        assert!(fields.contains(&format!("thread={name}")), "{fields:?}");
        assert!(
            fields.iter().any(|field| field.starts_with("place=src/observability/panic.rs:")),
            "{fields:?}"
        );
        assert_eq!(records.len(), 1);
    }
}
