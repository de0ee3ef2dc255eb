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
