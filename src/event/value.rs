//! Values of log fields.
//!
//! Pure.

use bytes::Bytes;

/// A field name. Up to 24 bytes are stored in place, without an allocation.
pub type Key = compact_str::CompactString;

/// A moment in UTC, to the nanosecond.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// What a field holds. Text is bytes: what a program writes need not be UTF-8.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text or any bytes.
    Bytes(Bytes),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A moment.
    Timestamp(Timestamp),
    /// Named values.
    Map(Map),
    /// Values in order.
    Array(Vec<Value>),
    /// Nothing.
    Null,
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Bytes(text.into())
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Value::Bytes(bytes)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Value::Timestamp(at)
    }
}

/// Named values, sorted by name; each name once.
///
/// A sorted vector: the few fields of an event sit side by side in memory, and reading them in order, as encoders do,
/// costs nothing. Adding names in ascending order is cheap as well.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map {
    entries: Vec<(Key, Value)>,
}

impl Map {
    /// An empty map.
    pub const fn new() -> Self {
        Map { entries: Vec::new() }
    }

    /// An empty map with room for `fields`.
    pub fn with_capacity(fields: usize) -> Self {
        Map { entries: Vec::with_capacity(fields) }
    }

    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.find(name).ok()?;
        Some(&self.entries[at].1)
    }

    /// The value called `name`, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let at = self.find(name).ok()?;
        Some(&mut self.entries[at].1)
    }

    /// Sets a value; returns the one it replaces.
    pub fn insert(&mut self, name: impl Into<Key>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        // Decoders and parsers mostly deliver names in order: look at the end first.
        if self.entries.last().is_none_or(|(last, _)| *last < name) {
            self.entries.push((name, value));
            return None;
        }
        match self.find(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                self.entries.insert(at, (name, value));
                None
            }
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.find(name).ok()?;
        Some(self.entries.remove(at).1)
    }

    /// Names and values, in order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &Value)> {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(key, _)| key.as_str().cmp(name))
    }
}

impl From<Vec<(Key, Value)>> for Map {
    /// Takes fields in any order; of those with the same name the last one counts. No slower for an unlucky order.
    fn from(mut entries: Vec<(Key, Value)>) -> Self {
        if !entries.is_sorted_by(|(name, _), (next, _)| name < next) {
            entries.sort_by(|(name, _), (next, _)| name.cmp(next));
            entries.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Map { entries }
    }
}

impl FromIterator<(Key, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Key, Value)>>(entries: I) -> Self {
        Map::from(entries.into_iter().collect::<Vec<_>>())
    }
}

impl IntoIterator for Map {
    type Item = (Key, Value);
    type IntoIter = std::vec::IntoIter<(Key, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_map_does_what_a_sorted_map_does(steps in proptest::collection::vec((any::<bool>(), "[a-e]{1,2}", any::<i64>()), 0..40)) {
            let mut ours = Map::new();
            let mut model = BTreeMap::new();
            for (insert, name, number) in steps {
                if insert {
                    prop_assert_eq!(ours.insert(&*name, number), model.insert(name, Value::Integer(number)));
                } else {
                    prop_assert_eq!(ours.remove(&name), model.remove(&name));
                }
                prop_assert_eq!(ours.len(), model.len());
                prop_assert!(ours.iter().map(|(name, value)| (name.as_str(), value)).eq(model.iter().map(|(n, v)| (n.as_str(), v))));
            }
        }

        #[test]
        fn a_map_of_fields_in_any_order_is_the_map_of_their_insertions(
            fields in proptest::collection::vec(("[a-e]{1,2}", any::<i64>()), 0..40),
        ) {
            let mut inserted = Map::new();
            for (name, number) in &fields {
                inserted.insert(&**name, *number);
            }
            let collected: Map = fields.into_iter().map(|(name, number)| (name.into(), number.into())).collect();
            prop_assert_eq!(collected, inserted);
        }
    }
}
