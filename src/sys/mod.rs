//! The contract with the operating system: every `unsafe`, every `libc`, every `cfg(target_os)` is in here.
//!
//! Uses: base.

pub mod fds;
pub mod passed;
pub mod poll;
pub mod process;
pub mod tcp;
pub mod usage;
