//! `encoding` of a sink: how it writes events, and which fields of them. `decoding` of a source.
//!
//! Pure.

use crate::{
    config::{Fields, FromNode, Node, TextOrTable, choice},
    event::{
        Event, Log, Map, Value,
        codec::{Decoding, Encoding},
    },
};

/// How a sink writes events: `encoding = "json"`, or a table `encoding` with `codec`, `only_fields`, `except_fields` and
/// `timestamp_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoder {
    codec: Encoding,
    /// Paths of the fields that are written; `None` means all.
    only: Option<Vec<String>>,
    /// Paths of fields that are not written.
    except: Vec<String>,
    timestamps: TimestampFormat,
}

/// How moments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimestampFormat {
    /// As text.
    Rfc3339,
    /// As whole seconds since 1970.
    Unix,
}

impl FromNode for TimestampFormat {
    const EXPECTED: &'static str = "`rfc3339` or `unix`";

    fn from_node(node: &Node) -> Result<Self, String> {
        choice(node, &[("rfc3339", TimestampFormat::Rfc3339), ("unix", TimestampFormat::Unix)])
    }
}

impl FromNode for Encoding {
    const EXPECTED: &'static str = "`json` or `text`";

    fn from_node(node: &Node) -> Result<Self, String> {
        choice(node, &[("json", Encoding::Json), ("text", Encoding::Text)])
    }
}

impl FromNode for Decoding {
    const EXPECTED: &'static str = "`bytes` or `json`";

    fn from_node(node: &Node) -> Result<Self, String> {
        choice(node, &[("bytes", Decoding::Bytes), ("json", Decoding::Json)])
    }
}

/// Reads `decoding` of a source: `decoding = "json"` or `decoding.codec = "json"`; without it, a line is the message.
pub fn read_decoding(fields: &mut Fields<'_>) -> Decoding {
    match fields.text_or_table("decoding") {
        None => Decoding::Bytes,
        Some(TextOrTable::Text(..)) => fields.or("decoding", Decoding::Bytes),
        Some(TextOrTable::Table(mut table)) => {
            let codec = table.or("codec", Decoding::Bytes);
            table.finish();
            codec
        }
    }
}

impl Encoder {
    /// One that writes whole events.
    pub fn new(codec: Encoding) -> Self {
        Encoder { codec, only: None, except: Vec::new(), timestamps: TimestampFormat::Rfc3339 }
    }

    /// Reads `encoding`, the short form or the table; without it, events are written as `default`.
    pub fn read(fields: &mut Fields<'_>, default: Encoding) -> Encoder {
        let mut encoder = Encoder::new(default);
        let mut table = match fields.text_or_table("encoding") {
            None => return encoder,
            Some(TextOrTable::Text(..)) => {
                encoder.codec = fields.or("encoding", default);
                return encoder;
            }
            Some(TextOrTable::Table(table)) => table,
        };
        encoder.codec = table.or("codec", default);
        encoder.only = table.optional("only_fields");
        encoder.except = table.optional("except_fields").unwrap_or_default();
        encoder.timestamps = table.or("timestamp_format", TimestampFormat::Rfc3339);
        table.finish();
        encoder
    }

    /// Appends `event` to `out`, without a line end.
    pub fn encode(&self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Log(log) if self.changes() => self.codec.encode(&Event::Log(self.chosen(log)), out),
            Event::Log(_) | Event::Metric(_) => self.codec.encode(event, out),
        }
    }

    /// Appends `event` and a newline to `out`.
    pub fn encode_line(&self, event: &Event, out: &mut Vec<u8>) {
        self.encode(event, out);
        out.push(b'\n');
    }

    /// Is anything else written than the whole event?
    fn changes(&self) -> bool {
        self.only.is_some() || !self.except.is_empty() || self.timestamps != TimestampFormat::Rfc3339
    }

    fn chosen(&self, log: &Log) -> Log {
        let mut chosen = match &self.only {
            None => log.clone(),
            Some(paths) => {
                let mut chosen = Log::default();
                for path in paths {
                    if let Some(value) = log.get(path) {
                        put(&mut chosen.fields, log, path, value.clone());
                    }
                }
                chosen
            }
        };
        for path in &self.except {
            remove(&mut chosen.fields, path);
        }
        if self.timestamps == TimestampFormat::Unix {
            to_unix(&mut chosen.fields);
        }
        chosen
    }
}

/// Puts `value` where `path` led to in `original`.
fn put(fields: &mut Map, original: &Log, path: &str, value: Value) {
    match path.split_once('.') {
        // A name with a dot in it stays one name.
        Some((name, rest)) if original.fields.get(path).is_none() => {
            if !matches!(fields.get(name), Some(Value::Map(_))) {
                fields.insert(name, Value::Map(Map::new()));
            }
            if let Some(Value::Map(inner)) = fields.get_mut(name) {
                put(inner, &Log::default(), rest, value);
            }
        }
        Some(_) | None => {
            fields.insert(path, value);
        }
    }
}

fn remove(fields: &mut Map, path: &str) {
    if fields.remove(path).is_some() {
        return;
    }
    let Some((name, rest)) = path.split_once('.') else { return };
    if let Some(Value::Map(inner)) = fields.get_mut(name) {
        remove(inner, rest);
    }
}

fn to_unix(fields: &mut Map) {
    let names: Vec<_> = fields.iter().map(|(name, _)| name.clone()).collect();
    for name in names {
        match fields.get_mut(&name) {
            Some(Value::Timestamp(at)) => {
                let seconds = at.timestamp();
                fields.insert(name, seconds);
            }
            Some(Value::Map(inner)) => to_unix(inner),
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_texts;

    fn with<T>(options: &str, read: impl FnOnce(&mut Fields<'_>) -> T) -> (T, Option<String>) {
        let text = format!("[sinks.out]\ntype = \"x\"\ninputs = [\"in\"]\n{options}\n");
        let draft = from_texts(&[("q.toml", &text)], &|_| None);
        let mut fields = draft.config.sinks[0].fields("sinks", &draft.diagnostics);
        let read = read(&mut fields);
        fields.finish();
        (read, draft.finish().err().map(|report| report.to_string()))
    }

    fn encoder(options: &str) -> Encoder {
        let (encoder, errors) = with(options, |fields| Encoder::read(fields, Encoding::Text));
        assert_eq!(errors, None);
        encoder
    }

    fn chosen(options: &str, names: &[&str]) -> Vec<String> {
        let mut inner = Map::new();
        inner.insert("status", 200);
        inner.insert("at", chrono::DateTime::UNIX_EPOCH);
        let mut log = Log::default();
        log.fields.insert("http", Value::Map(inner));
        log.fields.insert("dotted.name", "d");
        log.fields.insert("message", "m");
        let chosen = encoder(options).chosen(&log);
        names.iter().map(|name| format!("{:?}", chosen.get(name))).collect()
    }

    #[test]
    fn the_short_form_is_the_codec() {
        assert_eq!(encoder(r#"encoding = "json""#), encoder(r#"encoding.codec = "json""#));
        assert_eq!(encoder(""), Encoder::new(Encoding::Text));
    }

    #[test]
    fn an_unknown_codec_says_which_there_are() {
        for options in [r#"encoding = "jsn""#, r#"encoding.codec = "jsn""#] {
            let (_, errors) = with(options, |fields| Encoder::read(fields, Encoding::Text));
            let errors = errors.unwrap();
            assert!(
                errors.contains("`json` or `text`") && errors.contains("did you mean `json`?"),
                "{errors}"
            );
        }
        let (_, errors) = with("encoding = 3", |fields| Encoder::read(fields, Encoding::Text));
        assert!(errors.unwrap().contains("a string or a table"));
        assert_eq!(with("decoding.codec = \"json\"", read_decoding), (Decoding::Json, None));
        assert_eq!(with("decoding = \"json\"", read_decoding), (Decoding::Json, None));
    }

    #[test]
    fn only_the_fields_that_are_wanted_are_written() {
        let names = ["message", "http.status", "http.at", "dotted.name"];
        assert_eq!(
            chosen(r#"encoding.only_fields = ["http.status", "dotted.name", "nothing"]"#, &names),
            ["None", "Some(Integer(200))", "None", r#"Some(Bytes(b"d"))"#]
        );
        assert_eq!(
            chosen(r#"encoding.except_fields = ["http.at", "dotted.name"]"#, &names),
            [r#"Some(Bytes(b"m"))"#, "Some(Integer(200))", "None", "None"]
        );
    }

    #[test]
    fn moments_can_be_written_as_seconds() {
        assert_eq!(chosen(r#"encoding.timestamp_format = "unix""#, &["http.at"]), ["Some(Integer(0))"]);
    }
}
