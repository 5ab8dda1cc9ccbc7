//! What all shards know of each other: who owns a partition, and how many connections each has.
//! Invariant: ownership is a pure function of the partition and the number of shards; the counts are atomics.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use millstream_log::PartitionKey;
use millstream_machine::limits::TelemetryLimits;
use millstream_machine::telemetry::Telemetry;
use millstream_storage::Room;

use super::connection_limits::ConnectionLimits;
use super::health::ShardHealth;
use super::mailbox::ShardId;
use super::quotas::QuotaWindows;
use crate::limits::CONNECTIONS_MAX;

/// Shared by all shards of a process.
#[derive(Clone, Debug)]
pub struct ShardTable {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Connections by shard.
    connections: Vec<AtomicUsize>,
    /// What the logs of a shard have room for, by shard.
    room: Vec<AtomicU8>,
    /// Connections that were admitted and are not closed.
    admitted: AtomicUsize,
    /// Touched when a connection opens or closes, never for a request.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    /// Shards that are not well. Touched when one falls ill or recovers, once a second while one is ill, and by whoever
    /// asks.
    unwell: Mutex<BTreeMap<usize, ShardHealth>>,
    /// Touched for requests of clients that have a quota, and for no others: what a client uses counts over all cores.
    quotas: Mutex<QuotaWindows>,
    /// Touched once an interval by each client that is asked for metrics, and by whoever asks for them.
    telemetry: Mutex<Telemetry>,
    /// Connections of all shards that the process has descriptors for.
    connections_max: usize,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    TooMany,
    TooManyFromAddress,
}

impl ShardTable {
    /// `connections_max`: of all shards together.
    pub fn new(shards: usize, connections_max: usize) -> Self {
        let connections = (0..shards).map(|_| AtomicUsize::new(0)).collect();
        let room = (0..shards).map(|_| AtomicU8::new(Room::Plenty as u8)).collect();
        let connections_max = connections_max.min(shards * CONNECTIONS_MAX);
        let shared = Shared {
            connections,
            room,
            admitted: AtomicUsize::new(0),
            addresses: Mutex::default(),
            unwell: Mutex::default(),
            quotas: Mutex::default(),
            telemetry: Mutex::new(Telemetry::new(TelemetryLimits::default())),
            connections_max,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub fn shards(&self) -> usize {
        self.shared.connections.len()
    }

    /// The shard that a partition lives on.
    pub fn owner(&self, partition: PartitionKey) -> ShardId {
        ShardId(millstream_storage::shard_of(partition, self.shards()))
    }

    /// Counts a connection from this address, or refuses it. [`ShardTable::connection_closed`] undoes it.
    pub fn admit(&self, address: IpAddr, limits: &ConnectionLimits) -> Result<(), Refused> {
        // Counted first: of several shards that look at one time no more are admitted than may be.
        let before = self.shared.admitted.fetch_add(1, Ordering::Relaxed);
        let admitted = match before < self.shared.connections_max.min(limits.total) {
            true => self.count_address(address, limits),
            false => Err(Refused::TooMany),
        };
        if admitted.is_err() {
            self.shared.admitted.fetch_sub(1, Ordering::Relaxed);
        }
        admitted
    }

    fn count_address(&self, address: IpAddr, limits: &ConnectionLimits) -> Result<(), Refused> {
        let mut addresses = self
            .shared
            .addresses
            .lock()
            .expect("nothing panics while it is held");
        let count = addresses.get(&address).copied().unwrap_or(0);
        if count >= limits.of_address(address) {
            return Err(Refused::TooManyFromAddress);
        }
        addresses.insert(address, count + 1);
        Ok(())
    }

    /// The shard with the fewest connections.
    pub fn emptiest(&self) -> ShardId {
        let counts = self.shared.connections.iter().enumerate();
        let (shard, _) = counts
            .min_by_key(|(_, count)| count.load(Ordering::Relaxed))
            .expect("there is a shard");
        ShardId(shard)
    }

    /// Looks at what clients with quotas have used.
    pub fn with_quotas<T>(&self, look: impl FnOnce(&mut QuotaWindows) -> T) -> T {
        look(
            &mut self
                .shared
                .quotas
                .lock()
                .expect("nothing panics while it is held"),
        )
    }

    /// Looks at what clients told of themselves.
    pub fn with_telemetry<T>(&self, look: impl FnOnce(&mut Telemetry) -> T) -> T {
        look(
            &mut self
                .shared
                .telemetry
                .lock()
                .expect("nothing panics while it is held"),
        )
    }

    /// What the logs of every shard have room for.
    pub fn room(&self) -> Room {
        let shards = self.shared.room.iter();
        match shards.map(|shard| shard.load(Ordering::Relaxed)).min() {
            Some(0) => Room::None,
            Some(1) => Room::Little,
            _ => Room::Plenty,
        }
    }

    pub fn set_room(&self, shard: ShardId, room: Room) {
        let (now, room) = (&self.shared.room[shard.0], room as u8);
        // Every shard reads it for each request: it is written only where it changes.
        if now.load(Ordering::Relaxed) != room {
            now.store(room, Ordering::Relaxed);
        }
    }

    pub fn set_health(&self, health: &ShardHealth) {
        let mut unwell = self
            .shared
            .unwell
            .lock()
            .expect("nothing panics while it is held");
        match health.is_well() {
            true => drop(unwell.remove(&health.shard)),
            false => drop(unwell.insert(health.shard, health.clone())),
        }
    }

    /// The shards that are not well, in order.
    pub fn unwell(&self) -> Vec<ShardHealth> {
        let unwell = self
            .shared
            .unwell
            .lock()
            .expect("nothing panics while it is held");
        unwell.values().cloned().collect()
    }

    /// No shard has a connection.
    pub fn is_drained(&self) -> bool {
        self.shared
            .connections
            .iter()
            .all(|count| count.load(Ordering::Relaxed) == 0)
    }

    pub fn connection_opened(&self, shard: ShardId) {
        self.shared.connections[shard.0].fetch_add(1, Ordering::Relaxed);
    }

    pub fn connection_closed(&self, shard: ShardId, address: IpAddr) {
        self.shared.connections[shard.0].fetch_sub(1, Ordering::Relaxed);
        self.shared.admitted.fetch_sub(1, Ordering::Relaxed);
        let mut addresses = self
            .shared
            .addresses
            .lock()
            .expect("nothing panics while it is held");
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TooMany => f.write_str(
                "there are as many connections as max.connections and the descriptors of this process allow",
            ),
            Refused::TooManyFromAddress => {
                f.write_str("there are as many from this address as max.connections.per.ip allows")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CONNECTIONS_PER_ADDRESS_MAX;

    #[test]
    fn connections_spread_and_are_bounded() {
        let limits = ConnectionLimits::default();
        let table = ShardTable::new(2, 3);
        let address: IpAddr = [127, 0, 0, 1].into();
        for expected in [0, 1, 0] {
            table.admit(address, &limits).unwrap();
            assert_eq!(table.emptiest(), ShardId(expected));
            table.connection_opened(ShardId(expected));
        }
        assert_eq!(table.admit(address, &limits), Err(Refused::TooMany));
        table.connection_closed(ShardId(0), address);
        let fewer = ConnectionLimits {
            total: 2,
            ..limits.clone()
        };
        assert_eq!(table.admit(address, &fewer), Err(Refused::TooMany));
        table.admit(address, &limits).unwrap();
        assert_eq!(table.emptiest(), ShardId(0));
    }

    #[test]
    fn shards_that_accept_at_one_time_admit_no_more_than_may_be() {
        let limits = ConnectionLimits::default();
        for _ in 0..20 {
            let table = ShardTable::new(4, 100);
            let admitted: usize = std::thread::scope(|scope| {
                let accept = |shard: u8| {
                    let (table, limits) = (&table, &limits);
                    let address = [127, 0, 0, shard].into();
                    move || (0..100).filter(|_| table.admit(address, limits).is_ok()).count()
                };
                let shards: Vec<_> = (0..4).map(|shard| scope.spawn(accept(shard))).collect();
                shards.into_iter().map(|shard| shard.join().unwrap()).sum()
            });
            assert_eq!(admitted, 100);
        }
    }

    #[test]
    fn one_address_cannot_take_all() {
        let limits = ConnectionLimits::default();
        let table = ShardTable::new(4, usize::MAX);
        let greedy: IpAddr = [10, 0, 0, 1].into();
        for _ in 0..CONNECTIONS_PER_ADDRESS_MAX {
            table.admit(greedy, &limits).unwrap();
        }
        assert_eq!(table.admit(greedy, &limits), Err(Refused::TooManyFromAddress));
        table.admit([10, 0, 0, 2].into(), &limits).unwrap();
    }
}
