//! The configuration as a tree that knows where each value stands.
//!
//! Pure.

use std::fmt;

/// A place: bytes `start..end` of a file of [`Files`](super::Files).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// Which file.
    pub file: u16,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// A value and its place.
///
/// Two are equal when their values are: a value that moved within its file has not changed.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub kind: NodeKind,
    /// Where it stands; of a table with a header, the header.
    pub span: Span,
}

/// A value.
#[derive(Clone)]
pub enum NodeKind {
    /// Text.
    String {
        /// The text, variables filled in.
        text: String,
        /// Whether a variable was filled in: then the text may be a secret (it is never shown), and may stand for a
        /// number or a boolean.
        interpolated: bool,
    },
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, a time, or both, as TOML writes it.
    Datetime(String),
    /// A list.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
    /// What was written could not be understood; the error is noted, so readers say nothing more.
    Broken,
}

/// Names and their values, in the order of the file.
///
/// Two are equal when they have the same names with the same values, in whatever order.
#[derive(Debug, Clone, Default)]
pub struct Table {
    entries: Vec<Entry>,
}

/// One line of a table.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.kind {
            NodeKind::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The text that variables gave, if they did.
    pub fn interpolated(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String { text, interpolated: true } => Some(text),
            _ => None,
        }
    }

    /// `expected EXPECTED, found the string "x"`; never shows what a variable gave.
    pub fn mismatch(&self, expected: &str) -> String {
        let found = match &self.kind {
            NodeKind::String { interpolated: true, .. } => {
                return format!("expected {expected}, but the variables give something else");
            }
            NodeKind::String { text, .. } => format!("the string {:?}", shortened(text)),
            NodeKind::Integer(number) => number.to_string(),
            NodeKind::Float(number) => number.to_string(),
            NodeKind::Boolean(boolean) => boolean.to_string(),
            NodeKind::Datetime(text) => format!("the date or time {text}"),
            NodeKind::Array(_) => "a list".into(),
            NodeKind::Table(_) => "a table".into(),
            NodeKind::Broken => "something broken".into(),
        };
        format!("expected {expected}, found {found}")
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Node {}

impl PartialEq for NodeKind {
    fn eq(&self, other: &Self) -> bool {
        use NodeKind::{Array, Boolean, Broken, Datetime, Float, Integer, String, Table};
        match (self, other) {
            (String { text: a, interpolated: x }, String { text: b, interpolated: y }) => a == b && x == y,
            (Integer(a), Integer(b)) => a == b,
            // By bits, so that a `nan` that stayed is no change.
            (Float(a), Float(b)) => a.to_bits() == b.to_bits(),
            (Boolean(a), Boolean(b)) => a == b,
            (Datetime(a), Datetime(b)) => a == b,
            (Array(a), Array(b)) => a == b,
            (Table(a), Table(b)) => a == b,
            (Broken, Broken) => true,
            _ => false,
        }
    }
}

impl Eq for NodeKind {}

impl fmt::Debug for NodeKind {
    /// Shows everything but what variables gave.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeKind::String { interpolated: true, .. } => f.write_str("\"<from variables>\""),
            NodeKind::String { text, .. } => write!(f, "{text:?}"),
            NodeKind::Integer(number) => write!(f, "{number}"),
            NodeKind::Float(number) => write!(f, "{number:?}"),
            NodeKind::Boolean(boolean) => write!(f, "{boolean}"),
            NodeKind::Datetime(text) => f.write_str(text),
            NodeKind::Broken => f.write_str("<broken>"),
            NodeKind::Array(items) => f.debug_list().entries(items.iter().map(|item| &item.kind)).finish(),
            NodeKind::Table(table) => {
                f.debug_map().entries(table.iter().map(|entry| (&entry.name, &entry.node.kind))).finish()
            }
        }
    }
}

impl Table {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|entry| &entry.node)
    }

    /// The name with its place, and the value.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// As [`Table::get`], to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|entry| entry.name == name).map(|entry| &mut entry.node)
    }

    /// Puts an entry at the end. The caller has seen that its name is new.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        let place = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.remove(place))
    }

    /// All entries, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> IntoIterator for &'a Table {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Table {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        // Names are unique in a table, so the same number and each one found is the same set.
        self.len() == other.len() && self.iter().all(|entry| other.get(&entry.name) == Some(&entry.node))
    }
}

impl Eq for Table {}
