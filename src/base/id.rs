//! Names of things, checked once.
//!
//! Pure.

use std::{fmt, str::FromStr, sync::Arc};

/// The name of a component, as in `[sources.NAME]`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId(Arc<str>);

impl ComponentId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ComponentId {
    type Err = String;

    /// Letters, digits, `_` and `-`: a dot would be read as an output of a component (`route.errors`).
    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.is_empty() || text.len() > 128 || !text.chars().all(fits) {
            return Err("a component's name has 1 to 128 letters, digits, `_` or `-`".into());
        }
        Ok(ComponentId(text.into()))
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_once() {
        assert!("app-logs_2".parse::<ComponentId>().is_ok());
        for wrong in ["", "a.b", "a b", "ä", &"x".repeat(129)] {
            assert!(wrong.parse::<ComponentId>().is_err(), "{wrong:?}");
        }
    }
}
