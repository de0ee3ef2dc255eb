//! A stream of bytes to frames, however the stream is cut.
//!
//! A framer takes whole frames from the front of a buffer that a reader fills. Frames share the buffer's memory.
//!
//! Pure.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Why a frame could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// A header announces more than is allowed. The stream is of no use from here on.
    TooLarge {
        /// What the header says.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// A line was longer than allowed, and was skipped to its end. What follows it is fine.
    LineTooLong {
        /// What is allowed, without the line end.
        max: usize,
    },
    /// The stream ended within a frame.
    Truncated {
        /// How much of it there was, with its header.
        bytes: usize,
    },
}

impl FrameError {
    /// Must the stream be closed, because nothing after the error can be read?
    pub fn is_fatal(&self) -> bool {
        !matches!(self, FrameError::LineTooLong { .. })
    }

    /// A short word for the label of a counter.
    pub fn kind(&self) -> &'static str {
        match self {
            FrameError::TooLarge { .. } => "frame_too_large",
            FrameError::LineTooLong { .. } => "line_too_long",
            FrameError::Truncated { .. } => "truncated",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLarge { bytes, max } => {
                write!(to, "the peer announces a frame of {bytes} bytes; at most {max} are taken")
            }
            FrameError::LineTooLong { max } => write!(to, "a line of more than {max} bytes was left out"),
            FrameError::Truncated { bytes } => {
                write!(to, "the stream ended within a frame, of which {bytes} bytes had come")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// Frames of a big-endian 32-bit length and that many bytes.
#[derive(Debug)]
pub struct LengthDelimited {
    max: usize,
    failed: bool,
}

impl LengthDelimited {
    const HEADER: usize = size_of::<u32>();

    /// Takes frames of at most `max` bytes, the header not counted.
    pub fn new(max: usize) -> Self {
        LengthDelimited { max, failed: false }
    }

    /// The next whole frame in `buf`, without its header; `None` if more bytes are needed.
    ///
    /// A frame that is too large is an error as soon as its header is there. From then on the stream has no frames:
    /// `buf` is emptied, and the answer is `None`.
    pub fn next(&mut self, buf: &mut BytesMut) -> Option<Result<Bytes, FrameError>> {
        if self.failed {
            buf.clear();
            return None;
        }
        let header: [u8; Self::HEADER] = *buf.first_chunk()?;
        let bytes = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
        if bytes > self.max {
            self.failed = true;
            buf.clear();
            return Some(Err(FrameError::TooLarge { bytes, max: self.max }));
        }
        if buf.len() - Self::HEADER < bytes {
            return None;
        }
        buf.advance(Self::HEADER);
        Some(Ok(buf.split_to(bytes).freeze()))
    }

    /// What is left when no more bytes come: the rest of the frames, then an error if one is incomplete, then `None`.
    pub fn finish(&mut self, buf: &mut BytesMut) -> Option<Result<Bytes, FrameError>> {
        if let Some(frame) = self.next(buf) {
            return Some(frame);
        }
        let bytes = buf.len();
        buf.clear();
        (bytes > 0).then_some(Err(FrameError::Truncated { bytes }))
    }
}

/// Lines. Their end, `\n` or `\r\n`, is no part of them.
#[derive(Debug)]
pub struct Lines {
    max: usize,
    /// So much at the front of the buffer has no newline in it.
    searched: usize,
    /// Within a line that is too long, and reported.
    skipping: bool,
}

impl Lines {
    /// Takes lines of at most `max_length` bytes, without their end.
    pub fn new(max_length: usize) -> Self {
        Lines { max: max_length, searched: 0, skipping: false }
    }

    /// The next whole line in `buf`; `None` if more bytes are needed.
    ///
    /// A line that is too long is reported once and skipped to its end; `buf` never has to hold more than
    /// `max_length` + 1 bytes and what one read adds.
    pub fn next(&mut self, buf: &mut BytesMut) -> Option<Result<Bytes, FrameError>> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &buf[self.searched..]) else {
                // One more than allowed may be the `\r` of a line's end.
                let too_long = buf.len() > self.max.saturating_add(1);
                if self.skipping || too_long {
                    buf.clear();
                }
                self.searched = buf.len();
                if too_long && !self.skipping {
                    self.skipping = true;
                    return Some(Err(FrameError::LineTooLong { max: self.max }));
                }
                return None;
            };
            let mut line = buf.split_to(self.searched + end + 1);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let length = line.len() - if line.ends_with(b"\r\n") { 2 } else { 1 };
            line.truncate(length);
            return Some(self.bounded(line));
        }
    }

    /// What is left when no more bytes come: the rest of the lines, also one without an end, then `None`.
    pub fn finish(&mut self, buf: &mut BytesMut) -> Option<Result<Bytes, FrameError>> {
        if let Some(line) = self.next(buf) {
            return Some(line);
        }
        self.searched = 0;
        self.skipping = false;
        let rest = buf.split();
        (!rest.is_empty()).then(|| self.bounded(rest))
    }

    fn bounded(&self, line: BytesMut) -> Result<Bytes, FrameError> {
        if line.len() > self.max { Err(FrameError::LineTooLong { max: self.max }) } else { Ok(line.freeze()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Frames = Vec<Result<Bytes, FrameError>>;
    type Step<F> = fn(&mut F, &mut BytesMut) -> Option<Result<Bytes, FrameError>>;

    /// Feeds the chunks as a reader would.
    fn feed<F>(mut framer: F, next: Step<F>, finish: Step<F>, chunks: &[&[u8]]) -> Frames {
        let mut buf = BytesMut::new();
        let mut frames = Vec::new();
        for chunk in chunks {
            buf.extend_from_slice(chunk);
            frames.extend(std::iter::from_fn(|| next(&mut framer, &mut buf)));
        }
        frames.extend(std::iter::from_fn(|| finish(&mut framer, &mut buf)));
        assert!(buf.is_empty());
        frames
    }

    fn delimited(max: usize, chunks: &[&[u8]]) -> Frames {
        feed(LengthDelimited::new(max), LengthDelimited::next, LengthDelimited::finish, chunks)
    }

    fn lines(max: usize, chunks: &[&[u8]]) -> Frames {
        feed(Lines::new(max), Lines::next, Lines::finish, chunks)
    }

    fn ok(frame: &'static str) -> Result<Bytes, FrameError> {
        Ok(Bytes::from_static(frame.as_bytes()))
    }

    const LONG: Result<Bytes, FrameError> = Err(FrameError::LineTooLong { max: 3 });

    #[test]
    fn a_frame_is_a_length_and_its_bytes() {
        assert_eq!(delimited(3, &[b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01d"]), [ok("abc"), ok(""), ok("d")]);
        assert_eq!(delimited(3, &[]), []);
    }

    #[test]
    fn a_frame_that_is_too_large_is_known_by_its_header_and_ends_the_stream() {
        let large = Err(FrameError::TooLarge { bytes: 4, max: 3 });
        assert_eq!(delimited(3, &[b"\0\0\0\x01a\0\0\0\x04"]), [ok("a"), large.clone()]);
        assert_eq!(delimited(3, &[b"\0\0\0\x04abcd\0\0\0\x01a", b"\0\0\0\x01a"]), [large]);
        let max = FrameError::TooLarge { bytes: u32::MAX as usize, max: 3 };
        assert_eq!(delimited(3, &[b"\xff\xff\xff\xff"]), [Err(max)]);
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_says_so() {
        assert_eq!(delimited(3, &[b"\0\0\0\x03ab"]), [Err(FrameError::Truncated { bytes: 6 })]);
        assert_eq!(delimited(3, &[b"\0\0\0\0\0\0"]), [ok(""), Err(FrameError::Truncated { bytes: 2 })]);
    }

    #[test]
    fn lines_come_without_their_ends_and_the_last_needs_none() {
        assert_eq!(lines(3, &[b"ab\n\ncd\r\n\r\re"]), [ok("ab"), ok(""), ok("cd"), ok("\r\re")]);
        assert_eq!(lines(3, &[b"a\n"]), [ok("a")]);
        assert_eq!(lines(3, &[b"\n"]), [ok("")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_once_and_left_out() {
        assert_eq!(lines(3, &[b"abc\nabcd\nab\n"]), [ok("abc"), LONG, ok("ab")]);
        assert_eq!(lines(3, &[b"abc\r\nabcd\r\n"]), [ok("abc"), LONG]);
        assert_eq!(lines(3, &[b"abcdefgh", b"ijk", b"l\nab"]), [LONG, ok("ab")]);
        assert_eq!(lines(3, &[b"abcdefgh", b"ijk"]), [LONG]);
        assert_eq!(lines(3, &[b"abc\r"]), [LONG]);
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_frames_are_the_same(
            stream in prop_oneof![
                "[a\r\n]{0,40}".prop_map(String::into_bytes),
                proptest::collection::vec(0_u8..6, 0..60),
            ],
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
            prop_assert_eq!(lines(4, &chunks), lines(4, &[&stream]));

            // What a frame is cut off at depends on no cut either.
            prop_assert_eq!(delimited(0x0100_0000, &chunks), delimited(0x0100_0000, &[&stream]));
        }
    }
}
