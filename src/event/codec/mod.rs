//! Bytes to events and back.

mod choice;
pub mod framing;
mod json;
pub mod proto;
mod text;

#[rustfmt::skip]
#[expect(unreachable_pub, reason = "generated, for the modules beside it")]
mod wire;

#[cfg(test)]
mod generated;
#[cfg(test)]
mod samples;

pub use choice::{Decoding, Encoding, UnknownCodec};
pub use json::{NotAnObject, decode_json, encode_json};
pub use text::encode_text;
