//! A broker's storage in miniature on one simulated machine: shards, each with its ring, turned by hand.
//!
//! Invariant: time passes only in [`Host::turn`], so that between two turns an image can be taken of what a power cut
//! would leave while the shards do not know yet what completed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration as StdDuration;

use millstream_log::{LogConfig, PartitionKey};
use millstream_protocol::record::batch::{BatchSummary, Batches};
use millstream_protocol::time::Instant;
use millstream_protocol::types::{LeaderEpoch, Offset, TimestampMs};
use millstream_ring::simulated::{SimRing, SimWorld};
use millstream_ring::{Ring, Slice, Wait};
use millstream_storage::{
    AppendError, Appended, KnownTopics, LogEvent, LogId, Now, Offsets, OpenError, ReadError, ReadId,
    ReadOutcome, ShardLogs, StorageOptions, shard_of,
};

pub struct Host {
    pub world: SimWorld,
    rings: Vec<SimRing>,
    shards: Vec<ShardLogs>,
    pub unclean: bool,
    pub report: Vec<String>,
    /// What the shards told, not yet looked at, with the partition that a handle stands for.
    pub events: Vec<(Option<PartitionKey>, LogEvent)>,
    keys: BTreeMap<(usize, LogId), PartitionKey>,
    done: BTreeMap<ReadId, Result<Vec<Slice>, ReadError>>,
    next_read: u64,
}

/// Why a read brought nothing.
#[derive(Debug)]
pub enum Unread {
    PowerLost,
    Refused(ReadError),
    /// The read never ended; what the shard was doing.
    Stuck(String),
}

impl Host {
    /// Opens the directory on this machine; on a machine that lost its power an error after a while.
    pub fn start(
        world: &SimWorld,
        options: &StorageOptions,
        shards: usize,
        topics: &dyn KnownTopics,
    ) -> Result<Host, OpenError> {
        let mut ring = world.ring();
        let now = now(world);
        let seed = now.monotonic.as_nanos() ^ 0x6d69_6c6c;
        let booted = millstream_storage::open(&mut ring, Path::new(DIR), options, shards, topics, seed, now)?;
        let shards = booted.shards.iter().enumerate();
        let keys = shards.flat_map(|(shard, logs)| logs.logs().map(move |(log, key)| ((shard, log), key)));
        Ok(Host {
            keys: keys.collect(),
            rings: booted.shards.iter().map(|_| world.ring()).collect(),
            shards: booted.shards,
            world: world.clone(),
            unclean: booted.unclean,
            report: booted.report,
            events: Vec::new(),
            done: BTreeMap::new(),
            next_read: 0,
        })
    }

    /// One turn of every shard, then time passes, then everybody learns what completed meanwhile.
    pub fn turn(&mut self, step: StdDuration) {
        self.begin_turn(step);
        self.end_turn();
    }

    /// The first half of a turn: what completed is not told yet.
    pub fn begin_turn(&mut self, step: StdDuration) {
        let now = now(&self.world);
        let mut events = Vec::new();
        for (index, (shard, ring)) in self.shards.iter_mut().zip(&mut self.rings).enumerate() {
            let mut completions = Vec::new();
            shard.turn(ring, now, &mut events);
            ring.enter(Wait::No, &mut completions);
            for completion in completions {
                shard.complete(completion, ring, now, &mut events);
            }
            take(index, &mut events, &self.keys, &mut self.done, &mut self.events);
        }
        self.world.advance(step);
    }

    pub fn end_turn(&mut self) {
        let now = now(&self.world);
        let mut events = Vec::new();
        for (index, (shard, ring)) in self.shards.iter_mut().zip(&mut self.rings).enumerate() {
            let mut completions = Vec::new();
            ring.enter(Wait::No, &mut completions);
            for completion in completions {
                shard.complete(completion, ring, now, &mut events);
            }
            take(index, &mut events, &self.keys, &mut self.done, &mut self.events);
        }
    }

    pub fn is_off(&self) -> bool {
        self.world.is_off()
    }

    pub fn of(&mut self, key: PartitionKey) -> &mut ShardLogs {
        let shard = shard_of(key, self.shards.len());
        &mut self.shards[shard]
    }

    pub fn lookup(&mut self, key: PartitionKey) -> Option<LogId> {
        self.of(key).lookup(key)
    }

    pub fn offsets(&mut self, key: PartitionKey) -> Option<Offsets> {
        let log = self.lookup(key)?;
        self.of(key).try_offsets(log)
    }

    pub fn create(&mut self, key: PartitionKey, config: LogConfig, epoch: LeaderEpoch) {
        let now = now(&self.world);
        let log = self.of(key).create(key, config, epoch, now);
        self.keys.insert((shard_of(key, self.shards.len()), log), key);
    }

    pub fn append(&mut self, key: PartitionKey, batches: &[u8]) -> Result<Appended, AppendError> {
        let now = now(&self.world);
        let summaries: Vec<BatchSummary> = Batches::new(batches)
            .map(|batch| batch.expect("a batch").summary())
            .collect();
        let log = self.lookup(key).ok_or(AppendError::UnknownLog)?;
        self.of(key).append(log, batches, &summaries, now)
    }

    pub fn delete_records(&mut self, key: PartitionKey, before: i64) -> bool {
        let now = now(&self.world);
        let Some(log) = self.lookup(key) else { return false };
        self.of(key).delete_records(log, Offset::new(before), now).is_ok()
    }

    pub fn delete(&mut self, key: PartitionKey) {
        let now = now(&self.world);
        if let Some(log) = self.lookup(key) {
            self.of(key).delete(log, now);
        }
    }

    /// Whole batches from the one that holds `from` on, below the flushed offset.
    /// Tells also whether the disk was asked.
    pub fn read(&mut self, key: PartitionKey, from: i64, max_bytes: u32) -> Result<(Vec<u8>, bool), Unread> {
        let read = ReadId(self.next_read);
        self.next_read += 1;
        let refused = |error| Err(Unread::Refused(error));
        let Some(log) = self.lookup(key) else {
            return refused(ReadError::UnknownLog);
        };
        let bound = self.of(key).offsets(log).flushed;
        let outcome = self
            .of(key)
            .read(log, Offset::new(from), bound, max_bytes, true, read);
        match outcome {
            Err(error) => refused(error),
            Ok(ReadOutcome::Ready(slices)) => Ok((concat(&slices), false)),
            Ok(ReadOutcome::Pending) => {
                for _ in 0..READ_TURNS_MAX {
                    self.turn(StdDuration::from_micros(100));
                    match self.done.remove(&read) {
                        Some(Ok(slices)) => return Ok((concat(&slices), true)),
                        Some(Err(error)) => return refused(error),
                        None if self.is_off() => return Err(Unread::PowerLost),
                        None => {}
                    }
                }
                Err(Unread::Stuck(self.of(key).describe()))
            }
        }
    }

    /// Ends in order; false if it does not come to an end.
    pub fn shut_down(&mut self) -> bool {
        self.shards.iter_mut().for_each(ShardLogs::begin_shutdown);
        for _ in 0..SHUTDOWN_TURNS_MAX {
            if self.is_off() || self.shards.iter().all(ShardLogs::is_quiet) {
                return true;
            }
            self.turn(StdDuration::from_millis(1));
        }
        false
    }

    pub fn describe(&self) -> String {
        let shards: Vec<String> = self.shards.iter().map(ShardLogs::describe).collect();
        shards.join("\n")
    }
}

/// Sorts what one shard told.
fn take(
    shard: usize,
    events: &mut Vec<LogEvent>,
    keys: &BTreeMap<(usize, LogId), PartitionKey>,
    done: &mut BTreeMap<ReadId, Result<Vec<Slice>, ReadError>>,
    told: &mut Vec<(Option<PartitionKey>, LogEvent)>,
) {
    for event in events.drain(..) {
        let log = match event {
            LogEvent::ReadDone { read, result } => {
                done.insert(read, result);
                continue;
            }
            LogEvent::Flushed { log, .. } | LogEvent::StartMoved { log, .. } => Some(log),
            _ => None,
        };
        let key = log.and_then(|log| keys.get(&(shard, log)).copied());
        told.push((key, event));
    }
}

fn concat(slices: &[Slice]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
    slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
    bytes
}

/// The clocks of a machine; its wall clock began somewhere in 2023.
pub fn now(world: &SimWorld) -> Now {
    let passed = world.now();
    Now {
        monotonic: Instant::from_nanos(1 + passed.as_nanos() as u64),
        wall: TimestampMs::new(1_700_000_000_000 + passed.as_millis() as i64),
    }
}

const DIR: &str = "/data";
const READ_TURNS_MAX: u32 = 20_000;
const SHUTDOWN_TURNS_MAX: u32 = 60_000;
