//! How much of the host the broker takes: profile and number of shards in, bytes and depths out. Pure
//! arithmetic.
//!
//! Invariants: the parts never add up to more than the whole; the journals together stay within
//! [`JOURNALS_BYTES_MAX`], so that replay at start fits a second; every size is a multiple of [`BLOCK`].

use crate::profile::Profile;

/// What one shard may take, and how deep its queues are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub shards: usize,
    /// Bytes for the whole process that the parts below were cut from.
    pub total_bytes: u64,
    /// Requests on their way in: credit is taken from it as bytes arrive. Holds at least one request of
    /// [`REQUEST_BYTES_USUAL`].
    pub request_bytes: u64,
    /// Replies that clients have not taken yet.
    pub reply_bytes: u64,
    /// Recent record batches kept for readers at the tail.
    pub cache_bytes: u64,
    /// Accepted bytes that wait for their segment, beyond what has room in the cache.
    pub write_behind_bytes: u64,
    /// Cold reads and read-ahead.
    pub read_bytes: u64,
    /// Length of the shard's journal file.
    pub journal_bytes: u64,
    /// Entries of the shard's submission queue; a power of two.
    pub submissions: u32,
    /// Direct reads in flight.
    pub reads_in_flight: u32,
    /// Write-behind operations in flight.
    pub writes_in_flight: u32,
}

impl Budget {
    /// `memory`: bytes that the operator grants the process; without it a quarter of the host's, within
    /// bounds. Too little is raised to what a shard needs to work at all; `total_bytes` then says so.
    pub fn plan(profile: &Profile, shards: usize, memory: Option<u64>) -> Budget {
        assert!(shards > 0, "a broker has a shard");
        let shards_wide = shards as u64;
        let least = SHARD_BYTES_MIN * shards_wide + PROCESS_BYTES;
        let usual = (profile.memory_bytes / 4).min(TOTAL_BYTES_USUAL_MAX);
        let total_bytes = memory.unwrap_or(usual).max(least);
        let shard = (total_bytes - PROCESS_BYTES) / shards_wide;
        let part = |of: u64, share: u64, least: u64| (of * share / 100 / BLOCK * BLOCK).max(least);
        let request_bytes = part(shard, 25, REQUEST_BYTES_USUAL);
        let rest = shard - SHARD_FIXED_BYTES - request_bytes;
        let journal = (JOURNALS_BYTES_MAX / shards_wide).min(JOURNAL_BYTES_MAX) / BLOCK * BLOCK;
        Budget {
            shards,
            total_bytes,
            request_bytes,
            reply_bytes: part(rest, 20, 4 << 20),
            cache_bytes: part(rest, 45, 8 << 20),
            // Write-behind drains the journal: more than a journal's worth can never wait.
            write_behind_bytes: part(rest, 20, 8 << 20).min(journal),
            read_bytes: part(rest, 15, 4 << 20),
            journal_bytes: journal,
            submissions: SUBMISSIONS,
            reads_in_flight: READS_IN_FLIGHT,
            writes_in_flight: WRITES_IN_FLIGHT,
        }
    }

    /// Bytes that one shard may hold in memory at most, by its parts.
    pub fn shard_bytes(&self) -> u64 {
        let shared_out = self.request_bytes + self.reply_bytes + self.cache_bytes;
        SHARD_FIXED_BYTES + shared_out + self.write_behind_bytes + self.read_bytes
    }
}

/// The unit of direct I/O.
pub const BLOCK: u64 = 4096;
/// All journals together: replay reads them once at start.
pub const JOURNALS_BYTES_MAX: u64 = 512 << 20;
/// A longer journal holds more than half a second of what one core writes, and only slows the start.
const JOURNAL_BYTES_MAX: u64 = 256 << 20;
/// A request of this size always fits, whatever the memory: clients send up to 1 MiB a batch and many
/// batches.
pub const REQUEST_BYTES_USUAL: u64 = 32 << 20;
/// Beyond this a broker takes more only when it is told to.
const TOTAL_BYTES_USUAL_MAX: u64 = 16 << 30;
/// Code, stacks, metadata and the controller.
const PROCESS_BYTES: u64 = 64 << 20;
/// What a shard takes whatever it is granted: the ring's receive buffers, indexes, spare chunks, a round on its way to
/// the journal, tables, and what the allocator keeps beside them.
const SHARD_FIXED_BYTES: u64 = 48 << 20;
/// The sum of the least parts in [`Budget::plan`], with room for their shares.
const SHARD_BYTES_MIN: u64 = 128 << 20;
const SUBMISSIONS: u32 = 1024;
const READS_IN_FLIGHT: u32 = 32;
const WRITES_IN_FLIGHT: u32 = 8;

const _: () = assert!(SUBMISSIONS.is_power_of_two());
const _: () = assert!(
    SHARD_FIXED_BYTES + REQUEST_BYTES_USUAL + (4 << 20) + (8 << 20) + (8 << 20) + (4 << 20)
        <= SHARD_BYTES_MIN
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Kernel, Limit};

    fn host(memory_bytes: u64) -> Profile {
        let unlimited = Limit {
            soft: None,
            hard: None,
        };
        Profile {
            cores: vec![0],
            memory_bytes,
            kernel: Kernel { major: 6, minor: 1 },
            memory_lock: unlimited,
            open_files: unlimited,
            io_uring_disabled: None,
        }
    }

    #[test]
    fn the_parts_fit_the_whole_on_every_host() {
        for gib in [1, 2, 8, 64, 1024] {
            for shards in [1, 2, 7, 64] {
                for memory in [None, Some(1 << 20), Some(512 << 20), Some(32 << 30)] {
                    let budget = Budget::plan(&host(gib << 30), shards, memory);
                    let parts = budget.shard_bytes() * shards as u64 + PROCESS_BYTES;
                    assert!(
                        parts <= budget.total_bytes,
                        "{gib} GiB, {shards} shards, {memory:?}: {budget:?}"
                    );
                    assert!(budget.journal_bytes * shards as u64 <= JOURNALS_BYTES_MAX);
                    assert!(budget.journal_bytes.is_multiple_of(BLOCK) && budget.journal_bytes > 0);
                    assert!(budget.write_behind_bytes <= budget.journal_bytes);
                    assert!(budget.request_bytes >= REQUEST_BYTES_USUAL);
                }
            }
        }
    }

    #[test]
    fn a_quarter_of_the_host_unless_told_otherwise() {
        assert_eq!(Budget::plan(&host(8 << 30), 2, None).total_bytes, 2 << 30);
        assert_eq!(
            Budget::plan(&host(8 << 30), 2, Some(1 << 30)).total_bytes,
            1 << 30
        );
        assert_eq!(
            Budget::plan(&host(1 << 40), 2, None).total_bytes,
            TOTAL_BYTES_USUAL_MAX
        );
    }

    #[test]
    fn more_memory_gives_no_part_less() {
        let (small, large) = (
            Budget::plan(&host(2 << 30), 2, None),
            Budget::plan(&host(16 << 30), 2, None),
        );
        assert!(large.cache_bytes > small.cache_bytes);
        assert!(large.request_bytes > small.request_bytes);
        assert!(large.write_behind_bytes >= small.write_behind_bytes);
    }
}
