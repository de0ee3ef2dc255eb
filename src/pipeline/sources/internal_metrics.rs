//! `internal_metrics`: what the daemon counts about itself, as events.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    base::fault::Fault,
    config::{Fields, Secs},
    event::{Event, Metric, MetricKind, MetricValue, TagValue, Tags, Timestamp, Value},
    pipeline::component::{BuildContext, DataType, Source, SourceContext, SourceSpec, Task},
    sys::usage::usage,
};

/// The options.
#[derive(Debug, Clone)]
struct Options {
    /// `scrape_interval_secs`: how often all numbers are sent, 5 by default.
    interval: Duration,
    /// `namespace`: `qovery` by default; empty for none.
    namespace: Option<String>,
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SourceSpec>> {
    let mut interval = Duration::from_secs(5);
    if let Some((Secs(wanted), span)) = fields.optional_spanned("scrape_interval_secs") {
        interval = wanted;
        if wanted < Duration::from_millis(100) {
            fields.error(span, "at least 0.1 seconds");
        }
    }
    let namespace = fields.or("namespace", "qovery".to_owned());
    let namespace = (!namespace.is_empty()).then_some(namespace);
    Some(Box::new(Options { interval, namespace }))
}

impl SourceSpec for Options {
    fn output(&self) -> DataType {
        DataType::Metric
    }

    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(InternalMetrics(self.clone())))
    }
}

struct InternalMetrics(Options);

impl Source for InternalMetrics {
    fn run(self: Box<Self>, mut cx: SourceContext) -> Task<'static, Result<(), Fault>> {
        Box::pin(async move {
            let mut ticks = interval(self.0.interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                // Cancel safe: both only wait.
                tokio::select! {
                    biased;
                    _ = cx.stop.stopped() => return Ok(()),
                    _ = ticks.tick() => {}
                }
                let batch = self.scrape(&cx, chrono::Utc::now());
                cx.metrics.received_events.add(batch.len());
                cx.metrics.sent_events.add(batch.len());
                cx.outlet.send(batch).await;
            }
        })
    }
}

impl InternalMetrics {
    fn scrape(&self, cx: &SourceContext, now: Timestamp) -> Vec<Event> {
        let host = match &cx.shared.host {
            Value::Bytes(name) => Some(TagValue::Single(String::from_utf8_lossy(name).into_owned())),
            _ => None,
        };
        let event = |name: &str, tags: Vec<(&str, String)>, value: f64, counter: bool| {
            let mut all: Tags =
                tags.into_iter().map(|(name, value)| (name.to_owned(), TagValue::Single(value))).collect();
            if let Some(host) = &host {
                all.insert("host".to_owned(), host.clone());
            }
            Event::from(Metric {
                name: name.to_owned(),
                namespace: self.0.namespace.clone(),
                timestamp: Some(now),
                tags: all,
                kind: MetricKind::Absolute,
                interval_ms: None,
                value: if counter { MetricValue::Counter { value } } else { MetricValue::Gauge { value } },
            })
        };
        let readings = cx.shared.metrics.readings();
        let components = readings
            .into_iter()
            .map(|reading| event(reading.name, reading.tags, reading.value, reading.counter));
        let own = usage();
        let own = [
            ("process_uptime_seconds", own.uptime_seconds, false),
            ("process_cpu_seconds_total", own.cpu_seconds, true),
            ("process_resident_memory_bytes", own.resident_bytes, false),
            ("process_open_fds", own.open_fds, false),
            ("process_threads", own.threads, false),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value, counter)| Some(event(name, Vec::new(), value?, counter)));
        components.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing::{Stand, source_spec};

    #[tokio::test(start_paused = true)]
    async fn all_numbers_come_at_every_interval_as_absolute_values() {
        let stand = Stand::new();
        stand.shared.metrics.component("out", "sink", "file").sent(3, 30);
        let mut source = stand.run_source(stand.build_source("type = 'internal_metrics'").unwrap());
        for _ in 0..2 {
            let batch = source.next().await.unwrap();
            let metrics = batch.iter().map(|event| match event {
                Event::Metric(metric) => metric,
                Event::Log(_) => panic!("a log"),
            });
            let sent = metrics.clone().find(|metric| {
                metric.name == "component_sent_events_total"
                    && metric.tags.get("component") == Some(&TagValue::Single("out".into()))
            });
            let sent = sent.unwrap();
            assert_eq!(sent.value, MetricValue::Counter { value: 3.0 });
            assert_eq!((sent.kind, sent.namespace.as_deref()), (MetricKind::Absolute, Some("qovery")));
            assert_eq!(sent.tags.get("host"), Some(&TagValue::Single("here".into())));
            assert!(metrics.clone().any(|metric| metric.name == "process_cpu_seconds_total"));
        }
        source.stop().await;
    }

    #[test]
    fn an_interval_of_nothing_is_an_error() {
        let error = source_spec("type = 'internal_metrics'\nscrape_interval_secs = 0").unwrap_err();
        assert!(error.contains("at least 0.1 seconds"), "{error}");
    }
}
