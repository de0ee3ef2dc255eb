//! Changes events with a program.

use std::{path::PathBuf, sync::Arc};

use vrl::compiler::TimeZone;

use super::{
    failures::Failures,
    program::{
        Changed, Program, Runner, Source, Stopped, Use, compile::MAX_SOURCE, line_and_column, read_source,
    },
};
use crate::{
    base::{
        fault::{Class, Fault},
        fs,
        id::ComponentId,
    },
    config::{Fields, FromNode, Node},
    event::Batch,
    pipeline::component::{BuildContext, Outputs, Transform, TransformSpec},
};

/// The output of what was dropped.
const DROPPED: &str = "dropped";

/// `type = "remap"`: `source` is the program, or `file` is where it stands.
///
/// What the program leaves in `.` is the event; an array becomes several events, or none. Of a metric it sees and may
/// change `.name`, `.namespace`, `.timestamp`, `.kind` and `.tags`.
///
/// A program that fails is counted, and the event goes on as it came, unless `drop_on_error = true`. One that aborts
/// drops the event, unless `drop_on_abort = false`. Dropped events are counted as `failed`, `aborted`; with
/// `reroute_dropped = true` they go to the output `dropped` instead, as they came. An empty array is counted as
/// `emptied`. `timezone` is where times without a zone are read.
#[derive(Debug)]
pub struct RemapSpec {
    program: Where,
    timezone: TimeZone,
    on: Reactions,
}

#[derive(Debug)]
enum Where {
    /// Read, and right.
    Here(Arc<Program>),
    /// To be read when the transform is built: a spec does not touch the system.
    File(PathBuf),
}

#[derive(Debug, Clone, Copy)]
struct Reactions {
    drop_on_error: bool,
    drop_on_abort: bool,
    reroute_dropped: bool,
}

struct Zone(TimeZone);

impl FromNode for Zone {
    const EXPECTED: &'static str = "`local` or a time zone such as `Europe/Paris`";

    fn from_node(node: &Node) -> Result<Self, String> {
        let zone = node.as_str().filter(|name| !name.is_empty()).and_then(TimeZone::parse);
        zone.map(Zone).ok_or_else(|| node.mismatch(Self::EXPECTED))
    }
}

impl RemapSpec {
    /// Reads its options.
    pub fn read(fields: &mut Fields<'_>) -> Option<Box<dyn TransformSpec>> {
        Some(Box::new(Self::read_options(fields)?))
    }

    fn read_options(fields: &mut Fields<'_>) -> Option<Self> {
        let timezone = fields.or("timezone", Zone(TimeZone::default())).0;
        let on = Reactions {
            drop_on_error: fields.or("drop_on_error", false),
            drop_on_abort: fields.or("drop_on_abort", true),
            reroute_dropped: fields.or("reroute_dropped", false),
        };
        let has_both = fields.has("source") && fields.has("file");
        let has_none = !fields.has("source") && !fields.has("file");
        let source = fields.optional::<Source>("source");
        let file = fields.optional_spanned::<PathBuf>("file");
        if has_none {
            let message =
                format!("[{}] needs `source`, a program, or `file`, the path of one", fields.path());
            fields.diagnostics().missing(fields.span(), message);
        }
        if let (true, Some((_, span))) = (has_both, &file) {
            fields.error(*span, "`source` and `file` cannot be used together");
        }
        let here =
            source.and_then(|source| read_source(&source, Use::Change, timezone, fields.diagnostics()));
        let program = match (here, file) {
            _ if has_both => return None,
            (Some(program), _) => Where::Here(Arc::new(program)),
            (None, Some((path, _))) => Where::File(path),
            (None, None) => return None,
        };
        Some(RemapSpec { program, timezone, on })
    }

    fn start(&self, id: &ComponentId) -> Result<Remap, Fault> {
        let program = match &self.program {
            Where::Here(program) => program.clone(),
            Where::File(path) => Arc::new(load(path, self.timezone, id)?),
        };
        Ok(Remap { runner: Runner::new(program), on: self.on, failures: Failures::new(id) })
    }
}

/// Reads and compiles the program in `path`.
fn load(path: &PathBuf, timezone: TimeZone, id: &ComponentId) -> Result<Program, Fault> {
    let bytes = fs::read(path, MAX_SOURCE as u64)?;
    let name = path.display();
    let text = String::from_utf8(bytes)
        .map_err(|_| Fault::new(Class::Config, format!("`{id}`: {name} is not a text in UTF-8")))?;
    let (program, problems) = Program::compile(&text, Use::Change, timezone);
    let mut errors = Vec::new();
    for problem in problems {
        let (line, column) = line_and_column(&text, problem.at.map_or(0, |at| at.start));
        let help = problem.help.map(|help| format!(" ({help})")).unwrap_or_default();
        let message = format!("{name}:{line}:{column}: {}{help}", problem.message);
        if problem.error {
            errors.push(message);
        } else {
            tracing::warn!(transform = %id, "{message}");
        }
    }
    program.ok_or_else(|| Fault::config(format!("the program of `{id}`: {}", errors.join("; "))))
}

impl TransformSpec for RemapSpec {
    fn ports(&self) -> Vec<String> {
        self.on.reroute_dropped.then(|| DROPPED.to_owned()).into_iter().collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        match &self.program {
            Where::Here(_) => Vec::new(),
            Where::File(path) => vec![path.clone()],
        }
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Transform>, Fault> {
        Ok(Box::new(self.start(cx.id)?))
    }
}

#[derive(Debug)]
struct Remap {
    runner: Runner,
    on: Reactions,
    failures: Failures,
}

impl Transform for Remap {
    fn apply(&mut self, batch: Batch, out: &mut Outputs) {
        out.default.reserve(batch.len());
        let (mut failed, mut aborted, mut emptied) = (0, 0, 0);
        for event in batch {
            let (event, stopped) = match self.runner.change(event) {
                Ok(Changed::One(event)) => {
                    out.default.push(event);
                    continue;
                }
                Ok(Changed::Many(events)) => {
                    emptied += usize::from(events.is_empty());
                    out.default.extend(events);
                    continue;
                }
                Err(stopped) => stopped,
            };
            let (drop, count) = match &stopped {
                Stopped::Failed(_) => (self.on.drop_on_error, &mut failed),
                Stopped::Aborted(_) => (self.on.drop_on_abort, &mut aborted),
            };
            let then = match (drop, self.on.reroute_dropped) {
                (false, _) => "passing the event on as it came",
                (true, true) => "sending the event to the output `dropped`",
                (true, false) => "dropping the event",
            };
            self.failures.note(&stopped, then, &out.metrics);
            match (drop, out.ports.first_mut()) {
                (false, _) => out.default.push(event),
                (true, Some(dropped)) => dropped.push(event),
                (true, None) => *count += 1,
            }
        }
        out.metrics.discard("failed", failed);
        out.metrics.discard("aborted", aborted);
        out.metrics.discard("emptied", emptied);
    }
}
