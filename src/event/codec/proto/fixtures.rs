//! Frames that real Vector sinks wrote, and what a real Vector source made of them: see tests/fixtures/wire-v1/README.md.
//!
//! Format.

use serde_json::Value as Json;

use super::super::{encode_json, framing::LengthDelimited};
use super::*;
use crate::event::{
    Distribution, Log, Map, Metric, MetricKind, MetricValue, Sample, Statistic, TagValue, Tags, Value,
};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wire-v1/", $name)).as_slice()
    };
}

fn events(capture: &[u8]) -> Vec<Event> {
    let mut framer = LengthDelimited::new(MAX_FRAME);
    let mut buf = BytesMut::from(capture);
    let frames = std::iter::from_fn(|| framer.finish(&mut buf));
    let decoded = frames.map(|frame| decode(frame.unwrap()).unwrap());
    decoded.inspect(|decoded| assert_eq!(decoded.dropped_fields, 0)).map(|decoded| decoded.event).collect()
}

fn decoded_by_vector() -> Vec<Json> {
    let lines = std::str::from_utf8(fixture!("decoded-by-vector-0.9.2.jsonl")).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A field as it must be: what JSON calls a string is bytes on the wire, but for the timestamp that the source made.
fn value(name: &str, json: &Json, moments: &[&str]) -> Value {
    match json {
        Json::String(text) if moments.contains(&name) => Value::Timestamp(text.parse().unwrap()),
        Json::String(text) => Value::Bytes(text.clone().into()),
        Json::Bool(truth) => Value::Boolean(*truth),
        Json::Null => Value::Null,
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Integer(whole),
            None => Value::Float(number.as_f64().unwrap()),
        },
        Json::Array(items) => Value::Array(items.iter().map(|item| value("", item, &[])).collect()),
        Json::Object(members) => {
            Value::Map(members.iter().map(|(name, json)| (name.into(), value(name, json, &[]))).collect())
        }
    }
}

fn log(json: &Json, moments: &[&str]) -> Event {
    let Value::Map(fields) = value("", json, &[]) else { panic!("an object") };
    let mut fields: Map = fields;
    for moment in moments {
        if let Some(text) = json.get(*moment) {
            fields.insert(*moment, value(moment, text, moments));
        }
    }
    Log { fields }.into()
}

fn float(json: &Json) -> f64 {
    json.as_f64().unwrap()
}

fn metric(json: &Json) -> Event {
    let text = |json: &Json| json.as_str().unwrap().to_owned();
    let list = |json: &Json| json.as_array().unwrap().clone();
    let tags = json["tags"].as_object().into_iter().flatten();
    let value = if let Some(counter) = json.get("counter") {
        MetricValue::Counter { value: float(&counter["value"]) }
    } else if let Some(gauge) = json.get("gauge") {
        MetricValue::Gauge { value: float(&gauge["value"]) }
    } else if let Some(set) = json.get("set") {
        MetricValue::Set { values: list(&set["values"]).iter().map(text).collect() }
    } else {
        let distribution = &json["distribution"];
        let rates = list(&distribution["sample_rates"]).into_iter().map(|rate| rate.as_u64().unwrap());
        let samples = list(&distribution["values"]).into_iter().zip(rates);
        let samples =
            samples.map(|(value, rate)| Sample { value: float(&value), rate: rate.try_into().unwrap() });
        MetricValue::Distribution(Distribution {
            samples: samples.collect(),
            statistic: Statistic::Histogram,
        })
    };
    let kind = match json["kind"].as_str().unwrap() {
        "incremental" => MetricKind::Incremental,
        _ => MetricKind::Absolute,
    };
    Event::from(Metric {
        name: text(&json["name"]),
        namespace: None,
        timestamp: Some(json["timestamp"].as_str().unwrap().parse().unwrap()),
        tags: tags.map(|(name, value)| (name.clone(), TagValue::Single(text(value)))).collect(),
        kind,
        interval_ms: None,
        value,
    })
}

/// Encoded and decoded, an event is the same.
fn assert_kept(events: &[Event]) {
    let mut out = BytesMut::new();
    for event in events {
        encode_frame(event, &mut out).unwrap();
    }
    assert_eq!(self::events(&out), events);
}

#[test]
fn logs_are_what_a_vector_source_made_of_them() {
    let logs_092 = events(fixture!("v092-logs.bin"));
    let logs_024 = events(fixture!("v024-logs.bin"));
    assert_kept(&logs_092);
    assert_kept(&logs_024);

    let lines = std::str::from_utf8(fixture!("decoded-by-vector-0.9.2.jsonl")).unwrap().lines();
    let lines: Vec<_> = lines.filter(|line| !line.contains("\"kind\"")).collect();
    let logs: Vec<_> = logs_092.into_iter().chain(logs_024).collect();
    assert_eq!(logs.len(), lines.len());
    for (event, line) in logs.iter().zip(lines) {
        let json: Json = serde_json::from_str(line).unwrap();
        // The moment that the source noted; one that came in the input stayed a text.
        let noted = json["timestamp"].as_str().is_some_and(|moment| moment.starts_with("2026"));
        assert_eq!(event, &log(&json, if noted { &["timestamp"] } else { &[] }));

        let mut out = Vec::new();
        encode_json(event, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), line, "to the byte");
    }
}

#[test]
fn metrics_are_what_a_vector_source_made_of_them() {
    let metrics = events(fixture!("v092-metrics.bin"));
    assert_kept(&metrics);
    let lines = decoded_by_vector();
    let expected: Vec<_> = lines.iter().filter(|line| line.get("kind").is_some()).map(metric).collect();
    assert_eq!(metrics, expected);
}

#[test]
fn metrics_of_a_later_vector_are_those_of_its_input() {
    let metric = |name: &str, tags: &[(&str, &str)], kind, value| {
        let tags =
            tags.iter().map(|(name, value)| ((*name).to_owned(), TagValue::Single((*value).to_owned())));
        let (name, tags) = (name.to_owned(), tags.collect::<Tags>());
        Event::from(Metric { name, namespace: None, timestamp: None, tags, kind, interval_ms: None, value })
    };
    let distribution = |value, rate| {
        let samples = vec![Sample { value, rate }];
        MetricValue::Distribution(Distribution { samples, statistic: Statistic::Histogram })
    };
    use MetricKind::{Absolute, Incremental};
    let expected = [
        metric(
            "requests",
            &[("code", "200"), ("host", "a")],
            Incremental,
            MetricValue::Counter { value: 3.0 },
        ),
        metric("depth", &[], Absolute, MetricValue::Gauge { value: 17.5 }),
        metric("users", &[], Incremental, MetricValue::Set { values: ["alice".to_owned()].into() }),
        metric("lat", &[], Incremental, distribution(0.125, 1)),
        metric("lat2", &[], Incremental, distribution(0.32, 2)),
    ];
    let metrics = events(fixture!("v024-metrics.bin"));
    assert_kept(&metrics);
    assert_eq!(metrics, expected);
}
