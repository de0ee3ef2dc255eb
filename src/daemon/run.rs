//! The one loop: signals, clients, the pipeline, time → the lifecycle machine → actions.

use std::{collections::VecDeque, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{error, info, warn};

use super::{
    load::Loaded,
    reload::{Applying, Progress, Refused, exit_of},
    server::Options,
    shown::{Shown, Waiters},
    watch::Watch,
};
use crate::{
    api::{
        Command,
        types::{Problem, Reloaded},
    },
    base::{clock::Clock, exit::Exit},
    config::{Global, Watched},
    lifecycle::{
        machine::{Action, Event, Lifecycle, Limits, Phase, Request},
        notify::Notifier,
        phase::{ExecutionPhase, Phases},
        phase_name::PhaseName,
        signals::{Signal, Signals},
        watchdog::Heartbeat,
    },
    pipeline::{Ended, Pipeline},
};

/// How often the loop looks after what nobody tells it: its heartbeat, its line in `systemctl status`.
const TICK: Duration = Duration::from_secs(1);

/// How many ticks pass between two lines that say what a stop is waiting for.
const PROGRESS_TICKS: u64 = 5;

/// How long what was aborted may take to let go, after the last deadline.
const LETTING_GO: Duration = Duration::from_secs(2);

/// All that the loop owns.
pub(super) struct Daemon {
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) global: Global,
    pub(super) pipeline: Pipeline,
    pub(super) signals: Signals,
    pub(super) notifier: Notifier,
    pub(super) phases: Phases,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) heartbeat: Heartbeat,
    /// Bumped when files should be opened anew.
    pub(super) reopen: watch::Sender<u64>,
    pub(super) waiters: Waiters,
    pub(super) shown: Shown,
    /// A configuration on its way.
    pub(super) applying: Option<Applying>,
    /// With `--watch-config`.
    pub(super) watch: Option<Watch>,
}

/// What woke the loop up.
enum Wake {
    Signal(Signal),
    Deadline,
    Pipeline(Ended),
    Applying(Progress),
    Command(Command),
    Changed,
    Tick,
}

impl Daemon {
    /// Runs until the end of the daemon's life; `first` is its first configuration.
    pub(super) async fn run(mut self, first: Loaded) -> Exit {
        let mut first = Some(first);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = 0_u64;
        let (mut life, actions) = Lifecycle::start(limits(&self.global), self.clock.now());
        let mut actions = VecDeque::from(actions);
        loop {
            while let Some(action) = actions.pop_front() {
                if let Action::Exit(exit) = action {
                    return self.end(exit).await;
                }
                if let Some(event) = self.perform(action, &mut first) {
                    actions.extend(life.step(event, self.clock.now()));
                }
            }
            // What is a state of the pipeline rather than a piece of news is looked at each time round.
            if let Some(event) = self.level(life.phase()) {
                actions.extend(life.step(event, self.clock.now()));
                continue;
            }
            // Each branch is cancel safe, as its own documentation says: what is not returned now is returned by the
            // next call. Biased, so that a signal to stop is not kept waiting by a busy client.
            let wake = tokio::select! {
                biased;
                signal = self.signals.next() => Wake::Signal(signal),
                () = self.clock.until(life.deadline()) => Wake::Deadline,
                ended = self.pipeline.next() => Wake::Pipeline(ended),
                progress = or_never(self.applying.as_mut(), Applying::progress) => Wake::Applying(progress),
                Some(command) = self.commands.recv() => Wake::Command(command),
                () = or_never(self.watch.as_mut(), Watch::changed) => Wake::Changed,
                _ = ticks.tick() => Wake::Tick,
            };
            self.heartbeat.beat();
            let event = match wake {
                Wake::Signal(signal) => Some(self.on_signal(signal)),
                Wake::Deadline => Some(Event::Deadline),
                Wake::Pipeline(ended) => on_ended(ended),
                Wake::Applying(progress) => self.on_progress(progress),
                Wake::Command(command) => self.on_command(command),
                Wake::Changed => {
                    info!("the configuration has changed, reloading");
                    Some(Event::Reload)
                }
                Wake::Tick => {
                    tick += 1;
                    self.on_tick(life.phase(), tick);
                    None
                }
            };
            if let Some(event) = event {
                life.set_limits(limits(&self.global));
                actions.extend(life.step(event, self.clock.now()));
            }
        }
    }

    /// Does it; some actions are answered at once.
    fn perform(&mut self, action: Action, first: &mut Option<Loaded>) -> Option<Event> {
        match action {
            Action::Apply => {
                self.waiters.begin();
                self.applying = Some(match first.take() {
                    Some(loaded) => Applying::loaded(loaded),
                    None => Applying::read(self.options.origin.clone()),
                });
            }
            Action::Announce(phase) => self.announce(phase),
            Action::Notify(notice) => self.notifier.notice(notice, None),
            Action::Refuse(request) => self.refuse(request),
            Action::StartSuccessor => {
                warn!("this version cannot hand over to a successor: restart the service to upgrade it");
                return Some(Event::SuccessorGone);
            }
            // None was started.
            Action::KillSuccessor => {}
            Action::CloseConnections => {
                self.applying = None;
                self.watch = None;
                self.waiters.refuse_all(&Problem::new("stopping", "the daemon is stopping", 69));
                self.pipeline.stop_sources(self.global.shutdown.connections);
            }
            Action::CutConnections => {
                for source in self.pipeline.cut_sources() {
                    warn!(%source, "its connections are still open at the deadline, cutting them off");
                }
            }
            // Sinks deliver what they hold, open batches at once, when the last producer has ended.
            Action::FlushBuffers => {}
            Action::Exit(_) => unreachable!("ends the loop before"),
        }
        None
    }

    /// What is true of the pipeline, as the event that the machine waits for in `phase`.
    fn level(&self, phase: Phase) -> Option<Event> {
        match phase {
            Phase::Serving if self.shown.has_sources && !self.pipeline.has_sources() => {
                Some(Event::SourcesEnded)
            }
            Phase::Closing { .. } if !self.pipeline.has_sources() => Some(Event::ConnectionsClosed),
            Phase::Flushing { .. } if self.pipeline.is_idle() => Some(Event::BuffersEmpty),
            Phase::Starting { .. }
            | Phase::Serving
            | Phase::Reloading { .. }
            | Phase::HandingOver { .. }
            | Phase::Closing { .. }
            | Phase::Flushing { .. }
            | Phase::Exited => None,
        }
    }

    fn on_signal(&mut self, signal: Signal) -> Event {
        info!(?signal, "received a signal");
        match signal {
            Signal::Terminate => Event::Stop,
            Signal::Interrupt => Event::Interrupt,
            Signal::Quit => Event::Upgrade,
            Signal::Hangup => {
                // Also for files that were rotated, whatever comes of the reload.
                self.reopen.send_modify(|times| *times += 1);
                Event::Reload
            }
        }
    }

    fn on_command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Status(reply) => {
                // The client may have left; then nobody wants it.
                let _ = reply.send(self.shown.status(self.clock.now(), self.pipeline.snapshot()));
                None
            }
            Command::Reload(reply) => {
                self.waiters.add(reply);
                Some(Event::Reload)
            }
        }
    }

    fn on_progress(&mut self, progress: Progress) -> Option<Event> {
        let refused = match progress {
            Progress::Loaded(loaded) => {
                let running = self.shown.is_configured().then_some(&self.global);
                let applying = self.applying.as_mut()?;
                match applying.build(*loaded, &self.pipeline, running, self.options.require_healthy) {
                    Ok(()) => return None,
                    Err(refused) => refused,
                }
            }
            Progress::Ready(ready) => {
                self.applying = None;
                let (applied, config, watched) = ready.take(&mut self.pipeline);
                self.shown.applied(&config, &watched);
                info!(
                    added = applied.added,
                    rebuilt = applied.rebuilt,
                    removed = applied.removed,
                    kept = applied.kept,
                    "the configuration is in use"
                );
                for warning in config.warnings.to_string().lines() {
                    warn!("{warning}");
                }
                self.global = config.global;
                self.follow(watched);
                self.waiters.answer(&Ok(Reloaded::from(applied)));
                self.show_status();
                return Some(Event::Applied);
            }
            Progress::Refused(refused) => refused,
        };
        self.applying = None;
        Some(Event::NotApplied(self.on_refused(refused)))
    }

    fn on_refused(&mut self, refused: Refused) -> Exit {
        let Refused { reasons, exit, watched } = refused;
        let first = !self.shown.is_configured();
        // A report of a file is one reason of several lines.
        for line in reasons.iter().flat_map(|reason| reason.lines()) {
            error!("{line}");
        }
        if !first {
            error!("the configuration was refused, the former one runs on");
        }
        if first {
            self.notifier.failure(None, reasons.first().map_or("", String::as_str));
        }
        let message = "the configuration was refused, the former one runs on";
        let mut problem = Problem::new("reload_refused", message, exit.code());
        problem.details.clone_from(&reasons);
        self.waiters.answer(&Err(problem));
        self.shown.refused(reasons);
        // The mistake will be mended in one of these.
        if let Some(watched) = watched {
            self.follow(watched);
        }
        exit
    }

    /// Says that a request came at the wrong time.
    fn refuse(&mut self, request: Request) {
        let phase = self.shown.phase_words();
        warn!("cannot {request} now ({phase}), ignoring");
        if request == Request::Reload {
            let message = format!("cannot {request} now ({phase})");
            self.waiters.refuse_all(&Problem::new("wrong_phase", message, 69));
        }
    }

    /// Watches these files and folders from now on, if watching was asked for.
    fn follow(&mut self, watched: Watched) {
        if !self.options.watch {
            return;
        }
        match &mut self.watch {
            Some(watch) => watch.follow(watched),
            None => match Watch::start(watched) {
                Ok(watch) => self.watch = Some(watch),
                Err(fault) => error!("{fault}, changes will not be noticed"),
            },
        }
    }

    fn on_tick(&mut self, phase: Phase, tick: u64) {
        self.notifier.retry();
        match phase {
            Phase::Closing { .. } | Phase::Flushing { .. } => {
                let waiting = self.pipeline.waiting_for().join(", ");
                self.notifier.status(&format!("Stopping: {}, waiting for {waiting}", phase.name()));
                if tick.is_multiple_of(PROGRESS_TICKS) {
                    info!("stopping: {}, waiting for {waiting}", phase.name());
                }
            }
            Phase::Starting { .. }
            | Phase::Serving
            | Phase::Reloading { .. }
            | Phase::HandingOver { .. }
            | Phase::Exited => self.show_status(),
        }
    }

    /// The line in `systemctl status`.
    fn show_status(&mut self) {
        if let Some(line) = self.shown.line(&self.pipeline.snapshot()) {
            self.notifier.status(&line);
        }
    }

    fn announce(&mut self, phase: PhaseName) {
        self.shown.announced(phase);
        self.phases.announce(ExecutionPhase::new(phase, &Handle::current()));
    }

    /// Gives up what is left, counts it, and ends.
    async fn end(mut self, exit: Exit) -> Exit {
        let late = self.pipeline.cut_all();
        if exit == Exit::Late {
            let names: Vec<_> = late.iter().map(ToString::to_string).collect();
            warn!("the deadline has passed, cut off: {}", names.join(", "));
        }
        if exit != Exit::Interrupted {
            // Cancel safe: each end that was returned is counted.
            let counted = async {
                while !self.pipeline.is_idle() {
                    self.pipeline.next().await;
                }
            };
            let _ = timeout(LETTING_GO, counted).await;
        }
        info!(code = exit.code(), "ending: {exit}");
        exit
    }
}

fn on_ended(ended: Ended) -> Option<Event> {
    match ended {
        Ended::Failed(id, fault) => {
            error!(component = %id, "a component has failed: {fault}");
            Some(Event::ComponentFailed(exit_of(&fault)))
        }
        Ended::Component(id) => {
            info!(component = %id, "has ended");
            None
        }
        // Seen as a level.
        Ended::Sources | Ended::All => None,
    }
}

fn limits(global: &Global) -> Limits {
    let shutdown = global.shutdown;
    Limits { connections: shutdown.connections, buffers: shutdown.buffers, ..Limits::default() }
}

/// What `thing` says next; nothing ever, if there is none.
async fn or_never<T, O>(thing: Option<&mut T>, next: impl AsyncFnOnce(&mut T) -> O) -> O {
    match thing {
        Some(thing) => next(thing).await,
        None => std::future::pending().await,
    }
}
