//! Connections: accepted or made, plain or TLS, over TCP or a Unix socket.
//!
//! Uses: base, config, sys, activation.

mod accept;
mod connect;
mod limit;
mod pace;
mod remote;
mod stream;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod tls;

pub use accept::{Acceptor, Connection};
pub use connect::connect;
pub use limit::{ConnectionLimit, ConnectionPermit};
pub use remote::RemoteAddr;
pub use stream::Stream;
pub use tls::{ClientTls, ServerTls, TlsOptions};
