//! `buffer.*` of a sink.
//!
//! Pure.

use std::num::NonZeroU32;

use crate::config::Fields;

/// A buffer in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// How many events it holds: 1 to [`Memory::MOST`].
    pub max_events: u32,
    /// What happens when there is no room.
    pub when_full: WhenFull,
}

/// What happens to an event for which a buffer has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Whoever brings it waits.
    Block,
    /// It is discarded, and counted.
    DropNewest,
}

impl Memory {
    /// The largest `max_events`.
    pub const MOST: u32 = 100_000_000;

    /// Reads the table `buffer` of a sink.
    pub fn read(fields: &mut Fields<'_>) -> Memory {
        let mut memory = Memory::default();
        let Some(mut buffer) = fields.table("buffer") else { return memory };
        if let Some((kind, span)) = buffer.optional_spanned::<String>("type")
            && kind != "memory"
        {
            buffer.error(span, format!("there is no buffer of type `{kind}`; write `memory`"));
        }
        if let Some((max, span)) = buffer.optional_spanned::<NonZeroU32>("max_events") {
            memory.max_events = max.get();
            if max.get() > Self::MOST {
                buffer.error(span, format!("at most {} events", Self::MOST));
            }
        }
        if let Some((when, span)) = buffer.optional_spanned::<String>("when_full") {
            match when.as_str() {
                "block" => memory.when_full = WhenFull::Block,
                "drop_newest" => memory.when_full = WhenFull::DropNewest,
                _ => buffer.error(span, format!("expected `block` or `drop_newest`, found `{when}`")),
            }
        }
        buffer.finish();
        memory
    }
}

impl Default for Memory {
    /// Room for 10,000 events; whoever brings more waits.
    fn default() -> Self {
        Memory { max_events: 10_000, when_full: WhenFull::Block }
    }
}
