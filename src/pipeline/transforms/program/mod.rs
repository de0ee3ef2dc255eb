//! Programs in VRL, the language of `remap` and of conditions: read, compiled, run on events.
//!
//! A program names most fields it uses. Only those are converted to VRL's values, and only those it changed are
//! converted back; see `run.rs`.

pub mod compile;
mod metric;
mod nesting;
mod options;
mod run;
mod target;
mod value;

pub use compile::{Problem, Program, Use};
pub(super) use options::line_and_column;
pub use options::{Source, read_source};
pub use run::{Changed, Runner, Stopped};
