//! What went wrong, in a sentence, with the class that decides the exit code.

use std::{fmt, io};

/// A failure: a sentence for the person who must act, and what kind of failure it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub class: Class,
    /// The sentence: lower case, no full stop.
    pub message: String,
}

/// Kinds of failures, after `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The configuration asks for something that cannot be (78).
    Config,
    /// A listener or a peer is not available (69).
    Unavailable,
    /// A mistake of ours (70).
    Internal,
    /// The operating system refused a resource (71).
    System,
    /// Reading or writing failed (74).
    Io,
    /// Not permitted (77).
    Permission,
}

impl Class {
    /// The exit code of `sysexits.h`.
    pub fn code(self) -> u8 {
        match self {
            Class::Config => 78,
            Class::Unavailable => 69,
            Class::Internal => 70,
            Class::System => 71,
            Class::Io => 74,
            Class::Permission => 77,
        }
    }

    /// The class of an I/O error; `other` where its kind says nothing.
    pub fn of(error: &io::Error, other: Class) -> Class {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Class::Permission,
            io::ErrorKind::AddrInUse
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::TimedOut => Class::Unavailable,
            _ => other,
        }
    }
}

impl Fault {
    /// A failure of `class`.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Fault { class, message: message.into() }
    }

    /// The configuration asks for something that cannot be.
    pub fn config(message: impl Into<String>) -> Self {
        Fault::new(Class::Config, message)
    }

    /// A mistake of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Fault::new(Class::Internal, message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl From<super::fs::FileError> for Fault {
    fn from(error: super::fs::FileError) -> Self {
        Fault::new(Class::of(&error.source, Class::Io), error.to_string())
    }
}
