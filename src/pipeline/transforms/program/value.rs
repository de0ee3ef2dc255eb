//! Between the values of events and VRL's.
//!
//! Pure.
//!
//! Text is shared, never copied. VRL knows no `NaN`: it becomes null. VRL's regular expressions become their text.

use vrl::{
    prelude::NotNan,
    value::{ObjectMap, Value as Vrl},
};

use crate::event::{Key, Map, Value};

/// The value as VRL's.
pub(super) fn to_vrl(value: &Value) -> Vrl {
    match value {
        Value::Bytes(bytes) => Vrl::Bytes(bytes.clone()),
        Value::Integer(number) => Vrl::Integer(*number),
        Value::Float(number) => float(*number),
        Value::Boolean(value) => Vrl::Boolean(*value),
        Value::Timestamp(at) => Vrl::Timestamp(*at),
        Value::Map(map) => object(map),
        Value::Array(items) => Vrl::Array(items.iter().map(to_vrl).collect()),
        Value::Null => Vrl::Null,
    }
}

/// A float as VRL's value.
pub(super) fn float(number: f64) -> Vrl {
    NotNan::new(number).map_or(Vrl::Null, Vrl::Float)
}

/// A map as VRL's object.
pub(super) fn object(map: &Map) -> Vrl {
    // From a sorted iterator the tree is built in one go.
    Vrl::Object(map.iter().map(|(name, value)| (name.as_str().into(), to_vrl(value))).collect())
}

/// VRL's value as ours.
pub(super) fn to_event(value: Vrl) -> Value {
    match value {
        Vrl::Bytes(bytes) => Value::Bytes(bytes),
        Vrl::String(text) => Value::Bytes(text.into_bytes()),
        Vrl::Regex(regex) => Value::Bytes(regex.as_bytes()),
        Vrl::Integer(number) => Value::Integer(number),
        Vrl::Float(number) => Value::Float(number.into_inner()),
        Vrl::Boolean(value) => Value::Boolean(value),
        Vrl::Timestamp(at) => Value::Timestamp(at),
        Vrl::Object(object) => Value::Map(to_map(object)),
        Vrl::Array(items) => Value::Array(items.into_iter().map(to_event).collect()),
        Vrl::Null => Value::Null,
    }
}

/// VRL's object as a map.
pub(super) fn to_map(object: ObjectMap) -> Map {
    let mut map = Map::with_capacity(object.len());
    for (name, value) in object {
        map.insert(Key::from(String::from(name)), to_event(value));
    }
    map
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::Timestamp;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// Any value without `NaN`.
    pub(in super::super) fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Value::Bytes(Bytes::from(bytes))),
            any::<i64>().prop_map(Value::Integer),
            any::<f64>().prop_filter("VRL knows no NaN", |n| !n.is_nan()).prop_map(Value::Float),
            any::<bool>().prop_map(Value::Boolean),
            (-8_000_000_000_i64..8_000_000_000, 0_u32..1_000_000_000).prop_map(|(seconds, nanos)| {
                Value::Timestamp(Timestamp::from_timestamp(seconds, nanos).unwrap())
            }),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                maps(inner).prop_map(Value::Map),
            ]
        })
    }

    pub(in super::super) fn maps(
        values: impl Strategy<Value = Value> + 'static,
    ) -> impl Strategy<Value = Map> {
        proptest::collection::vec(("[a-d. é]{0,3}", values), 0..5)
            .prop_map(|entries| entries.into_iter().map(|(name, value)| (Key::from(name), value)).collect())
    }

    proptest! {
        #[test]
        fn any_value_survives_the_way_there_and_back(value in values()) {
            prop_assert_eq!(to_event(to_vrl(&value)), value);
        }
    }

    #[test]
    fn what_vrl_has_not_becomes_null_and_what_we_have_not_becomes_text() {
        assert_eq!(to_vrl(&Value::Float(f64::NAN)), Vrl::Null);
        assert_eq!(to_vrl(&Value::Float(f64::INFINITY)), float(f64::INFINITY));
        let regex = vrl::compiler::compile("r'a+'", &[]).unwrap().program;
        let mut runtime = vrl::compiler::runtime::Runtime::default();
        let mut target = vrl::compiler::TargetValue {
            value: Vrl::Object(ObjectMap::new()),
            metadata: Vrl::Null,
            secrets: vrl::value::Secrets::new(),
        };
        let made = runtime.resolve(&mut target, &regex, &vrl::compiler::TimeZone::default()).unwrap();
        assert_eq!(to_event(made), Value::from("a+"));
    }
}
