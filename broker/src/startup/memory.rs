//! How the memory of a broker is shared out over its shards and purposes.

use millstream_log::limits::{PARTITIONS_MAX, PRODUCER_BYTES};
use millstream_machine::config::settings::BrokerSettings;
use millstream_storage::limits::{DIRTY_BYTES_MAX_DEFAULT, SPARE_BYTES_MAX};
use millstream_tuning::budget::Budget;
use millstream_tuning::profile::Profile;

use crate::limits::REQUEST_BYTES_MAX;

/// Bytes for each shard, and what they allow.
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
    /// Of all shards. Each that there is takes [`PARTITION_BYTES`] off its shard's cache.
    pub partitions_max: u64,
    /// Names and configurations, of the whole process.
    pub metadata_bytes_max: u64,
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
    let setting = |name| u64::try_from(settings.number(name)).unwrap_or(0);
    let metadata_bytes_max =
        setting("max.metadata.bytes").min(METADATA_BYTES + budget.cache_bytes / CACHE_SHARE * shards as u64);
    let beyond = metadata_bytes_max
        .saturating_sub(METADATA_BYTES)
        .div_ceil(shards as u64);
    let granted = budget.cache_bytes - beyond;
    let cache_bytes = memory.map_or(granted.min(CACHE_MAX), |_| granted);
    let partitions_of_shard = (granted / CACHE_SHARE / PARTITION_BYTES).min(PARTITIONS_MAX as u64);
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
        partitions_max: setting("max.partitions").min(partitions_of_shard * shards as u64),
        metadata_bytes_max,
    }
}

/// More for one shard's cache is asked for, not assumed.
const CACHE_MAX: u64 = 384 << 20;
const REQUESTS_MAX: u64 = 512 << 20;
/// Of the cache, what partitions may take, and what metadata may beyond its own.
const CACHE_SHARE: u64 = 2;
/// What a partition takes beside its batches: 6.2 KiB were measured at most, and 1.3 for a topic of its own.
/// `docs/limits.md` has the measurement.
pub const PARTITION_BYTES: u64 = 8 << 10;
/// Part of what the budget sets aside for the process.
const METADATA_BYTES: u64 = 32 << 20;
/// Of the memory for requests and replies, what may be taken for knowing producers.
const PRODUCERS_SHARE: u64 = 8;

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
            let partitions = plan.partitions_max.div_ceil(shards as u64) * PARTITION_BYTES;
            assert!(
                plan.partitions_max > 0 && partitions <= plan.cache_bytes / 2,
                "{plan:?}"
            );
            assert!(plan.request_bytes_max * 2 <= plan.requests_bytes && plan.request_bytes_max > 0);
        }
        assert_eq!(plan(Some(16 << 30), 2, &settings).partitions_max, 200_000);
        assert_eq!(
            plan(Some(8 << 30), 2, &settings).request_bytes_max,
            REQUEST_BYTES_MAX
        );
    }
    #[test]
    fn metadata_beyond_the_default_comes_off_the_cache() {
        let mut settings = BrokerSettings::new();
        let usual = plan(Some(1 << 30), 2, &settings);
        settings.set("max.metadata.bytes", "50331648").unwrap();
        let more = plan(Some(1 << 30), 2, &settings);
        assert_eq!(
            (usual.metadata_bytes_max, more.metadata_bytes_max),
            (32 << 20, 48 << 20)
        );
        assert_eq!(usual.cache_bytes - more.cache_bytes, 8 << 20);
        settings.set("max.metadata.bytes", "9223372036854775807").unwrap();
        let most = plan(Some(1 << 30), 2, &settings);
        assert!(
            most.cache_bytes >= usual.cache_bytes / 2 && most.partitions_max > 0,
            "{most:?}"
        );
    }
}
