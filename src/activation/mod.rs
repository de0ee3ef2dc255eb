//! Listening sockets: passed by systemd, handed over by a predecessor, or bound here. Nobody downstream
//! can tell which.
//!
//! Uses: base, sys.

mod bind;
pub mod claim;
mod inherited;
mod listener;
mod listeners;
mod socket_file;
#[cfg(test)]
mod tests;

pub use claim::{API_NAME, Review, STORE_NAME, STORE_PREFIX, Use};
pub use inherited::{Inherited, Origin, Passed};
pub use listener::{Accepted, Datagram, Listener, Peer, Sender};
pub use listeners::{HandedOver, Listeners, Wanted};
