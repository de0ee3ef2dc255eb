//! Reads programs out of options, and shows what is wrong with them where they stand.
//!
//! Pure.

use std::ops::Range;

use vrl::compiler::TimeZone;

use super::compile::{Problem, Program, Use};
use crate::config::{Diagnostics, FromNode, Node, Span};

/// The text of a program, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The program.
    pub text: String,
    /// The option's value, quotes included.
    pub span: Span,
}

impl FromNode for Source {
    const EXPECTED: &'static str = "a program, as a string";

    fn from_node(node: &Node) -> Result<Self, String> {
        let text = node.as_str().ok_or_else(|| node.mismatch(Self::EXPECTED))?;
        Ok(Source { text: text.to_owned(), span: node.span })
    }
}

/// Compiles; what VRL has to say goes to `diagnostics`. `None` when there were errors.
pub fn read_source(
    source: &Source,
    purpose: Use,
    timezone: TimeZone,
    diagnostics: &Diagnostics,
) -> Option<Program> {
    let (program, problems) = Program::compile(&source.text, purpose, timezone);
    for Problem { error, message, help, at } in problems {
        let (span, place) = match at {
            Some(at) => source.place(at),
            None => (source.span, String::new()),
        };
        let message = format!("{place}{message}");
        match (error, help) {
            (true, Some(help)) => diagnostics.error_help(span, message, help),
            (true, None) => diagnostics.error(span, message),
            (false, Some(help)) => diagnostics.warning(span, format!("{message} ({help})")),
            (false, None) => diagnostics.warning(span, message),
        }
    }
    program
}

impl Source {
    /// Where a part of the program is in the file. When that cannot be told, the whole value, and words for where it
    /// is in the program.
    fn place(&self, at: Range<usize>) -> (Span, String) {
        let small = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        if let Some(begin) = self.begin() {
            let end = at.end.clamp(at.start, self.text.len().max(at.start));
            let (start, end) =
                (self.span.start + begin + small(at.start), self.span.start + begin + small(end));
            return (Span { start, end, ..self.span }, String::new());
        }
        let (line, column) = line_and_column(&self.text, at.start);
        (self.span, format!("line {line}, column {column} of the program: "))
    }

    /// How far behind the value's beginning the text begins, when it stands in the file as it is: without escapes or
    /// variables, what is written is longer by its quotes and nothing else.
    fn begin(&self) -> Option<u32> {
        let written = (self.span.end.checked_sub(self.span.start)?) as usize;
        let many_lines = self.text.contains('\n');
        match written.checked_sub(self.text.len())? {
            2 if !many_lines => Some(1),
            6 if many_lines => Some(3),
            // The line break right after three quotes is not part of the text.
            7 => Some(4),
            _ => None,
        }
    }
}

/// Line and column of the byte `at`, counted from 1, columns in characters.
pub(in crate::pipeline::transforms) fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{bad, good, read};
    use super::*;
    use crate::config::Fields;
    use expect_test::expect;
    use proptest::prelude::*;

    fn program(fields: &mut Fields<'_>) -> Option<Program> {
        let source = fields.required::<Source>("source")?;
        read_source(&source, Use::Change, TimeZone::default(), fields.diagnostics())
    }

    #[test]
    fn an_error_is_shown_where_it_is_in_the_file() {
        expect![[r#"
            test.toml:4:6: error: call to undefined function; did you mean "upcase"?
                .b = upcaze(.a)
                     ^^^^^^
            1 error in test.toml"#]]
        .assert_eq(&bad("\nsource = '''\n.a = 1\n.b = upcaze(.a)\n'''", program));
    }

    #[test]
    fn a_function_that_can_fail_must_be_handled_and_the_help_says_how() {
        expect![[r#"
            test.toml:1:16: error: unhandled fallible assignment; this expression is fallible because at least one argument's type cannot be verified to be valid; `.message` argument type is `any` and this function expected a parameter `value` of type `string`; update the expression to be infallible by adding a `!`: `parse_json!(.message)`; or change this to an infallible assignment:; .a, err = parse_json(.message)
                source = '.a = parse_json(.message)'
                               ^^^^^^^^^^^^^^^^^^^^
            1 error in test.toml"#]].assert_eq(&bad("source = '.a = parse_json(.message)'", program));
    }

    #[test]
    fn an_error_of_grammar_is_readable() {
        expect![[r#"
            test.toml:1:16: error: syntax error; unexpected syntax token: "Equals"; expected one of: "identifier", "string literal", "raw string literal", "integer literal", "float literal", "regex literal", "timestamp literal", "function call", "path literal", "if", "null", "true", "false", "abort", "return", "break", "\n", "_", "!", "[", "{", "("
                source = '.a = = 1'
                               ^
            1 error in test.toml"#]].assert_eq(&bad("source = '.a = = 1'", program));
        expect![[r#"
            test.toml:1:13: error: syntax error; unexpected end of program; expected one of: "identifier", "string literal", "raw string literal", "integer literal", "float literal", "regex literal", "timestamp literal", "function call", "path literal", "null", "true", "false", "!", "[", "{", "("
                source = 'if'
                            ^
            1 error in test.toml"#]].assert_eq(&bad("source = 'if'", program));
    }

    #[test]
    fn with_escapes_the_place_is_told_in_words() {
        expect![[r#"
            test.toml:1:10: error: line 2, column 6 of the program: call to undefined function; did you mean "now"?
                source = "true\n.a = nope(\"x\")"
                         ^^^^^^^^^^^^^^^^^^^^^^^^
            1 error in test.toml"#]].assert_eq(&bad(r#"source = "true\n.a = nope(\"x\")""#, program));
    }

    #[test]
    fn a_warning_does_not_stop_anything() {
        let (program, report) = read("source = 'true\n.a = 1'".replace('\'', "'''").as_str(), program);
        assert!(program.is_some());
        expect![[r#"
            test.toml:1:13: warning: unused literal `true`; help: use the result of this expression or remove it (this expression has no side-effects)
                source = '''true
                            ^^^^
            1 warning in test.toml"#]].assert_eq(&report);
    }

    #[test]
    fn all_errors_are_found() {
        let report = bad("source = '''\n.a = nope()\n.b = neither()\n'''", program);
        assert!(report.contains("2 errors"), "{report}");
    }

    #[test]
    fn a_program_is_a_string() {
        assert!(bad("source = 1", program).contains("expected a program, as a string, found 1"));
        good("source = ''", program);
    }

    proptest! {
        #[test]
        fn any_text_can_be_an_option(text in "\\PC{0,40}", lines in "[a-z.=+(){}!\"'\\\\\n $]{0,40}") {
            for text in [text, lines] {
                let toml = format!("source = {}", toml::Value::String(text.replace('$', "$$")));
                read(&toml, program);
            }
        }
    }
}
