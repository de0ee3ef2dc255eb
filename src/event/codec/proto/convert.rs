//! The generated types to events, and metrics back.
//!
//! Pure.

use super::super::wire::{self, event_wrapper, metric::Value as Kind, value};
use super::{DecodeError, Decoded, write};
use crate::event::{
    Bucket, Distribution, Event, Histogram, Key, Log, Map, Metric, MetricKind, MetricValue, Quantile, Sample,
    Sketch, Statistic, Summary, TagValue, Tags, Timestamp, Value,
};

/// The moment so many seconds and nanoseconds after 1970 began, if there is one.
pub(super) fn moment(seconds: i64, nanos: i64) -> Option<Timestamp> {
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Timestamp::from_timestamp(seconds, nanos)
}

/// A log, with what had to be left out counted.
///
/// An event that is not a map of fields becomes one with that value as its `message`.
pub(super) fn log(log: wire::Log) -> Decoded {
    let mut dropped = 0;
    let mut value = None;
    if let Some(whole) = log.value {
        value = any_value(whole, &mut dropped);
    }
    let fields = match value {
        Some(Value::Map(fields)) => fields,
        Some(value) => [(Key::const_new(Log::MESSAGE), value)].into_iter().collect(),
        None => map(log.fields, &mut dropped),
    };
    Decoded { event: Event::Log(Log { fields }), dropped_fields: dropped }
}

type WireMap = std::collections::BTreeMap<String, wire::Value>;

fn map(fields: WireMap, dropped: &mut usize) -> Map {
    let fields = fields.into_iter();
    fields.filter_map(|(name, value)| Some((Key::from(name), any_value(value, dropped)?))).collect()
}

/// `None`, and counted, if it has no kind or is a moment that no calendar has.
fn any_value(value: wire::Value, dropped: &mut usize) -> Option<Value> {
    let value = match value.kind {
        Some(value::Kind::RawBytes(bytes)) => Some(Value::Bytes(bytes)),
        Some(value::Kind::Timestamp(at)) => moment(at.seconds, at.nanos.into()).map(Value::Timestamp),
        Some(value::Kind::Integer(number)) => Some(Value::Integer(number)),
        Some(value::Kind::Float(number)) => Some(Value::Float(number)),
        Some(value::Kind::Boolean(truth)) => Some(Value::Boolean(truth)),
        Some(value::Kind::Map(inner)) => Some(Value::Map(map(inner.fields, dropped))),
        Some(value::Kind::Array(array)) => {
            Some(Value::Array(array.items.into_iter().filter_map(|item| any_value(item, dropped)).collect()))
        }
        Some(value::Kind::Null(_)) => Some(Value::Null),
        None => None,
    };
    *dropped += usize::from(value.is_none());
    value
}

/// A metric of any generation.
pub(super) fn metric(metric: wire::Metric) -> Result<Decoded, DecodeError> {
    let kind = match metric.kind() {
        wire::metric::Kind::Incremental => MetricKind::Incremental,
        wire::metric::Kind::Absolute => MetricKind::Absolute,
    };
    let value = metric_value(metric.value.ok_or(DecodeError::NoValue)?)?;
    let timestamp = metric.timestamp.map(|at| moment(at.seconds, at.nanos.into()));
    let mut tags: Tags =
        metric.tags_v1.into_iter().map(|(name, value)| (name, TagValue::Single(value))).collect();
    // The newer map, where there is one, has the older one's values too.
    tags.extend(metric.tags_v2.into_iter().map(|(name, values)| (name, tag_value(values))));
    let event = Event::from(Metric {
        name: metric.name,
        namespace: Some(metric.namespace).filter(|namespace| !namespace.is_empty()),
        timestamp: timestamp.flatten(),
        tags,
        kind,
        interval_ms: Some(metric.interval_ms).filter(|interval| *interval != 0),
        value,
    });
    Ok(Decoded { event, dropped_fields: usize::from(timestamp == Some(None)) })
}

fn tag_value(values: wire::TagValues) -> TagValue {
    let mut values: Vec<_> = values.values.into_iter().map(|value| value.value).collect();
    match &mut values[..] {
        [Some(single)] => TagValue::Single(std::mem::take(single)),
        _ => TagValue::Many(values),
    }
}

fn metric_value(value: Kind) -> Result<MetricValue, DecodeError> {
    Ok(match value {
        Kind::Counter(counter) => MetricValue::Counter { value: counter.value },
        Kind::Gauge(gauge) => MetricValue::Gauge { value: gauge.value },
        Kind::Set(set) => MetricValue::Set { values: set.values.into_iter().collect() },
        Kind::Distribution1(old) => {
            let statistic = statistic(old.statistic());
            let samples = pairs("distribution", old.values, old.sample_rates)?;
            let samples = samples.map(|(value, rate)| Sample { value, rate }).collect();
            MetricValue::Distribution(Distribution { samples, statistic })
        }
        Kind::Distribution2(new) => {
            let statistic = statistic(new.statistic());
            let samples =
                new.samples.into_iter().map(|sample| Sample { value: sample.value, rate: sample.rate });
            MetricValue::Distribution(Distribution { samples: samples.collect(), statistic })
        }
        Kind::AggregatedHistogram1(old) => {
            let buckets = pairs("histogram", old.buckets, old.counts)?;
            histogram(buckets.map(|(limit, count)| (limit, count.into())), old.count.into(), old.sum)
        }
        Kind::AggregatedHistogram2(new) => {
            let buckets = new.buckets.into_iter().map(|bucket| (bucket.upper_limit, bucket.count.into()));
            histogram(buckets, new.count.into(), new.sum)
        }
        Kind::AggregatedHistogram3(new) => histogram(
            new.buckets.into_iter().map(|bucket| (bucket.upper_limit, bucket.count)),
            new.count,
            new.sum,
        ),
        Kind::AggregatedSummary1(old) => {
            summary(pairs("summary", old.quantiles, old.values)?, old.count.into(), old.sum)
        }
        Kind::AggregatedSummary2(new) => {
            let quantiles = new.quantiles.into_iter().map(|quantile| (quantile.quantile, quantile.value));
            summary(quantiles, new.count.into(), new.sum)
        }
        Kind::AggregatedSummary3(new) => {
            let quantiles = new.quantiles.into_iter().map(|quantile| (quantile.quantile, quantile.value));
            summary(quantiles, new.count, new.sum)
        }
        Kind::Sketch(sketch) => {
            let wire::sketch::Sketch::AgentDdSketch(sketch) = sketch.sketch.ok_or(DecodeError::NoValue)?;
            let wire::sketch::AgentDdSketch { count, min, max, sum, avg, k, n } = sketch;
            MetricValue::Sketch(Sketch { count, min, max, sum, avg, k, n })
        }
    })
}

/// What two lists of equal length say of the same things.
fn pairs<A, B>(what: &str, left: Vec<A>, right: Vec<B>) -> Result<impl Iterator<Item = (A, B)>, DecodeError> {
    if left.len() == right.len() {
        return Ok(left.into_iter().zip(right));
    }
    let how =
        format!("a {what} has {} and {} entries in lists that belong together", left.len(), right.len());
    Err(DecodeError::Malformed(how))
}

fn histogram(buckets: impl Iterator<Item = (f64, u64)>, count: u64, sum: f64) -> MetricValue {
    let buckets = buckets.map(|(upper_limit, count)| Bucket { upper_limit, count }).collect();
    MetricValue::AggregatedHistogram(Histogram { buckets, count, sum })
}

fn summary(quantiles: impl Iterator<Item = (f64, f64)>, count: u64, sum: f64) -> MetricValue {
    let quantiles = quantiles.map(|(quantile, value)| Quantile { quantile, value }).collect();
    MetricValue::AggregatedSummary(Summary { quantiles, count, sum })
}

fn statistic(statistic: wire::StatisticKind) -> Statistic {
    match statistic {
        wire::StatisticKind::Histogram => Statistic::Histogram,
        wire::StatisticKind::Summary => Statistic::Summary,
    }
}

/// The message for `metric`, in the oldest numbers that can hold it.
pub(super) fn from_metric(metric: &Metric) -> wire::EventWrapper {
    let mut message = wire::Metric {
        name: metric.name.clone(),
        timestamp: metric.timestamp.as_ref().map(from_moment),
        kind: match metric.kind {
            MetricKind::Incremental => wire::metric::Kind::Incremental,
            MetricKind::Absolute => wire::metric::Kind::Absolute,
        }
        .into(),
        namespace: metric.namespace.clone().unwrap_or_default(),
        interval_ms: metric.interval_ms.unwrap_or_default(),
        value: Some(from_value(&metric.value)),
        ..Default::default()
    };
    for (name, value) in &metric.tags {
        match value {
            TagValue::Single(value) => {
                message.tags_v1.insert(name.clone(), value.clone());
            }
            TagValue::Many(values) => {
                let values = values.iter().map(|value| wire::TagValue { value: value.clone() }).collect();
                message.tags_v2.insert(name.clone(), wire::TagValues { values });
            }
        }
    }
    wire::EventWrapper { event: Some(event_wrapper::Event::Metric(message)) }
}

fn from_moment(at: &Timestamp) -> wire::Timestamp {
    // At most 999,999,999.
    wire::Timestamp { seconds: at.timestamp(), nanos: write::nanos(at).cast_signed() }
}

fn from_value(value: &MetricValue) -> Kind {
    match value {
        MetricValue::Counter { value } => Kind::Counter(wire::Counter { value: *value }),
        MetricValue::Gauge { value } => Kind::Gauge(wire::Gauge { value: *value }),
        MetricValue::Set { values } => Kind::Set(wire::Set { values: values.iter().cloned().collect() }),
        MetricValue::Distribution(distribution) => Kind::Distribution1(wire::Distribution1 {
            values: distribution.samples.iter().map(|sample| sample.value).collect(),
            sample_rates: distribution.samples.iter().map(|sample| sample.rate).collect(),
            statistic: match distribution.statistic {
                Statistic::Histogram => wire::StatisticKind::Histogram,
                Statistic::Summary => wire::StatisticKind::Summary,
            }
            .into(),
        }),
        MetricValue::AggregatedHistogram(histogram) => from_histogram(histogram),
        MetricValue::AggregatedSummary(summary) => from_summary(summary),
        MetricValue::Sketch(sketch) => {
            let Sketch { count, min, max, sum, avg, k, n } = sketch.clone();
            let sketch = wire::sketch::AgentDdSketch { count, min, max, sum, avg, k, n };
            Kind::Sketch(wire::Sketch { sketch: Some(wire::sketch::Sketch::AgentDdSketch(sketch)) })
        }
    }
}

fn from_histogram(histogram: &Histogram) -> Kind {
    let counts: Result<Vec<u32>, _> =
        histogram.buckets.iter().map(|bucket| bucket.count.try_into()).collect();
    if let (Ok(counts), Ok(count)) = (counts, histogram.count.try_into()) {
        let buckets = histogram.buckets.iter().map(|bucket| bucket.upper_limit).collect();
        return Kind::AggregatedHistogram1(wire::AggregatedHistogram1 {
            buckets,
            counts,
            count,
            sum: histogram.sum,
        });
    }
    let buckets = histogram.buckets.iter();
    let buckets =
        buckets.map(|bucket| wire::HistogramBucket3 { upper_limit: bucket.upper_limit, count: bucket.count });
    Kind::AggregatedHistogram3(wire::AggregatedHistogram3 {
        buckets: buckets.collect(),
        count: histogram.count,
        sum: histogram.sum,
    })
}

fn from_summary(summary: &Summary) -> Kind {
    let quantiles = summary.quantiles.iter();
    if let Ok(count) = summary.count.try_into() {
        return Kind::AggregatedSummary1(wire::AggregatedSummary1 {
            quantiles: quantiles.clone().map(|quantile| quantile.quantile).collect(),
            values: quantiles.map(|quantile| quantile.value).collect(),
            count,
            sum: summary.sum,
        });
    }
    let quantiles = quantiles
        .map(|quantile| wire::SummaryQuantile { quantile: quantile.quantile, value: quantile.value });
    Kind::AggregatedSummary3(wire::AggregatedSummary3 {
        quantiles: quantiles.collect(),
        count: summary.count,
        sum: summary.sum,
    })
}
