//! Events as `distribution/proto/event.proto` writes them: the protocol between `qovery`s, and with Vector.
//!
//! Numbers of all generations of the schema are read; those that every generation knows are written.
//!
//! Logs are nearly all the traffic, so they are read (`read`) and written (`write`) without anything in between,
//! as long as a log is written the way every known sender writes it. All else goes through the generated types
//! (`convert`), which also decide whether a frame is malformed.
//!
//! Pure.

mod convert;
mod error;
mod read;
mod write;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use self::write::Writer;
use super::wire;
use crate::event::Event;

pub use error::{DecodeError, EncodeError};

/// The most bytes a frame may have, its header not counted: 8 MiB. Vector closes the connection at one more.
pub const MAX_FRAME: usize = 8 * 1024 * 1024;

/// What came out of a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The event.
    pub event: Event,
    /// How many of its values had to be left out: those of no known kind, and moments that no calendar has.
    pub dropped_fields: usize,
}

/// Reads the payload of one frame. Texts of a log share the memory of `frame`.
///
/// Values nested deeper than about 30 maps (100 levels of the encoding) are malformed.
pub fn decode(frame: Bytes) -> Result<Decoded, DecodeError> {
    match read::log(&frame) {
        Some(log) => Ok(Decoded { event: Event::Log(log), dropped_fields: 0 }),
        None => decode_any(frame),
    }
}

/// Reads any frame, through the generated types.
fn decode_any(frame: Bytes) -> Result<Decoded, DecodeError> {
    let wrapper =
        wire::EventWrapper::decode(frame).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    match wrapper.event.ok_or(DecodeError::NoEvent)? {
        wire::event_wrapper::Event::Log(log) => Ok(convert::log(log)),
        wire::event_wrapper::Event::Metric(metric) => convert::metric(metric),
        wire::event_wrapper::Event::Trace(_) => Err(DecodeError::UnsupportedTrace),
    }
}

/// Appends the payload of a frame to `out`.
pub fn encode(event: &Event, out: &mut BytesMut) {
    match event {
        Event::Log(log) => {
            let log_len = write::log_len(log);
            Writer::append(out, write::log_event_len(log_len), |to| to.log_event(log, log_len));
        }
        Event::Metric(metric) => append_metric(&convert::from_metric(metric), out),
    }
}

/// Appends a frame to `out`: length and payload. If there is an error, `out` is as it was.
pub fn encode_frame(event: &Event, out: &mut BytesMut) -> Result<(), EncodeError> {
    match event {
        Event::Log(log) => {
            if write::too_deep(log) {
                return Err(EncodeError::TooDeep);
            }
            let log_len = write::log_len(log);
            let bytes = write::log_event_len(log_len);
            let header = header(bytes)?;
            Writer::append(out, header.len() + bytes, |to| {
                to.bytes(&header);
                to.log_event(log, log_len);
            });
        }
        Event::Metric(metric) => {
            let metric = convert::from_metric(metric);
            out.put_slice(&header(metric.encoded_len())?);
            append_metric(&metric, out);
        }
    }
    Ok(())
}

fn append_metric(metric: &wire::EventWrapper, out: &mut BytesMut) {
    metric.encode(out).expect("a BytesMut grows as needed");
}

fn header(bytes: usize) -> Result<[u8; 4], EncodeError> {
    match u32::try_from(bytes) {
        Ok(length) if bytes <= MAX_FRAME => Ok(length.to_be_bytes()),
        _ => Err(EncodeError::TooLarge { bytes }),
    }
}
