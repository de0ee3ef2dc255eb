//! Where events go.

pub mod blackhole;
pub mod console;
pub mod file;
mod writer;
