//! The configuration: files, then a tree with places, then what the rest of the crate reads.
//!
//! Every mistake of a run comes in one [`Report`], each with its place and what would be right. That is why serde is
//! not used here: it stops at the first. A reader of options is a [`Fields`]; see its example.
//!
//! Uses: base.

pub mod diagnostic;
pub mod fields;
pub mod from_node;
pub mod globals;
pub mod interpolate;
pub mod load;
pub mod merge;
pub mod node;
pub mod parse;
pub mod repair;
pub mod report;
pub mod types;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use fields::{Fields, TextOrTable};
pub use from_node::{ByteSize, FromNode, Mistake, Secs, choice, from_text};
pub use load::{Draft, Origin, Watched, from_texts, load};
pub use node::{Node, NodeKind, Span, Table};
pub use report::{Files, Report};
pub use types::{ApiOptions, Component, Config, DaemonOptions, Global, Shutdown};

#[cfg(test)]
mod tests;
