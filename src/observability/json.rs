//! A record as one JSON object on one line, for programs.
//!
//! Pure.
//! Format.
//!
//! `timestamp`, `level`, `target` and `message` are always there, the fields beside them. A field with one of those
//! names gets a `_` behind it.

use serde_json::{Map, Value as Json};

use super::record::{Record, Value};

/// Appends the object of `record` and a line end.
pub(super) fn write_line(out: &mut String, record: &Record) {
    let mut object = Map::new();
    let at = record.at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    object.insert("timestamp".into(), at.into());
    object.insert("level".into(), record.metadata.level().as_str().to_ascii_lowercase().into());
    object.insert("target".into(), record.metadata.target().into());
    object.insert("message".into(), record.message().map_or("".into(), json));
    for (name, value) in record.fields() {
        let mut name = name.to_owned();
        if matches!(&*name, "timestamp" | "level" | "target" | "message") {
            name.push('_');
        }
        // Fields come innermost first: the first of a name stays.
        object.entry(name).or_insert_with(|| json(value));
    }
    out.push_str(&Json::Object(object).to_string());
    out.push('\n');
}

fn json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Signed(value) => (*value).into(),
        Value::Unsigned(value) => (*value).into(),
        // JSON has no infinity and no NaN; as text they are not lost.
        Value::Float(value) if !value.is_finite() => value.to_string().into(),
        Value::Float(value) => (*value).into(),
        Value::Text(value) => value.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::layer::tests::records;

    fn line(log: impl FnOnce()) -> String {
        let mut out = String::new();
        records(log).iter().for_each(|record| write_line(&mut out, record));
        out
    }

    #[test]
    fn fields_stand_beside_the_message_with_their_types() {
        let line = line(|| {
            let _span = tracing::info_span!("source", component = "in").entered();
            tracing::info!(target: "t", n = -1, big = u64::MAX, f = f64::NAN, ok = true, level = "x", "a\nb");
        });
        assert_eq!(line.lines().count(), 1);
        let expected = serde_json::json!({
            "timestamp": "2026-01-02T03:04:05.678000Z", "level": "info", "target": "t", "message": "a\nb",
            "n": -1, "big": u64::MAX, "f": "NaN", "ok": true, "level_": "x", "component": "in",
        });
        assert_eq!(serde_json::from_str::<Json>(&line).unwrap(), expected);
    }
}
