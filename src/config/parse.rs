//! TOML text to a tree, keeping places.
//!
//! Pure.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::Diagnostics,
    interpolate::interpolate,
    node::{Entry, Node, NodeKind, Span, Table},
    repair::repair,
    report::Files,
};

/// How deep tables and lists may be nested.
const MAX_DEPTH: usize = 64;
/// How many options a table may have: it is searched from the beginning.
const MAX_ENTRIES: usize = 10_000;
/// How many dots a key may have. The parser has no bound, and would exhaust the stack.
const MAX_DOTS: usize = 100;

/// Reads file number `file` of `files`.
///
/// Lines that are not TOML are noted and left out, so that the others can be checked. When that does not help (a quote
/// or bracket is never closed), only the first error is noted and nothing is returned: the rest would be guesses.
pub fn parse(
    files: &Files,
    file: u16,
    env: &dyn Fn(&str) -> Option<String>,
    diagnostics: &Diagnostics,
) -> Table {
    let text = files.text(Span { file, start: 0, end: u32::MAX });
    let place = |range: Range<usize>| Span { file, start: small(range.start), end: small(range.end) };
    if let Some(at) = too_many_dots(text) {
        diagnostics.syntax(place(at..at + 1), format!("a key has more than {MAX_DOTS} dots"), None);
        return Table::default();
    }
    let (errors, repaired) = repair(text);
    let unchecked = repaired.is_none().then(|| "what comes after this was not checked".to_owned());
    for error in errors {
        diagnostics.syntax(place(error.range), error.message, unchecked.clone());
    }
    let table = repaired.and_then(|text| {
        let table = DeTable::parse(&text).ok()?;
        Some(Reader { files, file, env, diagnostics }.table(table.into_inner(), 0))
    });
    table.unwrap_or_default()
}

struct Reader<'a> {
    files: &'a Files,
    file: u16,
    env: &'a dyn Fn(&str) -> Option<String>,
    diagnostics: &'a Diagnostics,
}

impl Reader<'_> {
    fn table(&self, table: DeTable<'_>, depth: usize) -> Table {
        let mut entries: Vec<_> = table
            .into_iter()
            .map(|(name, value)| {
                let name_span = self.span(&name);
                Entry { name: name.into_inner().into_owned(), name_span, node: self.node(value, depth) }
            })
            .collect();
        // The parser sorts by name.
        entries.sort_by_key(|entry| entry.name_span.start);
        if let Some(entry) = entries.get(MAX_ENTRIES) {
            self.diagnostics.error(entry.name_span, format!("more than {MAX_ENTRIES} options in one table"));
            entries.truncate(MAX_ENTRIES);
        }
        let mut table = Table::default();
        entries.into_iter().for_each(|entry| table.push(entry));
        table
    }

    fn node(&self, value: Spanned<DeValue<'_>>, depth: usize) -> Node {
        let span = self.span(&value);
        if depth > MAX_DEPTH {
            self.diagnostics.error(span, format!("nested more than {MAX_DEPTH} deep"));
            return Node { kind: NodeKind::Broken, span };
        }
        let kind = match value.into_inner() {
            DeValue::String(text) => self.string(&text, span),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => NodeKind::Integer(number),
                Err(_) => {
                    self.diagnostics.error(span, "the number does not fit into 64 bits");
                    NodeKind::Broken
                }
            },
            DeValue::Float(number) => number.as_str().parse().map_or(NodeKind::Broken, NodeKind::Float),
            DeValue::Boolean(value) => NodeKind::Boolean(value),
            DeValue::Datetime(value) => NodeKind::Datetime(value.to_string()),
            DeValue::Array(items) => {
                NodeKind::Array(items.into_iter().map(|item| self.node(item, depth + 1)).collect())
            }
            DeValue::Table(table) => NodeKind::Table(self.table(table, depth + 1)),
        };
        Node { kind, span }
    }

    fn string(&self, text: &str, span: Span) -> NodeKind {
        match interpolate(text, self.env) {
            Ok(filled) => NodeKind::String { text: filled.text, interpolated: filled.interpolated },
            Err(wrong) => {
                for bad in wrong {
                    let span = self.variable(text, span, bad.dollars_before, bad.closed);
                    match bad.help {
                        Some(help) => self.diagnostics.error_help(span, bad.message, help),
                        None => self.diagnostics.error(span, bad.message),
                    }
                }
                NodeKind::Broken
            }
        }
    }

    /// Where the variable after so many `$` stands; the whole string, if escapes make that unclear.
    fn variable(&self, text: &str, span: Span, dollars_before: usize, closed: bool) -> Span {
        let written = self.files.text(span);
        let Some((at, _)) = written.match_indices('$').nth(dollars_before) else { return span };
        if written.matches('$').count() != text.matches('$').count() {
            return span;
        }
        let length = if closed { written[at..].find('}').map_or(2, |end| end + 1) } else { 2 };
        let start = span.start + small(at);
        Span { start, end: start + small(length), ..span }
    }

    fn span<T>(&self, spanned: &Spanned<T>) -> Span {
        let range = spanned.span();
        Span { file: self.file, start: small(range.start), end: small(range.end) }
    }
}

fn small(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Where a key has too many dots. Only a guess at TOML's grammar, line by line: texts and comments are skipped, all other
/// dots count.
fn too_many_dots(text: &str) -> Option<usize> {
    let (mut dots, mut quote, mut escaped, mut comment, mut before) = (0, None, false, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match (byte, quote) {
            (b'\n', _) => (dots, quote, escaped, comment) = (0, None, false, false),
            _ if comment => {}
            (_, Some(b'"')) if escaped => escaped = false,
            (b'\\', Some(b'"')) => escaped = true,
            (end, Some(begin)) if end == begin => quote = None,
            (_, Some(_)) => {}
            (b'"' | b'\'', None) => quote = Some(byte),
            (b'#', None) => comment = true,
            (b'=' | b',' | b'{' | b'[', None) => dots = 0,
            // Two in a row are no key, but an ellipsis.
            (b'.', None) => dots = if before == b'.' { 0 } else { dots + 1 },
            _ => {}
        }
        if dots > MAX_DOTS {
            return Some(at);
        }
        if byte != b' ' && byte != b'\t' {
            before = byte;
        }
    }
    None
}
