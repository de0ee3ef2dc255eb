//! Files → configuration → plan, with everything that is wrong said at once.

use std::path::PathBuf;

use super::environment;
use crate::{
    config::{self, Config, Origin, Watched},
    pipeline::Plan,
};

/// A configuration that can be used, as far as can be seen without touching anything.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What should run.
    pub plan: Plan,
    /// What to watch to notice a change: the files of the configuration and those that it names.
    pub watched: Watched,
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The report, as text of several lines.
    pub text: String,
    /// What to watch: the mistake will be mended in one of these.
    pub watched: Watched,
    /// The exit code.
    pub code: u8,
}

/// Reads and checks. Blocks on the disk; binds nothing, creates nothing.
///
/// # Errors
///
/// Everything that is wrong, in one report.
pub fn check(origin: &Origin) -> Result<Loaded, Box<Refusal>> {
    let mut draft = config::load(origin, &environment::for_configuration);
    let plan = Plan::new(&draft.config, &draft.diagnostics);
    for component in draft.config.components() {
        let Some(planned) = plan.components.get(&component.id) else { continue };
        if let Err(fault) = planned.spec.check() {
            let role = planned.spec.role().name();
            draft.diagnostics.error(component.id_span, format!("{role} `{}`: {fault}", component.id));
        }
    }
    let mut watched = std::mem::take(&mut draft.watched);
    watched.files.extend(plan.components.values().flat_map(|planned| planned.spec.files()));
    match draft.finish() {
        Ok(config) => Ok(Loaded { config, plan, watched }),
        Err(report) => Err(Box::new(Refusal { text: report.to_string(), watched, code: 78 })),
    }
}

/// The files, for the log and for clients.
pub fn names(watched: &Watched) -> Vec<PathBuf> {
    watched.files.clone()
}
