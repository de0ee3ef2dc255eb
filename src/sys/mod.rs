//! The kernel.
//!
//! Uses: base.
