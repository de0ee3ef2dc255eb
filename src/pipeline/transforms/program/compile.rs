//! From text to a program, with all that VRL has to say about it.

use std::{collections::BTreeSet, io, ops::Range, sync::LazyLock, thread};

use vrl::{
    compiler::{CompileConfig, Function, Program as Compiled, TimeZone, TypeState, compile_with_state},
    diagnostic::{Diagnostic, DiagnosticList, Note},
    path::{OwnedSegment, OwnedTargetPath, PathPrefix},
};

use super::nesting::{MAX_NESTING, too_deep};
use crate::event::Key;

/// Longest program, in bytes.
pub const MAX_SOURCE: usize = 1 << 20;

/// Room for the deepest program that [`too_deep`] lets pass, several times over.
const STACK: usize = 64 << 20;

/// A compiled program.
#[derive(Debug)]
pub struct Program {
    pub(super) compiled: Compiled,
    pub(super) timezone: TimeZone,
    /// The fields it names; `None` when it uses the event as a whole.
    pub(super) fields: Option<Vec<Key>>,
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It changes events.
    Change,
    /// It says yes or no, and changes nothing.
    Condition,
}

/// Something that VRL has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// An error; otherwise a warning.
    pub error: bool,
    /// What, one line.
    pub message: String,
    /// What would be right, one line.
    pub help: Option<String>,
    /// Where in the program, in bytes.
    pub at: Option<Range<usize>>,
}

/// Functions that would let a program look or reach out of the daemon. None is compiled in; the list is here in case
/// a feature of the crate brings one.
const OUTSIDE: [&str; 6] =
    ["dns_lookup", "get_env_var", "get_hostname", "get_timezone_name", "http_request", "reverse_dns"];

static FUNCTIONS: LazyLock<Vec<Box<dyn Function>>> = LazyLock::new(|| {
    let mut functions = vrl::stdlib::all();
    functions.retain(|function| !OUTSIDE.contains(&function.identifier()));
    functions
});

impl Program {
    /// Compiles `source`. The program is `None` when there were errors; there may be warnings in any case.
    pub fn compile(source: &str, purpose: Use, timezone: TimeZone) -> (Option<Program>, Vec<Problem>) {
        if source.len() > MAX_SOURCE {
            let message = format!("a program of more than {MAX_SOURCE} bytes");
            return (None, vec![Problem::error(message, None)]);
        }
        if let Some(at) = too_deep(source) {
            let message = format!("brackets and operators are nested more than {MAX_NESTING} deep");
            return (None, vec![Problem::error(message, Some(at..at + 1))]);
        }
        // A thread of its own: the compiler uses much stack for each level, and it asserts a few things about what it
        // reads. Neither must end the daemon.
        let compiled = thread::scope(|scope| {
            let thread = thread::Builder::new().name("compile".into()).stack_size(STACK);
            let thread = thread.spawn_scoped(scope, || compile(source, purpose))?;
            thread.join().map_err(|_| io::Error::other("VRL's compiler fails on this program"))
        });
        match compiled {
            Ok(Ok((compiled, problems))) => {
                let fields = fields(&compiled);
                (Some(Program { compiled, timezone, fields }), problems)
            }
            Ok(Err(problems)) => (None, problems),
            Err(error) => (None, vec![Problem::error(format!("cannot compile: {error}"), None)]),
        }
    }
}

fn compile(source: &str, purpose: Use) -> Result<(Compiled, Vec<Problem>), Vec<Problem>> {
    let mut config = CompileConfig::default();
    if purpose == Use::Condition {
        config.set_read_only();
    }
    let compiled = compile_with_state(source, &FUNCTIONS, &TypeState::default(), config).map_err(problems)?;
    let mut problems = problems(compiled.warnings);
    let compiled = compiled.program;
    let result = compiled.final_type_info().result;
    if purpose == Use::Condition && !result.contains_boolean() {
        let message = format!("a condition must be true or false, but this is {}", result.kind());
        problems.push(Problem::error(message, None));
        return Err(problems);
    }
    Ok((compiled, problems))
}

/// The fields a program names; `None` when it uses the event as a whole.
fn fields(program: &Compiled) -> Option<Vec<Key>> {
    let info = program.info();
    let mut fields = BTreeSet::new();
    for path in info.target_queries.iter().chain(&info.target_assignments) {
        let OwnedTargetPath { prefix: PathPrefix::Event, path } = path else { continue };
        match path.segments.first() {
            Some(OwnedSegment::Field(name)) => fields.insert(Key::from(name.as_str())),
            Some(OwnedSegment::Index(_)) | None => return None,
        };
    }
    Some(fields.into_iter().collect())
}

impl Problem {
    fn error(message: String, at: Option<Range<usize>>) -> Self {
        Problem { error: true, message, help: None, at }
    }
}

fn problems(list: DiagnosticList) -> Vec<Problem> {
    list.iter().map(problem).collect()
}

fn problem(diagnostic: &Diagnostic) -> Problem {
    let labels = diagnostic.labels();
    let primary = labels.iter().find(|label| label.primary).or(labels.first());
    let mut message = diagnostic.message().to_owned();
    for label in labels.iter().map(|label| &label.message) {
        if !label.is_empty() && !message.contains(label.as_str()) {
            message.push_str("; ");
            message.push_str(label);
        }
    }
    let says_how = |note: &&Note| {
        matches!(
            note,
            Note::Hint(_) | Note::Example(_) | Note::CoerceValue | Note::Basic(_) | Note::UserErrorMessage(_)
        )
    };
    let notes: Vec<_> =
        diagnostic.notes().iter().filter(says_how).map(|note| one_line(&note.to_string())).collect();
    let help = notes.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(" ");
    Problem {
        error: diagnostic.is_problem(),
        message: one_line(&message),
        help: (!help.is_empty()).then_some(help),
        at: primary.map(|label| label.span.range()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compile(source: &str, purpose: Use) -> (Option<Program>, Vec<Problem>) {
        Program::compile(source, purpose, TimeZone::default())
    }

    #[test]
    fn no_function_looks_or_reaches_out_of_the_daemon() {
        for outside in OUTSIDE {
            let (program, problems) = compile(&format!("{outside}(\"x\")"), Use::Change);
            assert!(program.is_none());
            assert!(problems[0].message.contains("undefined function"), "{problems:?}");
        }
    }

    #[test]
    fn a_program_that_names_its_fields_needs_only_those() {
        let fields = |source| compile(source, Use::Change).0.unwrap().fields;
        assert_eq!(
            fields(".b = .a.x\n.c[0] = 1\ndel(.d)\n%m = 2"),
            Some(vec!["a".into(), "b".into(), "c".into(), "d".into()])
        );
        assert_eq!(fields(". = {}"), None);
        assert_eq!(fields("x = ."), None);
        assert_eq!(fields("x = get(., [\"a\"]) ?? null"), None);
        assert_eq!(fields("true"), Some(vec![]));
    }

    #[test]
    fn a_condition_is_a_boolean_and_changes_nothing() {
        assert!(compile(".a == 1", Use::Condition).0.is_some());
        assert!(compile(".a", Use::Condition).0.is_some());
        let message = |source| compile(source, Use::Condition).1.swap_remove(0).message;
        assert_eq!(message("\"text\""), "a condition must be true or false, but this is string");
        assert!(message(".a = true").contains("read-only"), "{}", message(".a = true"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_compiler_panic(text in "\\PC{0,40}", words in proptest::collection::vec(
            prop_oneof![
                Just(".a"), Just("="), Just("if"), Just("{"), Just("}"), Just("("), Just(")"), Just("["), Just("]"),
                Just("else"), Just("upcase"), Just("!"), Just("\""), Just("'"), Just("r'"), Just("+"), Just("??"),
                Just("|="), Just(","), Just("\n"), Just("->"), Just("|"), Just("for_each"), Just("1"), Just("err"),
                Just("%m"), Just("."), Just("abort"), Just("return"), Just("\\"), Just("{{"), Just("t'"), Just("true"),
            ], 0..24)) {
            compile(&text, Use::Change);
            compile(&text, Use::Condition);
            compile(&words.join(" "), Use::Change);
            compile(&words.concat(), Use::Condition);
        }
    }
}
