//! How deep a program is nested, before VRL reads it.
//!
//! Pure.
//!
//! VRL's compiler and its runtime call themselves for each level and have no bound: a long chain of operators would
//! exhaust the stack and end the process.

/// How many levels a program may have. Real programs stay far below; half the stack of a worker thread is enough to
/// run twice as many (measured, without optimization).
pub(super) const MAX_NESTING: usize = 200;

/// How many closures may be nested: the compiler takes longer and longer with each.
pub(super) const MAX_CLOSURES: usize = 8;

/// One open bracket.
#[derive(Debug, Default)]
struct Bracket {
    /// Levels in the statement at hand.
    levels: usize,
    closure: bool,
}

/// Where `source` is nested more than [`MAX_NESTING`] deep, if it is.
///
/// An upper bound made from the letters only: brackets, and operators, dots and indexes in one statement, each count
/// as a level.
pub(super) fn too_deep(source: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let mut open = vec![Bracket::default()];
    let (mut total, mut closures) = (0_usize, 0_usize);
    let (mut line_ended, mut continues, mut arrow) = (false, false, false);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        if byte == b'\n' {
            line_ended = true;
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        if byte == b'#' {
            at += count(&bytes[at..], |byte| byte != b'\n');
            continue;
        }
        let word = &bytes[start..start + count(&bytes[start..], is_letter)];
        let operator = &bytes[start..start + count(&bytes[start..], |byte| b"+-*/%=<>&|?".contains(&byte))];
        let joins = !operator.is_empty() || byte == b'!' || word == b"else";
        let bracket = open.last_mut().expect("the whole program is never closed");
        // A line that neither ends nor begins with an operator is a statement of its own.
        if matches!(byte, b';' | b',') || (line_ended && !joins && !continues) {
            total -= std::mem::take(&mut bracket.levels);
        }
        let index = byte == b'[' && start > 0 && is_end(bytes[start - 1]);
        if joins || index || byte == b'.' || matches!(word, b"if" | b"return") {
            bracket.levels += 1;
            total += 1;
        }
        match byte {
            b'(' | b'[' | b'{' => {
                let closure = byte == b'{' && std::mem::take(&mut arrow);
                closures += usize::from(closure);
                total += 1;
                open.push(Bracket { levels: 0, closure });
            }
            b')' | b']' | b'}' if open.len() > 1 => {
                let closed = open.pop().unwrap_or_default();
                closures -= usize::from(closed.closure);
                total -= 1 + closed.levels;
            }
            b'"' | b'\'' => at = end_of_text(bytes, at, byte),
            _ => at = start + word.len().max(operator.len()).max(1),
        }
        arrow |= operator == b"->";
        (line_ended, continues) = (false, joins);
        if total > MAX_NESTING || closures > MAX_CLOSURES {
            return Some(start);
        }
    }
    None
}

fn count(bytes: &[u8], fits: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| fits(**byte)).count()
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Can `[` after this be an index?
fn is_end(byte: u8) -> bool {
    is_letter(byte) || matches!(byte, b']' | b')' | b'}' | b'"' | b'.' | b'%')
}

fn end_of_text(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => at += 1,
            byte if *byte == quote => break,
            _ => {}
        }
    }
    at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_programs_are_not_deep() {
        let lines = ".a = .b + 1\nif .c == 2 { .d = [1, 2] }\n.e = \"((((\" ?? r'[[[\\'(]'\n".repeat(500);
        let object = format!(". = {{ {} }}", "\"a\": .b.c + 1,\n".repeat(500));
        let loops = "for_each(.a) -> |_i, v| { x = v }\n".repeat(500);
        let branches = format!("if .a == 1 {{ .b = 2 }} {}", "else if .a == 1 { .b.c = 3 }\n".repeat(40));
        for long in [lines, object, loops, branches] {
            assert_eq!(too_deep(&long), None, "{long}");
        }
    }

    #[test]
    fn brackets_chains_prefixes_paths_and_closures_are_deep() {
        let long = MAX_NESTING + 1;
        for deep in [
            "(".repeat(long),
            "a".to_owned() + &" + a".repeat(long),
            "a".to_owned() + &" +\na".repeat(long),
            "a".to_owned() + &"\n?? a".repeat(long),
            "if a { b }".to_owned() + &" else if a { b }".repeat(long),
            "!".repeat(long) + "a",
            ".a".repeat(long),
            ".a".to_owned() + &"[0]".repeat(long),
            "for_each(.a) -> |_i, v| {\n".repeat(MAX_CLOSURES + 1),
        ] {
            assert!(too_deep(&deep).is_some(), "{deep}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_measured(text in "\\PC{0,60}", brackets in "[\\[\\](){}\"'#;,.|>\\\\ \n-]{0,60}") {
            too_deep(&text);
            too_deep(&brackets);
        }
    }
}
