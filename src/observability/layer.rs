//! Where `tracing` ends and our log begins: each event becomes a [`Record`] in the queue.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::{Event, Subscriber, span};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::{
    queue::Queue,
    record::{Record, SpanRecord},
};

/// Puts events into a queue. Never waits, never writes.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) queue: Arc<Queue>,
    /// The time of day; a test says its own.
    pub(super) now: fn() -> DateTime<Utc>,
}

/// The time of day.
#[expect(clippy::disallowed_methods, reason = "people read the log; wall time is what they compare it with")]
pub(super) fn wall_time() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Arc::new(SpanRecord::take(attributes)));
        }
    }

    fn on_record(&self, id: &span::Id, more: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut extensions = span.extensions_mut();
            let before = extensions.get_mut::<Arc<SpanRecord>>();
            if let Some(span) = before {
                *span = Arc::new(span.with(more));
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.queue.push(Record::take((self.now)(), event, &context));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    /// What `log` logs, at 2026-01-02T03:04:05.678Z.
    pub(in crate::observability) fn records(log: impl FnOnce()) -> Vec<Record> {
        let queue = Arc::new(Queue::default());
        let now = || DateTime::from_timestamp_millis(1_767_323_045_678).expect("a valid time");
        let capture = Capture { queue: queue.clone(), now };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(capture), log);
        queue.take().map(|batch| batch.lines.into()).unwrap_or_default()
    }
}
