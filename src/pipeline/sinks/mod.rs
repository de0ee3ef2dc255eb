//! Where events go.

mod chunk;
mod connection;
pub mod qovery;
pub mod socket;
