//! `qovery`: see `qovery --help`, and the library's documentation for how it is made.

use std::process::ExitCode;

fn main() -> ExitCode {
    qovery::cli::main()
}
