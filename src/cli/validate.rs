//! `qovery validate` and `--dry-run`: checks without touching anything.

use std::path::PathBuf;

use super::{args::ValidateArgs, print};
use crate::{config::Origin, daemon::load};

pub(super) fn run(args: &ValidateArgs) -> u8 {
    let paths: Vec<PathBuf> = args.files.iter().chain(&args.config).cloned().collect();
    check(paths, args.deny_warnings, args.quiet)
}

/// Checks the configuration in `paths`, or the default one.
pub(super) fn check(paths: Vec<PathBuf>, deny_warnings: bool, quiet: bool) -> u8 {
    let origin = if paths.is_empty() { Origin::default() } else { Origin { paths } };
    match load::check(&origin) {
        Err(refusal) => {
            print::note(&refusal.text);
            refusal.code
        }
        Ok(loaded) => {
            let warnings = loaded.config.warnings.to_string();
            print::note(&warnings);
            if deny_warnings && !warnings.is_empty() {
                return print::error("there are warnings, and --deny-warnings was given", 78);
            }
            if quiet {
                return 0;
            }
            let files: Vec<_> = loaded.watched.files.iter().map(|file| file.display().to_string()).collect();
            print::out(format!("{}: {}\n", files.join(", "), loaded.plan.summary()).as_bytes())
        }
    }
}
