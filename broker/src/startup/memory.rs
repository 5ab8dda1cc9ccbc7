//! How the memory of a broker is shared out over its shards and purposes.

use millstream_machine::config::settings::BrokerSettings;
use millstream_tuning::budget::Budget;
use millstream_tuning::profile::Profile;

use crate::limits::REQUEST_BYTES_MAX;

/// Bytes for each shard, and the largest request that they allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    pub cache_bytes: u64,
    pub requests_bytes: usize,
    pub request_bytes_max: usize,
}

/// Shares out `memory` (by default a part of the host's) as the host's budget does.
pub fn plan(memory: Option<u64>, shards: usize, settings: &BrokerSettings) -> MemoryPlan {
    let budget = Budget::plan(&Profile::read(), shards, memory);
    // One pool for what comes and what goes: a reply is there because a request was.
    let requests_bytes = (budget.request_bytes + budget.reply_bytes).min(REQUESTS_MAX) as usize;
    let configured = settings.number("socket.request.max.bytes").max(1) as usize;
    MemoryPlan {
        cache_bytes: memory.map_or(budget.cache_bytes.min(CACHE_MAX), |_| budget.cache_bytes),
        requests_bytes,
        // A single frame may take half: the other half keeps everybody else going.
        request_bytes_max: configured.min(REQUEST_BYTES_MAX).min(requests_bytes / 2),
    }
}

/// More for one shard's cache is asked for, not assumed.
const CACHE_MAX: u64 = 384 << 20;
const REQUESTS_MAX: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_stay_below_the_whole() {
        let settings = BrokerSettings::new();
        for (memory, shards) in [(1 << 30, 1), (1 << 30, 8), (64 << 30, 2), (1, 1)] {
            let plan = plan(Some(memory), shards, &settings);
            let used = (plan.cache_bytes + plan.requests_bytes as u64) * shards as u64;
            assert!(used <= Budget::plan(&Profile::read(), shards, Some(memory)).total_bytes);
            assert!(plan.request_bytes_max * 2 <= plan.requests_bytes && plan.request_bytes_max > 0);
        }
        assert_eq!(
            plan(Some(8 << 30), 2, &settings).request_bytes_max,
            REQUEST_BYTES_MAX
        );
    }
}
