//! A place in a file, and how to see that the file is still the one that was read up to there.
//!
//! Pure.

/// How many bytes before a place are remembered.
pub(super) const LENGTH: usize = 256;

/// A place in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// So many bytes are done with.
    pub(super) offset: u64,
    /// Of the bytes just before it.
    pub(super) mark: Mark,
}

/// What the bytes before a place look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// How many: at most [`LENGTH`], all if the file had no more.
    pub(super) length: u16,
    /// A checksum: FNV-1a. Stored in a file, so it must never change.
    pub(super) sum: u64,
}

impl Mark {
    /// The mark of a place that has these bytes before it.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let bytes = &bytes[bytes.len().saturating_sub(LENGTH)..];
        let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let length = u16::try_from(bytes.len()).expect("at most LENGTH");
        Mark { length, sum: bytes.iter().fold(0xcbf2_9ce4_8422_2325, step) }
    }
}

/// The last bytes before a place, while reading goes on.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent(Vec<u8>);

impl Recent {
    /// These bytes come next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(LENGTH)..];
        let keep = LENGTH - bytes.len();
        self.0.drain(..self.0.len().saturating_sub(keep));
        self.0.extend_from_slice(bytes);
    }

    /// The mark of the place where they end.
    pub(super) fn mark(&self) -> Mark {
        Mark::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_checksum_is_what_it_was_in_older_versions() {
        assert_eq!(Mark::of(b""), Mark { length: 0, sum: 0xcbf2_9ce4_8422_2325 });
        assert_eq!(Mark::of(b"foobar"), Mark { length: 6, sum: 0x8594_4171_f739_67e8 });
    }

    proptest! {
        #[test]
        fn pieces_have_the_mark_of_the_whole(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6)) {
            let mut recent = Recent::default();
            for piece in &pieces {
                recent.push(piece);
            }
            prop_assert_eq!(recent.mark(), Mark::of(&pieces.concat()));
        }
    }
}
