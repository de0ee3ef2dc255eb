//! The command line: argv → request → text and exit code.
//!
//! Uses: base, config, sys, activation, observability, pipeline, lifecycle, api, daemon.

pub mod args;
mod client;
mod daemon;
mod generate;
mod list;
mod print;
mod validate;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

use args::{Cli, Command};

/// Runs `qovery` with the arguments of the process.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os()))
}

/// Runs `qovery` with `args`, the program's name first; returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with code 0, mistakes to stderr with code 2. A closed pipe is no mistake.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    if cli.command.is_some() && cli.daemon != args::DaemonArgs::default() {
        let text = "flags of the daemon do not go with a command; those of a command stand after it";
        return print::error(text, 2);
    }
    match cli.command {
        None => daemon::run(cli.daemon, cli.socket),
        Some(Command::Status(args)) => client::status(&args, cli.socket),
        Some(Command::Reload(args)) => client::reload(&args, cli.socket),
        Some(Command::Validate(args)) => validate::run(&args),
        Some(Command::List(args)) => list::run(&args),
        Some(Command::Generate { what }) => generate::run(&what),
    }
}
