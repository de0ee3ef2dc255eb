//! File descriptors: flags, what kind of socket one is, who is at the other end, how many there may be.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, RawFd},
    path::PathBuf,
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    sys::resource::{Resource, getrlimit, setrlimit},
};
use socket2::{Domain, SockRef, Type};

/// What a file descriptor is, as far as listening is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// A stream socket that listens, IPv4 or IPv6.
    TcpListener,
    /// A stream socket that listens on a path or an abstract name.
    UnixListener,
    /// A bound UDP socket.
    Udp,
    /// A bound Unix datagram socket.
    UnixDatagram,
    /// A stream socket that does not listen: a connection, or one that nobody called `listen` on.
    NotListening,
    /// A socket of another family or type.
    OtherSocket,
    /// No socket at all: a file, a pipe, a memfd.
    NotASocket,
}

impl fmt::Display for SocketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SocketKind::TcpListener => "a TCP listener",
            SocketKind::UnixListener => "a Unix listener",
            SocketKind::Udp => "a UDP socket",
            SocketKind::UnixDatagram => "a Unix datagram socket",
            SocketKind::NotListening => "a stream socket that does not listen",
            SocketKind::OtherSocket => "a socket of another type",
            SocketKind::NotASocket => "not a socket",
        })
    }
}

/// Where a socket is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAddr {
    /// An address and a port.
    Ip(SocketAddr),
    /// A Unix socket in the file system.
    Unix(PathBuf),
    /// Anything else: an abstract Unix socket, an unnamed one, no socket.
    Unnamed,
}

/// What `fd` is. Never fails: what cannot be asked is [`SocketKind::NotASocket`].
pub fn socket_kind(fd: impl AsFd) -> SocketKind {
    let fd = fd.as_fd();
    let socket = SockRef::from(&fd);
    let (Ok(kind), Ok(local)) = (socket.r#type(), socket.local_addr()) else {
        return SocketKind::NotASocket;
    };
    let ip = [Domain::IPV4, Domain::IPV6].contains(&local.domain());
    let unix = local.domain() == Domain::UNIX;
    let listens = socket.is_listener().unwrap_or(false);
    match kind {
        Type::STREAM if (ip || unix) && !listens => SocketKind::NotListening,
        Type::STREAM if ip => SocketKind::TcpListener,
        Type::STREAM if unix => SocketKind::UnixListener,
        Type::DGRAM if ip => SocketKind::Udp,
        Type::DGRAM if unix => SocketKind::UnixDatagram,
        _ => SocketKind::OtherSocket,
    }
}

/// Where `fd` is bound.
pub fn local_addr(fd: impl AsFd) -> LocalAddr {
    let fd = fd.as_fd();
    let Ok(local) = SockRef::from(&fd).local_addr() else {
        return LocalAddr::Unnamed;
    };
    match (local.as_socket(), local.as_pathname()) {
        (Some(addr), _) => LocalAddr::Ip(addr),
        (None, Some(path)) => LocalAddr::Unix(path.to_owned()),
        (None, None) => LocalAddr::Unnamed,
    }
}

/// Sets or clears O_NONBLOCK. The flag belongs to the open file, so whoever shares it sees it too.
///
/// # Errors
///
/// When the descriptor is not open.
pub fn set_nonblocking(fd: impl AsFd, nonblocking: bool) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    let mut wanted = flags;
    wanted.set(OFlag::O_NONBLOCK, nonblocking);
    if wanted != flags {
        fcntl(&fd, FcntlArg::F_SETFL(wanted))?;
    }
    Ok(())
}

/// Sets or clears close-on-exec: with it, programs that we start do not get the descriptor.
///
/// # Errors
///
/// When the descriptor is not open.
pub fn set_cloexec(fd: impl AsFd, cloexec: bool) -> io::Result<()> {
    let mut flags = FdFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFD)?);
    flags.set(FdFlag::FD_CLOEXEC, cloexec);
    fcntl(&fd, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// Is there an open file behind this number?
pub fn is_open(fd: RawFd) -> bool {
    if fd < 0 {
        return false;
    }
    // SAFETY: the number is only asked about during this call; a closed one gives EBADF.
    #[expect(unsafe_code, reason = "asks about a number, which may not be open")]
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    fcntl(borrowed, FcntlArg::F_GETFD).is_ok()
}

/// The limit of open files, as found and as raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// The soft limit as it was: what programs that we start should get, since `select` breaks above 1024.
    pub before: u64,
    /// The soft limit now.
    pub now: u64,
}

/// Raises the soft limit of open files to the hard one.
///
/// # Errors
///
/// When the system refuses to say or to raise it.
pub fn raise_file_limit() -> io::Result<FileLimit> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(FileLimit { before: soft, now: hard })
}

/// The soft limit of open files.
///
/// # Errors
///
/// When the system refuses to say.
pub fn file_limit() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// Who is at the other end of a Unix socket, as the kernel knows it at the time of `connect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Process, where the system tells it. It may have ended, and its number be in use again.
    pub pid: Option<i32>,
}

/// Who is at the other end of a connected Unix socket.
///
/// # Errors
///
/// When `fd` is not such a socket.
pub fn peer_credentials(fd: impl AsFd) -> io::Result<PeerCredentials> {
    #[cfg(target_os = "linux")]
    {
        let peer = nix::sys::socket::getsockopt(&fd, nix::sys::socket::sockopt::PeerCredentials)?;
        // Not a Unix socket, or not connected: the kernel then answers with "nobody".
        if peer.uid() == u32::MAX {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(PeerCredentials { uid: peer.uid(), gid: peer.gid(), pid: Some(peer.pid()) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (uid, gid) = nix::unistd::getpeereid(fd)?;
        Ok(PeerCredentials { uid: uid.as_raw(), gid: gid.as_raw(), pid: None })
    }
}

/// Closes a TCP connection when sent bytes stay unacknowledged for `wait`; a no-op where the system
/// cannot do it.
///
/// Without it a peer that vanished without a RST is sent to for a quarter of an hour.
///
/// # Errors
///
/// When the system refuses.
pub fn set_unacknowledged_limit(fd: impl AsFd, wait: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let fd = fd.as_fd();
        SockRef::from(&fd).set_tcp_user_timeout(Some(wait))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (fd, wait);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        net::{TcpListener, UdpSocket},
        os::{
            fd::AsRawFd,
            unix::net::{UnixDatagram, UnixListener, UnixStream},
        },
    };

    use super::*;

    #[test]
    fn each_kind_of_socket_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(socket_kind(&tcp), SocketKind::TcpListener);
        assert_eq!(local_addr(&tcp), LocalAddr::Ip(tcp.local_addr().unwrap()));
        assert_eq!(socket_kind(TcpListener::bind("[::1]:0").unwrap()), SocketKind::TcpListener);
        assert_eq!(socket_kind(UdpSocket::bind("127.0.0.1:0").unwrap()), SocketKind::Udp);
        let unix = UnixListener::bind(&path).unwrap();
        assert_eq!(socket_kind(&unix), SocketKind::UnixListener);
        assert_eq!(local_addr(&unix), LocalAddr::Unix(path));
        let datagram = UnixDatagram::unbound().unwrap();
        assert_eq!(socket_kind(&datagram), SocketKind::UnixDatagram);
        assert_eq!(local_addr(&datagram), LocalAddr::Unnamed);
        assert_eq!(socket_kind(UnixStream::pair().unwrap().0), SocketKind::NotListening);
        let file = File::open("/dev/null").unwrap();
        assert_eq!(socket_kind(&file), SocketKind::NotASocket);
        assert_eq!(local_addr(&file), LocalAddr::Unnamed);
    }

    #[test]
    fn flags_are_set_and_cleared() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let flag = || OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL).unwrap());
        set_nonblocking(&socket, true).unwrap();
        assert!(flag().contains(OFlag::O_NONBLOCK));
        set_nonblocking(&socket, false).unwrap();
        assert!(!flag().contains(OFlag::O_NONBLOCK));
        let cloexec = || fcntl(&socket, FcntlArg::F_GETFD).unwrap() == FdFlag::FD_CLOEXEC.bits();
        set_cloexec(&socket, false).unwrap();
        assert!(!cloexec());
        set_cloexec(&socket, true).unwrap();
        assert!(cloexec());
    }

    #[test]
    fn open_and_closed_numbers_differ() {
        let file = File::open("/dev/null").unwrap();
        assert!(is_open(file.as_raw_fd()));
        assert!(!is_open(-1));
        assert!(!is_open(i32::MAX));
    }

    #[test]
    fn the_peer_of_a_unix_socket_is_known() {
        let (socket, _other) = UnixStream::pair().unwrap();
        let peer = peer_credentials(&socket).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.pid, Some(std::process::id() as i32));
        assert!(peer_credentials(TcpListener::bind("127.0.0.1:0").unwrap()).is_err());
    }

    #[test]
    fn there_is_a_limit_of_open_files() {
        assert!(file_limit().unwrap() > 0);
    }
}
