//! From a line that a source read to an event: what `stdin`, `file` and `socket` have in common.
//!
//! Pure.

use bytes::Bytes;

use super::encoding::read_decoding;
use crate::{
    config::Fields,
    event::{
        Event, Key, Log, Map, Timestamp, Value,
        codec::{Decoding, decode_json},
    },
};

/// `host_key` and `decoding` of a source that reads lines.
#[derive(Debug, Clone)]
pub struct LineOptions {
    /// Where the machine's name goes; empty: nowhere.
    pub host_key: Key,
    /// What a line is.
    pub decoding: Decoding,
}

/// Makes events of lines.
#[derive(Debug, Clone)]
pub struct LineEvents {
    options: LineOptions,
    host: Value,
    source_type: &'static str,
    /// The usual: the name of the field `host` is `host`, the line is the message.
    usual: bool,
}

/// The line is not what `decoding` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotDecodable;

impl NotDecodable {
    /// For the counters of errors and of discarded events.
    pub const KIND: &'static str = "not_decodable";
}

impl LineOptions {
    /// Reads the options.
    pub fn read(fields: &mut Fields<'_>) -> Self {
        let host_key = fields.optional::<String>("host_key").map_or(Key::const_new(Log::HOST), Key::from);
        LineOptions { host_key, decoding: read_decoding(fields) }
    }
}

impl LineEvents {
    /// `host` is this machine's name, or the peer's; `source_type` the type of the source.
    pub fn new(options: LineOptions, host: Value, source_type: &'static str) -> Self {
        let usual = options.host_key == Log::HOST && options.decoding == Decoding::Bytes;
        LineEvents { options, host, source_type, usual }
    }

    /// The event of a line that came in at `at`, with one more field, `extra`, if wanted.
    ///
    /// What the line itself says (`timestamp`, `host`) is kept.
    ///
    /// # Errors
    ///
    /// When the line is not what `decoding` says.
    pub fn event(
        &self,
        line: Bytes,
        at: Timestamp,
        extra: Option<&(Key, Value)>,
    ) -> Result<Log, NotDecodable> {
        if self.usual {
            let Some((name, value)) = extra else {
                return Ok(Log::line(line, &self.host, self.source_type, at));
            };
            // Mostly `file`: before all others, so that each insertion is a push.
            let mut fields = Map::with_capacity(5);
            fields.insert(name.clone(), value.clone());
            fields.insert(Key::const_new(Log::HOST), self.host.clone());
            fields.insert(Key::const_new(Log::MESSAGE), line);
            fields.insert(Key::const_new(Log::SOURCE_TYPE), self.source_type);
            fields.insert(Key::const_new(Log::TIMESTAMP), at);
            return Ok(Log { fields });
        }
        let mut log = match self.options.decoding {
            Decoding::Bytes => {
                let mut log = Log::default();
                log.fields.insert(Key::const_new(Log::MESSAGE), line);
                log
            }
            Decoding::Json => decode_json(&line).map_err(|_| NotDecodable)?,
        };
        let mut add = |name: Key, value: &dyn Fn() -> Value| {
            if !name.is_empty() && log.fields.get(&name).is_none() {
                log.fields.insert(name, value());
            }
        };
        if let Some((name, value)) = extra {
            add(name.clone(), &|| value.clone());
        }
        add(self.options.host_key.clone(), &|| self.host.clone());
        add(Key::const_new(Log::SOURCE_TYPE), &|| self.source_type.into());
        add(Key::const_new(Log::TIMESTAMP), &|| at.into());
        Ok(log)
    }

    /// The events of `lines`, and how many lines were not what `decoding` says.
    pub fn batch(
        &self,
        lines: impl ExactSizeIterator<Item = Bytes>,
        at: Timestamp,
        extra: Option<&(Key, Value)>,
    ) -> (Vec<Event>, usize) {
        let count = lines.len();
        let mut events = Vec::with_capacity(count);
        events.extend(lines.filter_map(|line| self.event(line, at, extra).ok()).map(Event::Log));
        let failed = count - events.len();
        (events, failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(
        host_key: &str,
        decoding: Decoding,
        line: &'static str,
    ) -> Result<Vec<(String, Value)>, NotDecodable> {
        let options = LineOptions { host_key: host_key.into(), decoding };
        let events = LineEvents::new(options, "here".into(), "test");
        let log = events.event(line.into(), Timestamp::UNIX_EPOCH, None)?;
        Ok(log.fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    #[test]
    fn a_line_is_the_message_of_an_event() {
        let names = |host_key| {
            let fields = event(host_key, Decoding::Bytes, "text").unwrap();
            fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names("host"), ["host", "message", "source_type", "timestamp"]);
        assert_eq!(names("machine"), ["machine", "message", "source_type", "timestamp"]);
        assert_eq!(names(""), ["message", "source_type", "timestamp"]);
    }

    #[test]
    fn what_a_json_line_says_of_itself_is_kept() {
        let fields = event("host", Decoding::Json, r#"{"host":"there","n":1}"#).unwrap();
        assert_eq!(fields[0], ("host".to_owned(), Value::from("there")));
        assert_eq!(fields[1], ("n".to_owned(), Value::Integer(1)));
        assert_eq!(event("host", Decoding::Json, "{"), Err(NotDecodable));
    }
}
