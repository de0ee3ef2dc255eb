//! What a program sees of a metric, and what it may change.
//!
//! Pure.
//!
//! As in Vector: `.name`, `.namespace`, `.timestamp`, `.kind` and `.tags` can be read and written, `.type` read. The
//! measured value is not visible.

use vrl::value::Value as Vrl;

use crate::event::{Metric, MetricKind, MetricValue, TagValue, Tags};

/// The fields of a metric.
pub(super) const FIELDS: [&str; 6] = ["kind", "name", "namespace", "tags", "timestamp", "type"];

/// The field `name`, if there is such a one and it is set.
pub(super) fn field(metric: &Metric, name: &str) -> Option<Vrl> {
    Some(match name {
        "name" => metric.name.as_str().into(),
        "namespace" => metric.namespace.as_deref()?.into(),
        "timestamp" => Vrl::Timestamp(metric.timestamp?),
        "kind" => match metric.kind {
            MetricKind::Incremental => "incremental".into(),
            MetricKind::Absolute => "absolute".into(),
        },
        "tags" if metric.tags.is_empty() => return None,
        "tags" => {
            Vrl::Object(metric.tags.iter().map(|(name, tag)| (name.as_str().into(), to_vrl(tag))).collect())
        }
        "type" => type_of(&metric.value).into(),
        _ => return None,
    })
}

/// All fields.
pub(super) fn object(metric: &Metric) -> Vrl {
    Vrl::Object(FIELDS.iter().filter_map(|name| Some(((*name).into(), field(metric, name)?))).collect())
}

/// Sets or, with `None`, removes a field.
///
/// # Errors
///
/// When a metric cannot have that.
pub(super) fn set(metric: &mut Metric, name: &str, value: Option<Vrl>) -> Result<(), String> {
    let value = value.filter(|value| !value.is_null());
    match (name, value) {
        ("name", Some(value)) => metric.name = text(name, &value)?,
        ("namespace", value) => metric.namespace = value.map(|value| text(name, &value)).transpose()?,
        ("timestamp", None) => metric.timestamp = None,
        ("timestamp", Some(Vrl::Timestamp(at))) => metric.timestamp = Some(at),
        ("kind", Some(value)) => {
            metric.kind = match text(name, &value)?.as_str() {
                "incremental" => MetricKind::Incremental,
                "absolute" => MetricKind::Absolute,
                other => {
                    return Err(format!("a metric's `.kind` is `incremental` or `absolute`, not `{other}`"));
                }
            }
        }
        ("tags", None) => metric.tags = Tags::new(),
        ("tags", Some(Vrl::Object(tags))) => {
            metric.tags = tags
                .into_iter()
                .map(|(name, value)| Ok((name.to_string(), tag(&name, value)?)))
                .collect::<Result<_, String>>()?;
        }
        ("type", value) if value == field(metric, "type") => {}
        ("name" | "kind", None) => return Err(format!("a metric must have `.{name}`")),
        ("type", _) => return Err("a metric's `.type` cannot be changed".into()),
        ("timestamp" | "tags", Some(value)) => {
            return Err(format!("a metric's `.{name}` cannot be of type {}", value.kind_str()));
        }
        (_, None) => {}
        (_, Some(_)) => return Err(format!("a metric has no field `.{name}`")),
    }
    Ok(())
}

fn text(name: &str, value: &Vrl) -> Result<String, String> {
    let bytes = match value {
        Vrl::Bytes(bytes) => &bytes[..],
        Vrl::String(text) => text.as_bytes(),
        _ => return Err(format!("a metric's `.{name}` must be a string, not of type {}", value.kind_str())),
    };
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn to_vrl(tag: &TagValue) -> Vrl {
    match tag {
        TagValue::Single(text) => text.as_str().into(),
        TagValue::Many(values) => {
            Vrl::Array(values.iter().map(|value| value.as_deref().map_or(Vrl::Null, Vrl::from)).collect())
        }
    }
}

fn tag(name: &str, value: Vrl) -> Result<TagValue, String> {
    let path = format!("tags.{name}");
    Ok(match value {
        Vrl::Null => TagValue::Many(vec![None]),
        Vrl::Array(values) => {
            let one = |value| if value == Vrl::Null { Ok(None) } else { text(&path, &value).map(Some) };
            TagValue::Many(values.into_iter().map(one).collect::<Result<_, String>>()?)
        }
        value => TagValue::Single(text(&path, &value)?),
    })
}

fn type_of(value: &MetricValue) -> &'static str {
    match value {
        MetricValue::Counter { .. } => "counter",
        MetricValue::Gauge { .. } => "gauge",
        MetricValue::Set { .. } => "set",
        MetricValue::Distribution(_) => "distribution",
        MetricValue::AggregatedHistogram(_) => "aggregated_histogram",
        MetricValue::AggregatedSummary(_) => "aggregated_summary",
        MetricValue::Sketch(_) => "sketch",
    }
}
