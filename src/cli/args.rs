//! Every command and option.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// Runs apps and moves their logs and metrics.
///
/// Without a command it is the daemon, in the foreground.
#[derive(Debug, Parser)]
#[command(
    name = "qovery",
    version,
    disable_help_subcommand = true,
    after_help = "Signals to the daemon: SIGTERM stops gracefully, SIGINT at once, SIGHUP reloads.\n\
                  Exit codes: 0 all done, 1 stopped as asked, 2 wrong arguments, 75 stopped but something was cut off,\n\
                  78 bad configuration, 130 interrupted; 69, 70, 71, 74, 77 as in sysexits.h."
)]
pub struct Cli {
    /// What the daemon takes.
    #[command(flatten)]
    pub daemon: DaemonArgs,
    /// The control socket [default: $QOVERY_SOCKET, else api.sock in the runtime directory]
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
    /// What to do instead of being the daemon.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of the daemon.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub struct DaemonArgs {
    /// Configuration file or pattern; may be given several times [default: /etc/qovery/qovery.toml]
    #[arg(short, long, alias = "conf", value_name = "PATH", action = ArgAction::Append)]
    pub config: Vec<PathBuf>,
    /// Check the configuration and exit: 0 or 78. Binds nothing, creates nothing
    #[arg(short, long, alias = "test")]
    pub dry_run: bool,
    /// Log less: -q warnings, -qq errors, -qqq nothing
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,
    /// Log more: -v debug, -vv trace
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Exit at once if a sink fails its health check; refuse such a reload
    #[arg(short, long)]
    pub require_healthy: bool,
    /// Worker threads [default: one for each core]
    #[arg(short, long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Reload when a configuration file changes
    #[arg(short, long)]
    pub watch_config: bool,
    /// Go into the background
    #[arg(long)]
    pub daemon: bool,
    /// Take over from a running daemon
    #[arg(short, long)]
    pub upgrade: bool,
    /// How the own log is written [default: journald when stderr is the journal, else text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Colours in the own log
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// How the own log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
    /// To the journal, with fields.
    Journald,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what the daemon is doing
    Status(StatusArgs),
    /// Make the daemon read its configuration again, and wait until it is in use
    Reload(ReloadArgs),
    /// Check configuration files. Binds nothing, creates nothing
    Validate(ValidateArgs),
    /// List the types of sources, transforms and sinks
    List(ListArgs),
    /// Print a manual page or a shell completion
    Generate {
        /// Which.
        #[command(subcommand)]
        what: Generate,
    },
}

/// `qovery reload`.
#[derive(Debug, Default, Args)]
pub struct ReloadArgs {
    /// Print errors only
    #[arg(short, long)]
    pub quiet: bool,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// `qovery status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `qovery validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files or patterns [default: /etc/qovery/qovery.toml]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The same, as the daemon's flag
    #[arg(short, long, alias = "conf", value_name = "PATH", action = ArgAction::Append)]
    pub config: Vec<PathBuf>,
    /// Warnings are errors
    #[arg(short, long)]
    pub deny_warnings: bool,
    /// Print errors only
    #[arg(short, long)]
    pub quiet: bool,
}

/// `qovery list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `qovery generate`.
#[derive(Debug, Clone, Subcommand)]
pub enum Generate {
    /// The manual page, as roff
    Man,
    /// A completion script
    Completion {
        /// For which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_control_socket_can_be_named_before_and_after_a_command() {
        for args in ["qovery --socket /a status", "qovery status --socket /a", "qovery --socket /a"] {
            let cli = Cli::try_parse_from(args.split(' ')).unwrap();
            assert_eq!(cli.socket, Some("/a".into()), "{args}");
        }
    }

    #[test]
    fn flags_of_both_documents_are_known() {
        let parse = |args: &str| {
            Cli::try_parse_from(["qovery"].into_iter().chain(args.split_whitespace())).map(|cli| cli.daemon)
        };
        let daemon = parse("--conf a.toml -c b.toml --test -qqq -r -t 3 -w --daemon --upgrade").unwrap();
        assert_eq!(daemon.config.len(), 2);
        assert!(daemon.dry_run && daemon.require_healthy && daemon.watch_config);
        assert!(daemon.daemon && daemon.upgrade);
        assert_eq!((daemon.quiet, daemon.threads), (3, NonZeroUsize::new(3)));
        assert_eq!(parse("-vv").unwrap().verbose, 2);
        assert_eq!(parse("-d -u").unwrap().config.len(), 0);
        for wrong in ["-t 0", "-q -v", "--nonsense", "stray", "-c"] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
