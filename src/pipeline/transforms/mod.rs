//! What happens to events.

mod condition;
mod failures;
pub mod filter;
pub mod program;
pub mod remap;
pub mod route;
pub mod sample;
#[cfg(test)]
mod testing;
