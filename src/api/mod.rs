//! The control socket: how clients and the daemon talk.
//!
//! HTTP/1.1 with JSON on a Unix socket. All of it is one table, [`routes::ROUTES`].
//!
//! Uses: base, sys, activation, net, pipeline.

pub mod access;
pub mod client;
pub mod routes;
pub mod server;
pub mod types;

pub use client::Client;
pub use routes::{Command, Handle};
