//! The logs of one shard, by handle and by partition.
//!
//! Invariant: a handle names one log for ever; a slot used again has another generation.

use std::collections::BTreeMap;
use std::ops::Bound;

use millstream_log::PartitionKey;

use crate::event::LogId;
use crate::partition_log::PartitionLog;

/// See the module's page.
pub(crate) struct LogTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: BTreeMap<PartitionKey, LogId>,
}

/// How far a walk over all logs is, slot by slot.
#[derive(Default)]
pub(crate) struct LogCursor {
    slot: usize,
}

struct Slot {
    generation: u32,
    /// Boxed: a slot moves when the table grows, and logs are large.
    log: Option<Box<PartitionLog>>,
}

impl LogTable {
    pub(crate) fn new() -> LogTable {
        LogTable {
            slots: Vec::new(),
            free: Vec::new(),
            by_key: BTreeMap::new(),
        }
    }

    pub(crate) fn insert(&mut self, log: PartitionLog) -> LogId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                log: None,
            });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 logs")
        });
        let id = LogId {
            slot,
            generation: self.slots[slot as usize].generation,
        };
        let earlier = self.by_key.insert(log.key(), id);
        assert!(earlier.is_none(), "the partition has a log already");
        self.slots[slot as usize].log = Some(Box::new(log));
        id
    }

    pub(crate) fn remove(&mut self, id: LogId) -> Option<Box<PartitionLog>> {
        self.get(id)?;
        let slot = &mut self.slots[id.slot as usize];
        let log = slot.log.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.by_key.remove(&log.key());
        Some(log)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn find(&self, key: PartitionKey) -> Option<LogId> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn get(&self, id: LogId) -> Option<&PartitionLog> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.log.as_deref().filter(|_| slot.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: LogId) -> Option<&mut PartitionLog> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.log
            .as_deref_mut()
            .filter(|_| slot.generation == id.generation)
    }

    /// The next log of a walk. What is inserted meanwhile may be met or not.
    pub(crate) fn step(&self, cursor: &mut LogCursor) -> Option<LogId> {
        let used = |slot: &&Slot| slot.log.is_some();
        let passed = self.slots[cursor.slot.min(self.slots.len())..].iter();
        let (at, slot) = (cursor.slot..).zip(passed).find(|(_, slot)| used(slot))?;
        cursor.slot = at + 1;
        Some(LogId {
            slot: at as u32,
            generation: slot.generation,
        })
    }

    /// The walk has passed all logs.
    pub(crate) fn is_past(&self, cursor: &LogCursor) -> bool {
        let mut probe = LogCursor { slot: cursor.slot };
        self.step(&mut probe).is_none()
    }

    /// The first log, in order of partition, or the first behind `after`.
    pub(crate) fn after(&self, after: Option<PartitionKey>) -> Option<(LogId, PartitionKey)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (key, id) = self.by_key.range((from, Bound::Unbounded)).next()?;
        Some((*id, *key))
    }

    /// In order of partition.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LogId, PartitionKey)> {
        self.by_key.iter().map(|(key, id)| (*id, *key))
    }

    pub(crate) fn ids(&self) -> Vec<LogId> {
        self.by_key.values().copied().collect()
    }
}
