//! Connections.
//!
//! Uses: base, config, sys, activation.

/// How many connections may be open.
#[derive(Debug, Clone, Default)]
pub struct ConnectionLimit;
