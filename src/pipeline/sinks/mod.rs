//! Where events go.

pub mod blackhole;
pub mod console;
mod writer;
