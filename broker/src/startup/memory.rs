//! How the memory of a broker is shared out over its shards and purposes.

use millstream_machine::config::settings::BrokerSettings;
use millstream_storage::limits::{DIRTY_BYTES_MAX_DEFAULT, SPARE_BYTES_MAX};
use millstream_tuning::budget::Budget;
use millstream_tuning::profile::Profile;

use crate::limits::REQUEST_BYTES_MAX;

/// Bytes for each shard, and the largest request that they allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Of the whole process, all below included.
    pub total_bytes: u64,
    pub cache_bytes: u64,
    /// Accepted and not in a segment yet: they lie in the cache, and may pass it by the share for write-behind and by
    /// what is kept of spare chunks.
    pub dirty_bytes_max: u64,
    /// Read back from segments.
    pub read_bytes: u64,
    pub requests_bytes: usize,
    pub request_bytes_max: usize,
    /// That all partitions of a shard remember.
    pub producers_max: usize,
}

/// Shares out `memory` (by default a part of the host's) as the host's budget does.
pub fn plan(memory: Option<u64>, shards: usize, settings: &BrokerSettings) -> MemoryPlan {
    let budget = Budget::plan(&Profile::read(), shards, memory);
    // One pool for what comes and what goes: a reply is there because a request was.
    let pool = (budget.request_bytes + budget.reply_bytes).min(REQUESTS_MAX);
    // The setting is the broker's, what is remembered its shard's.
    let producers = (settings.number("max.producers").max(1) as u64)
        .div_ceil(shards as u64)
        .min(pool / PRODUCERS_SHARE / PRODUCER_BYTES);
    let requests_bytes = (pool - producers * PRODUCER_BYTES) as usize;
    let cache_bytes = memory.map_or(budget.cache_bytes.min(CACHE_MAX), |_| budget.cache_bytes);
    let configured = settings.number("socket.request.max.bytes").max(1) as usize;
    MemoryPlan {
        total_bytes: budget.total_bytes,
        cache_bytes,
        dirty_bytes_max: (cache_bytes + budget.write_behind_bytes + SPARE_BYTES_MAX)
            .min(DIRTY_BYTES_MAX_DEFAULT),
        read_bytes: budget.read_bytes,
        requests_bytes,
        // A single frame may take half: the other half keeps everybody else going.
        request_bytes_max: configured.min(REQUEST_BYTES_MAX).min(requests_bytes / 2),
        producers_max: producers as usize,
    }
}

/// More for one shard's cache is asked for, not assumed.
const CACHE_MAX: u64 = 384 << 20;
const REQUESTS_MAX: u64 = 512 << 20;
/// Of the memory for requests and replies, what may be taken for knowing producers.
const PRODUCERS_SHARE: u64 = 8;
/// What a partition's knowledge of one producer takes: its last batches, and its place in the table.
const PRODUCER_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_stay_below_the_whole() {
        let settings = BrokerSettings::new();
        for (memory, shards) in [(1 << 30, 1), (1 << 30, 8), (64 << 30, 2), (1, 1)] {
            let plan = plan(Some(memory), shards, &settings);
            let held = plan.dirty_bytes_max.max(plan.cache_bytes + SPARE_BYTES_MAX) + plan.read_bytes;
            let producers = plan.producers_max as u64 * PRODUCER_BYTES;
            assert!(producers > 0);
            let used = (held + plan.requests_bytes as u64 + producers) * shards as u64;
            assert!(used <= plan.total_bytes, "{plan:?}");
            assert!(plan.request_bytes_max * 2 <= plan.requests_bytes && plan.request_bytes_max > 0);
        }
        assert_eq!(
            plan(Some(8 << 30), 2, &settings).request_bytes_max,
            REQUEST_BYTES_MAX
        );
    }
}
