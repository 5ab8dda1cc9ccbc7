//! A shard that has nothing to do gives back the memory that it kept for having much to do.
//! Invariant: it costs something once after each busy time, and nothing while requests come.

use millstream_ring::Ring;

use super::allocator;
use super::state::{Lifecycle, Shard};

/// How long a shard has had little to do.
#[derive(Debug, Default)]
pub struct Quiet {
    /// Bytes received and sent by the last look.
    bytes: u64,
    /// Looks in a row that found little.
    looks: u32,
}

impl Quiet {
    /// Whether this look, one of many at a steady pace, is the one after which memory should be given back.
    fn is_due(&mut self, bytes: u64) -> bool {
        let moved = bytes - self.bytes;
        self.bytes = bytes;
        self.looks = if moved > QUIET_BYTES {
            0
        } else {
            self.looks.saturating_add(1)
        };
        self.looks == QUIET_LOOKS
    }
}

impl Shard {
    /// A connection closed with so many bytes of a frame that will never be whole. Such memory comes in pieces that
    /// differ in size: the allocator would keep it for a while, and the next pieces beside it.
    pub(super) fn give_back_abandoned(&mut self, bytes: usize) {
        self.abandoned_bytes += bytes;
        if self.abandoned_bytes >= ABANDONED_BYTES_MAX {
            self.abandoned_bytes = 0;
            allocator::collect();
        }
    }

    /// Called with every sweep.
    pub(super) fn heed_quiet(&mut self, ring: &mut impl Ring) {
        let moved = self.counters.bytes_in + self.counters.bytes_out;
        if self.quiet.is_due(moved) && self.lifecycle == Lifecycle::Running {
            self.partitions.logs.give_back_memory();
            ring.give_back_memory();
            allocator::collect();
        }
    }
}

/// Bytes of frames that were given up, after which the allocator is asked to give back what it can.
const ABANDONED_BYTES_MAX: usize = 8 << 20;
/// Received and sent between two looks: less is no load.
const QUIET_BYTES: u64 = 64 << 10;
const QUIET_LOOKS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_after_each_busy_time() {
        let mut quiet = Quiet::default();
        let mut bytes = 0;
        let looks = |quiet: &mut Quiet, bytes: &mut u64, each: u64, count: usize| -> usize {
            let look = |_: &usize| {
                *bytes += each;
                quiet.is_due(*bytes)
            };
            (0..count).filter(look).count()
        };
        assert_eq!(
            looks(&mut quiet, &mut bytes, QUIET_BYTES + 1, 100),
            0,
            "under load"
        );
        assert_eq!(looks(&mut quiet, &mut bytes, 0, 1), 0, "a pause");
        assert_eq!(looks(&mut quiet, &mut bytes, QUIET_BYTES + 1, 10), 0);
        assert_eq!(looks(&mut quiet, &mut bytes, QUIET_BYTES, 100), 1, "quiet: once");
        assert_eq!(looks(&mut quiet, &mut bytes, QUIET_BYTES + 1, 1), 0);
        assert_eq!(looks(&mut quiet, &mut bytes, 0, 100), 1, "and once again");
    }
}
