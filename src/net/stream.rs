//! A connection: TCP or Unix, plain or TLS, one type for all who read and write.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_openssl::SslStream;

use crate::sys::fds::{LocalAddr, PeerCredentials, local_addr, peer_credentials, set_unacknowledged_limit};

/// A connection. Reading gives zero bytes at the end; writing is not buffered.
#[derive(Debug)]
pub struct Stream {
    kind: Kind,
    /// The write side is closed; a second TLS shutdown would wait for the peer's.
    half_closed: bool,
}

#[derive(Debug)]
enum Kind {
    Plain(Transport),
    Tls(Box<SslStream<Transport>>),
}

/// What carries the bytes.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How much of what a peer sends is thrown away in one look for the end.
const DISCARD: usize = 64;

impl Stream {
    pub(super) fn tls(stream: SslStream<Transport>) -> Self {
        Stream { kind: Kind::Tls(Box::new(stream)), half_closed: false }
    }

    /// The transport of a plain stream; None when it is TLS already.
    pub(super) fn into_transport(self) -> Option<Transport> {
        match self.kind {
            Kind::Plain(transport) => Some(transport),
            Kind::Tls(_) => None,
        }
    }

    fn transport(&self) -> &Transport {
        match &self.kind {
            Kind::Plain(transport) => transport,
            Kind::Tls(stream) => stream.get_ref(),
        }
    }

    /// Is it encrypted?
    pub fn is_tls(&self) -> bool {
        matches!(self.kind, Kind::Tls(_))
    }

    /// The negotiated version, `TLSv1.3`; None when it is plain.
    pub fn tls_version(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Plain(_) => None,
            Kind::Tls(stream) => Some(stream.ssl().version_str()),
        }
    }

    /// The address of this end, for people; `unix:/path` for a Unix socket.
    pub fn local_text(&self) -> String {
        match local_addr(self) {
            LocalAddr::Ip(addr) => addr.to_string(),
            LocalAddr::Unix(path) => format!("unix:{}", path.display()),
            LocalAddr::Unnamed => "unix".to_owned(),
        }
    }

    /// The address of the other end, for people; `unix` for a Unix socket.
    pub fn peer_text(&self) -> String {
        match self.transport() {
            Transport::Tcp(stream) => {
                stream.peer_addr().map_or_else(|_| "gone".into(), |addr| addr.to_string())
            }
            Transport::Unix(_) => "unix".to_owned(),
        }
    }

    /// Who is at the other end of a Unix socket.
    ///
    /// # Errors
    ///
    /// When it is another kind of connection.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        peer_credentials(self)
    }

    /// Lets the system ask the peer whether it is still there, after `idle` and then again and again.
    /// Nothing happens on a Unix socket, whose peer cannot vanish unnoticed.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn set_keepalive(&self, idle: Duration) -> io::Result<()> {
        match self.transport() {
            Transport::Tcp(stream) => {
                SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))
            }
            Transport::Unix(_) => Ok(()),
        }
    }

    /// Ends the connection when what was sent is not acknowledged for `wait`: a peer that vanished
    /// would else be sent to for a quarter of an hour.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn set_unacknowledged_limit(&self, wait: Duration) -> io::Result<()> {
        match self.transport() {
            Transport::Tcp(stream) => set_unacknowledged_limit(stream, wait),
            Transport::Unix(_) => Ok(()),
        }
    }

    /// Says that nothing more will be written (for TLS first in its own words): the peer reads an end,
    /// and can still send. Safe to call twice.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub async fn half_close(&mut self) -> io::Result<()> {
        self.shutdown().await
    }

    /// Has the peer closed or reset the connection? Does not wait for the peer, and asks the kernel, so
    /// the answer is as true as can be at this moment. What the peer has sent is thrown away: for
    /// connections that only write.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn peer_closed(&mut self) -> bool {
        for _ in 0..DISCARD {
            match self.discard_now().await {
                Poll::Ready(Ok(0) | Err(_)) => return true,
                Poll::Ready(Ok(_)) => continue,
                Poll::Pending => {}
            }
            // Tokio knows only what its reactor has seen; the kernel may know more.
            match self.transport().peek() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Ok(0) | Err(_) => return true,
                // It is there already, so this takes one turn of the reactor.
                Ok(_) => {
                    if self.transport().readable().await.is_err() {
                        return true;
                    }
                }
            }
        }
        false // it sends and sends: then it is there
    }

    /// Waits until the peer closes or resets the connection; throws away what it sends.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn until_peer_closes(&mut self) {
        let mut bytes = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut buffer)).await;
            if read.is_err() || buffer.filled().is_empty() {
                return;
            }
        }
    }

    /// Waits until the kernel has something for this side: bytes, or the end.
    #[cfg(test)]
    pub(super) async fn arrived(&self) {
        self.transport().readable().await.expect("a stream of this runtime");
    }

    /// One read that does not wait.
    async fn discard_now(&mut self) -> Poll<io::Result<usize>> {
        let mut bytes = [0; 4096];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| {
            let read = Pin::new(&mut *self).poll_read(cx, &mut buffer);
            Poll::Ready(read.map_ok(|()| buffer.filled().len()))
        })
        .await
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Stream { kind: Kind::Plain(Transport::Tcp(stream)), half_closed: false }
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Stream { kind: Kind::Plain(Transport::Unix(stream)), half_closed: false }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport().as_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Plain(transport) => Pin::new(transport).poll_read(cx, buffer),
            Kind::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Plain(transport) => Pin::new(transport).poll_write(cx, bytes),
            Kind::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Plain(transport) => Pin::new(transport).poll_flush(cx),
            Kind::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.half_closed {
            return Poll::Ready(Ok(()));
        }
        let result = match &mut self.kind {
            Kind::Plain(transport) => ready!(Pin::new(transport).poll_shutdown(cx)),
            Kind::Tls(stream) => match ready!(Pin::new(stream.as_mut()).poll_shutdown(cx)) {
                Ok(()) => Ok(()),
                // TLS is broken; the peer is to see an end all the same.
                Err(_) => ready!(Pin::new(stream.get_mut()).poll_shutdown(cx)),
            },
        };
        self.half_closed = result.is_ok();
        Poll::Ready(result)
    }
}

impl Transport {
    /// How many bytes (0 or 1) the kernel has for us now; zero at the end.
    fn peek(&self) -> io::Result<usize> {
        SockRef::from(self).peek(&mut [MaybeUninit::uninit()])
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Transport::Tcp(stream) => stream.readable().await,
            Transport::Unix(stream) => stream.readable().await,
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Tcp(stream) => stream.as_fd(),
            Transport::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // sockets have no buffer on our side
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
