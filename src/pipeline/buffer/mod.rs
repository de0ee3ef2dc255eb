//! What waits in front of a transform or a sink.
//!
//! The ends are [`Inlet`], held by producers, and [`Intake`], held by the consumer; what is between is chosen in the
//! configuration. There is one kind, in memory; the place of others is beside it.

mod intake;
mod memory;
mod options;
mod slot;

pub use intake::Intake;
pub use memory::{Inlet, Offer, WeakInlet, channel};
pub use options::{Memory, WhenFull};
pub use slot::Slot;
