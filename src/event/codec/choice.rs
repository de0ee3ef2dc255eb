//! What `encoding.codec` and `decoding.codec` may say.
//!
//! Pure.

use std::{fmt, str::FromStr};

use super::{encode_json, encode_text};
use crate::event::Event;

/// How a sink writes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON object.
    Json,
    /// The message of a log, a metric as `name{tag="value"} 3`.
    Text,
}

/// What a source makes of a line or a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoding {
    /// It is the message.
    Bytes,
    /// It is one JSON object, whose members are the fields.
    Json,
}

/// A codec that there is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCodec {
    name: String,
    known: &'static [&'static str],
}

impl Encoding {
    /// Every name.
    pub const NAMES: &'static [&'static str] = &["json", "text"];

    /// Appends `event` to `out`, without a line end.
    pub fn encode(&self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Encoding::Json => encode_json(event, out),
            Encoding::Text => encode_text(event, out),
        }
    }
}

impl Decoding {
    /// Every name.
    pub const NAMES: &'static [&'static str] = &["bytes", "json"];
}

impl FromStr for Encoding {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        match name {
            "json" => Ok(Encoding::Json),
            "text" => Ok(Encoding::Text),
            _ => Err(UnknownCodec { name: name.to_owned(), known: Self::NAMES }),
        }
    }
}

impl FromStr for Decoding {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        match name {
            "bytes" => Ok(Decoding::Bytes),
            "json" => Ok(Decoding::Json),
            _ => Err(UnknownCodec { name: name.to_owned(), known: Self::NAMES }),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Encoding::Json => "json",
            Encoding::Text => "text",
        })
    }
}

impl fmt::Display for Decoding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Decoding::Bytes => "bytes",
            Decoding::Json => "json",
        })
    }
}

impl fmt::Display for UnknownCodec {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "there is no codec `{}` here; use `{}`", self.name, self.known.join("` or `"))
    }
}

impl std::error::Error for UnknownCodec {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_is_found_by_its_name() {
        for name in Encoding::NAMES {
            assert_eq!(name.parse::<Encoding>().unwrap().to_string(), *name);
        }
        for name in Decoding::NAMES {
            assert_eq!(name.parse::<Decoding>().unwrap().to_string(), *name);
        }
        let unknown = "yaml".parse::<Encoding>().unwrap_err().to_string();
        assert_eq!(unknown, "there is no codec `yaml` here; use `json` or `text`");
    }
}
