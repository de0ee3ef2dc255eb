//! Events for tests.

use bytes::Bytes;
use proptest::{collection, option, prelude::*};

use crate::event::{
    Bucket, Distribution, Event, Histogram, Log, Map, Metric, MetricKind, MetricValue, Quantile, Sample,
    Sketch, Statistic, Summary, TagValue, Tags, Timestamp, Value,
};

/// A metric called `requests` with nothing but a value.
pub(super) fn metric(value: MetricValue) -> Metric {
    let kind = MetricKind::Incremental;
    let name = "requests".to_owned();
    Metric { name, namespace: None, timestamp: None, tags: Tags::new(), kind, interval_ms: None, value }
}

/// One of each kind.
pub(super) fn metric_values() -> Vec<MetricValue> {
    vec![
        MetricValue::Counter { value: 3.0 },
        MetricValue::Gauge { value: -17.5 },
        MetricValue::Set { values: ["bob", "alice"].map(String::from).into() },
        MetricValue::Distribution(Distribution {
            samples: vec![Sample { value: 0.125, rate: 1 }, Sample { value: 2.0, rate: 7 }],
            statistic: Statistic::Summary,
        }),
        MetricValue::AggregatedHistogram(Histogram {
            buckets: vec![
                Bucket { upper_limit: 1.0, count: 2 },
                Bucket { upper_limit: f64::INFINITY, count: 1 },
            ],
            count: 3,
            sum: 9.5,
        }),
        MetricValue::AggregatedSummary(Summary {
            quantiles: vec![Quantile { quantile: 0.5, value: 2.0 }],
            count: 3,
            sum: 9.5,
        }),
        MetricValue::Sketch(Sketch {
            count: 2,
            min: 1.0,
            max: 2.0,
            sum: 3.0,
            avg: 1.5,
            k: vec![-1, 5],
            n: vec![1, 1],
        }),
    ]
}

/// Any float that equals itself.
fn number() -> impl Strategy<Value = f64> {
    any::<f64>()
}

fn moment() -> impl Strategy<Value = Timestamp> {
    let seconds =
        prop_oneof![Just(0), -70_000_000_000..300_000_000_000_i64, 1_700_000_000..1_800_000_000_i64];
    let nanos = prop_oneof![Just(0), Just(500_000_000), 0..1_000_000_000_u32];
    (seconds, nanos).prop_map(|(seconds, nanos)| Timestamp::from_timestamp(seconds, nanos).unwrap())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,2}", ".{0,30}", "[a-z]{120,140}"]
}

pub(super) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        collection::vec(any::<u8>(), 0..150).prop_map(|bytes| Value::Bytes(bytes.into())),
        ".{0,20}".prop_map(Value::from),
        any::<i64>().prop_map(Value::Integer),
        (-200..200_i64).prop_map(Value::Integer),
        number().prop_map(Value::Float),
        any::<bool>().prop_map(Value::Boolean),
        moment().prop_map(Value::Timestamp),
        Just(Value::Null),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            collection::vec((name(), inner), 0..6).prop_map(|fields| Value::Map(map(fields))),
        ]
    })
}

fn map(fields: Vec<(String, Value)>) -> Map {
    fields.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

pub(super) fn any_log() -> impl Strategy<Value = Log> {
    collection::vec((name(), any_value()), 0..8).prop_map(|fields| Log { fields: map(fields) })
}

fn tag_value() -> impl Strategy<Value = TagValue> {
    prop_oneof![
        name().prop_map(TagValue::Single),
        Just(TagValue::Many(vec![None])),
        collection::vec(option::of(name()), 2..4).prop_map(TagValue::Many),
    ]
}

fn any_metric_value() -> impl Strategy<Value = MetricValue> {
    let count = || prop_oneof![0..10_u64, Just(u64::from(u32::MAX)), any::<u64>()];
    let sample = (number(), any::<u32>()).prop_map(|(value, rate)| Sample { value, rate });
    let bucket = (number(), count()).prop_map(|(upper_limit, count)| Bucket { upper_limit, count });
    let quantile = (number(), number()).prop_map(|(quantile, value)| Quantile { quantile, value });
    let statistic = prop_oneof![Just(Statistic::Histogram), Just(Statistic::Summary)];
    prop_oneof![
        number().prop_map(|value| MetricValue::Counter { value }),
        number().prop_map(|value| MetricValue::Gauge { value }),
        collection::btree_set(name(), 0..4).prop_map(|values| MetricValue::Set { values }),
        (collection::vec(sample, 0..5), statistic).prop_map(|(samples, statistic)| {
            MetricValue::Distribution(Distribution { samples, statistic })
        }),
        (collection::vec(bucket, 0..5), count(), number()).prop_map(|(buckets, count, sum)| {
            MetricValue::AggregatedHistogram(Histogram { buckets, count, sum })
        }),
        (collection::vec(quantile, 0..5), count(), number()).prop_map(|(quantiles, count, sum)| {
            MetricValue::AggregatedSummary(Summary { quantiles, count, sum })
        }),
        (any::<u32>(), any::<[u16; 4]>(), any::<Vec<i32>>(), any::<Vec<u32>>()).prop_map(
            |(count, floats, k, n)| {
                let [min, max, sum, avg] = floats.map(f64::from);
                MetricValue::Sketch(Sketch { count, min, max, sum, avg, k, n })
            }
        ),
    ]
}

fn any_metric() -> impl Strategy<Value = Metric> {
    let kind = prop_oneof![Just(MetricKind::Incremental), Just(MetricKind::Absolute)];
    let tags = collection::btree_map(name(), tag_value(), 0..4);
    let interval = option::of(1..u32::MAX);
    (name(), option::of("[a-z]{1,5}"), option::of(moment()), tags, kind, interval, any_metric_value())
        .prop_map(|(name, namespace, timestamp, tags, kind, interval_ms, value)| Metric {
            name,
            namespace,
            timestamp,
            tags,
            kind,
            interval_ms,
            value,
        })
}

/// Any event that can be said on the wire.
pub(super) fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![3 => any_log().prop_map(Event::from), 1 => any_metric().prop_map(Event::from)]
}

/// The line that most events are.
pub(super) fn line(message: &'static str) -> Log {
    let at = Timestamp::from_timestamp(1_790_000_000, 123_456_789).unwrap();
    Log::line(Bytes::from_static(message.as_bytes()), &"vm".into(), "stdin", at)
}
