//! The one door to the operating system.
//!
//! Uses: nothing.

pub mod poll;
