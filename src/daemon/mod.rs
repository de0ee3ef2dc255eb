//! Where the parts meet; nobody else knows them all.
//!
//! Uses: base, config, event, sys, activation, observability, net, pipeline, lifecycle, api.

mod background;
pub mod environment;
pub mod load;
pub mod paths;
mod reload;
mod control;
mod run;
mod server;
mod shown;
mod watch;

pub use background::{Background, PidFile, Starter, into_background};
pub use server::{Options, Server};
