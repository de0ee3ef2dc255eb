//! What the tests stand on.

mod peer;
mod process;
mod qovery;
mod seen;
mod tls;
mod wait;

pub(crate) use peer::{Peer, frame, frames, free_address, log};
pub(crate) use process::{Finished, Process, run};
pub(crate) use qovery::{Qovery, Running};
pub(crate) use seen::Seen;
pub(crate) use tls::{Identity, name_shown_at};
pub(crate) use wait::{pause, until, until_some};
