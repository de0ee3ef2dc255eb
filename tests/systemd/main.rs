//! qovery under a real systemd: installed from its package, in Debian containers with systemd 252 and 257.
//!
//! `make test-systemd` installs what they need. Elsewhere each says why it is skipped.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "starts containers and polls what runs in them; nothing of it is in the product"
)]

/// Makes each function a test in a fresh machine of every suite: `name::bookworm`, `name::trixie`.
macro_rules! in_each_systemd {
    ($($(#[$attribute:meta])* fn $name:ident($machine:ident: Machine::$boot:ident) $body:block)*) => {$(
        mod $name {
            use super::*;

            $(#[$attribute])*
            fn check($machine: &Machine) $body

            #[test]
            fn bookworm() {
                if crate::rig::wanted() {
                    check(&Machine::$boot(crate::rig::Suite::Bookworm));
                }
            }

            #[test]
            fn trixie() {
                if crate::rig::wanted() {
                    check(&Machine::$boot(crate::rig::Suite::Trixie));
                }
            }
        }
    )*};
}

mod journal;
mod package;
mod rig;
mod service;
mod sockets;
