//! A socket that accepts connections or receives datagrams, wherever it came from.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

use super::socket_file::SocketFile;
use crate::sys::fds::{LocalAddr, PeerCredentials, local_addr, peer_credentials};

/// Accepts connections. Several tasks may do so at once; each connection goes to one of them.
#[derive(Debug)]
pub struct Listener {
    socket: StreamSocket,
    // Dropped after the socket: nobody can connect to a file that is still there but not listened on.
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum StreamSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection that was just accepted.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// Who connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// From this address; an IPv4 one is shown as such also on an IPv6 listener.
    Ip(SocketAddr),
    /// This process, on this machine. None when the system did not tell.
    Unix(Option<PeerCredentials>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Ip(addr) => addr.fmt(f),
            Peer::Unix(Some(PeerCredentials { uid, pid: Some(pid), .. })) => {
                write!(f, "uid {uid}, pid {pid}")
            }
            Peer::Unix(Some(PeerCredentials { uid, pid: None, .. })) => write!(f, "uid {uid}"),
            Peer::Unix(None) => f.write_str("a local process"),
        }
    }
}

impl Listener {
    /// Must be called within a runtime. `fd` is a non-blocking listener.
    pub(super) fn from_fd(fd: OwnedFd, file: Option<SocketFile>) -> io::Result<Self> {
        let socket = match local_addr(&fd) {
            LocalAddr::Ip(_) => StreamSocket::Tcp(TcpListener::from_std(fd.into())?),
            LocalAddr::Unix(_) | LocalAddr::Unnamed => StreamSocket::Unix(UnixListener::from_std(fd.into())?),
        };
        Ok(Listener { socket, file })
    }

    /// The next connection. Errors may be about one connection or about the process; see `net::Acceptor`.
    ///
    /// # Errors
    ///
    /// As `accept(2)`.
    ///
    /// # Cancel safety
    ///
    /// Safe: a connection that was not returned is returned by the next call.
    pub async fn accept(&self) -> io::Result<(Accepted, Peer)> {
        match &self.socket {
            StreamSocket::Tcp(listener) => {
                let (stream, addr) = listener.accept().await?;
                let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
                Ok((Accepted::Tcp(stream), Peer::Ip(addr)))
            }
            StreamSocket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::Unix(peer_credentials(&stream).ok());
                Ok((Accepted::Unix(stream), peer))
            }
        }
    }

    /// Where it listens: the port that was chosen when the configuration said 0.
    pub fn local_addr(&self) -> LocalAddr {
        local_addr(self)
    }

    /// With true the socket file stays when this ends: somebody else listens on it.
    pub(super) fn keep_file(&self, keep: bool) {
        self.file.iter().for_each(|file| file.keep(keep));
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            StreamSocket::Tcp(listener) => listener.as_fd(),
            StreamSocket::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Receives datagrams. Several tasks may do so at once; each datagram goes to one of them.
#[derive(Debug)]
pub struct Datagram {
    socket: DatagramSocket,
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum DatagramSocket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// Who sent a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// This address.
    Ip(SocketAddr),
    /// A process of this machine; the path of its socket, if it has one.
    Unix(Option<PathBuf>),
}

impl Datagram {
    /// Must be called within a runtime. `fd` is a non-blocking datagram socket.
    pub(super) fn from_fd(fd: OwnedFd, file: Option<SocketFile>) -> io::Result<Self> {
        let socket = match local_addr(&fd) {
            LocalAddr::Ip(_) => DatagramSocket::Udp(UdpSocket::from_std(fd.into())?),
            LocalAddr::Unix(_) | LocalAddr::Unnamed => {
                DatagramSocket::Unix(UnixDatagram::from_std(fd.into())?)
            }
        };
        Ok(Datagram { socket, file })
    }

    /// The next datagram: its length and who sent it. What does not fit into `buffer` is cut off.
    ///
    /// # Errors
    ///
    /// As `recvfrom(2)`.
    ///
    /// # Cancel safety
    ///
    /// Safe: a datagram that was not returned is returned by the next call.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Sender)> {
        match &self.socket {
            DatagramSocket::Udp(socket) => {
                let (length, addr) = socket.recv_from(buffer).await?;
                Ok((length, Sender::Ip(SocketAddr::new(addr.ip().to_canonical(), addr.port()))))
            }
            DatagramSocket::Unix(socket) => {
                let (length, addr) = socket.recv_from(buffer).await?;
                Ok((length, Sender::Unix(addr.as_pathname().map(Into::into))))
            }
        }
    }

    /// Where it receives.
    pub fn local_addr(&self) -> LocalAddr {
        local_addr(self)
    }

    /// With true the socket file stays when this ends: somebody else receives on it.
    pub(super) fn keep_file(&self, keep: bool) {
        self.file.iter().for_each(|file| file.keep(keep));
    }
}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            DatagramSocket::Udp(socket) => socket.as_fd(),
            DatagramSocket::Unix(socket) => socket.as_fd(),
        }
    }
}
