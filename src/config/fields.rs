//! Reads the options of one table, and notices those nobody knows.
//!
//! Pure.

use super::{
    diagnostic::Diagnostics,
    from_node::FromNode,
    node::{Node, NodeKind, Span, Table},
};

/// Reads the options of one table.
///
/// Mistakes go to the [`Diagnostics`]; what is returned is then `None`. Read everything, then [`finish`](Self::finish),
/// then give up if something was `None`: so all mistakes are found.
///
/// ```ignore
/// let mut fields = component.fields("sources", diagnostics);
/// let address = fields.required::<ListenAddr>("address");
/// let limit = fields.or("max_length", 102_400_usize);
/// let tls = fields.table("tls").map(read_tls);
/// fields.finish();
/// Some(Options { address: address?, limit, tls })
/// ```
#[must_use = "unknown options are found by `finish`"]
#[derive(Debug)]
pub struct Fields<'a> {
    table: &'a Table,
    span: Span,
    path: String,
    diagnostics: &'a Diagnostics,
    asked: Vec<&'static str>,
    /// Required, but not there. Noted at the end: a misspelt one is then one mistake, not two.
    missing: Vec<&'static str>,
}

/// An option with a short form: `encoding = "json"` for `encoding.codec = "json"`.
#[derive(Debug)]
pub enum TextOrTable<'a> {
    /// The short form.
    Text(String, Span),
    /// The long form.
    Table(Fields<'a>),
}

impl<'a> Fields<'a> {
    /// A reader of `table`, whose header is at `span`; `path` is its name, as `sources.in.tls`, empty for the whole file.
    pub fn new(table: &'a Table, span: Span, path: impl Into<String>, diagnostics: &'a Diagnostics) -> Self {
        Fields { table, span, path: path.into(), diagnostics, asked: Vec::new(), missing: Vec::new() }
    }

    /// An option that must be there. `None` when it is not or is wrong; the error is then noted.
    pub fn required<T: FromNode>(&mut self, key: &'static str) -> Option<T> {
        self.required_spanned(key).map(|(value, _)| value)
    }

    /// As [`required`](Self::required), with the place of the value.
    pub fn required_spanned<T: FromNode>(&mut self, key: &'static str) -> Option<(T, Span)> {
        if !self.has(key) {
            self.asked.push(key);
            self.missing.push(key);
            return None;
        }
        self.optional_spanned(key)
    }

    /// An option that may be there. `None` when it is not or is wrong; in the second case the error is noted.
    pub fn optional<T: FromNode>(&mut self, key: &'static str) -> Option<T> {
        self.optional_spanned(key).map(|(value, _)| value)
    }

    /// As [`optional`](Self::optional), with the place of the value.
    pub fn optional_spanned<T: FromNode>(&mut self, key: &'static str) -> Option<(T, Span)> {
        let node = self.node(key)?;
        let mut mistakes = Vec::new();
        let value = T::read(node, &mut mistakes);
        for mistake in mistakes {
            match mistake.help {
                Some(help) => self.diagnostics.error_help(mistake.span, mistake.message, help),
                None => self.diagnostics.error(mistake.span, mistake.message),
            }
        }
        value.map(|value| (value, node.span))
    }

    /// An option with a default, which is also returned when the option is wrong (the error is noted).
    pub fn or<T: FromNode>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// A table within this one; `None` when it is not there or is not a table (the error is noted).
    pub fn table(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let node = self.node(key)?;
        match &node.kind {
            NodeKind::Table(table) => Some(self.child(key, table, node.span)),
            NodeKind::Broken => None,
            _ => {
                self.diagnostics.error(node.span, node.mismatch("a table"));
                None
            }
        }
    }

    /// An option that is a text or a table.
    pub fn text_or_table(&mut self, key: &'static str) -> Option<TextOrTable<'a>> {
        let node = self.node(key)?;
        match &node.kind {
            NodeKind::String { text, .. } => Some(TextOrTable::Text(text.clone(), node.span)),
            NodeKind::Table(table) => Some(TextOrTable::Table(self.child(key, table, node.span))),
            NodeKind::Broken => None,
            _ => {
                self.diagnostics.error(node.span, node.mismatch("a string or a table"));
                None
            }
        }
    }

    /// The value as it is, for what the other methods do not fit.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// Whether the option is there. Does not count as asked for.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Where the table's header stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The table's name, as `sources.in.tls`.
    pub fn path(&self) -> String {
        self.path.clone()
    }

    /// Where all mistakes go.
    pub fn diagnostics(&self) -> &'a Diagnostics {
        self.diagnostics
    }

    /// Notes a mistake.
    pub fn error(&self, span: Span, message: impl Into<String>) {
        self.diagnostics.error(span, message);
    }

    /// Notes each option that nobody asked for.
    pub fn finish(mut self) {
        let absent: Vec<_> = self.asked.iter().copied().filter(|asked| !self.has(asked)).collect();
        for entry in self.table {
            let name = &entry.name;
            if self.asked.iter().any(|asked| asked == name) {
                continue;
            }
            // What is not there yet was more probably meant.
            let near = nearest(name, absent.iter().copied());
            self.missing.retain(|missing| Some(*missing) != near);
            let near = near.or_else(|| nearest(name, self.asked.iter().copied()));
            let place =
                if self.path.is_empty() { "at the top level".into() } else { format!("in [{}]", self.path) };
            let message = format!("unknown option `{name}` {place}");
            let help = near.map(|near| format!("did you mean `{near}`?")).or_else(|| self.known());
            match help {
                Some(help) => self.diagnostics.error_help(entry.name_span, message, help),
                None => self.diagnostics.error(entry.name_span, message),
            }
        }
    }

    /// The options that somebody asked for.
    fn known(&self) -> Option<String> {
        let mut known: Vec<_> = self.asked.iter().map(|name| format!("`{name}`")).collect();
        known.sort_unstable();
        known.dedup();
        (!known.is_empty()).then(|| format!("the options here are {}", known.join(", ")))
    }

    fn child(&self, key: &str, table: &'a Table, span: Span) -> Fields<'a> {
        let dot = if self.path.is_empty() { "" } else { "." };
        Fields::new(table, span, format!("{}{dot}{key}", self.path), self.diagnostics)
    }
}

impl Drop for Fields<'_> {
    /// Notes what is missing: also when the reader gave up before `finish`.
    fn drop(&mut self) {
        for key in &self.missing {
            let place = if self.path.is_empty() { "the file".into() } else { format!("[{}]", self.path) };
            self.diagnostics.missing(self.span, format!("{place} needs `{key}`"));
        }
    }
}

/// The word most like `name`, if one is near enough to be what was meant.
pub fn nearest<'w>(name: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let likeness = |word: &'w str| (strsim::jaro_winkler(name, word), word);
    let best = words.map(likeness).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.84).then_some(best.1)
}
