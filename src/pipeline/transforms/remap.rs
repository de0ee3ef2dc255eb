//! Changes events with a program.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

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
            Where::File(path) => {
                let (program, warnings) = load(path, self.timezone)?;
                for warning in warnings {
                    tracing::warn!(transform = %id, "{warning}");
                }
                Arc::new(program)
            }
        };
        Ok(Remap { runner: Runner::new(program), on: self.on, failures: Failures::new(id) })
    }
}

/// Reads and compiles the program in `path`; returns the warnings too.
fn load(path: &Path, timezone: TimeZone) -> Result<(Program, Vec<String>), Fault> {
    let bytes = fs::read(path, MAX_SOURCE as u64)?;
    let name = path.display();
    let text = String::from_utf8(bytes)
        .map_err(|_| Fault::new(Class::Config, format!("{name} is not a text in UTF-8")))?;
    let (program, problems) = Program::compile(&text, Use::Change, timezone);
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for problem in problems {
        let (line, column) = line_and_column(&text, problem.at.map_or(0, |at| at.start));
        let help = problem.help.map(|help| format!(" ({help})")).unwrap_or_default();
        let message = format!("{name}:{line}:{column}: {}{help}", problem.message);
        if problem.error { &mut errors } else { &mut warnings }.push(message);
    }
    match program {
        Some(program) => Ok((program, warnings)),
        None => Err(Fault::config(errors.join("; "))),
    }
}

impl TransformSpec for RemapSpec {
    fn check(&self) -> Result<(), Fault> {
        match &self.program {
            Where::Here(_) => Ok(()),
            Where::File(path) => load(path, self.timezone).map(drop),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::super::testing::{apply, bad, counter, good, line, log, messages};
    use super::*;
    use crate::event::{Event, Value};

    fn spec(toml: &str) -> RemapSpec {
        good(toml, RemapSpec::read_options)
    }

    fn remap(toml: &str) -> Remap {
        spec(toml).start(&"t".parse().unwrap()).unwrap()
    }

    /// Fails for `x`, aborts for `y`.
    const MOODY: &str =
        "source = '''\n.seen = true\nif .message == \"y\" { abort }\n.n = to_int!(.message)\n'''\n";

    fn moods(more: &str, ports: usize) -> Outputs {
        apply(&mut remap(&format!("{MOODY}{more}")), ports, vec![line("1"), line("x"), line("y")])
    }

    #[test]
    fn a_program_changes_events() {
        let source =
            "source = '''\n. |= object!(parse_json!(.message))\n.level = upcase!(.level)\ndel(.message)\n'''";
        let out = apply(&mut remap(source), 0, vec![line(r#"{"level":"info","n":1}"#)]);
        let expected = log(&[("level", Value::from("INFO")), ("n", Value::Integer(1))]);
        assert_eq!(out.default, [expected]);
        assert!(out.metrics.discarded().is_empty() && out.metrics.errors().is_empty());
    }

    #[test]
    fn an_event_whose_program_fails_goes_on_as_it_came_and_is_counted() {
        let out = moods("", 0);
        assert_eq!(messages(&out.default), ["1", "x"]);
        assert_eq!(out.default[1], line("x"));
        assert_eq!(out.metrics.errors()["program_failed"], 1);
        assert_eq!(out.metrics.discarded()["aborted"], 1);
    }

    #[test]
    fn what_is_dropped_can_be_chosen() {
        let out = moods("drop_on_error = true\ndrop_on_abort = false", 0);
        assert_eq!(messages(&out.default), ["1", "y"]);
        assert_eq!(out.default[1], line("y"));
        assert_eq!(out.metrics.discarded()["failed"], 1);
    }

    #[test]
    fn what_is_dropped_can_go_to_an_output_of_its_own() {
        let options = "drop_on_error = true\nreroute_dropped = true";
        assert_eq!(spec(&format!("{MOODY}{options}")).ports(), ["dropped"]);
        let out = moods(options, 1);
        assert_eq!(messages(&out.default), ["1"]);
        assert_eq!(out.ports[0], [line("x"), line("y")]);
        assert!(out.metrics.discarded().is_empty());
    }

    #[test]
    fn an_array_becomes_events_in_order_and_an_empty_one_is_counted() {
        let out =
            apply(&mut remap("source = '. = split!(.message, \",\")'"), 0, vec![line("a,b"), line("c")]);
        assert_eq!(messages(&out.default), ["a", "b", "c"]);
        let out = apply(&mut remap("source = '. = []'"), 0, vec![line("a")]);
        assert_eq!(out.metrics.discarded()["emptied"], 1);
    }

    #[test]
    fn metrics_pass_through_the_same_program() {
        let out = apply(&mut remap("source = '.tags.env = \"prod\"'"), 0, vec![counter("c")]);
        let Event::Metric(metric) = &out.default[0] else { panic!() };
        assert!(metric.tags.contains_key("env"));
    }

    #[test]
    fn a_time_without_a_zone_is_read_in_the_zone_of_the_option() {
        let source = "source = '.t = parse_timestamp!(\"2024-01-01 00:00:00\", \"%Y-%m-%d %H:%M:%S\")'\n";
        let out = apply(&mut remap(&format!("{source}timezone = \"Asia/Tokyo\"")), 0, vec![line("a")]);
        let Some(Value::Timestamp(at)) = out.default[0].as_log().unwrap().get("t") else { panic!() };
        assert_eq!(at.to_rfc3339(), "2023-12-31T15:00:00+00:00");
    }

    #[test]
    fn a_file_is_read_when_the_transform_is_built_and_its_errors_say_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program.vrl");
        let spec = spec(&format!("file = {path:?}"));
        assert_eq!(spec.files(), std::slice::from_ref(&path));
        let id = "t".parse().unwrap();
        let fault = || spec.start(&id).map(drop).unwrap_err();
        assert!(fault().message.starts_with("cannot read "), "{}", fault());
        fs::write_atomic(&path, b".a = 1\n.b = nope()\n").unwrap();
        assert_eq!(fault().class, Class::Config);
        assert!(fault().message.contains("program.vrl:2:6: call to undefined function"), "{}", fault());
        fs::write_atomic(&path, b"\xff").unwrap();
        assert!(fault().message.ends_with("is not a text in UTF-8"), "{}", fault());
        fs::write_atomic(&path, b".message = \"b\"").unwrap();
        assert_eq!(apply(&mut spec.start(&id).unwrap(), 0, vec![line("a")]).default, [line("b")]);
    }

    #[test]
    fn options_that_are_wrong_are_told() {
        let bad = |toml| bad(toml, RemapSpec::read_options);
        assert!(bad("").contains("[transforms.t] needs `source`, a program, or `file`"));
        assert!(bad("source = 'true'\nfile = 'a'").contains("cannot be used together"));
        assert!(bad("source = 'true'\ntimezone = 'Mars'").contains("expected `local` or a time zone"));
        let report = bad("source = '.a = nope()'\ndrop_on_eror = true");
        assert!(report.contains("did you mean `drop_on_error`?") && report.contains("2 errors"), "{report}");
    }
}
