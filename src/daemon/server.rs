//! The daemon as a library: [`Server`], with Pingora's interface (spec 3).

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{broadcast, mpsc, watch},
};
use tracing::{debug, error, warn};

use super::{
    control,
    environment::{host_name, variable_os},
    load::{self, Loaded, Refusal},
    paths,
    run::Daemon,
    shown::{Shown, Waiters},
};
use crate::{
    activation::Inherited,
    base::{clock::Clock, exit::Exit, scope::Scope},
    config::{Config, Origin},
    event::Value,
    lifecycle::{
        notify::{Notifier, ServiceManager},
        phase::{ExecutionPhase, Phases},
        signals::Signals,
        watchdog::{self, Heartbeats},
    },
    net::ConnectionLimit,
    observability::metrics::Metrics,
    pipeline::{Pipeline, component::Shared},
    sys::fds::raise_file_limit,
};

/// The limit of open files that is assumed where it cannot be read.
const FEW_FILES: u64 = 256;

/// The longest that a heartbeat of the daemon's own loops may be late.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(10);

/// Commands of clients that wait. When it is full, clients wait.
const COMMANDS_MAX: usize = 32;

/// How long tasks may take to end when the runtime is shut down.
const RUNTIME_LIMIT: Duration = Duration::from_millis(500);

/// How to run the daemon.
#[derive(Debug, Default)]
pub struct Options {
    /// Where the configuration is.
    pub origin: Origin,
    /// Refuse a configuration with a sink that fails its health check.
    pub require_healthy: bool,
    /// Worker threads; the configuration's number, else one for each core, if `None`.
    pub threads: Option<NonZeroUsize>,
    /// Reload when a configuration file changes.
    pub watch: bool,
    /// The control socket; see [`paths::control_socket`].
    pub socket: Option<PathBuf>,
    /// What was passed to this process; see [`Inherited::take_from_env`].
    pub inherited: Inherited,
}

/// The daemon.
///
/// It makes its own runtime, so it must not be run within one.
///
/// ```no_run
/// use qovery::{daemon::{Options, Server}, lifecycle::phase::ExecutionPhase};
///
/// let server = Server::new(Options::default()).unwrap_or_else(|refusal| panic!("{}", refusal.text));
/// let mut phases = server.watch_execution_phase();
/// std::thread::spawn(move || {
///     while let Ok(phase) = phases.blocking_recv() {
///         if let ExecutionPhase::Running(runtime) = phase {
///             runtime.spawn(async { /* within the daemon's runtime */ });
///         }
///     }
/// });
/// let exit = server.run_forever();
/// ```
#[derive(Debug)]
pub struct Server {
    options: Options,
    loaded: Loaded,
    phases: Phases,
}

impl Server {
    /// Reads and checks the configuration. Binds nothing, starts nothing.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the configuration.
    pub fn new(options: Options) -> Result<Self, Box<Refusal>> {
        let loaded = load::check(&options.origin)?;
        let phases = Phases::new();
        phases.announce(ExecutionPhase::Setup);
        Ok(Server { options, loaded, phases })
    }

    /// Every phase from now on. Subscribe before [`run_forever`](Self::run_forever) to miss none.
    pub fn watch_execution_phase(&self) -> broadcast::Receiver<ExecutionPhase> {
        self.phases.subscribe()
    }

    /// The configuration as it was read.
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// Runs until the end of the daemon's life; returns how it ended. Returns to the caller, unlike Pingora's, so that
    /// destructors run; the process should exit with [`Exit::code`].
    pub fn run_forever(self) -> Exit {
        let clock = Clock::start();
        let manager = ServiceManager::read(variable_os, std::process::id());
        let notifier = Notifier::of(&manager);
        let threads = self.options.threads.or(self.loaded.config.global.threads);
        let runtime = match runtime(threads) {
            Ok(runtime) => runtime,
            Err(error) => {
                error!(%error, "cannot start the runtime");
                return Exit::System;
            }
        };
        let phases = self.phases.clone();
        let exit = runtime.block_on(self.live(clock, &manager, notifier));
        phases.announce(ExecutionPhase::ShutdownRuntimes);
        runtime.shutdown_timeout(if exit == Exit::Interrupted { Duration::ZERO } else { RUNTIME_LIMIT });
        phases.announce(ExecutionPhase::Terminated);
        exit
    }

    async fn live(self, clock: Clock, manager: &ServiceManager, notifier: Notifier) -> Exit {
        let Server { mut options, loaded, phases } = self;
        let signals = match Signals::install() {
            Ok(signals) => signals,
            Err(error) => {
                error!(%error, "cannot listen to signals");
                return Exit::System;
            }
        };
        let global = loaded.config.global.clone();
        let inherited = std::mem::take(&mut options.inherited);
        let (listeners, control) = match control::open(inherited, options.socket.as_deref(), &global) {
            Ok(opened) => opened,
            Err(fault) => {
                error!("{fault}");
                notifier.failure(None, &fault.to_string());
                return super::reload::exit_of(&fault);
            }
        };
        let files = raise_file_limit().map_or_else(
            |error| {
                warn!(%error, "cannot raise the limit of open files, going on with a low one");
                FEW_FILES
            },
            |limit| limit.now,
        );
        let (reopen, reopened) = watch::channel(0);
        let shared = Shared {
            host: Value::from(host_name()),
            data_dir: paths::data_dir(global.data_dir.as_deref()),
            connections: ConnectionLimit::for_sources(files),
            metrics: Metrics::default(),
            reopen: reopened,
        };
        let heartbeats = Heartbeats::new(clock);
        let mut scope = Scope::default();
        // Bounded: a client whose command finds no place waits for one.
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        control.serve(&mut scope, commands);
        if let Some(interval) = manager.watchdog {
            let probe = heartbeats.register("runtime", HEARTBEAT_LIMIT);
            let (beats, notifier) = (heartbeats.clone(), notifier.clone());
            scope.spawn("runtime probe", |shutdown| watchdog::probe_runtime(probe, shutdown));
            scope.spawn("watchdog", move |shutdown| watchdog::feed(beats, notifier, interval, shutdown));
        }
        let daemon = Daemon {
            options,
            clock,
            global,
            pipeline: Pipeline::new(shared, listeners),
            signals,
            notifier,
            phases,
            commands: received,
            heartbeat: heartbeats.register("daemon", HEARTBEAT_LIMIT),
            reopen,
            waiters: Waiters::default(),
            shown: Shown::default(),
            applying: None,
            watch: None,
        };
        let exit = daemon.run(loaded).await;
        for late in scope.stop(RUNTIME_LIMIT).await {
            debug!(task = late, "a task had to be aborted");
        }
        exit
    }
}

fn runtime(threads: Option<NonZeroUsize>) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads.get());
    }
    builder.thread_name("qovery").enable_all().build()
}
