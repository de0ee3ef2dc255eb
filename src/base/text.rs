//! Words for people.
//!
//! Pure.

/// `1 source`, `2 sources`.
pub fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
