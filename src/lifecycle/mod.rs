//! The life of the daemon: what it does when, and what it tells the service manager.
//!
//! Uses: base.
//!
//! [`machine`] decides. The daemon's loop feeds it with events, those of [`signals`] among them, and
//! performs its actions: [`phase`] tells programs, [`notify`] tells systemd. [`watchdog`] watches the loops.

pub mod machine;
pub mod notify;
pub mod phase;
pub mod phase_name;
pub mod signals;
pub mod watchdog;
