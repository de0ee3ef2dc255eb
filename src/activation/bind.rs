//! Binding: the options that every listening socket gets, and errors that say what to do.

use std::{
    fs, io,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::Path,
};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    claim::Use,
    socket_file::{SocketFile, remove_stale},
};
use crate::base::{
    addr::ListenAddr,
    fault::{Class, Fault},
    fs::reason,
};

/// Connections that the kernel keeps for us while we are busy. It cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Who may connect to a Unix socket: its owner and its group.
const UNIX_MODE: u32 = 0o660;

/// Binds a non-blocking socket to an address and a port.
pub(super) fn bind_ip(addr: SocketAddr, usage: Use) -> Result<OwnedFd, Fault> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(addr), socket_type(usage), None)?;
        if usage == Use::Connections {
            // Binds although connections of a former life are still in TIME_WAIT.
            socket.set_reuse_address(true)?;
        }
        if addr.is_ipv6() {
            // `[::]` means every address of either family, whatever net.ipv6.bindv6only says.
            socket.set_only_v6(!addr.ip().is_unspecified())?;
        }
        socket.bind(&addr.into())?;
        listen(socket, usage)
    };
    bound().map_err(|error| explain(&ListenAddr::Ip(addr), &error))
}

/// Binds a non-blocking socket to a path. A file left over by a dead process is replaced.
pub(super) fn bind_unix(path: &Path, usage: Use) -> Result<(OwnedFd, Option<SocketFile>), Fault> {
    let bound = || {
        let addr = SockAddr::unix(path)?;
        let probe = || Socket::new(Domain::UNIX, socket_type(usage), None)?.connect(&addr);
        remove_stale(path, probe)?;
        let socket = Socket::new(Domain::UNIX, socket_type(usage), None)?;
        // The file is then made with these rights, less the umask: it is never open to everyone, not
        // even for a moment. Systems other than Linux refuse this, which is why it is done again below.
        let _ = fchmod(&socket, Mode::from_bits_truncate(UNIX_MODE));
        socket.bind(&addr)?;
        let file = SocketFile::own(path);
        fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
        Ok((listen(socket, usage)?, file))
    };
    bound().map_err(|error| explain(&ListenAddr::Unix(path.to_owned()), &error))
}

fn socket_type(usage: Use) -> Type {
    match usage {
        Use::Connections => Type::STREAM,
        Use::Datagrams => Type::DGRAM,
    }
}

fn listen(socket: Socket, usage: Use) -> io::Result<OwnedFd> {
    if usage == Use::Connections {
        socket.listen(BACKLOG)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn explain(addr: &ListenAddr, error: &io::Error) -> Fault {
    use io::ErrorKind as Kind;
    let (kind, why) = match (error.kind(), addr) {
        (Kind::AddrInUse, _) => (Class::Unavailable, "somebody else listens there".to_owned()),
        (Kind::AddrNotAvailable, _) => {
            (Class::Unavailable, "this machine does not have that address".to_owned())
        }
        (Kind::PermissionDenied, ListenAddr::Ip(ip)) if ip.port() < 1024 => {
            let hint = "permission denied: a port below 1024 needs AmbientCapabilities=CAP_NET_BIND_SERVICE \
                        or a socket unit and `systemd#N`";
            (Class::Permission, hint.to_owned())
        }
        (Kind::PermissionDenied, _) => (Class::Permission, reason(error)),
        (Kind::NotFound, ListenAddr::Unix(path)) => {
            let folder = path.parent().unwrap_or(Path::new("/")).display();
            (Class::Unavailable, format!("the folder {folder} does not exist"))
        }
        (Kind::AlreadyExists, _) => {
            (Class::Unavailable, "a file that is not a socket is in the way".to_owned())
        }
        (Kind::InvalidInput, ListenAddr::Unix(_)) => {
            (Class::Config, "the path is too long for a socket (107 bytes)".to_owned())
        }
        _ => (Class::System, reason(error)),
    };
    Fault::new(kind, format!("cannot listen on {addr}: {why}"))
}
