//! Words to the person at the terminal.

use std::io::{self, Write};

/// Prints to stdout. A closed pipe (`qovery list | head -1`) is no mistake.
pub(super) fn out(text: &[u8]) -> u8 {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(problem) if problem.kind() != io::ErrorKind::BrokenPipe => {
            error(&format!("cannot write to standard output: {problem}"), 74)
        }
        Ok(()) | Err(_) => 0,
    }
}

/// Prints an error to stderr, marked as Dokku's are; returns `code`.
pub(super) fn error(message: &str, code: u8) -> u8 {
    let mut stderr = io::stderr().lock();
    for line in message.lines() {
        // Where stderr is gone there is nobody to tell.
        let _ = writeln!(stderr, " !     {line}");
    }
    code
}

/// Prints a text of several lines to stderr.
pub(super) fn note(text: &str) {
    if !text.is_empty() {
        // Where stderr is gone there is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n'));
    }
}
