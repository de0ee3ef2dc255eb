//! `qovery generate`: what packages install beside the binary.

use clap::CommandFactory;

use super::{
    args::{Cli, Generate},
    print,
};

pub(super) fn run(what: &Generate) -> u8 {
    let mut command = Cli::command();
    let mut text = Vec::new();
    match what {
        Generate::Man => {
            if let Err(error) = clap_mangen::Man::new(command).render(&mut text) {
                return print::error(&format!("cannot write the manual page: {error}"), 70);
            }
        }
        Generate::Completion { shell } => {
            clap_complete::generate(*shell, &mut command, "qovery", &mut text);
        }
    }
    print::out(&text)
}
