//! Conditions: which events are meant.
//!
//! Pure.

use std::sync::Arc;

use vrl::compiler::TimeZone;

use super::program::{Program, Runner, Source, Stopped, Use, read_source};
use crate::{
    config::{Diagnostics, Fields, FromNode, Node, NodeKind, choice},
    event::Event,
};

/// Which events are meant: a program, as a string or as `{ type = "vrl", source = "…" }`, or a kind of event,
/// `{ type = "is_log" }`, `{ type = "is_metric" }`.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// Those for which it is true.
    Program(Arc<Program>),
    /// Logs.
    IsLog,
    /// Metrics.
    IsMetric,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Vrl,
    IsLog,
    IsMetric,
}

impl FromNode for Kind {
    const EXPECTED: &'static str = "a type of condition";

    fn from_node(node: &Node) -> Result<Self, String> {
        choice(node, &[("vrl", Kind::Vrl), ("is_log", Kind::IsLog), ("is_metric", Kind::IsMetric)])
    }
}

impl Condition {
    /// Reads the option `key`, which must be there.
    pub(super) fn required(fields: &mut Fields<'_>, key: &'static str) -> Option<Self> {
        let path = format!("{}.{key}", fields.path());
        match fields.node(key) {
            Some(node) => Condition::read(node, path, fields.diagnostics()),
            None => fields.required::<String>(key).and(None),
        }
    }

    /// Reads the value of an option; `path` is its name.
    pub(super) fn read(node: &Node, path: String, diagnostics: &Diagnostics) -> Option<Self> {
        let source = match &node.kind {
            NodeKind::Broken => return None,
            NodeKind::String { text, .. } => Source { text: text.clone(), span: node.span },
            NodeKind::Table(table) => {
                let mut fields = Fields::new(table, node.span, path, diagnostics);
                let kind = fields.required::<Kind>("type");
                let source = match kind {
                    Some(Kind::Vrl) => fields.required::<Source>("source"),
                    Some(Kind::IsLog | Kind::IsMetric) => None,
                    // Which options an unknown type has is unknown: one mistake, one error.
                    None => return None,
                };
                fields.finish();
                match kind? {
                    Kind::Vrl => source?,
                    Kind::IsLog => return Some(Condition::IsLog),
                    Kind::IsMetric => return Some(Condition::IsMetric),
                }
            }
            _ => {
                diagnostics.error(node.span, node.mismatch("a condition, as a string or a table"));
                return None;
            }
        };
        let program = read_source(&source, Use::Condition, TimeZone::default(), diagnostics)?;
        Some(Condition::Program(Arc::new(program)))
    }

    /// Something that asks events.
    pub(super) fn tester(&self) -> Tester {
        match self {
            Condition::Program(program) => Tester::Program(Box::new(Runner::new(program.clone()))),
            Condition::IsLog => Tester::IsLog,
            Condition::IsMetric => Tester::IsMetric,
        }
    }
}

/// A condition, ready to be asked about events.
#[derive(Debug)]
pub(super) enum Tester {
    Program(Box<Runner>),
    IsLog,
    IsMetric,
}

impl Tester {
    /// Is `event` meant?
    ///
    /// # Errors
    ///
    /// When the program fails.
    pub(super) fn test(&mut self, event: &Event) -> Result<bool, Stopped> {
        match self {
            Tester::Program(runner) => runner.test(event),
            Tester::IsLog => Ok(matches!(event, Event::Log(_))),
            Tester::IsMetric => Ok(matches!(event, Event::Metric(_))),
        }
    }
}
