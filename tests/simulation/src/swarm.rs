//! How one seed's world is: sizes, rates and troubles, drawn once, so that every run explores a corner of its own.

use std::time::Duration;

use millstream_ring::simulated::{Faults, SimOptions};
use millstream_storage::StorageOptions;

use crate::machine::Build;
use crate::prng::Prng;

/// What goes wrong besides the power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    FullDisk,
    /// Single operations fail with EIO.
    DeviceErrors,
    /// Some operations take up to seconds.
    SlowDevice,
    /// The device forgets writes, or puts them elsewhere; sectors go bad, and bytes change at rest.
    Media,
    /// Transfers stop in the middle, and descriptors run out.
    Shortage,
}

/// See the module's page.
#[derive(Clone)]
pub struct Swarm {
    pub trouble: Trouble,
    pub build: Build,
    pub disk: SimOptions,
    pub topics: usize,
    pub partitions_max: u64,
    pub clients: usize,
    /// Requests that a client has in flight.
    pub depth: usize,
    /// A produce request is idempotent, unacknowledged, or has large batches once in so many.
    pub idempotent_one_in: u64,
    pub unacknowledged_one_in: u64,
    pub large_one_in: u64,
    /// Weights of what clients do, in the order of [`crate::workload::Wish`].
    pub weights: [u64; 10],
    /// A topic has a retention, and short segments, once in so many.
    pub retention_one_in: u64,
    /// Client requests of one life.
    pub requests: u64,
}

impl Swarm {
    pub fn new(seed: u64, prng: &mut Prng) -> Swarm {
        let trouble = match seed % 10 {
            0..4 => Trouble::None,
            4 => Trouble::Media,
            5 => Trouble::Shortage,
            6..8 => Trouble::FullDisk,
            8 => Trouble::DeviceErrors,
            _ => Trouble::SlowDevice,
        };
        let shards = prng.range(1, 4) as usize;
        let mut storage = StorageOptions::for_shards(shards);
        storage.journal_bytes = (4 + prng.range(0, 3)) * (64 << 10);
        storage.cache_bytes = prng.range(1, 9) << 16;
        storage.free_space_bytes_min = 256 << 10;
        storage.direct_write_bytes_min = prng.range(4, 17) << 12;
        storage.open_segments_max = prng.range(2, 20) as usize;
        storage.retention_every = Duration::from_millis(prng.range(200, 3_000)).into();
        storage.retention_first_after = Duration::from_millis(prng.range(0, 1_000)).into();
        storage.lock = false;
        let mut weights = [50, 14, 4, 4, 4, 2, 2, 3, 5, 5];
        // Some things happen often in one world and never in another.
        for weight in &mut weights[1..] {
            *weight = match prng.range(0, 6) {
                0 => 0,
                1 => *weight * 4,
                _ => *weight,
            };
        }
        // Without topics there is nothing.
        weights[4] = weights[4].max(2);
        Swarm {
            trouble,
            build: Build {
                shards,
                storage,
                snapshot_bytes: [300, 2_000, 1 << 20][prng.index(3)],
                wall: 1_700_000_000_000,
            },
            disk: disk(trouble, prng),
            topics: prng.range(1, 6) as usize,
            partitions_max: prng.range(1, 6),
            clients: prng.range(1, 5) as usize,
            depth: prng.range(1, 7) as usize,
            idempotent_one_in: prng.range(1, 4),
            unacknowledged_one_in: prng.range(4, 60),
            large_one_in: prng.range(3, 40),
            weights,
            retention_one_in: prng.range(1, 4),
            requests: 200,
        }
    }
}

fn disk(trouble: Trouble, prng: &mut Prng) -> SimOptions {
    let slow = prng.range(50, 1_000);
    let faults = Faults {
        slow_operations: if trouble == Trouble::SlowDevice {
            prng.range(1, 40) as u32
        } else {
            0
        },
        ended_accepts: prng.range(0, 50) as u32,
        accept_errors: if trouble == Trouble::Shortage { 100 } else { 0 },
        ..Faults::default()
    };
    SimOptions {
        disk_latency: Duration::from_micros(10)..=Duration::from_micros(slow),
        faults,
        ..SimOptions::default()
    }
}
