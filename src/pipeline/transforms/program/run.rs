//! Runs a program on one event after another.
//!
//! Pure.
//!
//! Mostly a program names the fields it uses. Then those are converted when they are first used, those it changed are
//! written back when it succeeded, and nothing else of the event is touched. A program that uses the event as a whole
//! (`. = …`, `unnest`) has it converted as a whole.

use std::sync::Arc;

use vrl::{
    compiler::{
        ExpressionError, TargetValueRef,
        runtime::{Runtime, Terminate},
    },
    value::{ObjectMap, Secrets, Value as Vrl},
};

use super::{
    compile::Program,
    metric,
    target::{Field, Sparse, whole},
    value,
};
use crate::event::{Event, Log, Metric, Value};

/// Runs a program. It keeps what can be reused from event to event.
#[derive(Debug)]
pub struct Runner {
    program: Arc<Program>,
    runtime: Runtime,
    /// `None`: the program uses events as a whole.
    fields: Option<Vec<Field>>,
    metadata: Vrl,
    secrets: Secrets,
}

/// What became of an event.
#[derive(Debug)]
pub enum Changed {
    /// One, changed or not.
    One(Event),
    /// Several, or none: `.` was an array.
    Many(Vec<Event>),
}

/// Why a program did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It said `abort`.
    Aborted(String),
    /// It failed: VRL's message.
    Failed(String),
}

impl Stopped {
    fn from_vrl(terminate: Terminate) -> Self {
        match terminate {
            Terminate::Abort(error @ ExpressionError::Abort { .. }) => Stopped::Aborted(error.to_string()),
            other => Stopped::Failed(other.to_string()),
        }
    }
}

impl Runner {
    /// Runs `program`.
    pub fn new(program: Arc<Program>) -> Self {
        let fields = program.fields.as_ref().map(|names| names.iter().map(Field::new).collect());
        let metadata = Vrl::Object(ObjectMap::new());
        Runner { program, runtime: Runtime::default(), fields, metadata, secrets: Secrets::new() }
    }

    /// Runs the program as a condition.
    ///
    /// # Errors
    ///
    /// When it fails, or is neither true nor false.
    pub fn test(&mut self, event: &Event) -> Result<bool, Stopped> {
        let outcome = match self.run_sparse(event) {
            Some(outcome) => {
                self.fields.iter_mut().flatten().for_each(|field| drop(field.take_change()));
                outcome
            }
            None => self.run_whole(&mut whole(event)),
        };
        match outcome? {
            Vrl::Boolean(answer) => Ok(answer),
            other => Err(Stopped::Failed(format!(
                "the condition is neither true nor false, but of type {}",
                other.kind_str()
            ))),
        }
    }

    /// Runs the program to change `event`.
    ///
    /// # Errors
    ///
    /// When the program aborts or fails: with the event as it was.
    pub fn change(&mut self, mut event: Event) -> Result<Changed, (Event, Stopped)> {
        let Some(outcome) = self.run_sparse(&event) else {
            return self.change_whole(event);
        };
        let fields = self.fields.iter_mut().flatten();
        if let Err(stopped) = outcome {
            fields.for_each(|field| drop(field.take_change()));
            return Err((event, stopped));
        }
        let changes = fields.filter_map(|field| {
            let change = field.take_change()?;
            Some((&field.name, change))
        });
        match &mut event {
            Event::Log(log) => {
                for (name, change) in changes {
                    match change {
                        Some(value) => log.fields.insert(name.clone(), value::to_event(value)),
                        None => log.fields.remove(name),
                    };
                }
            }
            Event::Metric(metric) => {
                let changes: Vec<_> = changes.collect();
                if !changes.is_empty() {
                    let changes = changes.into_iter().map(|(name, change)| (name.as_str(), change));
                    match changed_metric(metric, changes) {
                        Ok(changed) => **metric = changed,
                        Err(message) => return Err((event, Stopped::Failed(message))),
                    }
                }
            }
        }
        Ok(Changed::One(event))
    }

    /// Runs the program on the fields it names; `None` when it must be given the whole event.
    fn run_sparse(&mut self, event: &Event) -> Option<Result<Vrl, Stopped>> {
        let fields = self.fields.as_mut()?;
        forget(&mut self.runtime, &mut self.metadata);
        let mut target = Sparse::new(event, fields, &mut self.metadata);
        let outcome = self.runtime.resolve(&mut target, &self.program.compiled, &self.program.timezone);
        if target.has_missed() {
            // As with `unnest`. From now on, and for this event again, it is given everything.
            self.fields = None;
            return None;
        }
        Some(outcome.map_err(Stopped::from_vrl))
    }

    fn run_whole(&mut self, value: &mut Vrl) -> Result<Vrl, Stopped> {
        forget(&mut self.runtime, &mut self.metadata);
        let mut target = TargetValueRef { value, metadata: &mut self.metadata, secrets: &mut self.secrets };
        let outcome = self.runtime.resolve(&mut target, &self.program.compiled, &self.program.timezone);
        outcome.map_err(Stopped::from_vrl)
    }

    fn change_whole(&mut self, mut event: Event) -> Result<Changed, (Event, Stopped)> {
        let mut value = whole(&event);
        if let Err(stopped) = self.run_whole(&mut value) {
            return Err((event, stopped));
        }
        match (&mut event, value) {
            (Event::Log(_), Vrl::Array(items)) => Ok(Changed::Many(items.into_iter().map(log).collect())),
            (Event::Log(_), value) => Ok(Changed::One(log(value))),
            (Event::Metric(metric), Vrl::Object(mut object)) => {
                let known = metric::FIELDS.map(|name| (name, object.remove(name)));
                let unknown = object.iter().map(|(name, value)| (name.as_str(), Some(value.clone())));
                match changed_metric(metric, known.into_iter().chain(unknown)) {
                    Ok(changed) => **metric = changed,
                    Err(message) => return Err((event, Stopped::Failed(message))),
                }
                Ok(Changed::One(event))
            }
            (Event::Metric(_), value) => {
                let message = format!("a metric cannot become a value of type {}", value.kind_str());
                Err((event, Stopped::Failed(message)))
            }
        }
    }
}

/// Variables and metadata do not outlive an event.
fn forget(runtime: &mut Runtime, metadata: &mut Vrl) {
    runtime.clear();
    match metadata {
        Vrl::Object(object) if object.is_empty() => {}
        metadata => *metadata = Vrl::Object(ObjectMap::new()),
    }
}

/// A log of what a program made: what is no object becomes its message.
fn log(value: Vrl) -> Event {
    let mut log = Log::default();
    match value {
        Vrl::Object(object) => log.fields = value::to_map(object),
        other => drop::<Option<Value>>(log.fields.insert(Log::MESSAGE, value::to_event(other))),
    }
    Event::Log(log)
}

fn changed_metric<'n>(
    metric: &Metric,
    changes: impl Iterator<Item = (&'n str, Option<Vrl>)>,
) -> Result<Metric, String> {
    let mut changed = metric.clone();
    for (name, change) in changes {
        metric::set(&mut changed, name, change)?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{counter, line, log};
    use super::super::{
        compile::Use,
        value::tests::{maps, values},
    };
    use super::*;
    use crate::event::TagValue;
    use proptest::prelude::*;
    use vrl::compiler::TimeZone;

    fn runner(source: &str) -> Runner {
        let (program, problems) = Program::compile(source, Use::Change, TimeZone::default());
        Runner::new(Arc::new(program.unwrap_or_else(|| panic!("{source}: {problems:?}"))))
    }

    #[track_caller]
    fn change(source: &str, event: Event) -> Event {
        match runner(source).change(event) {
            Ok(Changed::One(event)) => event,
            other => panic!("{source}: {other:?}"),
        }
    }

    #[track_caller]
    fn fails(source: &str, event: Event) -> String {
        match runner(source).change(event.clone()) {
            Err((same, Stopped::Failed(message))) => {
                assert_eq!(same, event);
                message
            }
            other => panic!("{source}: {other:?}"),
        }
    }

    /// Programs that name their fields, for all the ways of reading and writing one.
    const NAMED: [&str; 22] = [
        ".a = 1",
        ".b = .a",
        ".a.b = .c",
        ".a[1] = .b",
        ".a[-3].x = true",
        "del(.a)",
        ".b = del(.a.b)",
        "del(.a.b, compact: true)",
        "del(.a[0], compact: true)",
        "del(.a.b.c, true)\n.c = .a",
        ".c = exists(.a.b)",
        ".c = exists(.a)",
        ".a, err = to_int(.b)\n.c = err",
        ".a = object(.a) ?? {}\n.a |= {\"x\": .b}",
        ".a.b = {}\n.a.b |= {\"x\": .c}",
        ".a = to_string(.b) ?? .c",
        ".\"b.c\" = .a\n.a = .\"b.c\"",
        "if exists(.a) { .b = .a } else { del(.b) }",
        "x = .a\nx.y = 1\n.b = x",
        "%m.a = .a\n.b = %m\n.c = %m.a",
        ".a = null",
        ".b = for_each([1, 2]) -> |_i, v| { .a = v }",
    ];

    proptest! {
        #[test]
        fn a_program_given_its_fields_does_what_it_does_with_the_whole(
            at in 0..NAMED.len(), fields in maps(values())
        ) {
            let program = runner(NAMED[at]).program;
            prop_assert!(program.fields.is_some());
            let mut sparse = Runner::new(program.clone());
            let mut full = Runner { fields: None, ..Runner::new(program) };
            // Twice: nothing of the first event may be left.
            for event in [Event::Log(Log { fields }), line("x")] {
                let sparse = sparse.change(event.clone());
                let full = full.change(event);
                match (sparse, full) {
                    (Ok(Changed::One(a)), Ok(Changed::One(b))) => prop_assert_eq!(a, b),
                    (Err(a), Err(b)) => prop_assert_eq!(a, b),
                    (a, b) => prop_assert!(false, "{:?} {:?}", a, b),
                }
            }
        }

        #[test]
        fn any_event_survives_a_program_that_changes_nothing(fields in maps(values())) {
            let event = Event::Log(Log { fields });
            prop_assert_eq!(change("true", event.clone()), event.clone());
            prop_assert_eq!(change(". = .", event.clone()), event);
        }
    }

    #[test]
    fn what_a_program_does_not_touch_stays_as_it_is() {
        let event = log(&[("nan", Value::Float(f64::INFINITY)), ("a", Value::Integer(1))]);
        let Event::Log(changed) = change(".b = .a + 1 ?? 0", event) else { panic!() };
        assert_eq!(changed.get("b"), Some(&Value::Integer(2)));
        assert_eq!(changed.get("nan"), Some(&Value::Float(f64::INFINITY)));
    }

    #[test]
    fn an_array_becomes_several_events_and_what_is_no_object_a_message() {
        let many = |source: &str| match runner(source).change(line("x")) {
            Ok(Changed::Many(events)) => events,
            other => panic!("{other:?}"),
        };
        assert_eq!(many(". = [{\"message\": \"a\"}, \"b\"]"), [line("a"), line("b")]);
        assert_eq!(many(". = []"), []);
        assert_eq!(change(". = \"b\"", line("x")), line("b"));
        let events = match runner(".n = [1, 2]\n. = unnest(.n)").change(line("x")) {
            Ok(Changed::Many(events)) => events.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(events, 2);
    }

    #[test]
    fn a_function_that_looks_at_the_whole_event_gets_it() {
        let event = log(&[("a", Value::Integer(7)), ("n", Value::Array(vec![Value::Integer(1)]))]);
        // `unnest` reads the event though the program names only `.n`.
        let Event::Log(log) = change(".out = unnest!(.n)", event) else { panic!() };
        assert_eq!(log.get("out[0].a"), Some(&Value::Integer(7)));
    }

    #[test]
    fn variables_and_metadata_do_not_outlive_an_event() {
        let mut runner = runner("%seen = exists(%m)\n%m = 1\n.seen = %seen");
        for _ in 0..2 {
            let Ok(Changed::One(Event::Log(log))) = runner.change(line("x")) else { panic!() };
            assert_eq!(log.fields.get("seen"), Some(&Value::Boolean(false)));
            assert_eq!(log.fields.len(), 2);
        }
    }

    #[test]
    fn when_a_program_fails_the_event_is_as_it_was() {
        let message = fails(".message = 1\n.x = to_int!(.a)", log(&[("a", Value::from("no"))]));
        assert!(message.contains("to_int"), "{message}");
        fails(". = {\"a\": 1}\nx = string!(%no)", line("x"));
        let aborted = runner(".a = 1\nabort \"why\"").change(line("x")).unwrap_err();
        assert_eq!(aborted, (line("x"), Stopped::Aborted("why".into())));
    }

    #[test]
    fn a_metric_has_a_name_a_namespace_a_time_a_kind_and_tags() {
        let source = ".name = upcase!(.name)\n.tags.host = .namespace\n.tags.n = [\"a\", null]\ndel(.namespace)\n.kind = \"absolute\"";
        let Event::Metric(metric) = change(source, counter("hits")) else { panic!() };
        assert_eq!(metric.name, "HITS");
        assert_eq!(metric.namespace, None);
        assert_eq!(metric.kind, crate::event::MetricKind::Absolute);
        assert_eq!(metric.tags["host"], TagValue::Single("app".into()));
        assert_eq!(metric.tags["n"], TagValue::Many(vec![Some("a".into()), None]));
        assert_eq!(change(". = .", Event::Metric(metric.clone())), Event::Metric(metric));
    }

    #[test]
    fn what_a_metric_cannot_have_is_a_failure() {
        for (source, expected) in [
            (".value = 1", "a metric has no field `.value`"),
            (".type = \"gauge\"", "a metric's `.type` cannot be changed"),
            ("del(.name)", "a metric must have `.name`"),
            (".kind = \"x\"", "a metric's `.kind` is `incremental` or `absolute`, not `x`"),
            (".tags.a = 1", "a metric's `.tags.a` must be a string, not of type integer"),
            (".timestamp = 1", "a metric's `.timestamp` cannot be of type integer"),
            (
                ". = {\"name\": \"a\", \"kind\": \"absolute\", \"type\": \"counter\", \"x\": 1}",
                "a metric has no field `.x`",
            ),
            (". = [.]", "a metric cannot become a value of type array"),
        ] {
            assert_eq!(fails(source, counter("hits")), expected, "{source}");
        }
    }

    #[test]
    fn the_deepest_program_fits_on_the_stack_of_a_worker() {
        let deep = super::super::nesting::MAX_NESTING - 2;
        for source in [
            format!(".a = {}\"a\"{}", "upcase(".repeat(deep), ")".repeat(deep)),
            format!(".a = 1{}", " + 1".repeat(deep)),
            format!(".a = {}1{}", "[".repeat(deep), "]".repeat(deep)),
            format!(".a = .b{}", " || .b".repeat(deep / 2 - 2)),
        ] {
            let run = move || drop(change(&source, line("x")));
            std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
        }
    }
}
