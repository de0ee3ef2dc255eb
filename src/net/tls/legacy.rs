//! Old encryption (RC2, DES) of key files and archives: OpenSSL 3 has it in a provider of its own.

use std::sync::OnceLock;

use openssl::{error::ErrorStack, provider::Provider};

/// Why something encrypted could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// This OpenSSL cannot do the encryption.
    Unsupported,
    /// The pass phrase is wrong, or the file is broken.
    Wrong,
}

/// Runs `parse`; when OpenSSL does not know an algorithm, once more with the old ones.
pub(super) fn with_legacy<T>(parse: impl Fn() -> Result<T, ErrorStack>) -> Result<T, Why> {
    match parse() {
        Ok(parsed) => Ok(parsed),
        Err(errors) if !unsupported(&errors) => Err(Why::Wrong),
        Err(_) if !legacy_is_there() => Err(Why::Unsupported),
        Err(_) => parse().map_err(|errors| if unsupported(&errors) { Why::Unsupported } else { Why::Wrong }),
    }
}

fn unsupported(errors: &ErrorStack) -> bool {
    let says = |text: Option<&str>, word| text.is_some_and(|text| text.contains(word));
    errors.errors().iter().any(|error| says(error.reason(), "unsupported"))
}

fn legacy_is_there() -> bool {
    // Loaded when it is first needed, and for good: keys may refer to it.
    static LEGACY: OnceLock<Option<Provider>> = OnceLock::new();
    LEGACY.get_or_init(|| Provider::try_load(None, "legacy", true).ok()).is_some()
}
