//! A log line, as fields.
//!
//! Pure.

use bytes::Bytes;

use super::{Key, Map, Timestamp, Value};

/// A log line: named values, `message`, `timestamp` and `host` among them by custom.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Log {
    /// The fields.
    pub fields: Map,
}

impl Log {
    /// Where the text of a line stands.
    pub const MESSAGE: &'static str = "message";
    /// When it was written or, failing that, received.
    pub const TIMESTAMP: &'static str = "timestamp";
    /// The machine it comes from.
    pub const HOST: &'static str = "host";
    /// The type of the source that made the event.
    pub const SOURCE_TYPE: &'static str = "source_type";

    /// A line as `stdin`, `file` and `socket` sources make it: `host`, `message`, `source_type`, `timestamp`.
    pub fn line(message: Bytes, host: &Value, source_type: &'static str, at: Timestamp) -> Self {
        // In order of the names, so that each insertion is a push.
        let mut fields = Map::with_capacity(4);
        fields.insert(Key::const_new(Self::HOST), host.clone());
        fields.insert(Key::const_new(Self::MESSAGE), message);
        fields.insert(Key::const_new(Self::SOURCE_TYPE), source_type);
        fields.insert(Key::const_new(Self::TIMESTAMP), at);
        Log { fields }
    }

    /// The field at `path`: names joined by dots, array items as `[0]`, as in `http.request.headers[2]`.
    ///
    /// A name with a dot in it is found by [`Map::get`] only.
    pub fn get(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.fields.get(path) {
            return Some(value);
        }
        let mut segments = path.split('.');
        let (name, items) = split_items(segments.next()?);
        let mut value = walk_items(self.fields.get(name)?, items)?;
        for segment in segments {
            let (name, items) = split_items(segment);
            let Value::Map(map) = value else { return None };
            value = walk_items(map.get(name)?, items)?;
        }
        Some(value)
    }
}

/// `a[0][1]` is `a` and `[0][1]`.
fn split_items(segment: &str) -> (&str, &str) {
    segment.split_at(segment.find('[').unwrap_or(segment.len()))
}

fn walk_items<'a>(mut value: &'a Value, items: &str) -> Option<&'a Value> {
    for item in items.split('[').skip(1) {
        let Value::Array(array) = value else { return None };
        value = array.get(item.strip_suffix(']')?.parse::<usize>().ok()?)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_through_maps_and_arrays() {
        let mut inner = Map::new();
        inner.insert("b", Value::Array(vec![Value::Integer(1), Value::Array(vec![Value::Boolean(true)])]));
        let mut log = Log::default();
        log.fields.insert("a", Value::Map(inner));
        log.fields.insert("dotted.name", 7);

        assert_eq!(log.get("a.b[0]"), Some(&Value::Integer(1)));
        assert_eq!(log.get("a.b[1][0]"), Some(&Value::Boolean(true)));
        assert_eq!(log.get("dotted.name"), Some(&Value::Integer(7)));
        for nowhere in ["", "a.c", "a.b[9]", "a.b[", "a.b[x]", "a[0]", "a.b.c", ".", "a."] {
            assert_eq!(log.get(nowhere), None, "{nowhere:?}");
        }
    }
}
