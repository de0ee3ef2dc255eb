//! The options of the source.

use std::{num::NonZeroUsize, time::Duration};

use glob::Pattern;

use super::{checkpoints::Store, run::FileSource, scan::Patterns};
use crate::{
    base::fault::Fault,
    config::{Fields, FromNode, Node, Secs, Span, choice, from_text},
    event::Key,
    pipeline::{
        component::{BuildContext, Source, SourceSpec},
        lines::LineOptions,
    },
};

/// The longest line by default, without its end, as in Vector.
const MAX_LINE_BYTES: usize = 102_400;
/// How much is read of one file before it is the turn of the next one.
const MAX_READ_BYTES: usize = 256 * 1024;

/// Where reading of a file begins of which no place is known when the source starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadFrom {
    Beginning,
    End,
}

impl FromNode for ReadFrom {
    const EXPECTED: &'static str = "`beginning` or `end`";

    fn from_node(node: &Node) -> Result<Self, String> {
        choice(node, &[("beginning", ReadFrom::Beginning), ("end", ReadFrom::End)])
    }
}

/// A pattern of paths.
struct Glob(Pattern);

impl FromNode for Glob {
    const EXPECTED: &'static str = "a pattern, as `/var/log/*.log`";

    fn from_node(node: &Node) -> Result<Self, String> {
        from_text(node, Self::EXPECTED, |text| {
            if text.is_empty() {
                return Err("the pattern is empty".into());
            }
            Pattern::new(text).map(Glob).map_err(|error| format!("not a pattern: {}", error.msg))
        })
    }
}

/// The options.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// `include` and `exclude`: patterns of paths.
    pub(super) patterns: Patterns,
    /// `read_from`: `beginning`, the default, or `end`; `start_at_beginning` says the same as a boolean. Files that
    /// appear later are always read from their beginning.
    pub(super) read_from: ReadFrom,
    /// `ignore_older_secs`: files that were not written to for so long when the source starts are read from their end.
    pub(super) ignore_older: Option<Duration>,
    /// `max_line_bytes`: longer lines are discarded, and counted.
    pub(super) max_line_bytes: usize,
    /// `max_read_bytes`: how much is read of one file before it is the turn of the next one.
    pub(super) max_read_bytes: usize,
    /// `glob_minimum_cooldown_ms`: how often it is looked for new files; 1 s by default.
    pub(super) cooldown: Duration,
    /// `oldest_first`: reads the file that is oldest to its end before it reads the next one.
    pub(super) oldest_first: bool,
    /// `file_key`: the field for the path, `file` by default; empty for none.
    pub(super) file_key: Key,
    pub(super) lines: LineOptions,
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SourceSpec>> {
    let include = fields.required_spanned::<Vec<Glob>>("include");
    if let Some((patterns, span)) = &include
        && patterns.is_empty()
    {
        fields.error(*span, "at least one pattern");
    }
    let exclude = fields.optional::<Vec<Glob>>("exclude").unwrap_or_default();
    let patterns = |globs: Vec<Glob>| globs.into_iter().map(|Glob(pattern)| pattern).collect();
    let read_from = read_from(fields);
    let ignore_older = fields.optional("ignore_older_secs").map(|Secs(seconds)| seconds);
    let max_line_bytes = fields.optional("max_line_bytes").map_or(MAX_LINE_BYTES, NonZeroUsize::get);
    let max_read_bytes = fields.optional("max_read_bytes").map_or(MAX_READ_BYTES, NonZeroUsize::get);
    let cooldown = Duration::from_millis(fields.or("glob_minimum_cooldown_ms", 1000_u32).into());
    let oldest_first = fields.or("oldest_first", false);
    let file_key = fields.optional::<String>("file_key").map_or(Key::const_new("file"), Key::from);
    let lines = LineOptions::read(fields);
    let patterns = Patterns { include: patterns(include?.0), exclude: patterns(exclude) };
    Some(Box::new(Options {
        patterns,
        read_from,
        ignore_older,
        max_line_bytes,
        max_read_bytes,
        cooldown,
        oldest_first,
        file_key,
        lines,
    }))
}

fn read_from(fields: &mut Fields<'_>) -> ReadFrom {
    let from = fields.optional::<ReadFrom>("read_from");
    let at_beginning: Option<(bool, Span)> = fields.optional_spanned("start_at_beginning");
    match (from, at_beginning) {
        (Some(_), Some((_, span))) => {
            fields.error(span, "`read_from` says this already");
            ReadFrom::Beginning
        }
        (Some(from), None) => from,
        (None, Some((false, _))) => ReadFrom::End,
        (None, Some((true, _)) | None) => ReadFrom::Beginning,
    }
}

impl SourceSpec for Options {
    fn exclusive(&self) -> bool {
        true
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault> {
        let store = Store::open(&cx.shared.data_dir, cx.id.as_str())?;
        Ok(Box::new(FileSource::new(self.clone(), store)))
    }
}
