//! Events as lines for people.
//!
//! Pure.

use super::json::{encode_json, float};
use crate::event::{Event, Log, Metric, MetricValue, TagValue, Tags, Value};

/// Appends `event` as text, without a line end.
///
/// A log is the bytes of its `message` as they came, or JSON if it has none or another kind of value there.
///
/// A metric is its name behind namespace and `_`, its tags as `{name="value",…}` (a tag without a value is a name
/// only) and its value:
/// a counter or gauge as a number, a set as its texts joined by commas, a distribution as `value@rate` each, a histogram
/// as `count=3 sum=9.5` and then `limit:count` each, a summary likewise with `quantile:value`, a sketch as
/// `count=… sum=… min=… max=… avg=…`. Quotes, backslashes and newlines in texts are escaped.
pub fn encode_text(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Log(log) => match log.fields.get(Log::MESSAGE) {
            Some(Value::Bytes(message)) => out.extend_from_slice(message),
            _ => encode_json(event, out),
        },
        Event::Metric(event) => metric(event, out),
    }
}

fn metric(metric: &Metric, out: &mut Vec<u8>) {
    if let Some(namespace) = &metric.namespace {
        escaped(namespace, out);
        out.push(b'_');
    }
    escaped(&metric.name, out);
    if !metric.tags.is_empty() {
        out.push(b'{');
        tags(&metric.tags, out);
        out.push(b'}');
    }
    value(&metric.value, out);
}

fn tags(tags: &Tags, out: &mut Vec<u8>) {
    let all = tags.iter().flat_map(|(name, value)| match value {
        TagValue::Single(value) => vec![(name, Some(value))],
        TagValue::Many(values) => values.iter().map(|value| (name, value.as_ref())).collect(),
    });
    for (place, (name, value)) in all.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        escaped(name, out);
        if let Some(value) = value {
            out.extend_from_slice(b"=\"");
            escaped(value, out);
            out.push(b'"');
        }
    }
}

fn value(value: &MetricValue, out: &mut Vec<u8>) {
    match value {
        MetricValue::Counter { value } | MetricValue::Gauge { value } => {
            out.push(b' ');
            number(*value, out);
        }
        MetricValue::Set { values } => {
            for (place, value) in values.iter().enumerate() {
                out.push(if place == 0 { b' ' } else { b',' });
                escaped(value, out);
            }
        }
        MetricValue::Distribution(distribution) => {
            for sample in &distribution.samples {
                pair(sample.value, b'@', f64::from(sample.rate), out);
            }
        }
        MetricValue::AggregatedHistogram(histogram) => {
            count_and_sum(histogram.count, histogram.sum, out);
            for bucket in &histogram.buckets {
                out.push(b' ');
                number(bucket.upper_limit, out);
                out.push(b':');
                integer(bucket.count, out);
            }
        }
        MetricValue::AggregatedSummary(summary) => {
            count_and_sum(summary.count, summary.sum, out);
            for quantile in &summary.quantiles {
                pair(quantile.quantile, b':', quantile.value, out);
            }
        }
        MetricValue::Sketch(sketch) => {
            count_and_sum(sketch.count.into(), sketch.sum, out);
            named(" min=", sketch.min, out);
            named(" max=", sketch.max, out);
            named(" avg=", sketch.avg, out);
        }
    }
}

fn count_and_sum(count: u64, sum: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(b" count=");
    integer(count, out);
    named(" sum=", sum, out);
}

fn named(name: &str, value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    number(value, out);
}

fn pair(left: f64, between: u8, right: f64, out: &mut Vec<u8>) {
    out.push(b' ');
    number(left, out);
    out.push(between);
    number(right, out);
}

fn integer(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// As in JSON, but `3` instead of `3.0`, and with words for what JSON has none.
fn number(number: f64, out: &mut Vec<u8>) {
    if !number.is_finite() {
        return out.extend_from_slice(match number {
            f64::INFINITY => b"+Inf",
            f64::NEG_INFINITY => b"-Inf",
            _ => b"NaN",
        });
    }
    float(number, out);
    if out.ends_with(b".0") {
        out.truncate(out.len() - 2);
    }
}

fn escaped(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn encoded(event: impl Into<Event>) -> String {
        let mut out = Vec::new();
        encode_text(&event.into(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_log_is_its_message() {
        let mut log = Log::default();
        assert_eq!(encoded(log.clone()), "{}");
        log.fields.insert("a", 1);
        assert_eq!(encoded(log.clone()), r#"{"a":1}"#);
        log.fields.insert("message", 1);
        assert_eq!(encoded(log.clone()), r#"{"a":1,"message":1}"#);
        log.fields.insert("message", "as it \"came\"");
        assert_eq!(encoded(log), "as it \"came\"");
    }

    #[test]
    fn a_metric_is_one_line() {
        let lines: Vec<_> =
            samples::metric_values().into_iter().map(|value| encoded(samples::metric(value))).collect();
        let expected = [
            "requests 3",
            "requests -17.5",
            "requests alice,bob",
            "requests 0.125@1 2@7",
            "requests count=3 sum=9.5 1:2 +Inf:1",
            "requests count=3 sum=9.5 0.5:2",
            "requests count=2 sum=3 min=1 max=2 avg=1.5",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn tags_stand_in_braces() {
        let mut metric = samples::metric(MetricValue::Gauge { value: f64::NAN });
        metric.namespace = Some("app".to_owned());
        metric.tags.insert("code".to_owned(), TagValue::Single("a\"\n".to_owned()));
        metric.tags.insert("many".to_owned(), TagValue::Many(vec![None, Some("x".to_owned())]));
        assert_eq!(encoded(metric), r#"app_requests{code="a\"\n",many,many="x"} NaN"#);
    }
}
