//! Listening sockets.
//!
//! Uses: base, sys.

/// Listening sockets, kept over reloads.
#[derive(Debug, Default)]
pub struct Listeners;
