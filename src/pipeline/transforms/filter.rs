//! Passes on what meets a condition.

use super::{
    condition::{Condition, Tester},
    failures::Failures,
};
use crate::{
    base::{fault::Fault, id::ComponentId},
    config::Fields,
    event::Batch,
    pipeline::component::{BuildContext, Outputs, Transform, TransformSpec},
};

/// `type = "filter"`.
///
/// What does not meet the condition, or makes its program fail, is counted as discarded: `filtered`.
#[derive(Debug)]
pub struct FilterSpec {
    condition: Condition,
}

impl FilterSpec {
    /// Reads its options.
    pub fn read(fields: &mut Fields<'_>) -> Option<Box<dyn TransformSpec>> {
        Some(Box::new(Self::read_options(fields)?))
    }

    fn read_options(fields: &mut Fields<'_>) -> Option<Self> {
        Some(FilterSpec { condition: Condition::required(fields, "condition")? })
    }

    fn start(&self, id: &ComponentId) -> Filter {
        Filter { condition: self.condition.tester(), failures: Failures::new(id) }
    }
}

impl TransformSpec for FilterSpec {
    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Transform>, Fault> {
        Ok(Box::new(self.start(cx.id)))
    }
}

#[derive(Debug)]
struct Filter {
    condition: Tester,
    failures: Failures,
}

impl Transform for Filter {
    fn apply(&mut self, mut batch: Batch, out: &mut Outputs) {
        let before = batch.len();
        batch.retain(|event| match self.condition.test(event) {
            Ok(passes) => passes,
            Err(stopped) => {
                self.failures.note(&stopped, "discarding the event", &out.metrics);
                false
            }
        });
        out.metrics.discard("filtered", before - batch.len());
        out.default = batch;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{apply, bad, counter, good, line, log, messages};
    use super::*;
    use crate::event::Value;

    fn filter(toml: &str) -> Filter {
        good(toml, FilterSpec::read_options).start(&"t".parse().unwrap())
    }

    #[test]
    fn what_meets_the_condition_passes_in_order() {
        let mut filter = filter("condition = '.message != \"b\"'");
        let out = apply(&mut filter, 0, vec![line("a"), line("b"), line("c"), line("b")]);
        assert_eq!(messages(&out.default), ["a", "c"]);
        assert_eq!(out.metrics.discarded()["filtered"], 2);
    }

    #[test]
    fn a_condition_can_be_a_table() {
        let mut by_program = filter("condition = { type = \"vrl\", source = '.message == \"a\"' }");
        assert_eq!(apply(&mut by_program, 0, vec![line("a"), line("b")]).default, [line("a")]);
        let mut logs = filter("condition.type = \"is_log\"");
        assert_eq!(apply(&mut logs, 0, vec![line("a"), counter("c")]).default, [line("a")]);
        let mut metrics = filter("condition.type = \"is_metric\"");
        assert_eq!(apply(&mut metrics, 0, vec![line("a"), counter("c")]).default, [counter("c")]);
    }

    #[test]
    fn a_metric_is_asked_by_its_name_and_tags() {
        let mut filter =
            filter("condition = '.name == \"hits\" && .type == \"counter\" && !exists(.tags.x)'");
        assert_eq!(
            apply(&mut filter, 0, vec![counter("hits"), counter("misses")]).default,
            [counter("hits")]
        );
    }

    #[test]
    fn a_condition_that_fails_or_is_no_boolean_is_not_met_and_counted() {
        let mut fails = filter("condition = 'to_int!(.n) > 1'");
        let batch = vec![log(&[("n", Value::from("x"))]), log(&[("n", Value::from("2"))]), line("a")];
        let out = apply(&mut fails, 0, batch);
        assert_eq!(out.default.len(), 1);
        assert_eq!(out.metrics.errors()["program_failed"], 1);
        assert_eq!(out.metrics.discarded()["filtered"], 2);
        let out = apply(&mut filter("condition = '.n'"), 0, vec![log(&[("n", Value::Integer(1))])]);
        assert_eq!((out.default.len(), out.metrics.errors()["program_failed"]), (0, 1));
    }

    #[test]
    fn options_that_are_wrong_are_told() {
        let bad = |toml| bad(toml, FilterSpec::read_options);
        assert!(bad("").contains("[transforms.t] needs `condition`"));
        assert!(bad("condition = 1").contains("expected a condition, as a string or a table, found 1"));
        assert!(bad("condition.type = 'is_lo'").contains("did you mean `is_log`?"));
        assert!(bad("condition.type = 'vrl'").contains("[transforms.t.condition] needs `source`"));
        assert!(bad("condition = { type = 'is_log', source = 'true' }").contains("unknown option `source`"));
        assert!(bad("condition = '.a = 1'").contains("read-only"));
        assert!(bad("condition = '\"a\"'").contains("a condition must be true or false, but this is string"));
        assert!(bad("condition = 'true'\nx = 1").contains("unknown option `x`"));
    }
}
