//! Collects what is wrong, so that all of it is said at once.
//!
//! Pure.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use super::node::Span;

/// How many errors, and how many warnings, are kept: a file that is no configuration at all has any number.
const MAX: usize = 200;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is; `None` when it is in no file.
    pub span: Option<Span>,
    /// What is wrong, a sentence without a full stop.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// Everything that is wrong, as found so far.
///
/// Shared by reference among all who check. One mistake in a file gives one error: where a text could not be read as
/// TOML, what is missing in it is no further error.
#[derive(Debug, Default)]
pub struct Diagnostics {
    list: RefCell<Vec<Diagnostic>>,
    /// Files of which a part could not be read.
    damaged: RefCell<BTreeSet<u16>>,
    incomplete: Cell<bool>,
}

impl Diagnostics {
    /// Something that must be put right.
    pub fn error(&self, span: impl Into<Option<Span>>, message: impl Into<String>) {
        self.add(Severity::Error, span.into(), message.into(), None);
    }

    /// The same, saying how.
    pub fn error_help(
        &self,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, span.into(), message.into(), Some(help.into()));
    }

    /// Something that somebody should look at.
    pub fn warning(&self, span: impl Into<Option<Span>>, message: impl Into<String>) {
        self.add(Severity::Warning, span.into(), message.into(), None);
    }

    /// Something is not there that must be. Left out when part of that file could not be read: it may be there.
    pub fn missing(&self, span: Span, message: impl Into<String>) {
        if !self.damaged.borrow().contains(&span.file) {
            self.error(span, message);
        }
    }

    /// The text is not TOML here.
    pub fn syntax(&self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.add(Severity::Error, Some(span), message.into(), help);
        self.damaged.borrow_mut().insert(span.file);
        self.incomplete.set(true);
    }

    /// A file, or part of one, could not be read.
    pub fn set_incomplete(&self) {
        self.incomplete.set(true);
    }

    /// Whether a file, or part of one, could not be read. What is not there is then no error: see it before saying
    /// that a component does not exist.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete.get()
    }

    /// Whether there was an error.
    pub fn has_errors(&self) -> bool {
        self.list.borrow().iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// What was found, in the order it was found.
    pub fn into_list(self) -> Vec<Diagnostic> {
        self.list.into_inner()
    }

    fn add(&self, severity: Severity, span: Option<Span>, message: String, help: Option<String>) {
        let diagnostic = Diagnostic { severity, span, message, help };
        let mut list = self.list.borrow_mut();
        match list.iter().filter(|other| other.severity == severity).count() {
            0..MAX if list.contains(&diagnostic) => {}
            0..MAX => list.push(diagnostic),
            MAX => {
                let message = format!("there are more than {MAX} like the above; the others are not shown");
                list.push(Diagnostic { severity, span: None, message, help: None });
            }
            _ => {}
        }
    }
}
