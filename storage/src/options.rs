//! How a shard's storage is sized.

use millstream_protocol::time::Duration;

use crate::event::{SpaceReport, SpaceState};
use crate::limits;

/// Sizes of one shard's storage. Bytes unless said.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// The journal file of each shard; a multiple of 64 KiB, at least 256 KiB.
    pub journal_bytes: u64,
    /// Memory of each shard for recently appended batches; what waits for the disk counts in it and may
    /// pass it.
    pub cache_bytes: u64,
    /// Memory of each shard for bytes read back from segments; no more than a quarter of the cache's is taken.
    pub read_bytes: u64,
    /// Appends of bytes that no segment holds yet are refused beyond this.
    pub dirty_bytes_max: u64,
    /// Appends are refused while the file system has less free space than this.
    pub free_space_bytes_min: u64,
    /// A partition with at least this many bytes in a round writes them straight to its segment.
    pub direct_write_bytes_min: u64,
    /// Segment files that a shard keeps open.
    pub open_segments_max: usize,
    /// How often retention is looked at, to [`limits::HOUSEKEEPING_EVERY_NS`]; a full disk is looked at more often.
    pub retention_every: Duration,
    /// When it is looked at for the first time after the start.
    pub retention_first_after: Duration,
    /// Memory of each shard for indexes of sealed segments that can be loaded again.
    pub index_bytes: u64,
    /// What a partition takes beside its batches: it comes off `cache_bytes` and off `dirty_bytes_max`, of which half
    /// is left in any case.
    pub partition_bytes: u64,
    /// Producers that all partitions of a shard remember together.
    pub producers_max: usize,
    /// Take the lock file of the directory (only a simulated disk does without).
    pub lock: bool,
}

impl StorageOptions {
    /// The defaults for so many shards, which share the bound on all journals.
    #[must_use]
    pub fn for_shards(shards: usize) -> StorageOptions {
        assert!(shards > 0);
        let journal_bytes = (limits::JOURNALS_BYTES_MAX / shards as u64).min(limits::JOURNAL_BYTES_DEFAULT);
        StorageOptions {
            journal_bytes: journal_bytes / limits::JOURNAL_GRAIN * limits::JOURNAL_GRAIN,
            cache_bytes: limits::CACHE_BYTES_DEFAULT,
            read_bytes: limits::CACHE_BYTES_DEFAULT / 4,
            dirty_bytes_max: limits::DIRTY_BYTES_MAX_DEFAULT,
            free_space_bytes_min: limits::FREE_SPACE_BYTES_MIN_DEFAULT,
            direct_write_bytes_min: limits::DIRECT_WRITE_BYTES_MIN_DEFAULT,
            open_segments_max: limits::OPEN_SEGMENTS_MAX_DEFAULT,
            retention_every: Duration::from_nanos(limits::RETENTION_EVERY_NS_DEFAULT),
            retention_first_after: Duration::from_nanos(limits::RETENTION_FIRST_AFTER_NS_DEFAULT),
            index_bytes: limits::INDEX_BYTES_DEFAULT,
            partition_bytes: 0,
            producers_max: limits::PRODUCERS_MAX_DEFAULT,
            lock: true,
        }
    }

    /// Free space from which on appends are taken again, inclusive: at some distance from where they begin to be
    /// refused, so that the state does not flutter.
    pub(crate) fn free_space_bytes_again(&self) -> u64 {
        self.free_space_bytes_min + self.free_space_bytes_min / 16
    }

    pub(crate) fn space_report(&self, state: SpaceState, free: Option<u64>) -> SpaceReport {
        SpaceReport {
            state,
            free,
            refused_below: self.free_space_bytes_min,
            taken_from: self.free_space_bytes_again(),
        }
    }
}
