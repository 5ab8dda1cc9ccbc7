//! How the memory of a broker is shared out over its shards and purposes.

use millstream_machine::config::settings::BrokerSettings;

use super::checks;
use crate::limits::REQUEST_BYTES_MAX;

/// Bytes for each shard, and the largest request that they allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    pub cache_bytes: u64,
    pub requests_bytes: usize,
    pub request_bytes_max: usize,
}

/// Shares out `memory` (by default a quarter of the host's): half to the batch cache, a quarter to requests and
/// replies, the rest stays for everything else.
pub fn plan(memory: Option<u64>, shards: usize, settings: &BrokerSettings) -> MemoryPlan {
    let memory = memory.unwrap_or_else(|| checks::host_memory().unwrap_or(MEMORY_UNKNOWN) / 4);
    let each = memory.max(MEMORY_MIN) / shards as u64;
    let requests_bytes = (each / 4).min(REQUESTS_MAX) as usize;
    let configured = settings.number("socket.request.max.bytes").max(1) as usize;
    MemoryPlan {
        cache_bytes: (each / 2).min(CACHE_MAX),
        requests_bytes,
        // A single frame may take half: the other half keeps everybody else going.
        request_bytes_max: configured.min(REQUEST_BYTES_MAX).min(requests_bytes / 2),
    }
}

const MEMORY_UNKNOWN: u64 = 4 << 30;
const MEMORY_MIN: u64 = 64 << 20;
/// More for one shard's cache is asked for, not assumed.
const CACHE_MAX: u64 = 1 << 30;
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
            assert!(used <= memory.max(MEMORY_MIN));
            assert!(plan.request_bytes_max * 2 <= plan.requests_bytes && plan.request_bytes_max > 0);
        }
        assert_eq!(
            plan(Some(8 << 30), 2, &settings).request_bytes_max,
            REQUEST_BYTES_MAX
        );
    }
}
