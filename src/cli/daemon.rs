//! `qovery` without a command: the daemon.

use super::{args::DaemonArgs, print, validate};
use crate::{
    activation::Inherited,
    config::Origin,
    daemon::{Background, Options, Server, into_background},
};

pub(super) fn run(args: DaemonArgs) -> u8 {
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
        socket: args.socket.clone(),
        inherited,
    };
    let server = match Server::new(options) {
        Ok(server) => server,
        Err(refusal) => {
            print::note(&refusal.text);
            return refusal.code;
        }
    };
    let _pid_file = if args.daemon {
        match into_background(&server.config().global.daemon) {
            Ok(Background::Parent) => return 0,
            Ok(Background::Daemon(pid_file)) => Some(pid_file),
            Err(fault) => return print::error(&fault.to_string(), fault.class.code()),
        }
    } else {
        None
    };
    server.run_forever().code()
}
