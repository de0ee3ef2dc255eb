//! Reads one JSON object as a log.
//!
//! Format.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::event::{Key, Log, Map, Value};

/// Why a line gives no log.
#[derive(Debug)]
pub struct NotAnObject(serde_json::Error);

impl fmt::Display for NotAnObject {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "not a JSON object: {}", self.0)
    }
}

impl std::error::Error for NotAnObject {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Reads a line that is one JSON object; its members are the fields. Texts without escapes share the line's memory.
///
/// Of members with the same name the last one counts. Texts stay texts, also those that look like moments. A number
/// without a fraction that 64 bits with a sign cannot hold becomes a float. Nesting deeper than 127 is an error.
pub fn decode_json(line: &Bytes) -> Result<Log, NotAnObject> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let fields = json.deserialize_map(Fields(line)).map_err(NotAnObject)?;
    json.end().map_err(NotAnObject)?;
    Ok(Log { fields })
}

/// Reads an object.
struct Fields<'a>(&'a Bytes);

/// Reads any value.
#[derive(Clone, Copy)]
struct AnyValue<'a>(&'a Bytes);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Map;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Map, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = members.next_key::<Name>()? {
            fields.push((name.0, members.next_value_seed(AnyValue(self.0))?));
        }
        Ok(Map::from(fields))
    }
}

impl<'de> DeserializeSeed<'de> for AnyValue<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue<'_> {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Boolean(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value, E> {
        // serde_json borrows from the line only.
        Ok(Value::Bytes(self.0.slice_ref(text.as_bytes())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Bytes(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = elements.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Value, A::Error> {
        Fields(self.0).visit_map(members).map(Value::Map)
    }
}

/// A name, without a `String` in between.
struct Name(Key);

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Name;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Name(Key::from(Cow::Borrowed(name))))
            }
        }
        from.deserialize_str(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::samples;
    use super::super::encode_json;
    use super::*;
    use crate::event::Event;
    use proptest::prelude::*;

    fn decode(line: &str) -> Result<Log, String> {
        decode_json(&Bytes::copy_from_slice(line.as_bytes())).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_is_a_log() {
        let line =
            Bytes::from_static(r#" {"b":[1,-2.5,true,null,{"c":"d"}],"a":"x","a":"\u00fc"} "#.as_bytes());
        let log = decode_json(&line).unwrap();
        let inner: Map = [("c".into(), "d".into())].into_iter().collect();
        let items =
            vec![Value::Integer(1), Value::Float(-2.5), Value::Boolean(true), Value::Null, Value::Map(inner)];
        assert_eq!(log.get("b"), Some(&Value::Array(items)));
        assert_eq!(log.get("a"), Some(&"ü".into()), "the last one counts");
        assert_eq!(log.fields.len(), 2);
    }

    #[test]
    fn whole_numbers_that_do_not_fit_become_floats() {
        let log =
            decode(r#"{"a":9223372036854775807,"b":9223372036854775808,"c":-9223372036854775808}"#).unwrap();
        assert_eq!(log.get("a"), Some(&Value::Integer(i64::MAX)));
        assert_eq!(log.get("b"), Some(&Value::Float(9_223_372_036_854_775_808.0)));
        assert_eq!(log.get("c"), Some(&Value::Integer(i64::MIN)));
    }

    #[test]
    fn anything_else_is_an_error_that_says_why() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        let lines = ["", "[]", "1", "\"x\"", "null", "{", "{} {}", "{\"a\":}", "{\"a\":\"\u{1}\"}", &deep];
        for line in lines {
            let error = decode(line).expect_err(line);
            assert!(error.starts_with("not a JSON object: "), "{error}");
        }
        decode_json(&Bytes::from_static(b"{\"a\":\"\xff\"}")).expect_err("not UTF-8");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let line = Bytes::from(line);
            let ours = decode_json(&line).is_ok();
            let other = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&line).is_ok();
            prop_assert_eq!(ours, other);
        }

        #[test]
        fn what_was_written_is_read_as_another_reader_reads_it(log in samples::any_log()) {
            let mut line = Vec::new();
            encode_json(&Event::Log(log), &mut line);
            let other = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(Value::Map(decode_json(&line.into()).unwrap().fields), model(other));
        }
    }

    fn model(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(truth) => Value::Boolean(truth),
            serde_json::Value::Number(number) => {
                number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Integer)
            }
            serde_json::Value::String(text) => text.into(),
            serde_json::Value::Array(items) => Value::Array(items.into_iter().map(model).collect()),
            serde_json::Value::Object(members) => {
                Value::Map(members.into_iter().map(|(name, json)| (name.into(), model(json))).collect())
            }
        }
    }
}
