//! Shows what is wrong, with the line it is in.
//!
//! Pure.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::{
    diagnostic::{Diagnostic, Severity},
    node::Span,
};

/// The files that were read: names and texts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Files {
    list: Vec<Arc<File>>,
}

struct File {
    name: String,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Files {
    /// Adds a file; returns its number for spans.
    ///
    /// # Panics
    ///
    /// With more than 65,536 files, or one of 4 GiB.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> u16 {
        let number = u16::try_from(self.list.len()).expect("the caller bounds the number of files");
        let (name, text) = (name.into(), text.into());
        assert!(u32::try_from(text.len()).is_ok(), "the caller bounds the size of files");
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        self.list.push(Arc::new(File { name, text, lines }));
        number
    }

    /// The name of the file that `span` is in.
    pub fn name(&self, span: Span) -> &str {
        self.list.get(usize::from(span.file)).map_or("", |file| &file.name)
    }

    /// Line and column of the beginning, both counted from 1, columns in characters.
    pub fn place(&self, span: Span) -> (usize, usize) {
        let Some(file) = self.list.get(usize::from(span.file)) else { return (1, 1) };
        let at = floor(&file.text, span.start as usize);
        let line = file.line(at);
        (line + 1, file.text[file.lines[line]..at].chars().count() + 1)
    }

    /// `FILE:LINE:COLUMN`.
    pub fn show(&self, span: Span) -> String {
        let (line, column) = self.place(span);
        format!("{}:{line}:{column}", self.name(span))
    }

    /// The text at `span`, as written.
    pub fn text(&self, span: Span) -> &str {
        let Some(file) = self.list.get(usize::from(span.file)) else { return "" };
        let start = floor(&file.text, span.start as usize);
        &file.text[start..floor(&file.text, span.end as usize).max(start)]
    }

    fn excerpt(&self, span: Span) -> Option<Excerpt> {
        let file = self.list.get(usize::from(span.file))?;
        let start = floor(&file.text, span.start as usize);
        let line_start = file.lines[file.line(start)];
        let line = file.text[line_start..].lines().next().unwrap_or_default();
        let start = (start - line_start).min(line.len());
        let end = (span.end as usize).saturating_sub(line_start).clamp(start, line.len());
        Some(excerpt(line, start, floor(line, end).max(start)))
    }
}

impl File {
    /// The number of the line that holds the byte `at`, from 0.
    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at) - 1
    }
}

/// The nearest boundary between characters at or before `at`.
pub(super) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A part of a line, fit for a terminal, and where to underline it, in columns.
struct Excerpt {
    line: String,
    start: usize,
    length: usize,
}

/// How many columns of a line are shown.
const WIDTH: usize = 100;

fn excerpt(line: &str, start: usize, end: usize) -> Excerpt {
    // A line may have megabytes: only what is near is looked at.
    let left = floor(line, start.saturating_sub(8 * WIDTH));
    let line = &line[left..floor(line, start + 8 * WIDTH)];
    let (start, end) = (start - left, (end - left).min(line.len()));
    let before: usize = line[..start].chars().map(width).sum();
    let marked: usize = line[start..end].chars().map(width).sum();
    let total = before + marked + line[end..].chars().map(width).sum::<usize>();
    // Of a long line, a window is shown that begins a bit before what is wrong.
    let from = if total <= WIDTH || before + marked.min(20) <= WIDTH { 0 } else { before.saturating_sub(20) };
    let mut shown = String::new();
    let (mut column, mut skipped) = (0, 0);
    for letter in line.chars() {
        let wide = width(letter);
        if column < from {
            skipped = column + wide;
        } else if column + wide > from + WIDTH {
            shown.push('…');
            break;
        } else if letter == '\t' {
            shown.push_str("    ");
        } else if is_unfit(letter) {
            shown.push('\u{fffd}');
        } else {
            shown.push(letter);
        }
        column += wide;
    }
    if from > 0 {
        shown.insert(0, '…');
    }
    let start = before - skipped + usize::from(from > 0);
    let room = shown.chars().map(width).sum::<usize>().saturating_sub(start);
    Excerpt { line: shown, start, length: marked.min(room).max(1) }
}

/// Control characters, and those that change the direction of text: a terminal would obey them.
fn is_unfit(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns on a terminal. The wide blocks and the usual marks of zero width only: a wrong guess moves an underline.
fn width(letter: char) -> usize {
    match letter {
        '\t' => 4,
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// All that is wrong, sorted by file and place, fit to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    items: Vec<Item>,
}

/// One thing that is wrong, its place worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// How bad it is.
    pub severity: Severity,
    /// File, line, column; `None` when it is in no file.
    pub place: Option<(String, usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// The line as shown, and its underline.
    excerpt: Option<(String, String)>,
}

impl Report {
    /// Works out the places.
    pub fn new(mut list: Vec<Diagnostic>, files: &Files) -> Report {
        // What is in no file comes last.
        list.sort_by_key(|diagnostic| {
            diagnostic.span.map_or((true, 0, 0), |span| (false, span.file, span.start))
        });
        let items = list.into_iter().map(|diagnostic| Item::new(diagnostic, files)).collect();
        Report { items }
    }

    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Item> {
        self.items.iter()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.items.iter().filter(|item| item.severity == Severity::Error).count()
    }

    fn summary(&self) -> String {
        let plural = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        let (errors, warnings) = (self.errors(), self.items.len() - self.errors());
        let counts = match (errors, warnings) {
            (0, warnings) => plural(warnings, "warning"),
            (errors, 0) => plural(errors, "error"),
            (errors, warnings) => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
        };
        let files: BTreeSet<_> =
            self.items.iter().filter_map(|item| item.place.as_ref().map(|(file, ..)| file)).collect();
        match (files.len(), files.first()) {
            (1, Some(file)) => format!("{counts} in {file}"),
            (0, _) => counts,
            (files, _) => format!("{counts} in {files} files"),
        }
    }
}

impl Item {
    fn new(diagnostic: Diagnostic, files: &Files) -> Item {
        let Diagnostic { severity, span, message, help } = diagnostic;
        let place = span.map(|span| {
            let (line, column) = files.place(span);
            (fit(files.name(span)), line, column)
        });
        let excerpt = span.and_then(|span| files.excerpt(span)).map(|excerpt| {
            (excerpt.line, format!("{}{}", " ".repeat(excerpt.start), "^".repeat(excerpt.length)))
        });
        Item { severity, place, message: fit(&message), help: help.as_deref().map(fit), excerpt }
    }
}

fn fit(text: &str) -> String {
    text.chars().map(|letter| if is_unfit(letter) { '\u{fffd}' } else { letter }).collect()
}

impl fmt::Display for Item {
    /// Several lines, each with its line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line, column)) = &self.place {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{word}: {}", self.message)?;
        if let Some((line, underline)) = &self.excerpt {
            writeln!(f, "    {line}\n    {underline}")?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            item.fmt(f)?;
        }
        if self.items.is_empty() { Ok(()) } else { f.write_str(&self.summary()) }
    }
}

impl std::error::Error for Report {}
