//! Where events go.

pub mod blackhole;
mod chunk;
mod connection;
pub mod console;
pub mod file;
pub mod qovery;
pub mod socket;
mod writer;
