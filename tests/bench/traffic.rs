//! What is sent, and what counts it at the other end. Both are cheap: the daemon has to share the machine with them.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Instant,
};

use bytes::BytesMut;
use qovery::event::{Event, Log, Timestamp, Value, codec::proto};

/// So many events are written at once.
const PIECE: usize = 1000;

/// So much is read at once.
const READ: usize = 256 * 1024;

/// Events, all alike.
pub(crate) struct Shape {
    /// Of one event, with its line end or header.
    pub(crate) bytes: usize,
    piece: Vec<u8>,
}

impl Shape {
    /// Lines of 200 bytes.
    pub(crate) fn lines() -> Shape {
        Shape::of(format!("{}\n", text(199)).as_bytes())
    }

    /// JSON of 200 bytes.
    pub(crate) fn json_lines() -> Shape {
        let begin =
            r#"{"level":"info","status":200,"took":0.25,"request":{"method":"GET","path":"/a"},"text":""#;
        let line = format!("{begin}{}\"}}\n", text(200 - begin.len() - 3));
        Shape::of(line.as_bytes())
    }

    /// Frames of 280 bytes, with a line as above in each.
    pub(crate) fn frames() -> Shape {
        let at = Timestamp::from_timestamp(1_790_000_000, 123_456_789).expect("a moment in 2026");
        let event = Event::from(Log::line(text(199).into(), &Value::from("server-1.local"), "stdin", at));
        let mut frame = BytesMut::new();
        proto::encode_frame(&event, &mut frame).expect("it is small");
        Shape::of(&frame)
    }

    fn of(event: &[u8]) -> Shape {
        Shape { bytes: event.len(), piece: event.repeat(PIECE) }
    }

    /// What to write, one after the other, for so many events.
    pub(crate) fn pieces(&self, events: usize) -> impl Iterator<Item = &[u8]> {
        let rest = &self.piece[..events % PIECE * self.bytes];
        (0..events / PIECE).map(|_| &self.piece[..]).chain([rest])
    }
}

fn text(bytes: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".repeat(5)[..bytes].to_owned()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    listen().1
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let port = listener.local_addr().expect("it listens").port();
    (listener, port)
}

/// Sends `events` over so many connections to `port`, from a thread for each; then says the end, and waits for the
/// other side to close.
pub(crate) fn send(port: u16, shape: &Shape, events: usize, connections: usize) -> Vec<JoinHandle<()>> {
    let begin = |connection: usize| {
        let share = events / connections + usize::from(connection < events % connections);
        let shape = Shape { bytes: shape.bytes, piece: shape.piece.clone() };
        thread::spawn(move || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the daemon is ready");
            for piece in shape.pieces(share) {
                stream.write_all(piece).expect("the daemon reads");
            }
            stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
            // An end or a reset: it has gone in any case.
            let _ = stream.read(&mut [0]);
        })
    };
    (0..connections).map(begin).collect()
}

/// Counts the events that end in each piece of a stream.
pub(crate) type Count = Box<dyn FnMut(&[u8]) -> u64 + Send>;

/// Line ends.
pub(crate) fn count_lines() -> Count {
    Box::new(|bytes| memchr::memchr_iter(b'\n', bytes).count() as u64)
}

/// Frames: four bytes with a length, then so many bytes.
pub(crate) fn count_frames() -> Count {
    let (mut header, mut have, mut left) = ([0; 4], 0, 0_usize);
    Box::new(move |mut bytes| {
        let mut frames = 0;
        while !bytes.is_empty() {
            if have < header.len() {
                let take = bytes.len().min(header.len() - have);
                header[have..have + take].copy_from_slice(&bytes[..take]);
                have += take;
                bytes = &bytes[take..];
                left = u32::from_be_bytes(header) as usize;
            }
            let take = bytes.len().min(left);
            bytes = &bytes[take..];
            left -= take;
            if have == header.len() && left == 0 {
                frames += 1;
                have = 0;
            }
        }
        frames
    })
}

/// Where a sink delivers to.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    reached: mpsc::Receiver<Instant>,
    thread: JoinHandle<u64>,
}

impl Receiver {
    /// Takes one connection, and counts until it is closed.
    pub(crate) fn start(mut count: Count, expected: usize) -> Receiver {
        let (listener, port) = listen();
        let (sender, reached) = mpsc::channel();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the sink connects");
            let (mut buffer, mut total) = (vec![0; READ], 0);
            loop {
                let read = stream.read(&mut buffer).unwrap_or(0);
                if read == 0 {
                    return total;
                }
                let before = total;
                total += count(&buffer[..read]);
                if before < expected as u64 && total >= expected as u64 {
                    // Nobody waits any more if it took too long.
                    let _ = sender.send(Instant::now());
                }
            }
        });
        Receiver { port, reached, thread }
    }

    /// Waits until as many came as were expected; returns when that was, or that it is too late.
    pub(crate) fn all_came(&self, deadline: Instant) -> Instant {
        let left = deadline.saturating_duration_since(Instant::now());
        self.reached.recv_timeout(left).unwrap_or(deadline)
    }

    /// How many came, when the connection has been closed.
    pub(crate) fn total(self) -> u64 {
        self.thread.join().expect("it only counts")
    }
}
