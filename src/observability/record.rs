//! One line of the log as a value of its own, which can go to another thread.
//!
//! `tracing` lends the values of an event for the length of a call. A [`Record`] owns them, so that a thread of its
//! own can write them, while the caller is long gone.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{layer::Context, registry::LookupSpan};

/// One event, with the spans around it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// When it happened.
    pub(super) at: DateTime<Utc>,
    /// Level, target, place in the code, names of the fields.
    pub(super) metadata: &'static Metadata<'static>,
    /// The value of each field of the metadata, by its index.
    pub(super) values: Values,
    /// The spans it happened in, outermost first.
    pub(super) spans: Vec<Arc<SpanRecord>>,
}

/// A span as it was when an event happened in it.
#[derive(Debug, Clone)]
pub(super) struct SpanRecord {
    /// Name, target, names of the fields.
    pub(super) metadata: &'static Metadata<'static>,
    /// The value of each field of the metadata, by its index.
    pub(super) values: Values,
}

/// Values by the index of their field. Those that were not given are `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(pub(super) Vec<Option<Value>>);

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
}

/// A longer text is cut: no peer may fill the log with one line.
const LONGEST_TEXT: usize = 32 * 1024;

impl Record {
    /// Takes what an event lends.
    pub(super) fn take<S>(at: DateTime<Utc>, event: &Event<'_>, context: &Context<'_, S>) -> Self
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut values = Values::default();
        event.record(&mut values);
        let mut spans = Vec::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            spans.extend(span.extensions().get::<Arc<SpanRecord>>().cloned());
        }
        Record { at, metadata: event.metadata(), values, spans }
    }

    /// The text of the event.
    pub(super) fn message(&self) -> Option<&Value> {
        self.fields_of_event().find(|(name, _)| *name == MESSAGE).map(|(_, value)| value)
    }

    /// All other fields: those of the event, then those of its spans, innermost first. A span's field whose name the
    /// event has, too, is left out.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let inner = |name| self.fields_of_event().any(|(other, _)| other == name);
        let spans = self.spans.iter().rev().flat_map(|span| pairs(span.metadata, &span.values));
        let spans = spans.filter(move |(name, _)| !inner(*name));
        self.fields_of_event().filter(|(name, _)| *name != MESSAGE).chain(spans)
    }

    fn fields_of_event(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        pairs(self.metadata, &self.values)
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let text = |value: &Option<Value>| if let Some(Value::Text(text)) = value { text.len() } else { 0 };
        let values = self.values.0.iter().map(|value| size_of::<Option<Value>>() + text(value));
        size_of::<Record>() + values.sum::<usize>()
    }
}

/// The field that `tracing` gives the text of an event.
const MESSAGE: &str = "message";

fn pairs<'a>(
    metadata: &'static Metadata<'static>,
    values: &'a Values,
) -> impl Iterator<Item = (&'static str, &'a Value)> {
    metadata.fields().iter().zip(&values.0).filter_map(|(field, value)| Some((field.name(), value.as_ref()?)))
}

impl SpanRecord {
    /// Takes what a new span lends.
    pub(super) fn take(attributes: &span::Attributes<'_>) -> Self {
        let mut values = Values::default();
        attributes.record(&mut values);
        SpanRecord { metadata: attributes.metadata(), values }
    }

    /// The same span after more of its fields became known.
    pub(super) fn with(&self, more: &span::Record<'_>) -> Self {
        let mut span = self.clone();
        more.record(&mut span.values);
        span
    }
}

impl Values {
    fn set(&mut self, field: &Field, value: Value) {
        if self.0.len() <= field.index() {
            self.0.resize(field.index() + 1, None);
        }
        self.0[field.index()] = Some(value);
    }
}

impl Visit for Values {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Value::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Value::Float(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, Value::Text(cut(value.to_owned())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, Value::Text(cut(format!("{value:?}"))));
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => value.fmt(f),
            Value::Signed(value) => value.fmt(f),
            Value::Unsigned(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::Text(value) => value.fmt(f),
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let mut end = LONGEST_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}
