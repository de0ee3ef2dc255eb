//! qovery as its users meet it: the real binary, real signals, real sockets.
//!
//! Each test has a folder and a process of its own, waits for what it expects to happen (never for a while), and leaves
//! nothing behind. Unit tests beside the code show the corners; these show that the parts fit together.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "starts processes and watches them from outside; nothing of it is in the product"
)]

mod cli;
mod config;
mod lifecycle;
mod limits;
mod pipeline;
mod reload;
mod support;
