//! Applying a configuration: read → check → build → look → take. Nothing that runs is touched before the last step.
//!
//! Each step that may take time is a future of its own, so that the daemon's loop goes on meanwhile.

use std::collections::BTreeMap;

use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tracing::{info, warn};

use super::load::{self, Loaded, Refusal};
use crate::{
    base::{exit::Exit, fault::Class, fault::Fault},
    config::{Config, Global, Origin, Watched},
    pipeline::{Applied, Pipeline, Prepared},
};

/// A configuration on its way.
#[derive(Debug)]
pub(super) struct Applying {
    step: Step,
}

#[derive(Debug)]
enum Step {
    Loading(JoinHandle<Result<Loaded, Box<Refusal>>>),
    Checking { ready: Box<Ready>, checks: JoinSet<Result<(), Fault>>, faults: Vec<Fault> },
    Over,
}

/// A configuration of which everything is built.
#[derive(Debug)]
pub(super) struct Ready {
    config: Config,
    prepared: Prepared,
    watched: Watched,
}

/// What came of a step.
#[derive(Debug)]
pub(super) enum Progress {
    /// It was read: now it is to be built, which needs the pipeline.
    Loaded(Box<Loaded>),
    /// It can be taken.
    Ready(Box<Ready>),
    /// It cannot be used; what runs is untouched.
    Refused(Refused),
}

/// Why a configuration is not used.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    /// A sentence for each reason; a report of a file is one reason of several lines.
    pub(super) reasons: Vec<String>,
    /// How the process ends if it was the first configuration.
    pub(super) exit: Exit,
    /// What to watch: the mistake will be mended in one of these.
    pub(super) watched: Option<Watched>,
}

impl Applying {
    /// Begins to read.
    pub(super) fn read(origin: Origin) -> Self {
        Applying { step: Step::Loading(spawn_blocking(move || load::check(&origin))) }
    }

    /// With a configuration that was read before.
    pub(super) fn loaded(loaded: Loaded) -> Self {
        Applying { step: Step::Loading(spawn_blocking(|| Ok(loaded))) }
    }

    /// Builds what was read.
    pub(super) fn build(
        &mut self,
        loaded: Loaded,
        pipeline: &Pipeline,
        running: Option<&Global>,
        require_healthy: bool,
    ) -> Result<(), Refused> {
        let Loaded { config, plan, watched } = loaded;
        let refuse = |reasons, exit| Refused { reasons, exit, watched: Some(watched.clone()) };
        let fixed = running.map(|running| needs_restart(running, &config.global)).unwrap_or_default();
        if !fixed.is_empty() {
            let reasons = fixed.iter().map(|name| format!("`{name}` has changed: that needs a restart"));
            return Err(refuse(reasons.collect(), Exit::Config));
        }
        let prepared = pipeline.prepare(plan).map_err(|faults| {
            let exit = faults.first().map_or(Exit::Config, exit_of);
            refuse(faults.iter().map(ToString::to_string).collect(), exit)
        })?;
        let mut checks = JoinSet::new();
        for (id, check) in prepared.healthchecks() {
            checks.spawn(async move {
                let outcome = check.await;
                match &outcome {
                    Ok(()) => info!(sink = %id, "health check passed"),
                    Err(error) => warn!(sink = %id, error, "health check failed"),
                }
                outcome.map_err(|error| {
                    Fault::new(Class::Config, format!("sink `{id}` failed its health check: {error}"))
                })
            });
        }
        if !require_healthy {
            // They go on by themselves, for the log.
            checks.detach_all();
        }
        let ready = Box::new(Ready { config, prepared, watched });
        self.step = Step::Checking { ready, checks, faults: Vec::new() };
        Ok(())
    }

    /// The next step's outcome. After [`Progress::Loaded`], call [`Applying::build`]; after the others, drop this.
    ///
    /// # Cancel safety
    ///
    /// Safe: called again, it goes on waiting for the same step.
    pub(super) async fn progress(&mut self) -> Progress {
        if let Step::Loading(task) = &mut self.step {
            let outcome = task.await;
            self.step = Step::Over;
            return match outcome {
                Ok(Ok(loaded)) => Progress::Loaded(Box::new(loaded)),
                Ok(Err(refusal)) => Progress::Refused(Refused {
                    reasons: vec![refusal.text],
                    exit: Exit::Config,
                    watched: Some(refusal.watched),
                }),
                Err(error) => Progress::Refused(Refused {
                    reasons: vec![format!("reading the configuration failed: {error}")],
                    exit: Exit::Internal,
                    watched: None,
                }),
            };
        }
        if let Step::Checking { checks, faults, .. } = &mut self.step {
            // Cancel safe: `join_next` loses no end, and faults are kept outside of this future.
            while let Some(outcome) = checks.join_next().await {
                match outcome {
                    Ok(Ok(())) => {}
                    Ok(Err(fault)) => faults.push(fault),
                    Err(error) => faults.push(Fault::internal(format!("a health check failed: {error}"))),
                }
            }
        }
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::Checking { ready, faults, .. } if faults.is_empty() => Progress::Ready(ready),
            Step::Checking { ready, faults, .. } => Progress::Refused(Refused {
                reasons: faults.iter().map(ToString::to_string).collect(),
                exit: Exit::Config,
                watched: Some(ready.watched),
            }),
            Step::Loading(_) | Step::Over => std::future::pending().await,
        }
    }
}

impl Ready {
    /// Takes it into use.
    pub(super) fn take(self, pipeline: &mut Pipeline) -> (Applied, Config, Watched) {
        if !self.prepared.unused_sockets.is_empty() {
            let sockets = self.prepared.unused_sockets.join(", ");
            warn!(sockets, "no source takes these passed sockets: who connects to them is never answered");
        }
        (pipeline.commit(self.prepared), self.config, self.watched)
    }
}

/// The exit code for a fault.
pub(super) fn exit_of(fault: &Fault) -> Exit {
    match fault.class {
        Class::Config => Exit::Config,
        Class::Unavailable => Exit::Unavailable,
        Class::Internal => Exit::Internal,
        Class::System => Exit::System,
        Class::Io => Exit::Io,
        Class::Permission => Exit::Permission,
    }
}

/// Global options that cannot change while the daemon runs, and did.
fn needs_restart(running: &Global, wanted: &Global) -> Vec<&'static str> {
    let differences = BTreeMap::from([
        ("data_dir", running.data_dir != wanted.data_dir),
        ("threads", running.threads != wanted.threads),
        ("daemon", running.daemon != wanted.daemon),
        ("api", running.api != wanted.api),
    ]);
    differences.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fixed_at_the_start_is_named() {
        let running = Global::default();
        assert!(needs_restart(&running, &Global::default()).is_empty());
        let wanted = Global {
            data_dir: Some("/elsewhere".into()),
            threads: std::num::NonZeroUsize::new(2),
            ..Global::default()
        };
        assert_eq!(needs_restart(&running, &wanted), ["data_dir", "threads"]);
        let slower = config_with_other_limits();
        assert!(needs_restart(&running, &slower).is_empty(), "limits of a stop may change");
    }

    fn config_with_other_limits() -> Global {
        let mut global = Global::default();
        global.shutdown.buffers *= 2;
        global
    }
}
