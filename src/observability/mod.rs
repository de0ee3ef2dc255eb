//! What the daemon says and counts about itself.
//!
//! Uses: base.

pub mod metrics;
