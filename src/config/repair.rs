//! Looks past lines that are not TOML, to find what else is wrong.
//!
//! The parser can go on after an error by itself, but then attaches what follows to the wrong table, which gives errors
//! where nothing is wrong. Here the broken line is blanked and all is read again, until the rest is TOML.
//!
//! Pure.

use std::{borrow::Cow, ops::Range};

use toml::de::DeTable;

use super::report;

/// How often a text is read; a large one, which is hardly a configuration, less often.
const MAX_ROUNDS: usize = 50;
const MAX_ROUNDS_LARGE: usize = 3;
const LARGE: usize = 1 << 20;

/// What is not TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where, in bytes.
    pub range: Range<usize>,
    /// Why.
    pub message: String,
}

/// The errors of `text`, and a text of the same length without the broken lines, which is TOML.
///
/// When no such text is found, only the first error is returned: others may follow from it.
pub fn repair(text: &str) -> (Vec<SyntaxError>, Option<Cow<'_, str>>) {
    let mut repaired = Cow::Borrowed(text);
    let mut errors: Vec<SyntaxError> = Vec::new();
    for _ in 0..if text.len() < LARGE { MAX_ROUNDS } else { MAX_ROUNDS_LARGE } {
        let Err(error) = DeTable::parse(&repaired) else { return (errors, Some(repaired)) };
        let range = error.span().unwrap_or_default();
        // An error before others is their cause (a bracket that is not closed): they are put back as they were.
        let causes = errors.partition_point(|other| other.range.start < range.start);
        if let Some(opening) = never_closed(error.message(), &repaired, &range) {
            errors.retain(|other| other.range.start < opening.start);
            errors.push(SyntaxError { range: opening, message: "this text is never closed".into() });
            return (errors, None);
        }
        if let Some(consequence) = errors.get(causes) {
            let from = lines_to_blank(text, consequence.range.start).start;
            repaired.to_mut().replace_range(from.., &text[from..]);
            errors.truncate(causes);
        }
        let broken = lines_to_blank(&repaired, range.start);
        let stuck = repaired[broken.clone()].trim().is_empty();
        errors.push(SyntaxError { message: message(error.message(), text, &range), range });
        if stuck {
            break;
        }
        let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
        let blank: String = repaired[broken.clone()].bytes().map(blank).collect();
        repaired.to_mut().replace_range(broken, &blank);
    }
    errors.truncate(1);
    (errors, None)
}

/// The line around `at`; of a broken header, all that belongs to it.
fn lines_to_blank(text: &str, at: usize) -> Range<usize> {
    let at = report::floor(text, at);
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let line_end = |from: usize| text[from..].find('\n').map_or(text.len(), |length| from + length);
    let is_header = |from: usize| text[from..].trim_start_matches([' ', '\t']).starts_with('[');
    let mut end = line_end(at);
    if is_header(start) {
        while end < text.len() && !is_header(end + 1) {
            end = line_end(end + 1);
        }
    }
    start..end
}

/// Where a text of several lines begins, when the error is at the end because nothing closes it.
fn never_closed(words: &str, text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    if range.start < text.trim_end().len() {
        return None;
    }
    let quotes = match words {
        _ if words.contains("multi-line literal") => "'''",
        _ if words.contains("multi-line basic") => "\"\"\"",
        _ => return None,
    };
    // The last one: any after the beginning would have closed it.
    text.rfind(quotes).map(|at| at..at + quotes.len())
}

/// The parser's words, clearer where they say little.
fn message(words: &str, text: &str, range: &Range<usize>) -> String {
    match (words, text.get(range.clone())) {
        (_, Some("")) if text[..range.start].trim_end_matches([' ', '\t']).ends_with('=') => {
            "there is no value after `=`".into()
        }
        ("duplicate key", Some(key)) => format!("`{}` is given twice", key.trim_matches(['"', '\''])),
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of the errors, and what is left.
    fn check(text: &str) -> (Vec<usize>, Option<String>) {
        let (errors, repaired) = repair(text);
        let lines = errors.iter().map(|error| text[..error.range.start].matches('\n').count() + 1).collect();
        if let Some(repaired) = &repaired {
            assert_eq!(repaired.len(), text.len());
        }
        (lines, repaired.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")))
    }

    #[test]
    fn each_broken_line_is_one_error() {
        assert_eq!(check("a = 1\nb 2\nc = \nd = \"x\na = 2\n"), (vec![2, 3, 4, 5], Some("a = 1".into())));
    }

    #[test]
    fn a_broken_header_takes_its_options_along() {
        assert_eq!(check("a = 1\n[x\nb = 2\n[y]\nc = 3\n"), (vec![2], Some("a = 1 [y] c = 3".into())));
    }

    #[test]
    fn a_bracket_that_is_not_closed_is_one_error() {
        assert_eq!(
            check("a = 1\nb = [1\nc = 2\n[y]\nd = 3\n"),
            (vec![2], Some("a = 1 c = 2 [y] d = 3".into()))
        );
    }

    #[test]
    fn a_text_that_is_never_closed_is_shown_where_it_begins() {
        assert_eq!(check("a 1\nb = '''x\nc = 2\n"), (vec![1, 2], None));
        assert_eq!(check("a 1\nb = \"\"\"x\nc = 2\n"), (vec![1, 2], None));
    }
}
