//! What the daemon says and counts about itself.
//!
//! Uses: base, sys.
//!
//! The log: `tracing` events become records in a bounded queue; one thread writes them to the journal or to standard
//! error. A journal that is stopped, or a terminal that nobody reads, stalls that thread and nobody else: when the queue
//! is full, lines are dropped, counted, and the count is logged as soon as lines get through again. [`init`] starts it,
//! [`LogGuard`] writes what is left at the end, [`log_panics`] brings panics into it.

mod journald;
mod json;
mod layer;
pub mod metrics;
mod options;
mod panic;
mod queue;
mod record;
mod start;
mod stderr;
mod text;
mod writer;

pub use options::{Color, Format, Level, Options};
pub use panic::log_panics;
pub use start::{LogError, LogGuard, build, init};
