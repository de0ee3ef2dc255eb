//! Sources → transforms → sinks: moves events, and changes while it moves them.
//!
//! Uses: base, config, event, sys, activation, net, observability.
//!
//! A [`Plan`] is what should run, checked. [`Pipeline::prepare`] builds what is new in it and touches nothing that runs;
//! [`Pipeline::commit`] makes it so. Start, reload and stop are the same verb with another plan.

pub mod buffer;
pub mod component;
mod diff;
pub mod encoding;
pub mod kinds;
pub mod lines;
pub mod outlet;
mod plan;
pub mod sinks;
pub mod sources;
mod status;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;
mod topology;
pub mod transforms;

pub use plan::{OutputId, Plan, Planned, Role, Spec};
pub use status::{ComponentStatus, Snapshot};
pub use topology::{Applied, Ended, HEALTHCHECK_LIMIT, Pipeline, Prepared};
