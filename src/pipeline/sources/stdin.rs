//! `stdin`: lines from standard input.
//!
//! A read of standard input can block for ever, so a thread of its own reads, one for the whole process. What it has
//! read, the beginning of a line included, stays in the process when the source is made anew.

use std::{
    io::{self, Read},
    num::NonZeroUsize,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Mutex, mpsc};

use crate::{
    base::{
        fault::{Class, Fault},
        fs::reason,
    },
    config::Fields,
    event::codec::framing::{FrameError, Lines},
    pipeline::{
        component::{BuildContext, Source, SourceContext, SourceSpec, Task},
        lines::{LineEvents, LineOptions, NotDecodable},
    },
};

/// The longest line by default, without its end, as in Vector.
const MAX_LENGTH: usize = 102_400;
/// How much is read at once. What a Linux pipe holds.
const CHUNK: usize = 64 * 1024;

/// The options.
#[derive(Debug, Clone)]
struct Options {
    /// `max_length`: longer lines are discarded, and counted.
    max_length: usize,
    lines: LineOptions,
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SourceSpec>> {
    let max_length = fields.optional::<NonZeroUsize>("max_length").map_or(MAX_LENGTH, NonZeroUsize::get);
    let lines = LineOptions::read(fields);
    Some(Box::new(Options { max_length, lines }))
}

impl SourceSpec for Options {
    fn exclusive(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Source>, Fault> {
        static STDIN: std::sync::OnceLock<Input> = std::sync::OnceLock::new();
        let input = STDIN.get_or_init(|| Input::of(io::stdin())).clone();
        Ok(Box::new(Stdin { options: self.clone(), input }))
    }
}

/// What is read, and how far.
#[derive(Clone)]
struct Input(Arc<Mutex<State>>);

struct State {
    /// Not yet read from.
    idle: Option<Box<dyn Read + Send>>,
    /// From the thread: empty when all is read. One chunk waits, one is in its hand: when nobody takes them, it reads
    /// no more, and the writer at the other end waits.
    chunks: Option<mpsc::Receiver<io::Result<Vec<u8>>>>,
    /// Read, and not yet delivered: the beginning of a line.
    left: BytesMut,
    /// Finds the lines, up to this length. It knows whether the rest of a line that is too long is to be skipped.
    lines: (usize, Lines),
    ended: bool,
}

impl Input {
    fn of(reader: impl Read + Send + 'static) -> Self {
        let idle: Box<dyn Read + Send> = Box::new(reader);
        let lines = (MAX_LENGTH, Lines::new(MAX_LENGTH));
        let state = State { idle: Some(idle), chunks: None, left: BytesMut::new(), lines, ended: false };
        Input(Arc::new(Mutex::new(state)))
    }
}

impl State {
    fn start(&mut self) -> io::Result<()> {
        let Some(reader) = self.idle.take() else { return Ok(()) };
        let (sender, receiver) = mpsc::channel(1);
        std::thread::Builder::new().name("stdin".into()).spawn(move || read_all(reader, &sender))?;
        self.chunks = Some(receiver);
        Ok(())
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    async fn chunk(&mut self) -> Option<io::Result<Vec<u8>>> {
        let chunk = match &mut self.chunks {
            Some(chunks) if !self.ended => chunks.recv().await,
            Some(_) | None => None,
        };
        self.ended = chunk.is_none();
        chunk
    }

    /// The next bytes, if they are there now.
    fn chunk_now(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.chunks.as_mut()?.try_recv().ok()
    }
}

fn read_all(mut reader: impl Read, chunks: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut space = vec![0; CHUNK];
    loop {
        let chunk = match reader.read(&mut space) {
            Ok(0) => return,
            Ok(count) => Ok(space[..count].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if chunks.blocking_send(chunk).is_err() || failed {
            return;
        }
    }
}

struct Stdin {
    options: Options,
    input: Input,
}

impl Source for Stdin {
    fn run(self: Box<Self>, mut cx: SourceContext) -> Task<'static, Result<(), Fault>> {
        Box::pin(async move {
            let mut state = match self.input.0.try_lock() {
                Ok(state) => state,
                Err(_) => {
                    tracing::warn!(source = %cx.id, "another source reads standard input, waiting until it ends");
                    // Cancel safe: both only wait.
                    tokio::select! {
                        state = self.input.0.lock() => state,
                        _ = cx.stop.stopped() => return Ok(()),
                    }
                }
            };
            state.start().map_err(|error| {
                Fault::new(
                    Class::System,
                    format!("cannot start a thread for standard input: {}", reason(&error)),
                )
            })?;
            if state.lines.0 != self.options.max_length {
                state.lines = (self.options.max_length, Lines::new(self.options.max_length));
            }
            let reader =
                Reader { events: LineEvents::new(self.options.lines, cx.shared.host.clone(), "stdin") };
            let mut stopped = cx.stop.clone();
            loop {
                // Cancel safe: `chunk` loses nothing, `stopped` only waits.
                let chunk = tokio::select! {
                    biased;
                    chunk = state.chunk() => chunk,
                    _ = stopped.stopped() => break,
                };
                match chunk {
                    Some(chunk) => reader.deliver(chunk, &mut state, &cx).await?,
                    None => {
                        reader.send(&mut state, &cx, Lines::finish).await;
                        return Ok(());
                    }
                }
                if cx.stop.is_stopped() {
                    break;
                }
            }
            // What is read already is delivered. The beginning of a line stays for the next one, if there is one.
            while let Some(chunk) = state.chunk_now() {
                reader.deliver(chunk, &mut state, &cx).await?;
            }
            Ok(())
        })
    }
}

struct Reader {
    events: LineEvents,
}

type NextLine = fn(&mut Lines, &mut BytesMut) -> Option<Result<Bytes, FrameError>>;

impl Reader {
    async fn deliver(
        &self,
        chunk: io::Result<Vec<u8>>,
        state: &mut State,
        cx: &SourceContext,
    ) -> Result<(), Fault> {
        let chunk = chunk.map_err(|error| {
            cx.metrics.error("read");
            Fault::new(Class::Io, format!("cannot read standard input: {}", reason(&error)))
        })?;
        cx.metrics.received_bytes.add(chunk.len());
        state.left.extend_from_slice(&chunk);
        self.send(state, cx, Lines::next).await;
        Ok(())
    }

    async fn send(&self, state: &mut State, cx: &SourceContext, next: NextLine) {
        let mut lines = Vec::new();
        while let Some(line) = next(&mut state.lines.1, &mut state.left) {
            match line {
                Ok(line) => lines.push(line),
                Err(error) => {
                    cx.metrics.error(error.kind());
                    cx.metrics.discard(error.kind(), 1);
                }
            }
        }
        let (events, failed) = self.events.batch(lines.into_iter(), chrono::Utc::now(), None);
        if failed > 0 {
            cx.metrics.error(NotDecodable::KIND);
            cx.metrics.discard(NotDecodable::KIND, failed);
        }
        cx.metrics.received_events.add(events.len() + failed);
        cx.metrics.sent_events.add(events.len());
        cx.outlet.send(events).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::pipeline::testing::{RunningSource, Stand, source_spec, until};

    fn start(stand: &Stand, input: &Input, max_length: usize) -> RunningSource {
        let lines = LineOptions { host_key: "host".into(), decoding: crate::event::codec::Decoding::Bytes };
        let options = Options { max_length, lines };
        stand.run_source(Box::new(Stdin { options, input: input.clone() }))
    }

    #[tokio::test]
    async fn it_ends_with_its_input_and_delivers_the_last_line_without_an_end() {
        let stand = Stand::new();
        let mut source = start(&stand, &Input::of(&b"one\r\ntwo\n\xff\xfe\nlast"[..]), 100);
        assert_eq!(source.rest().await, ["one", "two", "\u{fffd}\u{fffd}", "last"]);
        source.task.await.unwrap().unwrap();
        assert_eq!(stand.metrics.received_events.get(), 4);
    }

    #[tokio::test]
    async fn lines_that_are_too_long_are_counted() {
        let stand = Stand::new();
        let text = format!("short\n{}\nend\n", "x".repeat(200_000));
        let mut source = start(&stand, &Input::of(io::Cursor::new(text)), 10);
        assert_eq!(source.rest().await, ["short", "end"]);
        assert_eq!(stand.metrics.discarded().get("line_too_long"), Some(&1));
    }

    #[tokio::test]
    async fn a_source_made_anew_goes_on_within_a_line() {
        let stand = Stand::new();
        let (reader, mut writer) = io::pipe().unwrap();
        let input = Input::of(reader);
        let mut first = start(&stand, &input, 100);
        writer.write_all(b"one\nha").unwrap();
        assert_eq!(first.messages(1).await, ["one"]);
        first.stop().await;

        writer.write_all(b"lf\nthree\n").unwrap();
        let mut second = start(&stand, &input, 100);
        assert_eq!(second.messages(2).await, ["half", "three"]);
        drop(writer);
        assert!(second.rest().await.is_empty());
        second.task.await.unwrap().unwrap();

        let mut third = start(&stand, &input, 100);
        assert!(third.rest().await.is_empty(), "it has ended before");
        third.task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn it_stops_while_nothing_comes() {
        let stand = Stand::new();
        let (reader, writer) = io::pipe().unwrap();
        let source = start(&stand, &Input::of(reader), 100);
        assert!(source.stop().await.is_empty());
        drop(writer);
    }

    #[tokio::test]
    async fn a_second_one_waits_and_can_be_stopped() {
        let stand = Stand::new();
        let (reader, mut writer) = io::pipe().unwrap();
        let input = Input::of(reader);
        let mut first = start(&stand, &input, 100);
        writer.write_all(b"one\n").unwrap();
        assert_eq!(first.messages(1).await, ["one"]);
        let second = start(&stand, &input, 100);
        until("the first holds the input", || input.0.try_lock().is_err()).await;
        assert!(second.stop().await.is_empty());
        drop(writer);
        assert!(first.rest().await.is_empty());
    }

    #[test]
    fn wrong_options_are_errors() {
        let errors = source_spec("type = 'stdin'\nmax_length = 0\nhost_kye = 'h'").unwrap_err();
        assert!(errors.contains("did you mean `host_key`?") && errors.contains("1 or more"), "{errors}");
    }
}
