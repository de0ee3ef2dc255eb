//! Those at the other end: who sends events, who receives bytes.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicU16, Ordering},
};

use bytes::{Bytes, BytesMut};
use qovery::event::{Event, Value, codec::proto};

use super::wait::LIMIT;

/// An address that nobody listens on, and that nobody else will take: all of 127/8 is this machine, and connections
/// begin at 127.0.0.1.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let [.., process] = std::process::id().to_be_bytes();
    let listener = TcpListener::bind((Ipv4Addr::new(127, process.max(1), high, low.max(1)), 0));
    listener.and_then(|listener| listener.local_addr()).expect("a port of this machine")
}

/// A connection to a source.
#[derive(Debug)]
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    /// Connects; the source must listen.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address} refuses: {error}"));
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(LIMIT)).expect("a time limit");
        Peer(stream)
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the source reads");
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&self) {
        // The source may have closed already.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Waits until the source has closed its side.
    #[track_caller]
    pub(crate) fn wait_for_close(&mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            // Closed with something unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the source does not close: {error}"),
        }
    }

    /// Finishes, and waits until the source has, too.
    #[track_caller]
    pub(crate) fn close(mut self) {
        self.finish();
        self.wait_for_close();
    }
}

/// A log event with this message.
pub(crate) fn log(message: &str) -> Event {
    let mut log = qovery::event::Log::default();
    log.fields.insert(qovery::event::Log::MESSAGE, Value::from(message.to_owned()));
    Event::Log(log)
}

/// A frame of the wire protocol with this event.
pub(crate) fn frame(event: &Event) -> Bytes {
    let mut buffer = BytesMut::new();
    proto::encode_frame(event, &mut buffer).expect("an event of a test is small");
    buffer.freeze()
}

/// Frames of log events with these messages.
pub(crate) fn frames(messages: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<u8> {
    messages.into_iter().flat_map(|message| frame(&log(message.as_ref()))).collect()
}
