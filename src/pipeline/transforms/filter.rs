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
