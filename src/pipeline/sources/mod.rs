//! Where events come from.

pub(in crate::pipeline) mod connections;
mod conversation;
pub mod demo;
pub mod file;
pub mod internal_metrics;
pub mod qovery;
mod receive;
mod seldom;
pub mod socket;
pub mod stdin;
#[cfg(test)]
mod testing;
