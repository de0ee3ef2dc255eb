//! Bytes of a file to lines, keeping count of where in the file they are.
//!
//! Pure.

use bytes::Bytes;

use super::mark::{Place, Recent};

/// Finds the lines of one file.
#[derive(Debug, Clone)]
pub(super) struct Splitter {
    max: usize,
    /// Where the first line begins that is not done with.
    offset: u64,
    /// What is before it.
    recent: Recent,
    /// The beginning of that line, if it is not too long already.
    begun: Vec<u8>,
    /// That line is too long: so much of it was read.
    skipped: u64,
    /// What is at the end of that, meanwhile.
    skipped_recent: Recent,
}

/// What came of a piece.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Whole lines, without their ends.
    pub(super) lines: Vec<Bytes>,
    /// How many more were too long.
    pub(super) too_long: usize,
}

impl Splitter {
    /// Begins at `offset`; `recent` is what is before it.
    pub(super) fn new(max: usize, offset: u64, recent: Recent) -> Self {
        Splitter { max, offset, recent, begun: Vec::new(), skipped: 0, skipped_recent: Recent::default() }
    }

    /// Where the first line begins that is not done with.
    pub(super) fn place(&self) -> Place {
        Place { offset: self.offset, mark: self.recent.mark() }
    }

    /// Where the next piece is in the file.
    pub(super) fn next_offset(&self) -> u64 {
        self.offset + self.begun.len() as u64 + self.skipped
    }

    /// The place that was read up to, to see whether the file is still the same.
    pub(super) fn known(&self) -> Place {
        let mark = if self.skipped > 0 {
            self.skipped_recent.mark()
        } else {
            let mut recent = self.recent.clone();
            recent.push(&self.begun);
            recent.mark()
        };
        Place { offset: self.next_offset(), mark }
    }

    /// Room for the next piece, behind the beginning of a line; to be given back to [`push`](Self::push).
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.begun)
    }

    /// The bytes of [`buffer`](Self::buffer) again, with the next piece behind them.
    pub(super) fn push(&mut self, mut piece: Vec<u8>) -> Lines {
        let mut found = Lines::default();
        let Some(end) = memchr::memrchr(b'\n', &piece) else {
            self.begin(piece, &mut found);
            return found;
        };
        let begun = piece.split_off(end + 1);
        if self.skipped > 0 {
            self.recent = std::mem::take(&mut self.skipped_recent);
        }
        self.recent.push(&piece);
        self.offset += self.skipped + piece.len() as u64;
        let piece = Bytes::from(piece);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &piece) {
            let mut line = &piece[start..end];
            line = line.strip_suffix(b"\r").unwrap_or(line);
            if std::mem::take(&mut self.skipped) > 0 {
                // The end of one that was counted when it became too long.
            } else if line.len() > self.max {
                found.too_long += 1;
            } else {
                found.lines.push(piece.slice_ref(line));
            }
            start = end + 1;
        }
        self.begin(begun, &mut found);
        found
    }

    /// The rest of the file has no newline: it is the beginning of a line.
    fn begin(&mut self, begun: Vec<u8>, found: &mut Lines) {
        if self.skipped > 0 {
            self.skipped += begun.len() as u64;
            self.skipped_recent.push(&begun);
        } else if begun.len() > self.max.saturating_add(1) {
            found.too_long += 1;
            self.skipped = begun.len() as u64;
            self.skipped_recent = self.recent.clone();
            self.skipped_recent.push(&begun);
        } else {
            self.begun = begun;
        }
    }

    /// Nothing more comes: the last line needs no newline.
    pub(super) fn finish(&mut self) -> Lines {
        let mut found = Lines::default();
        let rest = std::mem::take(&mut self.begun);
        self.offset += self.skipped + rest.len() as u64;
        if self.skipped > 0 {
            self.recent = std::mem::take(&mut self.skipped_recent);
        }
        self.recent.push(&rest);
        if self.skipped == 0 && !rest.is_empty() {
            if rest.len() > self.max {
                found.too_long += 1;
            } else {
                found.lines.push(rest.into());
            }
        }
        self.skipped = 0;
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::sources::file::mark::Mark;

    fn split(max: usize, pieces: &[&[u8]]) -> (Vec<String>, usize, Splitter) {
        let mut splitter = Splitter::new(max, 0, Recent::default());
        let (mut lines, mut too_long) = (Vec::new(), 0);
        let mut read = 0;
        for piece in pieces {
            assert_eq!(splitter.next_offset(), read);
            let mut buffer = splitter.buffer();
            buffer.extend_from_slice(piece);
            read += piece.len() as u64;
            let found = splitter.push(buffer);
            lines.extend(found.lines);
            too_long += found.too_long;
        }
        let place = splitter.clone();
        let found = splitter.finish();
        lines.extend(found.lines);
        let texts = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        (texts, too_long + found.too_long, place)
    }

    #[test]
    fn lines_are_found_and_the_last_one_is_kept_until_it_ends() {
        let (lines, too_long, splitter) = split(5, &[b"one\r\ntw", b"o\n\nthree", b""]);
        assert_eq!(
            (lines.as_slice(), too_long),
            (["one", "two", "", "three"].map(String::from).as_slice(), 0)
        );
        assert_eq!(splitter.place(), Place { offset: 10, mark: Mark::of(b"one\r\ntwo\n\n") });
        assert_eq!(splitter.begun, b"three");
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_once_and_not_kept_in_memory() {
        let (lines, too_long, _) = split(3, &[b"abc\nabcdefgh", b"ijk", b"l\nx\nabcd\ny\n"]);
        assert_eq!((lines.as_slice(), too_long), (["abc", "x", "y"].map(String::from).as_slice(), 2));
        let (lines, too_long, splitter) = split(3, &[b"a\n", b"abcdefgh", b"ijk"]);
        assert_eq!((lines.as_slice(), too_long), (["a"].map(String::from).as_slice(), 1));
        assert_eq!(
            (splitter.place().offset, splitter.next_offset()),
            (2, 13),
            "a restart finds its beginning"
        );
        assert!(splitter.begun.is_empty());
    }

    #[test]
    fn the_mark_is_of_the_bytes_in_the_file_those_of_a_line_that_was_skipped_included() {
        let (_, _, splitter) = split(3, &[b"a\n", b"abcdefgh", b"ijk"]);
        assert_eq!(splitter.known(), Place { offset: 13, mark: Mark::of(b"a\nabcdefghijk") });
        let (_, _, splitter) = split(3, &[b"a\n", b"abcdefgh", b"ijk\nb"]);
        assert_eq!(splitter.place(), Place { offset: 14, mark: Mark::of(b"a\nabcdefghijk\n") });
        assert_eq!(splitter.known(), Place { offset: 15, mark: Mark::of(b"a\nabcdefghijk\nb") });
    }

    proptest! {
        #[test]
        fn however_the_file_is_read_the_lines_are_the_same(
            text in "[a\r\n]{0,40}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let (lines, too_long, splitter) = split(4, &pieces);
            let (expected, expected_too_long, whole) = split(4, &[bytes]);
            prop_assert_eq!((lines, too_long), (expected, expected_too_long));
            prop_assert_eq!(splitter.known(), Place { offset: bytes.len() as u64, mark: Mark::of(bytes) });
            let place = splitter.place();
            prop_assert_eq!(place.mark, Mark::of(&bytes[..usize::try_from(place.offset).unwrap()]));
            prop_assert_eq!(place, whole.place());
        }
    }
}
