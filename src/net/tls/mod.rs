//! TLS by OpenSSL: options as the configuration has them, identities and trust from files, handshakes.

mod client;
mod files;
mod handshake;
mod identity;
mod legacy;
mod options;
mod server;
#[cfg(test)]
mod tests;

pub use client::ClientTls;
pub use handshake::HANDSHAKE_TIMEOUT;
pub use options::TlsOptions;
pub use server::ServerTls;
