//! What we were given at start: sockets passed by systemd, entries of its fd store, sockets of a predecessor.

use std::{io, os::fd::OwnedFd};

use super::claim::{Described, is_stored};
use crate::sys::{
    fds::{SocketKind, local_addr, set_cloexec, set_nonblocking, socket_kind},
    passed,
};

/// Who gave us a descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// systemd, for the socket unit (or the fd store) with this `FileDescriptorName=`.
    Systemd(String),
    /// The daemon that we take over from; it had bound the socket itself.
    Predecessor,
}

/// An inherited socket: close-on-exec and non-blocking.
#[derive(Debug)]
pub struct Passed {
    /// What it is called, what it is, where it is bound.
    pub described: Described,
    /// The socket.
    pub fd: OwnedFd,
}

/// Everything inherited, sorted.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Sockets to listen on, in the order in which they were passed.
    pub sockets: Vec<Passed>,
    /// Entries of the fd store, with their names.
    pub stored: Vec<(String, OwnedFd)>,
}

impl Inherited {
    /// Takes what the service manager passed to this process; nothing if there is none.
    ///
    /// Must be called once, at the start, before any other thread exists; a second call gets nothing.
    ///
    /// # Errors
    ///
    /// When the environment contradicts itself or what is open.
    pub fn take_from_env() -> io::Result<Self> {
        let passed = passed::take().map_err(|error| {
            io::Error::new(error.kind(), format!("cannot take the sockets that systemd passed: {error}"))
        })?;
        Inherited::from_fds(passed.into_iter().map(|(name, fd)| (Origin::Systemd(name), fd)))
    }

    /// Sorts descriptors that were received in another way, and sets their flags: systemd passes them
    /// blocking, and one blocking `accept` would stop a thread of the runtime for ever.
    ///
    /// # Errors
    ///
    /// When a flag cannot be set.
    pub fn from_fds(fds: impl IntoIterator<Item = (Origin, OwnedFd)>) -> io::Result<Self> {
        let mut inherited = Inherited::default();
        for (origin, fd) in fds {
            set_cloexec(&fd, true)?;
            let name = match origin {
                Origin::Systemd(name) if is_stored(&name) => {
                    inherited.stored.push((name, fd));
                    continue;
                }
                Origin::Systemd(name) => Some(name),
                Origin::Predecessor => None,
            };
            let kind = socket_kind(&fd);
            if kind != SocketKind::NotASocket {
                set_nonblocking(&fd, true)?;
            }
            let described = Described { name, kind, local: local_addr(&fd) };
            inherited.sockets.push(Passed { described, fd });
        }
        Ok(inherited)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

    use super::*;

    #[test]
    fn a_blocking_socket_becomes_non_blocking_and_stays_with_us() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set_cloexec(&listener, false).unwrap();
        let origin = Origin::Systemd("web".into());
        let inherited = Inherited::from_fds([(origin, OwnedFd::from(listener))]).unwrap();
        let fd = &inherited.sockets[0].fd;
        assert!(OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK));
        assert_eq!(fcntl(fd, FcntlArg::F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits());
        assert_eq!(inherited.sockets[0].described.kind, SocketKind::TcpListener);
    }

    #[test]
    fn what_comes_from_the_fd_store_is_kept_apart() {
        let fd = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let names = ["web", "qovery-store.state", "stored", "logs"];
        let fds = names.map(|name| (Origin::Systemd(name.into()), fd()));
        let inherited = Inherited::from_fds(fds).unwrap();
        let stored: Vec<_> = inherited.stored.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(stored, ["qovery-store.state", "stored"]);
        assert_eq!(inherited.sockets.len(), 2);
    }

    #[test]
    fn without_systemd_nothing_is_inherited() {
        let inherited = Inherited::take_from_env().unwrap();
        assert!(inherited.sockets.is_empty() && inherited.stored.is_empty());
    }
}
