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
