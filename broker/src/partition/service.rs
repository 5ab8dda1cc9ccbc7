//! The partitions that a shard owns, and the requests that wait for them.
//! Invariants: a partition's slot is its own until it is deleted; whoever waits for a deleted partition is released.

use std::collections::BTreeMap;

use millstream_log::PartitionKey;
use millstream_machine::partition::watermark::{Moved, Watermarks};
use millstream_machine::purgatory::{Mark, PartitionSlot, Purgatory, Released};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::Instant;
use millstream_protocol::types::{Offset, TopicId};
use millstream_ring::{Completion, Ring};
use millstream_storage::{LogEvent, LogId, Now, ShardLogs};

use super::rules::PartitionRules;
use crate::limits::CALLS_MAX;
use crate::shard::calls::Waiting;

/// All of one shard's partitions.
pub struct Partitions {
    pub logs: ShardLogs,
    /// By topic, then partition number. A batch costs one look-up: in the few comparisons of a tree, where hashing so
    /// that nobody can aim at it costs more.
    topics: BTreeMap<TopicId, Vec<Option<PartitionSlot>>>,
    slots: Vec<Option<Partition>>,
    free: Vec<PartitionSlot>,
    /// By the log's index: every batch comes here several times.
    by_log: Vec<Option<(LogId, PartitionSlot)>>,
    pub purgatory: Purgatory<Waiting>,
}

/// One partition of this shard.
#[derive(Debug)]
pub struct Partition {
    pub key: PartitionKey,
    pub log: LogId,
    pub marks: Watermarks,
    pub rules: PartitionRules,
}

impl Partitions {
    /// At most `calls_max` requests wait at a time.
    pub fn new(logs: ShardLogs, calls_max: usize, now: Instant) -> Self {
        // Of several partitions each, and a request may have many.
        let waits_max = 4 * CALLS_MAX as u32;
        Self {
            logs,
            topics: BTreeMap::new(),
            // The first slot is nobody's: see `fetch::NOBODY`.
            slots: vec![None],
            free: Vec::new(),
            by_log: Vec::new(),
            purgatory: Purgatory::new(calls_max as u32, waits_max, now),
        }
    }

    pub fn find(&self, key: PartitionKey) -> Option<(PartitionSlot, &Partition)> {
        let index = usize::try_from(key.partition.get()).ok()?;
        let slot = (*self.topics.get(&key.topic)?.get(index)?)?;
        Some((
            slot,
            self.slots[slot.0 as usize]
                .as_ref()
                .expect("an indexed slot is used"),
        ))
    }

    /// As [`Partitions::find`], for who asks for its offsets: of a log that has lost them nobody may be told any.
    pub fn find_told(&self, key: PartitionKey) -> Result<(PartitionSlot, &Partition), ErrorCode> {
        let (slot, partition) = self.find(key).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        match self.logs.unknown_from(key).is_some() {
            true => Err(ErrorCode::KafkaStorageError),
            false => Ok((slot, partition)),
        }
    }

    pub fn get(&self, slot: PartitionSlot) -> Option<&Partition> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub fn slot_of(&self, log: LogId) -> Option<PartitionSlot> {
        let (owner, slot) = (*self.by_log.get(log.index())?)?;
        (owner == log).then_some(slot)
    }

    /// Records that readers may see end here, exclusive; `None` where the log is gone.
    pub fn high_watermark(&self, log: LogId) -> Option<Offset> {
        let partition = self.get(self.slot_of(log)?)?;
        Some(partition.marks.high_watermark().0)
    }

    /// Every partition of this shard.
    pub fn keys(&self) -> impl Iterator<Item = PartitionKey> + '_ {
        self.slots.iter().flatten().map(|partition| partition.key)
    }

    /// Adds a partition, or gives an existing one new rules; whoever waited for what these allow comes out of
    /// `released`.
    pub fn install(
        &mut self,
        key: PartitionKey,
        rules: PartitionRules,
        now: Now,
        released: &mut Vec<Released<Waiting>>,
    ) {
        if let Some((slot, _)) = self.find(key) {
            let partition = self.slots[slot.0 as usize].as_mut().expect("it was found");
            self.logs.set_config(partition.log, rules.log.clone());
            self.logs.set_epoch(partition.log, rules.leader_epoch);
            let moved = partition.marks.set_relaxed(rules.topic.relaxes_flushing());
            partition.rules = rules;
            self.report(slot, moved, released);
            return;
        }
        let log = match self.logs.lookup(key) {
            Some(log) => {
                self.logs.set_config(log, rules.log.clone());
                self.logs.set_epoch(log, rules.leader_epoch);
                log
            }
            None => self.logs.create(key, rules.log.clone(), rules.leader_epoch, now),
        };
        let offsets = self.logs.offsets(log);
        let marks = Watermarks::open(offsets.start, offsets.end, rules.topic.relaxes_flushing());
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            PartitionSlot(self.slots.len() as u32 - 1)
        });
        self.slots[slot.0 as usize] = Some(Partition {
            key,
            log,
            marks,
            rules,
        });
        if self.by_log.len() <= log.index() {
            self.by_log.resize(log.index() + 1, None);
        }
        self.by_log[log.index()] = Some((log, slot));
        let index = usize::try_from(key.partition.get()).expect("partitions are numbered from zero");
        let numbers = self.topics.entry(key.topic).or_default();
        if numbers.len() <= index {
            numbers.resize(index + 1, None);
        }
        numbers[index] = Some(slot);
    }

    /// Deletes a partition's log; whoever waited for it comes out of `released`.
    pub fn delete(&mut self, key: PartitionKey, now: Now, released: &mut Vec<Released<Waiting>>) {
        let Some((slot, partition)) = self.find(key) else {
            return;
        };
        let log = partition.log;
        self.logs.delete(log, now);
        self.by_log[log.index()] = None;
        self.purgatory.abandon(slot, released);
        self.slots[slot.0 as usize] = None;
        self.free.push(slot);
        let numbers = self.topics.get_mut(&key.topic).expect("it was found");
        numbers[key.partition.get() as usize] = None;
        if numbers.iter().all(Option::is_none) {
            self.topics.remove(&key.topic);
        }
    }

    /// A log's marks change: releases whoever waited for no more.
    pub fn advance(
        &mut self,
        log: LogId,
        change: impl FnOnce(&mut Watermarks) -> Moved,
        released: &mut Vec<Released<Waiting>>,
    ) {
        let Some(slot) = self.slot_of(log) else { return };
        let partition = self.slots[slot.0 as usize]
            .as_mut()
            .expect("an indexed slot is used");
        let moved = change(&mut partition.marks);
        self.report(slot, moved, released);
    }

    fn report(&mut self, slot: PartitionSlot, moved: Moved, released: &mut Vec<Released<Waiting>>) {
        let Some(high_watermark) = moved.high_watermark else {
            return;
        };
        // Without replicas and transactions all four marks are one.
        for mark in [
            Mark::FlushedForAck,
            Mark::CommittedForAck,
            Mark::CommittedForFetch,
            Mark::StableForFetch,
        ] {
            self.purgatory.advance(slot, mark, high_watermark.0, released);
        }
    }

    /// The log's first offset rose.
    pub fn raise_start(&mut self, log: LogId, start: Offset) {
        let Some(slot) = self.slot_of(log) else { return };
        let partition = self.slots[slot.0 as usize]
            .as_mut()
            .expect("an indexed slot is used");
        partition.marks.raise_start(start);
    }

    /// The log's first offset rose, durably: releases whoever waited for that.
    pub fn flush_start(&mut self, log: LogId, start: Offset, released: &mut Vec<Released<Waiting>>) {
        let Some(slot) = self.slot_of(log) else { return };
        let partition = self.slots[slot.0 as usize]
            .as_mut()
            .expect("an indexed slot is used");
        partition.marks.flush_start(start);
        let durable = partition.marks.durable_start();
        self.purgatory.advance(slot, Mark::Start, durable, released);
    }

    /// Releases whoever waits for a log that takes nothing more.
    pub fn abandon(&mut self, log: LogId, released: &mut Vec<Released<Waiting>>) {
        if let Some(slot) = self.slot_of(log) {
            self.purgatory.abandon(slot, released);
        }
    }

    /// Every log of this shard.
    pub fn all_logs(&self) -> Vec<LogId> {
        self.slots
            .iter()
            .flatten()
            .map(|partition| partition.log)
            .collect()
    }

    pub fn complete(
        &mut self,
        completion: Completion,
        ring: &mut impl Ring,
        now: Now,
        events: &mut Vec<LogEvent>,
    ) {
        self.logs.complete(completion, ring, now, events);
    }

    pub fn turn(&mut self, ring: &mut impl Ring, now: Now, events: &mut Vec<LogEvent>) {
        self.logs.turn(ring, now, events);
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        [self.logs.next_deadline(), self.purgatory.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}
