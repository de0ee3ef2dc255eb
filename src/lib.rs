#![doc = include_str!("ARCHITECTURE.md")]

// Bottom up: a module uses only modules above it, and only those its header names. `tests/tidy.rs` checks.
pub mod base;
pub mod event;
pub mod config;
pub mod sys;
pub mod activation;
pub mod observability;
pub mod net;
pub mod pipeline;
pub mod lifecycle;
pub mod api;
pub mod daemon;
pub mod cli;
