//! `console`: events as lines on standard output or standard error.
//!
//! A terminal or pipe that nobody reads blocks whoever writes to it, so a thread of its own writes, one for each of the
//! two for the whole process. What it was given it writes, also when the sink has meanwhile made way for another one:
//! so a reload neither loses nor repeats anything.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
};

use super::writer::{Chunk, Closed, Writer};
use crate::{
    base::fault::{Class, Fault},
    config::{Fields, FromNode, Node, choice},
    event::codec::Encoding,
    pipeline::{
        buffer::Intake,
        component::{BuildContext, Sink, SinkContext, SinkSpec, Task},
        encoding::Encoder,
    },
};

/// So much is encoded before it is written.
const CHUNK: usize = 256 * 1024;

/// `target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Stdout,
    Stderr,
}

impl FromNode for Target {
    const EXPECTED: &'static str = "`stdout` or `stderr`";

    fn from_node(node: &Node) -> Result<Self, String> {
        choice(node, &[("stdout", Target::Stdout), ("stderr", Target::Stderr)])
    }
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Target::Stdout => "standard output",
            Target::Stderr => "standard error",
        }
    }

    /// The writer of this process, started when it is first wanted.
    fn writer(self) -> io::Result<Writer> {
        static WRITERS: [Mutex<Option<Writer>>; 2] = [const { Mutex::new(None) }; 2];
        let mut writer = WRITERS[self as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = &*writer {
            return Ok(writer.clone());
        }
        // Not through `std::io::Stdout`, which hides that the descriptor is closed.
        let descriptor = match self {
            Target::Stdout => io::stdout().as_fd().try_clone_to_owned()?,
            Target::Stderr => io::stderr().as_fd().try_clone_to_owned()?,
        };
        Ok(writer.insert(Writer::start(self.name(), File::from(descriptor))?).clone())
    }
}

/// The options.
#[derive(Debug, Clone)]
struct Options {
    /// `target`: `stdout`, the default, or `stderr`.
    target: Target,
    /// `encoding`: `text` is the default.
    encoder: Encoder,
}

/// Reads the options.
pub(in crate::pipeline) fn read(fields: &mut Fields<'_>) -> Option<Box<dyn SinkSpec>> {
    let target = fields.or("target", Target::Stdout);
    let encoder = Encoder::read(fields, Encoding::Text);
    Some(Box::new(Options { target, encoder }))
}

impl SinkSpec for Options {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Sink>, Fault> {
        let name = self.target.name();
        let writer = self.target.writer().map_err(|error| {
            Fault::new(Class::Io, format!("{name} cannot be used: {}", crate::base::fs::reason(&error)))
        })?;
        Ok(Box::new(Console { name, encoder: self.encoder.clone(), writer }))
    }
}

struct Console {
    name: &'static str,
    encoder: Encoder,
    writer: Writer,
}

impl Sink for Console {
    fn run<'a>(self: Box<Self>, intake: &'a mut Intake, cx: SinkContext) -> Task<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.write_all(intake, &cx).await.map_err(|Closed(reason)| {
                cx.metrics.error("closed");
                Fault::new(Class::Io, format!("{} is closed: {reason}", self.name))
            })
        })
    }
}

impl Console {
    async fn write_all(&self, intake: &mut Intake, cx: &SinkContext) -> Result<(), Closed> {
        loop {
            // Cancel safe: `next` loses no batch, `closed` only waits.
            let first = tokio::select! {
                batch = intake.next() => batch,
                closed = self.writer.closed() => return Err(closed),
            };
            let Some(first) = first else { break };
            let interrupted = intake.interrupted();
            // Cancel safe: both only wait.
            let room = tokio::select! {
                room = self.writer.room() => Some(room?),
                () = interrupted => None,
            };
            let Some(room) = room else {
                intake.put_back(first);
                return Ok(());
            };
            let mut chunk = Chunk { bytes: room.buffer(), events: 0, metrics: cx.metrics.clone() };
            let mut next = Some(first);
            while let Some(batch) = next {
                for event in &batch {
                    self.encoder.encode_line(event, &mut chunk.bytes);
                }
                chunk.events += batch.len();
                next = if chunk.bytes.len() < CHUNK { intake.try_next() } else { None };
            }
            room.write(chunk);
        }
        if intake.is_interrupted() {
            // The thread writes what it has, before anything that a successor gives it.
            return Ok(());
        }
        self.writer.flushed().await
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;
    use crate::pipeline::testing::{Stand, logs, until};

    fn console(writer: &Writer) -> Box<dyn Sink> {
        let encoder = Encoder::new(Encoding::Text);
        Box::new(Console { name: "standard output", encoder, writer: writer.clone() })
    }

    fn pipe() -> (std::io::PipeReader, Writer) {
        let (reader, writer) = std::io::pipe().unwrap();
        (reader, Writer::start("test", File::from(std::os::fd::OwnedFd::from(writer))).unwrap())
    }

    #[tokio::test]
    async fn events_come_out_as_lines() {
        let stand = Stand::new();
        let (reader, writer) = pipe();
        let sink = stand.run_sink(console(&writer));
        sink.inlet.send(logs(&["one", "two"])).await;
        sink.finish().await.unwrap();
        assert_eq!(stand.metrics.sent_events.get(), 2);
        assert_eq!(stand.metrics.sent_bytes.get(), 8);
        let mut lines = BufReader::new(reader).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "one");
        assert_eq!(lines.next().unwrap().unwrap(), "two");
    }

    #[tokio::test]
    async fn a_closed_pipe_ends_the_sink_with_a_sentence() {
        let stand = Stand::new();
        let (reader, writer) = pipe();
        drop(reader);
        let sink = stand.run_sink(console(&writer));
        sink.inlet.send(logs(&["one"])).await;
        let (result, _) = sink.task.await.unwrap();
        let fault = result.unwrap_err();
        assert_eq!(fault.class, Class::Io);
        assert_eq!(fault.message, "standard output is closed: broken pipe");
        assert_eq!(stand.metrics.unaccounted(), 1);
    }

    #[tokio::test]
    async fn a_blocked_pipe_holds_up_neither_the_runtime_nor_a_reload() {
        let stand = Stand::new();
        let (reader, writer) = pipe();
        let sink = stand.run_sink(console(&writer));
        let lines: Vec<String> = (0..40).map(|number| format!("{number}{}", "x".repeat(10_000))).collect();
        for line in &lines {
            sink.inlet.send(logs(&[line])).await;
        }
        until("the sink is stuck", || stand.metrics.buffered_events.get() < 40).await;
        let (inlet, intake) = sink.interrupt().await;
        let sink = stand.go_on(console(&writer), inlet, intake);
        drop(writer);
        let all = std::thread::spawn(move || {
            let mut text = String::new();
            let mut reader = reader.take(400_000 + 40 + 30 + 40);
            reader.read_to_string(&mut text).unwrap();
            text
        });
        sink.finish().await.unwrap();
        assert_eq!(stand.metrics.sent_events.get(), 40);
        assert!(all.join().unwrap().lines().eq(lines.iter().map(String::as_str)));
    }

    #[test]
    fn a_wrong_target_is_an_error() {
        let error = crate::pipeline::testing::sink_spec("type = 'console'\ntarget = 'stdot'").unwrap_err();
        assert!(error.contains("did you mean `stdout`?"), "{error}");
    }
}
