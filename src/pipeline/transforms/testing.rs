//! What the tests of transforms share.

use crate::{
    config::{Diagnostics, Fields, Files, Report, parse},
    event::{Batch, Event, Log, Metric, MetricKind, MetricValue, Tags, Value},
    observability::metrics::Metrics,
    pipeline::component::{Outputs, Transform},
};

/// Reads options from TOML, as the configuration does. The report has what was said; with errors there is no value.
pub(super) fn read<T>(toml: &str, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> (Option<T>, String) {
    let (mut files, diagnostics) = (Files::default(), Diagnostics::default());
    let file = files.add("test.toml", toml);
    let table = parse::parse(&files, file, &|_| None, &diagnostics);
    let mut fields = Fields::new(&table, crate::config::Span::default(), "transforms.t", &diagnostics);
    let value = read(&mut fields);
    fields.finish();
    let value = value.filter(|_| !diagnostics.has_errors());
    (value, Report::new(diagnostics.into_list(), &files).to_string())
}

#[track_caller]
pub(super) fn good<T>(toml: &str, reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> T {
    let (value, report) = read(toml, reader);
    assert_eq!(report, "");
    value.expect("there was nothing to say against it")
}

#[track_caller]
pub(super) fn bad<T>(toml: &str, reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> String {
    let (value, report) = read(toml, reader);
    assert!(value.is_none(), "{toml} was accepted");
    report
}

pub(super) fn apply(transform: &mut dyn Transform, ports: usize, batch: Batch) -> Outputs {
    let metrics = Metrics::default().component("t", "transform", "test");
    let mut out = Outputs { default: Batch::new(), ports: vec![Batch::new(); ports], metrics };
    transform.apply(batch, &mut out);
    out
}

/// A log with a message.
pub(super) fn line(message: &'static str) -> Event {
    log(&[("message", Value::from(message))])
}

pub(super) fn log(fields: &[(&'static str, Value)]) -> Event {
    let mut log = Log::default();
    for (name, value) in fields {
        log.fields.insert(*name, value.clone());
    }
    log.into()
}

pub(super) fn counter(name: &str) -> Event {
    Metric {
        name: name.to_owned(),
        namespace: Some("app".into()),
        timestamp: None,
        tags: Tags::new(),
        kind: MetricKind::Incremental,
        interval_ms: None,
        value: MetricValue::Counter { value: 1.0 },
    }
    .into()
}

pub(super) fn messages(batch: &Batch) -> Vec<String> {
    let message = |event: &Event| match event.as_log()?.get("message")? {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        other => Some(format!("{other:?}")),
    };
    batch.iter().map(|event| message(event).unwrap_or_else(|| "-".into())).collect()
}
