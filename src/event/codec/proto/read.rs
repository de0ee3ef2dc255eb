//! Reads a log straight from its bytes, if it is written the usual way.
//!
//! Usual is: nothing but the fields; the name of each before its value; one kind in each value; all known.
//! Whatever is not, malformed or merely odd, is no answer (`None`): the generated types look at it then. So there is
//! one place that decides what is malformed, and this one only has to be right about what it takes.
//!
//! Pure.

use bytes::Bytes;

use crate::event::{Key, Log, Map, Timestamp, Value};

/// How many levels a log may have, counted as prost counts them. It stops at 100; those near that are left to it.
const LEVELS: u32 = 80;
/// Room is made for so many fields or items at once, whatever a frame announces.
const ROOM: usize = 64;

/// The log in `frame`, which is the payload of one.
pub(super) fn log(frame: &Bytes) -> Option<Log> {
    let mut reader = Reader { frame, bytes: frame, at: 0 };
    reader.tag(0x0a)?;
    let log = reader.message()?;
    if log.bytes.len() != frame.len() {
        return None;
    }
    Some(Log { fields: log.fields(LEVELS)? })
}

/// A place in a message.
struct Reader<'a> {
    frame: &'a Bytes,
    /// The frame up to the end of the message, so that no read gets beyond it.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Number and wire type of a field. All that we know take one byte.
    fn tag(&mut self, tag: u8) -> Option<()> {
        (self.byte()? == tag).then_some(())
    }

    fn begins_with(&self, tag: u8) -> bool {
        self.bytes.get(self.at) == Some(&tag)
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 { Some(first.into()) } else { self.long_varint(first) }
    }

    fn long_varint(&mut self, first: u8) -> Option<u64> {
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // Of the tenth byte one bit is left.
                return (shift < 63 || byte < 2).then_some(number);
            }
        }
        None
    }

    /// The message that begins here with its length. This reader goes on behind it.
    fn message(&mut self) -> Option<Reader<'a>> {
        let length = usize::try_from(self.varint()?).ok()?;
        let at = self.at;
        self.at = at.checked_add(length)?;
        Some(Reader { frame: self.frame, bytes: self.bytes.get(..self.at)?, at })
    }

    fn rest(self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// How many messages with `tag` follow, if nothing else does; `ROOM` if there are more.
    fn count(&self, tag: u8) -> Option<usize> {
        let mut reader = Reader { ..*self };
        let mut count = 0;
        while count < ROOM && !reader.is_done() {
            reader.tag(tag)?;
            reader.message()?;
            count += 1;
        }
        Some(count)
    }

    /// The body of a message that is a map of values.
    fn fields(mut self, levels: u32) -> Option<Map> {
        let levels = levels.checked_sub(3)?; // this message, the entry and the value
        let mut fields = Vec::with_capacity(self.count(0x0a)?);
        while !self.is_done() {
            self.tag(0x0a)?;
            let mut entry = self.message()?;
            let name = if entry.begins_with(0x0a) { entry.name()? } else { Key::const_new("") };
            entry.tag(0x12)?;
            let value = entry.message()?.value(levels)?;
            if !entry.is_done() {
                return None;
            }
            fields.push((name, value));
        }
        Some(Map::from(fields))
    }

    fn name(&mut self) -> Option<Key> {
        self.tag(0x0a)?;
        Key::from_utf8(self.message()?.rest()).ok()
    }

    fn items(mut self, levels: u32) -> Option<Vec<Value>> {
        let levels = levels.checked_sub(2)?; // this message and the value
        let mut items = Vec::with_capacity(self.count(0x0a)?);
        while !self.is_done() {
            self.tag(0x0a)?;
            items.push(self.message()?.value(levels)?);
        }
        Some(items)
    }

    fn value(mut self, levels: u32) -> Option<Value> {
        let value = match self.byte()? {
            0x0a => {
                let text = self.message()?;
                Value::Bytes(text.frame.slice(text.at..text.bytes.len()))
            }
            0x12 => Value::Timestamp(self.message()?.timestamp()?),
            // A signed number is its bits.
            0x20 => Value::Integer(self.varint()?.cast_signed()),
            0x29 => {
                let bits = *self.bytes[self.at..].first_chunk()?;
                self.at += bits.len();
                Value::Float(f64::from_le_bytes(bits))
            }
            0x30 => Value::Boolean(self.varint()? != 0),
            0x3a => Value::Map(self.message()?.fields(levels)?),
            0x42 => Value::Array(self.message()?.items(levels)?),
            0x48 => {
                self.varint()?;
                Value::Null
            }
            _ => return None,
        };
        self.is_done().then_some(value)
    }

    fn timestamp(mut self) -> Option<Timestamp> {
        // Zeros are left out.
        let (mut seconds, mut nanos) = (0, 0);
        if self.begins_with(0x08) {
            self.at += 1;
            seconds = self.varint()?.cast_signed();
        }
        if self.begins_with(0x10) {
            self.at += 1;
            nanos = self.varint()?;
        }
        if !self.is_done() {
            return None;
        }
        super::convert::moment(seconds, i64::try_from(nanos).ok()?)
    }
}
