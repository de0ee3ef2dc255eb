//! `qovery` without a command: the daemon.

use std::path::PathBuf;

use super::{
    args::{Color, DaemonArgs, LogFormat},
    print, validate,
};
use crate::{
    activation::Inherited,
    config::{DaemonOptions, Origin},
    daemon::{Background, Options, Server, environment::variable, into_background},
    observability as log,
};

pub(super) fn run(args: DaemonArgs, socket: Option<PathBuf>) -> u8 {
    if args.dry_run {
        return validate::check(args.config, false, args.quiet > 0);
    }
    if args.upgrade {
        return print::error("this version cannot take over from a running daemon: restart the service", 69);
    }
    // First of all, while there is one thread: sockets that were passed are taken, and nobody else gets them.
    let inherited = match Inherited::take_from_env() {
        Ok(inherited) => inherited,
        Err(error) => return print::error(&error.to_string(), 71),
    };
    let origin =
        if args.config.is_empty() { Origin::default() } else { Origin { paths: args.config.clone() } };
    let options = Options {
        origin,
        require_healthy: args.require_healthy,
        threads: args.threads,
        watch: args.watch_config,
        socket,
        inherited,
    };
    let server = match Server::new(options) {
        Ok(server) => server,
        Err(refusal) => {
            print::note(&refusal.text);
            return refusal.code;
        }
    };
    let background = if args.daemon {
        let options = &server.config().global.daemon;
        match into_background(options) {
            Ok(Background::Parent(0)) | Ok(Background::Between) => return 0,
            Ok(Background::Parent(code)) => return print::error(&not_started(code, options), code),
            Ok(Background::Daemon(pid_file, starter)) => Some((pid_file, starter)),
            Err(fault) => return print::error(&fault.to_string(), fault.class.code()),
        }
    } else {
        None
    };
    // Starts a thread, so not before; dropped last, so that the last words are written.
    let _log = match log::init(&log_options(&args)) {
        Ok(log) => log,
        Err(error) => return print::error(&error.to_string(), 71),
    };
    log::log_panics();
    let Some((_pid_file, starter)) = background else { return server.run_forever().code() };
    let phases = server.watch_execution_phase();
    starter.follow(phases, || server.run_forever()).code()
}

/// For the terminal, where the daemon's own words do not go.
fn not_started(code: u8, options: &DaemonOptions) -> String {
    let why = options.error_log.as_ref().map_or_else(
        || "start it without --daemon, or with `daemon.error_log`, to see why".to_owned(),
        |log| format!("{} says why", log.display()),
    );
    format!("the daemon did not start and has ended with {code}; {why}")
}

fn log_options(args: &DaemonArgs) -> log::Options {
    let options = log::Options {
        level: log::Level::from_counts(args.quiet, args.verbose),
        format: args.log_format.map(|format| match format {
            LogFormat::Text => log::Format::Text,
            LogFormat::Json => log::Format::Json,
            LogFormat::Journald => log::Format::Journald,
        }),
        color: match args.color {
            Color::Auto => log::Color::Auto,
            Color::Always => log::Color::Always,
            Color::Never => log::Color::Never,
        },
        ..log::Options::default()
    };
    options.with_environment(variable)
}
