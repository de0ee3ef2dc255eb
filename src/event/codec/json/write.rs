//! Writes events as JSON, as Vector does.
//!
//! A log is an object of its fields, in order of their names. Bytes that are not UTF-8 become U+FFFD, moments
//! RFC 3339 with as many digits as they need (none, three, six or nine), and floats that JSON has no word for null.
//! A metric is an object with `name`, `kind` and one member called after the kind of its value; `namespace`, `tags`,
//! `timestamp` and `interval_ms` are there if the metric has them. A tag with several values is an array.
//!
//! Pure.

use chrono::{Datelike, SecondsFormat, Timelike};

use crate::event::{
    Distribution, Event, Histogram, Log, Map, Metric, MetricKind, MetricValue, Sketch, Statistic, Summary,
    TagValue, Tags, Timestamp, Value,
};

/// Appends `event` as one line of JSON, without a line end.
pub fn encode_json(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Log(Log { fields }) => map(fields, out),
        Event::Metric(event) => metric(event, out),
    }
}

fn map(fields: &Map, out: &mut Vec<u8>) {
    list(*b"{}", fields.iter(), out, |(name, field), out| {
        text(name, out);
        out.push(b':');
        value(field, out);
    });
}

fn value(value_: &Value, out: &mut Vec<u8>) {
    match value_ {
        Value::Bytes(content) => bytes(content, out),
        Value::Integer(number) => integer(*number, out),
        Value::Float(number) => float(*number, out),
        Value::Boolean(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::Timestamp(at) => timestamp(at, out),
        Value::Map(fields) => map(fields, out),
        Value::Array(items) => list(*b"[]", items, out, value),
        Value::Null => out.extend_from_slice(b"null"),
    }
}

fn metric(metric: &Metric, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"name\":");
    text(&metric.name, out);
    if let Some(namespace) = &metric.namespace {
        out.extend_from_slice(b",\"namespace\":");
        text(namespace, out);
    }
    if !metric.tags.is_empty() {
        out.extend_from_slice(b",\"tags\":");
        tags(&metric.tags, out);
    }
    if let Some(at) = &metric.timestamp {
        out.extend_from_slice(b",\"timestamp\":");
        timestamp(at, out);
    }
    if let Some(interval) = metric.interval_ms {
        out.extend_from_slice(b",\"interval_ms\":");
        integer(interval, out);
    }
    out.extend_from_slice(match metric.kind {
        MetricKind::Incremental => b",\"kind\":\"incremental\",",
        MetricKind::Absolute => b",\"kind\":\"absolute\",",
    });
    metric_value(&metric.value, out);
    out.push(b'}');
}

fn tags(tags: &Tags, out: &mut Vec<u8>) {
    list(*b"{}", tags, out, |(name, value), out| {
        text(name, out);
        out.push(b':');
        match value {
            TagValue::Single(value) => text(value, out),
            TagValue::Many(values) => list(*b"[]", values, out, |value, out| match value {
                Some(value) => text(value, out),
                None => out.extend_from_slice(b"null"),
            }),
        }
    });
}

fn metric_value(value: &MetricValue, out: &mut Vec<u8>) {
    match value {
        MetricValue::Counter { value } => {
            out.extend_from_slice(b"\"counter\":");
            floats([("value", *value)], out);
        }
        MetricValue::Gauge { value } => {
            out.extend_from_slice(b"\"gauge\":");
            floats([("value", *value)], out);
        }
        MetricValue::Set { values } => {
            out.extend_from_slice(b"\"set\":{\"values\":");
            list(*b"[]", values, out, |value, out| text(value, out));
            out.push(b'}');
        }
        MetricValue::Distribution(value) => distribution(value, out),
        MetricValue::AggregatedHistogram(value) => histogram(value, out),
        MetricValue::AggregatedSummary(value) => summary(value, out),
        MetricValue::Sketch(value) => sketch(value, out),
    }
}

fn distribution(distribution: &Distribution, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"distribution\":{\"samples\":");
    list(*b"[]", &distribution.samples, out, |sample, out| {
        out.extend_from_slice(b"{\"value\":");
        float(sample.value, out);
        out.extend_from_slice(b",\"rate\":");
        integer(sample.rate, out);
        out.push(b'}');
    });
    out.extend_from_slice(match distribution.statistic {
        Statistic::Histogram => b",\"statistic\":\"histogram\"}",
        Statistic::Summary => b",\"statistic\":\"summary\"}",
    });
}

fn histogram(histogram: &Histogram, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"aggregated_histogram\":{\"buckets\":");
    list(*b"[]", &histogram.buckets, out, |bucket, out| {
        out.extend_from_slice(b"{\"upper_limit\":");
        float(bucket.upper_limit, out);
        out.extend_from_slice(b",\"count\":");
        integer(bucket.count, out);
        out.push(b'}');
    });
    count_and_sum(histogram.count, histogram.sum, out);
}

fn summary(summary: &Summary, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"aggregated_summary\":{\"quantiles\":");
    list(*b"[]", &summary.quantiles, out, |quantile, out| {
        floats([("quantile", quantile.quantile), ("value", quantile.value)], out);
    });
    count_and_sum(summary.count, summary.sum, out);
}

fn count_and_sum(count: u64, sum: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"count\":");
    integer(count, out);
    out.extend_from_slice(b",\"sum\":");
    float(sum, out);
    out.push(b'}');
}

fn sketch(sketch: &Sketch, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"sketch\":{\"count\":");
    integer(sketch.count, out);
    for (name, number) in [("min", sketch.min), ("max", sketch.max), ("sum", sketch.sum), ("avg", sketch.avg)]
    {
        out.push(b',');
        text(name, out);
        out.push(b':');
        float(number, out);
    }
    out.extend_from_slice(b",\"k\":");
    list(*b"[]", &sketch.k, out, |number, out| integer(*number, out));
    out.extend_from_slice(b",\"n\":");
    list(*b"[]", &sketch.n, out, |number, out| integer(*number, out));
    out.push(b'}');
}

fn floats<const N: usize>(members: [(&str, f64); N], out: &mut Vec<u8>) {
    list(*b"{}", members, out, |(name, number), out| {
        text(name, out);
        out.push(b':');
        float(number, out);
    });
}

/// `items` between the two `brackets`, with commas.
fn list<T>(
    brackets: [u8; 2],
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut item: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(brackets[0]);
    let mut items = items.into_iter();
    if let Some(first) = items.next() {
        item(first, out);
    }
    for next in items {
        out.push(b',');
        item(next, out);
    }
    out.push(brackets[1]);
}

fn integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The shortest digits that read as the same number; null if it is none.
pub(in super::super) fn float(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

fn timestamp(at: &Timestamp, out: &mut Vec<u8>) {
    out.push(b'"');
    let nanos = at.nanosecond();
    match u32::try_from(at.year()) {
        Ok(year @ 0..=9999) if nanos < 1_000_000_000 => {
            // chrono's own formatting takes several times as long as all the rest of an event.
            let mut text = *b"0000-00-00T00:00:00.000000000Z";
            digits(&mut text[0..4], year);
            digits(&mut text[5..7], at.month());
            digits(&mut text[8..10], at.day());
            digits(&mut text[11..13], at.hour());
            digits(&mut text[14..16], at.minute());
            digits(&mut text[17..19], at.second());
            digits(&mut text[20..29], nanos);
            let length = match nanos {
                0 => 19,
                nanos if nanos % 1_000_000 == 0 => 23,
                nanos if nanos % 1_000 == 0 => 26,
                _ => 29,
            };
            text[length] = b'Z';
            out.extend_from_slice(&text[..=length]);
        }
        _ => out.extend_from_slice(at.to_rfc3339_opts(SecondsFormat::AutoSi, true).as_bytes()),
    }
    out.push(b'"');
}

fn digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Bytes as a string; what is not UTF-8 in them becomes U+FFFD.
fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    if let Ok(valid) = std::str::from_utf8(bytes) {
        return text(valid, out);
    }
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        escape(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    escape(text.as_bytes(), out);
    out.push(b'"');
}

/// Copies runs that need no escape whole: they are nearly everything.
fn escape(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let plain = plain(text);
        out.extend_from_slice(&text[..plain]);
        let Some(special) = text.get(plain) else { return };
        text = &text[plain + 1..];
        let short = match *special {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (HEX[usize::from(control >> 4)], HEX[usize::from(control & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

/// How many bytes at the front stand for themselves: eight at a time, then one by one.
fn plain(text: &[u8]) -> usize {
    let (words, _) = text.as_chunks::<8>();
    let clean = words.iter().take_while(|word| !has_special(u64::from_le_bytes(**word))).count() * 8;
    let special = text[clean..].iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'));
    special.map_or(text.len(), |at| clean + at)
}

/// Is one of the eight bytes a control, a quote or a backslash?
fn has_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * ONES;
    // Subtracting n borrows into the top bit of the lowest byte that is less than n, and of no byte before it.
    let less = |word: u64, n: u64| word.wrapping_sub(n * ONES) & !word;
    let equal = |byte: u8| less(word ^ (u64::from(byte) * ONES), 1);
    (less(word, 0x20) | equal(b'"') | equal(b'\\')) & TOPS != 0
}

#[cfg(test)]
mod tests {
    use super::super::super::samples;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn encoded(event: impl Into<Event>) -> String {
        let mut out = Vec::new();
        encode_json(&event.into(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// What serde_json would make of a value.
    fn model(value: &Value) -> serde_json::Value {
        match value {
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Boolean(truth) => (*truth).into(),
            Value::Timestamp(at) => at.to_rfc3339_opts(SecondsFormat::AutoSi, true).into(),
            Value::Map(map) => model_of(map),
            Value::Array(items) => items.iter().map(model).collect(),
            Value::Null => serde_json::Value::Null,
        }
    }

    fn model_of(map: &Map) -> serde_json::Value {
        map.iter()
            .map(|(name, value)| (name.to_string(), model(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    #[test]
    fn moments_have_the_digits_they_need() {
        let moments = [
            "2026-11-21T02:26:20Z",
            "2026-11-21T02:26:20.100Z",
            "2026-11-21T02:26:20.000100Z",
            "2026-11-21T02:26:20.142108470Z",
            "0000-01-01T00:00:00.000000001Z",
            "9999-12-31T23:59:59.999999999Z",
            "+10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00.500Z",
            "2016-12-31T23:59:60.250Z",
        ];
        for moment in moments {
            let mut out = Vec::new();
            timestamp(&at(moment), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{moment}\""));
        }
    }

    #[test]
    fn numbers_that_json_has_no_word_for_are_null() {
        let numbers = [f64::NAN, f64::INFINITY, -1.0, 1e300, 0.1].map(Value::Float).to_vec();
        let log = Log { fields: [("n".into(), Value::Array(numbers))].into_iter().collect() };
        assert_eq!(encoded(log), r#"{"n":[null,null,-1.0,1e300,0.1]}"#);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut log = Log::default();
        log.fields.insert("a\"\n", Value::Bytes(b"ok\xff\xf0\x9f\"\x01\x7f".as_slice().into()));
        assert_eq!(encoded(log), "{\"a\\\"\\n\":\"ok\u{fffd}\u{fffd}\\\"\\u0001\u{7f}\"}");
    }

    #[test]
    fn a_metric_names_its_kind_and_leaves_out_what_it_has_not() {
        let mut metric = samples::metric(MetricValue::Counter { value: 3.0 });
        assert_eq!(
            encoded(metric.clone()),
            r#"{"name":"requests","kind":"incremental","counter":{"value":3.0}}"#
        );

        metric.namespace = Some("app".to_owned());
        metric.timestamp = Some(at("2026-11-21T02:26:20.5Z"));
        metric.interval_ms = Some(10);
        metric.kind = MetricKind::Absolute;
        metric.tags.insert("code".to_owned(), TagValue::Single("200".to_owned()));
        metric.tags.insert("many".to_owned(), TagValue::Many(vec![None, Some("x".to_owned())]));
        assert_eq!(
            encoded(metric),
            r#"{"name":"requests","namespace":"app","tags":{"code":"200","many":[null,"x"]},"#.to_owned()
                + r#""timestamp":"2026-11-21T02:26:20.500Z","interval_ms":10,"kind":"absolute","counter":{"value":3.0}}"#
        );
    }

    #[test]
    fn every_kind_of_metric_is_an_object_of_its_own() {
        let values: Vec<serde_json::Value> = samples::metric_values()
            .into_iter()
            .map(|value| serde_json::from_str(&encoded(samples::metric(value))).unwrap())
            .map(|mut json: serde_json::Value| {
                let object = json.as_object_mut().unwrap();
                object.retain(|name, _| name != "name" && name != "kind");
                json
            })
            .collect();
        let expected = [
            json!({"counter": {"value": 3.0}}),
            json!({"gauge": {"value": -17.5}}),
            json!({"set": {"values": ["alice", "bob"]}}),
            json!({"distribution": {"samples": [{"value": 0.125, "rate": 1}, {"value": 2.0, "rate": 7}], "statistic": "summary"}}),
            json!({"aggregated_histogram": {
                "buckets": [{"upper_limit": 1.0, "count": 2}, {"upper_limit": null, "count": 1}], "count": 3, "sum": 9.5
            }}),
            json!({"aggregated_summary": {"quantiles": [{"quantile": 0.5, "value": 2.0}], "count": 3, "sum": 9.5}}),
            json!({"sketch": {
                "count": 2, "min": 1.0, "max": 2.0, "sum": 3.0, "avg": 1.5, "k": [-1, 5], "n": [1, 1]
            }}),
        ];
        assert_eq!(values, expected);
    }

    proptest! {
        #[test]
        fn another_reader_reads_what_is_written(log in samples::any_log()) {
            let read: serde_json::Value = serde_json::from_str(&encoded(log.clone())).unwrap();
            // Through text, so that floats went the same way.
            let model: serde_json::Value = serde_json::from_str(&model_of(&log.fields).to_string()).unwrap();
            prop_assert_eq!(read, model);
        }

        #[test]
        fn a_text_is_escaped_as_another_writer_does(content in any::<String>()) {
            let mut out = Vec::new();
            text(&content, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&content).unwrap());
        }
    }
}
