//! The committed offsets of one group.
//!
//! Invariant: [`Offsets::bytes`] is the sum over what it holds.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Bound;

use millstream_protocol::types::PartitionIndex;

use super::record::CommittedOffset;
use super::topics::Topics;

/// Topic and partition; the topic's name is shared with [`Topics`].
pub(super) type OffsetKey = (Arc<str>, PartitionIndex);

#[derive(Debug, Default)]
pub(super) struct Offsets {
    committed: BTreeMap<OffsetKey, CommittedOffset>,
    bytes: u64,
}

impl Offsets {
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// What they take, in memory and as records: no less than either.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn get(&self, key: &OffsetKey) -> Option<&CommittedOffset> {
        self.committed.get(key)
    }

    /// Those behind `key`, all where there is none.
    pub fn after(&self, key: Option<&OffsetKey>) -> impl Iterator<Item = (&OffsetKey, &CommittedOffset)> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.committed.range((from, Bound::Unbounded))
    }

    /// Those of one topic.
    pub fn of_topic(&self, topic: &Arc<str>) -> impl Iterator<Item = (&OffsetKey, &CommittedOffset)> {
        let first = (Arc::clone(topic), PartitionIndex::new(i32::MIN));
        let last = (Arc::clone(topic), PartitionIndex::new(i32::MAX));
        self.committed.range(first..=last)
    }

    /// Returns the key with the shared name.
    pub fn set(
        &mut self,
        topics: &mut Topics,
        topic: &str,
        partition: PartitionIndex,
        value: CommittedOffset,
    ) -> OffsetKey {
        let key = (topics.share(topic), partition);
        self.bytes += bytes_of(&key, &value);
        if let Some(old) = self.committed.insert(key.clone(), value) {
            self.bytes -= bytes_of(&key, &old);
            topics.release(topic);
        }
        key
    }

    pub fn remove(&mut self, topics: &mut Topics, key: &OffsetKey) -> bool {
        let Some((key, old)) = self.committed.remove_entry(key) else {
            return false;
        };
        self.bytes -= bytes_of(&key, &old);
        topics.release(&key.0);
        true
    }
}

/// What an offset takes beside its texts: its key and value in a tree whose nodes are half empty, and more than the
/// fixed fields of its record.
const OFFSET_BYTES: u64 = 192;

/// The bytes by which an offset counts.
pub(super) fn bytes_of(key: &OffsetKey, value: &CommittedOffset) -> u64 {
    OFFSET_BYTES + key.0.len() as u64 + value.metadata.len() as u64
}
