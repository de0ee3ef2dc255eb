//! What the daemon shows of itself, and who waits for what it does.

use std::path::PathBuf;

use chrono::{SecondsFormat, Utc};
use tokio::sync::oneshot;

use crate::{
    api::types::{Component, LastReload, Problem, Reloaded, Status},
    base::{clock::Time, text::plural},
    config::{Config, Watched},
    lifecycle::phase_name::PhaseName,
    pipeline::{Role, Snapshot},
};

/// What clients and `systemctl status` are shown beside the pipeline.
#[derive(Debug, Default)]
pub(super) struct Shown {
    phase: Option<PhaseName>,
    last_reload: Option<LastReload>,
    files: Vec<PathBuf>,
    line: String,
    /// Is a configuration in use?
    configured: bool,
    /// Does the configuration have sources? Without one there is nothing that could come to an end.
    pub(super) has_sources: bool,
}

impl Shown {
    /// Is a configuration in use?
    pub(super) fn is_configured(&self) -> bool {
        self.configured
    }

    pub(super) fn announced(&mut self, phase: PhaseName) {
        self.phase = Some(phase);
    }

    /// A configuration was taken.
    pub(super) fn applied(&mut self, config: &Config, watched: &Watched) {
        self.files.clone_from(&watched.files);
        self.has_sources = !config.sources.is_empty();
        if self.configured {
            self.last_reload = Some(LastReload { at: now(), ok: true, errors: Vec::new() });
        }
        self.configured = true;
    }

    /// A configuration was refused.
    pub(super) fn refused(&mut self, errors: Vec<String>) {
        self.last_reload = Some(LastReload { at: now(), ok: false, errors });
    }

    pub(super) fn phase_words(&self) -> &'static str {
        self.phase.map_or("Setup", PhaseName::as_str)
    }

    /// For clients.
    pub(super) fn status(&self, uptime: Time, snapshot: Snapshot) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            phase: self.phase_words().to_owned(),
            uptime_secs: (uptime - Time::START).as_secs_f64(),
            config: self.files.clone(),
            last_reload: self.last_reload.clone(),
            components: snapshot.components.into_iter().map(Component::from).collect(),
        }
    }

    /// For `systemctl status`; `None` when it has not changed.
    pub(super) fn line(&mut self, snapshot: &Snapshot) -> Option<String> {
        let of = |role| snapshot.components.iter().filter(move |component| component.role == role);
        let roles = [Role::Source, Role::Transform, Role::Sink];
        let counts = roles.map(|role| plural(of(role).count(), role.name())).join(", ");
        let received: u64 = of(Role::Source).map(|source| source.received).sum();
        let sent: u64 = of(Role::Sink).map(|sink| sink.sent).sum();
        let discarded: u64 = snapshot.components.iter().flat_map(|c| c.discarded.values()).sum();
        let mut line = format!("{counts}; events: {received} in, {sent} out, {discarded} discarded");
        if self.last_reload.as_ref().is_some_and(|reload| !reload.ok) {
            line += "; the last reload was refused";
        }
        if line == self.line {
            return None;
        }
        self.line.clone_from(&line);
        Some(line)
    }
}

/// For people.
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Who waits for the outcome of a reload. One that was asked for after a reload had begun to read waits for the next.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    now: Vec<Waiter>,
    next: Vec<Waiter>,
}

type Waiter = oneshot::Sender<Result<Reloaded, Problem>>;

impl Waiters {
    /// Somebody asked for a reload.
    pub(super) fn add(&mut self, waiter: Waiter) {
        self.next.push(waiter);
    }

    /// A reload begins to read: all who asked so far get its outcome.
    pub(super) fn begin(&mut self) {
        self.now.append(&mut self.next);
    }

    /// The reload is over.
    pub(super) fn answer(&mut self, outcome: &Result<Reloaded, Problem>) {
        for waiter in self.now.drain(..) {
            // A client that has left wants no answer.
            let _ = waiter.send(outcome.clone());
        }
    }

    /// There will be no reload.
    pub(super) fn refuse_all(&mut self, problem: &Problem) {
        self.begin();
        self.answer(&Err(problem.clone()));
    }
}
