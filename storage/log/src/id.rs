//! Names of the things on disk, as types.
//!
//! Invariants: a segment id, a journal id and an incarnation are never used twice in one data directory.

use core::fmt;
use core::ops::{Add, Sub};

use millstream_protocol::types::{PartitionIndex, TopicId};
use millstream_protocol::{counting, number};

use crate::layout::BLOCK;
use crate::limits::INCARNATIONS_MAX;

number! {
    /// A segment file. Built by [`SegmentIds`]; names the file and is written in its header.
    SegmentId(u64)
}

number! {
    /// A journal file. Counted up in the data directory; a retired journal's id stays retired.
    JournalId(u64)
}

number! {
    /// Counts the times that this data directory was opened; raised durably before anything else is written.
    Incarnation(u64)
}

number! {
    /// The place of a round among all rounds of its journal; the first has 1, so that "all before the first"
    /// is 0.
    RoundSequence(u64)
}

number! {
    /// A byte of a segment's data. The first byte after the header block has 0: the byte at position `p` lies
    /// at [`crate::layout::SEGMENT_DATA_AT`]` + p` in the file.
    FilePosition(u64)
}

counting! { SegmentId JournalId Incarnation RoundSequence }

impl RoundSequence {
    /// The one before this; of 0 it is 0.
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl FilePosition {
    pub const ZERO: Self = Self(0);

    pub const fn is_aligned(self) -> bool {
        self.0.is_multiple_of(BLOCK)
    }

    /// The start of the block that holds this byte.
    pub const fn block_floor(self) -> Self {
        Self(self.0 - self.0 % BLOCK)
    }

    /// The first block start at or after this byte.
    pub const fn block_ceil(self) -> Self {
        Self(self.0.next_multiple_of(BLOCK))
    }
}

impl Add<u64> for FilePosition {
    type Output = FilePosition;

    #[track_caller]
    fn add(self, bytes: u64) -> FilePosition {
        FilePosition(self.0.checked_add(bytes).expect("file position overflows"))
    }
}

impl Sub for FilePosition {
    type Output = u64;

    /// Panics where `other` is the higher one.
    #[track_caller]
    fn sub(self, other: FilePosition) -> u64 {
        self.0
            .checked_sub(other.0)
            .expect("file position below the one subtracted")
    }
}

/// A partition for ever: the topic's UUID, not its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    pub topic: TopicId,
    pub partition: PartitionIndex,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What a round must name to belong to a journal. The nonce is random, chosen by the shell when it creates
/// the file and never told to a client, so that no batch can carry bytes that pass for a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalIdentity {
    pub id: JournalId,
    pub nonce: u64,
}

/// Hands out segment ids that no other shard and no earlier run has used, with nothing to persist: the id is
/// composed of the incarnation (24 bits), the shard's number (12 bits) and a counter (28 bits).
#[derive(Clone, Debug)]
pub struct SegmentIds {
    next: u64,
    end: u64,
}

impl SegmentIds {
    /// For one shard of one run. `incarnation` must be durable before an id is used.
    #[track_caller]
    pub fn new(incarnation: Incarnation, shard: u16) -> Self {
        assert!(incarnation.get() <= INCARNATIONS_MAX, "incarnations fit 24 bits");
        assert!(shard >> 12 == 0, "shard numbers fit 12 bits");
        let first = incarnation.get() << 40 | u64::from(shard) << 28;
        Self {
            next: first,
            end: first + (1 << 28),
        }
    }

    #[track_caller]
    #[expect(
        clippy::should_implement_trait,
        reason = "not an iterator: it never ends in a working system"
    )]
    pub fn next(&mut self) -> SegmentId {
        assert!(self.next < self.end, "segment ids of this run are used up");
        let id = SegmentId(self.next);
        self.next += 1;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_round_to_blocks() {
        assert_eq!(FilePosition::new(4097).block_floor(), FilePosition::new(4096));
        assert_eq!(FilePosition::new(4097).block_ceil(), FilePosition::new(8192));
        assert_eq!(FilePosition::new(4096).block_ceil(), FilePosition::new(4096));
    }

    #[test]
    fn segment_ids_differ_between_runs_and_shards() {
        let mut seen = alloc::collections::BTreeSet::new();
        for incarnation in 1..4 {
            for shard in 0..3 {
                let mut ids = SegmentIds::new(Incarnation::new(incarnation), shard);
                assert!((0..5).all(|_| seen.insert(ids.next())));
            }
        }
    }
}
