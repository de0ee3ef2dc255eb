//! A record as one line for people: time, level, message, fields.
//!
//! Pure.
//!
//! ```text
//! 2026-01-02T03:04:05.678Z INFO  scaled app=shop from=2 to=3
//! ```
//!
//! One record is one line whatever is in it: line ends and other control characters are escaped, so that a peer can
//! neither forge a line nor send commands to the terminal.

use std::fmt::Write;

use tracing::Level;

use super::record::{Record, Value};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// With ANSI colors.
    pub(super) color: bool,
    /// With `<N>` in front, by which the journal learns the priority; see sd-daemon(3).
    pub(super) priority: bool,
}

/// Appends the line of `record`, its end included.
pub(super) fn write_line(out: &mut String, record: &Record, style: Style) {
    let level = *record.metadata.level();
    let paint = |code: &'static str| if style.color { code } else { "" };
    let (dim, bold, reset) = (paint("\x1b[2m"), paint("\x1b[1m"), paint("\x1b[0m"));
    if style.priority {
        let _ = write!(out, "<{}>", priority(level));
    }
    let at = record.at.format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let _ = write!(out, "{dim}{at}{reset} {}{level:<5}{reset}", paint(color(level)));
    // Where it comes from matters to those who read our code; they look at these levels.
    if level >= Level::DEBUG {
        let _ = write!(out, " {dim}{}:{reset}", record.metadata.target());
    }
    if let Some(message) = record.message() {
        out.push(' ');
        out.push_str(if level <= Level::WARN { bold } else { "" });
        escape(out, &message.to_string());
        out.push_str(if level <= Level::WARN { reset } else { "" });
    }
    for (name, value) in record.fields() {
        let _ = write!(out, " {dim}{name}={reset}");
        match value {
            Value::Text(text) if is_plain(text) => out.push_str(text),
            Value::Text(text) => quote(out, text),
            other => {
                let _ = write!(out, "{other}");
            }
        }
    }
    out.push('\n');
}

/// The priority of syslog(3), and of the journal. 5 (notice) is not used.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        _ => "\x1b[35m",
    }
}

/// Whether it can stand without quotes: nothing in it that would end a value or look like another one.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || is_hidden(c) || matches!(c, '"' | '='))
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for (at, part) in text.split('"').enumerate() {
        if at > 0 {
            out.push_str("\\\"");
        }
        escape(out, part);
    }
    out.push('"');
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        if is_hidden(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
}

/// Control characters, and those that turn the direction of what follows.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observability::layer::tests::records;
    use proptest::prelude::*;

    const PLAIN: Style = Style { color: false, priority: false };

    /// The line without its time.
    fn line(style: Style, log: impl FnOnce()) -> String {
        let mut out = String::new();
        for record in records(log) {
            write_line(&mut out, &record, style);
        }
        let time = "2026-01-02T03:04:05.678Z";
        assert!(out.contains(time), "{out}");
        out.replace(time, "T").trim_end_matches('\n').to_owned()
    }

    #[test]
    fn a_line_is_time_level_message_and_fields() {
        let said = line(PLAIN, || tracing::info!(app = "shop", from = 2, to = 3u64, ok = true, "scaled"));
        assert_eq!(said, "T INFO  scaled app=shop from=2 to=3 ok=true");
    }

    #[test]
    fn the_target_is_shown_from_debug_on() {
        let said = line(PLAIN, || tracing::debug!(target: "qovery::x", "deep"));
        assert_eq!(said, "T DEBUG qovery::x: deep");
    }

    #[test]
    fn fields_of_spans_follow_those_of_the_event_which_win() {
        let said = line(PLAIN, || {
            let _outer = tracing::info_span!("source", component = "in", peer = "a").entered();
            let inner = tracing::info_span!("connection", peer = "b", late = tracing::field::Empty).entered();
            inner.record("late", 7);
            tracing::warn!(component = "other", "closed");
        });
        assert_eq!(said, "T WARN  closed component=other peer=b late=7 peer=a");
    }

    #[test]
    fn values_are_quoted_where_they_could_be_taken_for_something_else() {
        let said = line(PLAIN, || tracing::info!(a = "x y", b = "", c = "q\"=", d = "z", "m"));
        assert_eq!(said, r#"T INFO  m a="x y" b="" c="q\"=" d=z"#);
    }

    #[test]
    fn nobody_can_forge_a_line_or_command_the_terminal() {
        let evil = "x\n<0>2026 ERROR fake\x1b[2J\u{202e}";
        let said = line(PLAIN, || tracing::info!(peer = evil, "got {evil}"));
        assert_eq!(said.lines().count(), 1);
        assert!(!said.contains(['\x1b', '\u{202e}']), "{said}");
    }

    #[test]
    fn the_journal_learns_the_priority_from_the_front() {
        let style = Style { color: false, priority: true };
        let fronts = [
            line(style, || tracing::error!("x")),
            line(style, || tracing::warn!("x")),
            line(style, || tracing::info!("x")),
            line(style, || tracing::debug!("x")),
            line(style, || tracing::trace!("x")),
        ]
        .map(|line| line[..3].to_owned());
        assert_eq!(fronts, ["<3>", "<4>", "<6>", "<7>", "<7>"]);
    }

    #[test]
    fn colors_are_there_only_when_asked_for() {
        let colored = Style { color: true, priority: false };
        assert!(line(colored, || tracing::error!("x")).contains("\x1b[31m"));
        assert!(!line(PLAIN, || tracing::error!("x")).contains('\x1b'));
    }

    proptest! {
        #[test]
        fn any_text_is_one_line(text in ".*") {
            let said = line(PLAIN, || tracing::info!(text, "{text}"));
            prop_assert!(!said.contains(char::is_control));
        }
    }
}
