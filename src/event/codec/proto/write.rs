//! Writes a log straight from its fields.
//!
//! A message stands behind its length, so lengths are computed first; then everything goes into space of just that size.
//!
//! Pure.

use bytes::BytesMut;

use crate::event::{Log, Map, Timestamp, Value};

/// How many levels of the encoding peers read.
const LEVELS: u32 = 100;

/// The size of `log` on the wire.
pub(super) fn log_len(log: &Log) -> usize {
    fields_len(&log.fields)
}

/// The size of the payload of a frame with a log of `log_len`.
pub(super) fn log_event_len(log_len: usize) -> usize {
    message_len(log_len)
}

/// Would peers refuse `log` because its values are nested too deep?
pub(super) fn too_deep(log: &Log) -> bool {
    log.fields.iter().any(|(_, value)| deeper(value, LEVELS - 3)) // the log, the entry and the value
}

fn deeper(value: &Value, levels: u32) -> bool {
    match value {
        Value::Map(map) => levels < 1 || map.iter().any(|(_, value)| levels < 3 || deeper(value, levels - 3)),
        Value::Array(items) => levels < 1 || items.iter().any(|item| levels < 2 || deeper(item, levels - 2)),
        Value::Timestamp(_) => levels < 1,
        _ => false,
    }
}

/// A tag of one byte, a length, and `bytes`.
fn message_len(bytes: usize) -> usize {
    1 + varint_len(bytes as u64) + bytes
}

fn varint_len(number: u64) -> usize {
    // 7 bits a byte, one byte for zero; 9/64 is near enough to 1/7 for 64 bits.
    let top = 63 - (number | 1).leading_zeros() as usize;
    (top * 9 + 73) / 64
}

fn fields_len(fields: &Map) -> usize {
    fields.iter().map(|(name, value)| message_len(entry_len(name, value_len(value)))).sum()
}

fn entry_len(name: &str, value: usize) -> usize {
    // A name is left out if it is empty, as zeros are.
    let name = if name.is_empty() { 0 } else { message_len(name.len()) };
    name + message_len(value)
}

fn value_len(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => message_len(bytes.len()),
        Value::Integer(number) => 1 + varint_len(number.cast_unsigned()),
        Value::Float(_) => 1 + 8,
        Value::Boolean(_) | Value::Null => 1 + 1,
        Value::Timestamp(at) => message_len(timestamp_len(at)),
        Value::Map(map) => message_len(fields_len(map)),
        Value::Array(items) => message_len(items_len(items)),
    }
}

fn items_len(items: &[Value]) -> usize {
    items.iter().map(|item| message_len(value_len(item))).sum()
}

fn timestamp_len(at: &Timestamp) -> usize {
    let (seconds, nanos) = (at.timestamp().cast_unsigned(), nanos(at));
    let len = |number: u64| if number == 0 { 0 } else { 1 + varint_len(number) };
    len(seconds) + len(nanos.into())
}

/// The nanoseconds of `at`. A leap second, which the wire has no way to say, stands at the end of the one before.
pub(super) fn nanos(at: &Timestamp) -> u32 {
    at.timestamp_subsec_nanos().min(999_999_999)
}

/// Space, filled from its front.
pub(super) struct Writer<'a> {
    space: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    /// Appends `bytes` bytes to `out`, which `fill` writes.
    pub(super) fn append(out: &mut BytesMut, bytes: usize, fill: impl FnOnce(&mut Writer<'_>)) {
        let start = out.len();
        out.resize(start + bytes, 0);
        let mut writer = Writer { space: &mut out[start..], at: 0 };
        fill(&mut writer);
        debug_assert_eq!(writer.at, bytes, "lengths are computed as values are written");
    }

    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        self.space[self.at..end].copy_from_slice(bytes);
        self.at = end;
    }

    /// The payload of a frame; `log_len` is that of `log`.
    pub(super) fn log_event(&mut self, log: &Log, log_len: usize) {
        self.begin(0x0a, log_len);
        self.fields(&log.fields);
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.space[self.at] = byte;
        self.at += 1;
    }

    #[inline]
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    /// Tag and length of a message.
    #[inline]
    fn begin(&mut self, tag: u8, bytes: usize) {
        if bytes < 0x80 {
            return self.bytes(&[tag, bytes as u8]);
        }
        self.byte(tag);
        self.varint(bytes as u64);
    }

    fn fields(&mut self, fields: &Map) {
        for (name, value) in fields.iter() {
            let value_len = value_len(value);
            self.begin(0x0a, entry_len(name, value_len));
            if !name.is_empty() {
                self.begin(0x0a, name.len());
                self.bytes(name.as_bytes());
            }
            self.begin(0x12, value_len);
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bytes(bytes) => {
                self.begin(0x0a, bytes.len());
                self.bytes(bytes);
            }
            Value::Timestamp(at) => {
                self.begin(0x12, timestamp_len(at));
                self.number(0x08, at.timestamp().cast_unsigned());
                self.number(0x10, nanos(at).into());
            }
            Value::Integer(number) => {
                self.byte(0x20);
                self.varint(number.cast_unsigned());
            }
            Value::Float(number) => {
                self.byte(0x29);
                self.bytes(&number.to_le_bytes());
            }
            Value::Boolean(truth) => self.bytes(&[0x30, u8::from(*truth)]),
            Value::Map(map) => {
                self.begin(0x3a, fields_len(map));
                self.fields(map);
            }
            Value::Array(items) => {
                self.begin(0x42, items_len(items));
                for item in items {
                    self.begin(0x0a, value_len(item));
                    self.value(item);
                }
            }
            Value::Null => self.bytes(&[0x48, 0]),
        }
    }

    /// A number of a timestamp, which is left out if it is zero.
    fn number(&mut self, tag: u8, number: u64) {
        if number != 0 {
            self.byte(tag);
            self.varint(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_a_byte_for_seven_bits() {
        for bits in 0..64 {
            for number in [1_u64 << bits, (1 << bits) - 1, u64::MAX >> bits] {
                assert_eq!(varint_len(number), prost::encoding::encoded_len_varint(number), "{number}");
            }
        }
    }
}
