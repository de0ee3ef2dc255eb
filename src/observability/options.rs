//! How the log is to be.
//!
//! Pure.

/// The lowest level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Nothing.
    Off,
    /// What somebody must act on.
    Error,
    /// What went wrong, and was gone on from.
    Warn,
    /// What was asked for has happened.
    #[default]
    Info,
    /// The rest.
    Debug,
    /// All of it, each event that passes included.
    Trace,
}

impl Level {
    /// From how often `-q` and `-v` were given: `-qqq` is off, `-vv` is trace; they cancel each other out.
    pub fn from_counts(quiet: u8, verbose: u8) -> Self {
        match i16::from(verbose) - i16::from(quiet) {
            ..=-3 => Level::Off,
            -2 => Level::Error,
            -1 => Level::Warn,
            0 => Level::Info,
            1 => Level::Debug,
            2.. => Level::Trace,
        }
    }

    /// The directives of `tracing-subscriber` for it. Libraries are kept one or two levels quieter than we are.
    pub(super) fn directives(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "warn,qovery=info",
            Level::Debug => "info,qovery=debug",
            Level::Trace => "debug,qovery=trace",
        }
    }
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, on standard error. With priorities for the journal (`<6>`) when it reads standard error.
    Text,
    /// One object a line, on standard error.
    Json,
    /// With fields, in the journal; on standard error while there is none.
    Journald,
}

/// Whether text has colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or the terminal is a dumb one.
    #[default]
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// From `-q` and `-v`.
    pub level: Level,
    /// `QOVERY_LOG`: directives such as `info,qovery::pipeline=trace`, instead of the level.
    pub directives: Option<String>,
    /// `None`: the journal when it reads standard error, else text.
    pub format: Option<Format>,
    /// Only of text.
    pub color: Color,
    /// The environment asks for no color.
    pub no_color: bool,
}

impl Options {
    /// Takes what the environment says, as `variable` shows it: `QOVERY_LOG`, `NO_COLOR`, `TERM`. Empty is unset.
    #[must_use]
    pub fn with_environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        self.directives = set("QOVERY_LOG");
        self.no_color = set("NO_COLOR").is_some() || set("TERM").as_deref() == Some("dumb");
        self
    }

    pub(super) fn has_color(&self, on_terminal: bool) -> bool {
        match self.color {
            Color::Auto => on_terminal && !self.no_color,
            Color::Always => true,
            Color::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_q_and_v_is_one_step() {
        let levels = [(3, 0), (2, 0), (1, 0), (0, 0), (0, 1), (0, 2), (0, 9), (9, 0), (1, 1)];
        use Level::*;
        let expected = [Off, Error, Warn, Info, Debug, Trace, Trace, Off, Info];
        assert_eq!(levels.map(|(q, v)| Level::from_counts(q, v)), expected);
    }

    #[test]
    fn colors_are_for_terminals_and_for_those_who_insist() {
        let with = |color, name: &str| {
            let value = if name == "TERM" { "dumb" } else { "1" };
            let options = Options { color, ..Options::default() };
            options.with_environment(|asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(with(Color::Auto, "").has_color(true));
        assert!(!with(Color::Auto, "").has_color(false));
        assert!(!with(Color::Auto, "NO_COLOR").has_color(true));
        assert!(!with(Color::Auto, "TERM").has_color(true));
        assert!(with(Color::Always, "NO_COLOR").has_color(false));
        assert!(!with(Color::Never, "").has_color(true));
    }

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        let options = Options::default().with_environment(|_| Some(String::new()));
        assert_eq!(options, Options::default());
    }
}
