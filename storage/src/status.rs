//! What a shard's storage holds at a moment, and giving back what it holds for nothing.
//!
//! Place: asked by the shard when an operator wants to know, and when nobody has asked for anything for a while.

use crate::shard_logs::ShardLogs;

/// Bytes unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageStatus {
    /// Logs of this shard.
    pub partitions: usize,
    /// Segment files with a descriptor.
    pub open_segments: usize,
    /// Batches in memory, in whole blocks: appended ones, ones read back from segments, and the buffers of those being
    /// read.
    pub cache_held: u64,
    /// The same with the room for batches to come, which takes address space and no memory.
    pub cache_reserved: u64,
    /// What the batch cache may come to.
    pub cache_limit: u64,
    /// Accepted, and in no segment yet.
    pub dirty: u64,
    /// What a recovery would read of the journal.
    pub journal_live: u64,
    /// All of the journal.
    pub journal_size: u64,
}

impl ShardLogs {
    /// Looks at every log: for a person's question, not for every turn.
    pub fn status(&self) -> StorageStatus {
        let ids = self.logs.ids();
        let appended: u64 = ids
            .iter()
            .filter_map(|id| self.logs.get(*id))
            .map(|log| log.chunks.filled_bytes())
            .sum();
        let (cold, cold_limit) = self.reads.cold_bytes();
        StorageStatus {
            partitions: ids.len(),
            open_segments: self.files.open_count(),
            cache_held: appended + cold,
            cache_reserved: self.cache_bytes + cold,
            cache_limit: self.cache_bytes_max() + cold_limit,
            dirty: self.dirty_bytes,
            journal_live: self.journal.live_bytes(),
            journal_size: self.journal.ring_bytes(),
        }
    }

    /// Frees the memory that is kept to be used again soon. The batch cache stays.
    pub fn give_back_memory(&mut self) {
        self.spare.clear();
        self.journal.drop_spare();
    }
}
