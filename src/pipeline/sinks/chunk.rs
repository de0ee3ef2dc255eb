//! Events on their way into a connection, and how far they got.
//!
//! Pure.

use std::{collections::VecDeque, fmt, ops::Deref};

use crate::event::{Batch, Event};

/// How events are written one after the other.
pub(super) trait Framing: fmt::Debug + Send + 'static {
    /// What they are appended to.
    type Buffer: Deref<Target = [u8]> + fmt::Debug + Default + Send;

    /// Appends an event; leaves the buffer as it was when that fails.
    ///
    /// # Errors
    ///
    /// When no peer would take it: a short word for the counters, and a sentence.
    fn append(&self, event: &Event, to: &mut Self::Buffer) -> Result<(), (&'static str, String)>;

    /// Empties the buffer, keeps its memory.
    fn clear(buffer: &mut Self::Buffer);
}

/// A buffer that has grown beyond this for one large event is given back.
const KEEP: usize = 1024 * 1024;

/// Encoded events, kept until their bytes are written.
#[derive(Debug)]
pub(super) struct Chunk<B> {
    bytes: B,
    /// So many bytes are written.
    written: usize,
    /// Not yet written as a whole: each with the place in `bytes` where it ends.
    waiting: VecDeque<(usize, Event)>,
    /// The place where the first of them begins.
    begin: usize,
}

/// Events that are now written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl<B: Deref<Target = [u8]> + Default> Chunk<B> {
    pub(super) fn new() -> Self {
        Chunk { bytes: B::default(), written: 0, waiting: VecDeque::new(), begin: 0 }
    }

    /// Encodes events behind those that are here. Says why for each that cannot be sent; it is left out.
    pub(super) fn add<F: Framing<Buffer = B>>(
        &mut self,
        batch: Batch,
        framing: &F,
        mut refused: impl FnMut(&'static str, String),
    ) {
        if self.waiting.is_empty() {
            self.reset::<F>();
        }
        self.waiting.reserve(batch.len());
        for event in batch {
            match framing.append(&event, &mut self.bytes) {
                Ok(()) => self.waiting.push_back((self.bytes.len(), event)),
                Err((kind, why)) => refused(kind, why),
            }
        }
    }

    fn reset<F: Framing<Buffer = B>>(&mut self) {
        if self.bytes.len() > KEEP {
            self.bytes = B::default();
        } else {
            F::clear(&mut self.bytes);
        }
        self.written = 0;
        self.begin = 0;
    }

    /// How many bytes are still to be written.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// What is to be written next; empty when all is.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// `count` more bytes were taken.
    pub(super) fn advance(&mut self, count: usize) -> Done {
        self.written += count;
        let begin = self.begin;
        let mut events = 0;
        while let Some((end, _)) = self.waiting.front()
            && *end <= self.written
        {
            self.begin = *end;
            self.waiting.pop_front();
            events += 1;
        }
        Done { events, bytes: self.begin - begin }
    }

    /// The connection is gone: an event that was written in part is written again, from its beginning.
    pub(super) fn rewind(&mut self) {
        self.written = self.begin;
    }

    /// The events that are not written as a whole; nothing is left here.
    pub(super) fn take_back(&mut self) -> Batch {
        self.written = self.bytes.len();
        self.waiting.drain(..).map(|(_, event)| event).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{event::Value, pipeline::testing::logs};

    /// Each message, and a `;`. An empty one is refused.
    #[derive(Debug)]
    struct Semicolons;

    impl Framing for Semicolons {
        type Buffer = Vec<u8>;

        fn append(&self, event: &Event, to: &mut Vec<u8>) -> Result<(), (&'static str, String)> {
            let Some(Value::Bytes(text)) = event.as_log().and_then(|log| log.get("message")) else {
                panic!("a message")
            };
            if text.is_empty() {
                return Err(("empty", "it is empty".into()));
            }
            to.extend_from_slice(text);
            to.push(b';');
            Ok(())
        }

        fn clear(buffer: &mut Vec<u8>) {
            buffer.clear();
        }
    }

    #[test]
    fn an_event_that_was_written_in_part_is_written_again_as_a_whole() {
        let mut chunk = Chunk::new();
        let mut refused = Vec::new();
        chunk.add(logs(&["one", "", "two", "six"]), &Semicolons, |kind, _| refused.push(kind));
        assert_eq!(refused, ["empty"]);
        assert_eq!(chunk.rest(), b"one;two;six;");
        assert_eq!(chunk.advance(6), Done { events: 1, bytes: 4 });
        assert_eq!(chunk.rest(), b"o;six;");
        chunk.rewind();
        assert_eq!(chunk.rest(), b"two;six;");
        assert_eq!(chunk.advance(4), Done { events: 1, bytes: 4 });
        chunk.rewind();
        assert_eq!(chunk.rest(), b"six;");
        chunk.advance(1);
        assert_eq!(chunk.take_back(), logs(&["six"]));
        assert_eq!(chunk.rest(), b"");
        chunk.add(logs(&["ten"]), &Semicolons, |_, _| panic!("refused"));
        assert_eq!(chunk.rest(), b"ten;");
    }

    proptest! {
        #[test]
        fn whatever_is_taken_and_however_often_it_breaks_each_event_is_written_once(
            steps in proptest::collection::vec((0_usize..9, any::<bool>()), 0..40),
        ) {
            let words = ["a", "bb", "ccc", "dddd"];
            let mut chunk = Chunk::new();
            let mut whole = Vec::new(); // what a peer makes of it
            let mut connection = Vec::new();
            let (mut added, mut done) = (0, 0);
            for (count, breaks) in steps {
                chunk.add(logs(&[words[added % 4]]), &Semicolons, |_, _| panic!("refused"));
                added += 1;
                let count = count.min(chunk.len());
                connection.extend_from_slice(&chunk.rest()[..count]);
                done += chunk.advance(count).events;
                if breaks {
                    chunk.rewind();
                    let end = connection.iter().rposition(|byte| *byte == b';').map_or(0, |at| at + 1);
                    whole.extend(connection.drain(..).take(end));
                }
            }
            connection.extend_from_slice(chunk.rest());
            done += chunk.advance(chunk.len()).events;
            whole.extend(connection);
            let expected: String = (0..added).map(|at| format!("{};", words[at % 4])).collect();
            prop_assert_eq!(String::from_utf8(whole).unwrap(), expected);
            prop_assert_eq!(done, added);
        }
    }
}
