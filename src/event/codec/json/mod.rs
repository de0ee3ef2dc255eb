//! JSON: any event is written, a log is read.

mod read;
mod write;

pub use read::{NotAnObject, decode_json};
pub use write::encode_json;
pub(super) use write::float;
