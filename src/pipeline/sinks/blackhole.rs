//! `blackhole`: takes everything, keeps nothing. For measuring, and for trying out what comes before it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    base::fault::Fault,
    config::{Fields, Secs},
    pipeline::{
        buffer::Intake,
        component::{BuildContext, Sink, SinkContext, SinkSpec, Task},
    },
};

/// The options.
#[derive(Debug, Clone)]
struct Options {
    /// `print_interval_secs`: how often the count is logged; 0, the default, is never.
    print_interval: Option<Duration>,
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SinkSpec>> {
    let Secs(interval) = fields.or("print_interval_secs", Secs(Duration::ZERO));
    Some(Box::new(Options { print_interval: (!interval.is_zero()).then_some(interval) }))
}

impl SinkSpec for Options {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Sink>, Fault> {
        Ok(Box::new(Blackhole(self.clone())))
    }
}

struct Blackhole(Options);

impl Sink for Blackhole {
    fn run<'a>(self: Box<Self>, intake: &'a mut Intake, cx: SinkContext) -> Task<'a, Result<(), Fault>> {
        Box::pin(async move {
            let mut due = self.0.print_interval.map(|interval| Instant::now() + interval);
            let print =
                || tracing::info!(sink = %cx.id, events = cx.metrics.sent_events.get(), "events taken");
            loop {
                let wait = async {
                    match due {
                        Some(due) => sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                };
                // Cancel safe: `next` loses no batch, the wait is for a fixed moment.
                tokio::select! {
                    batch = intake.next() => match batch {
                        Some(batch) => cx.metrics.sent(batch.len(), 0),
                        None => return Ok(()),
                    },
                    () = wait => {
                        print();
                        due = self.0.print_interval.map(|interval| Instant::now() + interval);
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::testing::{Stand, logs};

    #[tokio::test]
    async fn everything_is_counted() {
        let stand = Stand::new();
        let sink = stand.run_sink(stand.build_sink("type = 'blackhole'\nprint_interval_secs = 1").unwrap());
        sink.inlet.send(logs(&["a", "b"])).await;
        sink.inlet.send(logs(&["c"])).await;
        sink.finish().await.unwrap();
        assert_eq!(stand.metrics.sent_events.get(), 3);
        assert_eq!(stand.metrics.unaccounted(), 0);
    }
}
