#![doc = include_str!("ARCHITECTURE.md")]

// Bottom up: a module uses only modules above it, and only those its header names. `tests/tidy.rs` checks.
pub mod base;
pub mod event;
pub mod lifecycle;
pub mod observability;
pub mod sys;
