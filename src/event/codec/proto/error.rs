//! What may be wrong with a frame.
//!
//! Pure.

use std::fmt;

use super::MAX_FRAME;

/// Why a frame gives no event. The frames after it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are no message of the schema; says how.
    Malformed(String),
    /// There is no event in it, or one of a kind that came after this program.
    NoEvent,
    /// It is a trace.
    UnsupportedTrace,
    /// It is a metric without a value, or with one of a kind that came after this program.
    NoValue,
}

impl DecodeError {
    /// A short word for the label of a counter.
    pub fn kind(&self) -> &'static str {
        match self {
            DecodeError::Malformed(_) => "malformed",
            DecodeError::NoEvent => "no_event",
            DecodeError::UnsupportedTrace => "unsupported_trace",
            DecodeError::NoValue => "no_value",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Malformed(how) => write!(to, "the frame is not an event: {how}"),
            DecodeError::NoEvent => to.write_str("the frame holds no event that this version knows"),
            DecodeError::UnsupportedTrace => {
                to.write_str("the frame holds a trace; only logs and metrics are taken")
            }
            DecodeError::NoValue => {
                to.write_str("the metric in the frame has no value that this version knows")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why an event cannot be sent. Another try will not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncodeError {
    /// No peer would take a frame of this size.
    TooLarge {
        /// The size.
        bytes: usize,
    },
    /// No peer would read values nested so deep.
    TooDeep,
}

impl EncodeError {
    /// A short word for the label of a counter.
    pub fn kind(&self) -> &'static str {
        match self {
            EncodeError::TooLarge { .. } => "too_large",
            EncodeError::TooDeep => "too_deep",
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::TooLarge { bytes } => {
                write!(to, "the event is {bytes} bytes on the wire; peers take at most {MAX_FRAME}")
            }
            EncodeError::TooDeep => to.write_str("the event's values are nested deeper than peers read"),
        }
    }
}

impl std::error::Error for EncodeError {}
