//! The only clock of the data path: read once per turn, passed to everything below.
//! Invariant: `monotonic` never goes back and its zero is the process's start, the same on every shard.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use millstream_protocol::time::Instant;
use millstream_protocol::types::TimestampMs;
use millstream_storage::Now;

/// Only the one that never goes back.
pub fn monotonic() -> Instant {
    now().monotonic
}

/// Reads both clocks.
pub fn now() -> Now {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    Now {
        monotonic: Instant::from_nanos(start.elapsed().as_nanos() as u64),
        wall: TimestampMs::new(wall),
    }
}
