//! Words and tools that know nothing about qovery.
//!
//! Uses: nothing.

pub mod addr;
pub mod backoff;
pub mod clock;
pub mod exit;
pub mod fault;
pub mod fs;
pub mod id;
pub mod scope;
pub mod text;
#[cfg(test)]
pub mod walk;
