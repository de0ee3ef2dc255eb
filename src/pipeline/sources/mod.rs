//! Where events come from.

pub mod demo;
pub mod internal_metrics;
pub mod stdin;
