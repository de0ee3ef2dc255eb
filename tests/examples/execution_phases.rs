//! Embeds the daemon and follows its phases: `cargo run --example execution_phases -- qovery.toml`.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::{path::PathBuf, process::ExitCode, thread};

use qovery::{
    config::Origin,
    daemon::{Options, Server},
    lifecycle::phase::ExecutionPhase,
};

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let options = Options { origin: Origin { paths }, ..Options::default() };
    let server = match Server::new(options) {
        Ok(server) => server,
        Err(refusal) => {
            print!("{}", refusal.text);
            return refusal.code.into();
        }
    };

    // Phases come on a channel of their own, to threads as well as to tasks.
    let mut phases = server.watch_execution_phase();
    let listener = thread::spawn(move || {
        while let Ok(phase) = phases.blocking_recv() {
            println!("{}", phase.name());
            if let ExecutionPhase::Running(runtime) = phase {
                // While the daemon's runtime is active, the phase carries a handle to it.
                runtime.spawn(async { println!("a task in the daemon's runtime") });
            }
        }
    });

    let exit = server.run_forever();
    // The server is gone, and the channel with it: the listener has seen all phases.
    let _ = listener.join();
    exit.into()
}
