//! Passes on one of so many events.

use std::num::NonZeroU64;

use super::{
    condition::{Condition, Tester},
    failures::Failures,
};
use crate::{
    base::{fault::Fault, id::ComponentId},
    config::Fields,
    event::{Batch, Event, Key, Log, Value},
    pipeline::component::{BuildContext, DataType, Outputs, Transform, TransformSpec},
};

/// `type = "sample"`: passes on one of `rate` logs, the first one first, with the rate as their `sample_rate`.
///
/// With `key_field`, logs with the same value there stay together: all pass or none, one of `rate` values, the same
/// ones after every start and on every machine. What has no such field is counted off. What meets `exclude` always
/// passes, as it is. The rest is counted as discarded: `sampled`.
#[derive(Debug)]
pub struct SampleSpec {
    rate: NonZeroU64,
    key_field: Option<String>,
    exclude: Option<Condition>,
}

impl SampleSpec {
    /// Reads its options.
    pub fn read(fields: &mut Fields<'_>) -> Option<Box<dyn TransformSpec>> {
        Some(Box::new(Self::read_options(fields)?))
    }

    fn read_options(fields: &mut Fields<'_>) -> Option<Self> {
        let rate = fields.required::<NonZeroU64>("rate");
        let key_field = fields.optional::<String>("key_field");
        let path = format!("{}.exclude", fields.path());
        let exclude = match fields.node("exclude") {
            None => Some(None),
            Some(node) => Condition::read(node, path, fields.diagnostics()).map(Some),
        };
        let key_field = key_field.map(|path| path.strip_prefix('.').map_or(path.clone(), str::to_owned));
        Some(SampleSpec { rate: rate?, key_field, exclude: exclude? })
    }

    fn start(&self, id: &ComponentId) -> Sample {
        Sample {
            rate: self.rate.get(),
            text: Value::from(self.rate.to_string()),
            key_field: self.key_field.clone(),
            exclude: self.exclude.as_ref().map(Condition::tester),
            seen: 0,
            failures: Failures::new(id),
        }
    }
}

impl TransformSpec for SampleSpec {
    fn input(&self) -> DataType {
        DataType::Log
    }

    fn output(&self) -> DataType {
        DataType::Log
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Transform>, Fault> {
        Ok(Box::new(self.start(cx.id)))
    }
}

#[derive(Debug)]
struct Sample {
    rate: u64,
    /// What stands in `sample_rate`: text, as Vector has it.
    text: Value,
    key_field: Option<String>,
    exclude: Option<Tester>,
    /// How many were counted off since one passed.
    seen: u64,
    failures: Failures,
}

impl Transform for Sample {
    fn apply(&mut self, mut batch: Batch, out: &mut Outputs) {
        let before = batch.len();
        batch.retain_mut(|event| {
            if let Some(exclude) = &mut self.exclude {
                match exclude.test(event) {
                    Ok(true) => return true,
                    Ok(false) => {}
                    Err(stopped) => {
                        self.failures.note(&stopped, "sampling the event", &out.metrics);
                    }
                }
            }
            // Metrics do not come here: see `input`.
            let Event::Log(log) = event else { return true };
            let key = self.key_field.as_deref().and_then(|path| key(log, path));
            let passes = match key {
                Some(hash) => hash.is_multiple_of(self.rate),
                None => {
                    let passes = self.seen == 0;
                    self.seen = (self.seen + 1) % self.rate;
                    passes
                }
            };
            if passes {
                log.fields.insert(Key::const_new("sample_rate"), self.text.clone());
            }
            passes
        });
        out.metrics.discard("sampled", before - batch.len());
        out.default = batch;
    }
}

/// A number made of the value at `path`.
fn key(log: &Log, path: &str) -> Option<u64> {
    Some(match log.get(path)? {
        Value::Bytes(bytes) => hash(bytes),
        Value::Integer(number) => hash(&number.to_le_bytes()),
        Value::Float(number) => hash(&number.to_bits().to_le_bytes()),
        Value::Boolean(value) => hash(&[u8::from(*value)]),
        Value::Timestamp(at) => hash(at.to_rfc3339().as_bytes()),
        // Not a key.
        Value::Null => return None,
        value @ (Value::Map(_) | Value::Array(_)) => hash(format!("{value:?}").as_bytes()),
    })
}

/// FNV-1a, then the last step of MurmurHash3, so that every bit counts. The same everywhere and always, which the
/// standard library does not promise of its own.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{apply, bad, good, line, log, messages};
    use super::*;

    fn sample(toml: &str) -> Sample {
        good(toml, SampleSpec::read_options).start(&"t".parse().unwrap())
    }

    #[test]
    fn one_of_so_many_passes_the_first_one_first_over_batches() {
        let mut sample = sample("rate = 3");
        let out = apply(&mut sample, 0, ["a", "b", "c", "d"].map(line).into());
        assert_eq!(messages(&out.default), ["a", "d"]);
        assert_eq!(out.metrics.discarded()["sampled"], 2);
        assert_eq!(messages(&apply(&mut sample, 0, ["e", "f", "g"].map(line).into()).default), ["g"]);
    }

    #[test]
    fn what_passes_says_the_rate() {
        let out = apply(&mut sample("rate = 10"), 0, vec![line("a")]);
        assert_eq!(out.default[0].as_log().unwrap().get("sample_rate"), Some(&Value::from("10")));
    }

    #[test]
    fn what_is_excluded_passes_as_it_is_and_is_not_counted_off() {
        let mut sample = sample("rate = 2\nexclude = '.message == \"x\"'");
        let out = apply(&mut sample, 0, ["a", "x", "b", "x", "c"].map(line).into());
        assert_eq!(messages(&out.default), ["a", "x", "x", "c"]);
        assert_eq!(out.default[1], line("x"));
    }

    #[test]
    fn logs_with_the_same_key_stay_together_and_about_one_key_of_so_many_passes() {
        let mut sample = sample("rate = 4\nkey_field = \".user.id\"");
        let event = |id| {
            let user = [(Key::from("id"), Value::Integer(id))].into_iter().collect();
            log(&[("user", Value::Map(user))])
        };
        let first = apply(&mut sample, 0, (0..1000).map(event).collect()).default;
        let second = apply(&mut sample, 0, (0..1000).map(event).collect()).default;
        assert_eq!(first, second);
        assert!((200..300).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn what_has_no_key_is_counted_off() {
        let mut sample = sample("rate = 2\nkey_field = \"id\"");
        assert_eq!(messages(&apply(&mut sample, 0, ["a", "b", "c"].map(line).into()).default), ["a", "c"]);
    }

    #[test]
    fn options_that_are_wrong_are_told() {
        let bad = |toml| bad(toml, SampleSpec::read_options);
        assert!(bad("").contains("[transforms.t] needs `rate`"));
        assert!(bad("rate = 0").contains("expected a whole number, 1 or more, found 0"));
        assert!(bad("rate = 2\nexclude = 'nope()'").contains("undefined function"));
    }
}
