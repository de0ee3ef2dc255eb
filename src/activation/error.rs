//! Why there is no socket for an address.
//!
//! Pure.

use std::fmt;

/// What kind of trouble it is; decides the exit code when it happens at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindErrorKind {
    /// Somebody else listens there, or the address is not one of this machine.
    Unavailable,
    /// We may not listen there.
    Permission,
    /// The configuration asks for what there is not: a socket that systemd did not pass, one address twice.
    Configuration,
    /// The system refused for another reason.
    System,
}

/// An address that cannot be listened on: a sentence for the person who must act, and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindError {
    /// What kind of trouble it is.
    pub kind: BindErrorKind,
    /// What is wrong and what can be done.
    pub sentence: String,
}

impl BindError {
    /// Says `sentence`.
    pub fn new(kind: BindErrorKind, sentence: impl Into<String>) -> Self {
        BindError { kind, sentence: sentence.into() }
    }

    /// The exit code (sysexits) when this ends the daemon: 69, 77, 78 or 71.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            BindErrorKind::Unavailable => 69,
            BindErrorKind::Permission => 77,
            BindErrorKind::Configuration => 78,
            BindErrorKind::System => 71,
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for BindError {}
