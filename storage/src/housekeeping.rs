//! What the clock, the operator and the memory budget ask for: retention, deletion, disk space, the cache.

use millstream_log::limits::PRODUCER_IDLE_MS;
use millstream_log::{DamageReason, LogConfig, PartitionKey, Record};
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::Offset;
use millstream_ring::{DiskSpace, Ring};

use crate::chunks::Growth;
use crate::error::DeleteRecordsError;
use crate::event::{LogEvent, LogId, Now, SpaceState};
use crate::limits::{
    BLOCK, CACHE_LOOKS, CHUNK_BYTES_MIN, HOUSEKEEPING_EVERY_NS, HOUSEKEEPING_STEP, IDLE_AFTER_NS,
};
use crate::options::StorageOptions;
use crate::shard_logs::{ShardLogs, Shutdown};

/// What the clock asks for, and how far the present walk over the logs is.
pub(crate) struct Housekeeping {
    next_walk: Instant,
    next_retention: Instant,
    /// The disk's space is to be looked at, sooner than with the next walk.
    doubts_space: bool,
    walk: Option<Walk>,
    /// Of the file system, as it was found when last looked at.
    pub(crate) disk: Option<DiskSpace>,
}

/// Some logs a turn, in order of partition.
struct Walk {
    after: Option<PartitionKey>,
    /// Retention is due, or space is short.
    retains: bool,
    /// No partition may remember one more producer.
    crowded: bool,
}

impl Housekeeping {
    pub(crate) fn new(now: Instant, options: &StorageOptions) -> Housekeeping {
        Housekeeping {
            next_walk: now,
            next_retention: now + options.retention_first_after,
            doubts_space: false,
            walk: None,
            disk: None,
        }
    }

    /// Space may run short before the next walk: the next turn looks.
    pub(crate) fn doubt_space(&mut self) {
        self.doubts_space = true;
    }

    /// When there is something to do.
    pub(crate) fn next_deadline(&self) -> Instant {
        match self.walk {
            Some(_) => Instant::ZERO,
            None => self.next_walk,
        }
    }
}

impl ShardLogs {
    /// Deletes a log. It takes and serves nothing from now on; [`LogEvent::Deleted`] tells when its space
    /// is free again.
    pub fn delete(&mut self, log: LogId, now: Now) {
        let id = log;
        let Some(log) = self.logs.get_mut(log).filter(|log| !log.state.is_removed()) else {
            return;
        };
        if log.state.segments().is_empty() && log.pending.is_empty() && !log.in_round.listed {
            let (key, producers) = (log.key(), log.producers_counted);
            self.producers.changed(producers, 0);
            self.logs.remove(id);
            self.told.push(LogEvent::Deleted { key });
            return;
        }
        log.remove(now.wall);
        self.note_dirty(id);
        self.list(id);
    }

    /// Moves the log's start up to `before`; the records below are not served any more. Tells the start; it is durable
    /// once [`LogEvent::StartMoved`] comes (which does not where it was there, durably, already).
    pub fn delete_records(
        &mut self,
        log: LogId,
        before: Offset,
        now: Now,
    ) -> Result<Offset, DeleteRecordsError> {
        let id = log;
        let log = self.logs.get_mut(log).filter(|log| !log.state.is_removed());
        let log = log.ok_or(DeleteRecordsError::UnknownLog)?;
        if log.damage.is_some() {
            return Err(DeleteRecordsError::Fenced);
        }
        if self.stopped {
            return Err(DeleteRecordsError::WritesStopped);
        }
        let offsets = log.state.offsets();
        if before > offsets.flushed().get() {
            return Err(DeleteRecordsError::OutOfRange);
        }
        if before <= offsets.start().get() {
            return Ok(offsets.start().get());
        }
        let record = Record::LogStart {
            partition: log.key(),
            offset: before,
        };
        log.record(&record, now.wall);
        self.list(id);
        self.drop_below_start(id, now);
        Ok(before)
    }

    /// Work by the clock: some logs a turn, all of them once in a while.
    pub(crate) fn housekeep<R: Ring>(&mut self, ring: &mut R, now: Now, events: &mut Vec<LogEvent>) {
        if std::mem::take(&mut self.house.doubts_space) && self.space == SpaceState::Enough {
            self.look_at_space(ring, events);
        }
        if self.house.walk.is_none() && now.monotonic >= self.house.next_walk {
            self.house.next_walk = now.monotonic + Duration::from_nanos(HOUSEKEEPING_EVERY_NS);
            // A write may have found no space where there is enough by the figures: it wanted more than is left.
            let was_full = self.space == SpaceState::Full;
            self.look_at_space(ring, events);
            self.look_for_stalls(now.monotonic, events);
            self.checkpointer.retry();
            self.rescue.retry();
            self.files.retry_failed();
            self.indexes.retry();
            self.house.walk = Some(Walk {
                after: None,
                retains: self.is_retention_due(now) || was_full,
                crowded: self.producers.is_full(),
            });
        }
        let Some(mut walk) = self.house.walk.take() else {
            return;
        };
        for _ in 0..HOUSEKEEPING_STEP {
            let Some((id, key)) = self.logs.after(walk.after) else {
                return;
            };
            walk.after = Some(key);
            // What a clean checkpoint says must stay true: nothing is replayed after it.
            if self.shutdown == Shutdown::No {
                if walk.retains || walk.crowded {
                    self.forget_idle_producers(id, walk.crowded, now);
                }
                if walk.retains {
                    self.retain(id, now);
                }
            }
            if let Some(log) = self.logs.get_mut(id) {
                log.state.settle_producers();
            }
            self.count_producers(id);
            self.rest_if_idle(id, now);
        }
        self.house.walk = Some(walk);
    }

    /// In a crowd those give way that are silent for long, though their time is not over.
    fn forget_idle_producers(&mut self, id: LogId, crowded: bool, now: Now) {
        if let Some(log) = self.logs.get_mut(id) {
            let after = log.config.producer_id_expiration_ms;
            let after = if crowded {
                after.min(PRODUCER_IDLE_MS as u64)
            } else {
                after
            };
            log.state.expire_producers(now.wall, after);
        }
    }

    /// Brings the shard's count of producers up to date with a log's.
    pub(crate) fn count_producers(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(id) {
            let known = log.state.producers().len();
            let before = std::mem::replace(&mut log.producers_counted, known);
            self.producers.changed(before, known);
        }
    }

    /// By the clock; on a full disk with every walk, for what may go anyway should go now.
    fn is_retention_due(&mut self, now: Now) -> bool {
        let due = now.monotonic >= self.house.next_retention;
        if due {
            self.house.next_retention = now.monotonic + self.options.retention_every;
        }
        due || self.space == SpaceState::Full
    }

    /// After a write that found no space.
    pub(crate) fn space_ran_out(&mut self, events: &mut Vec<LogEvent>) {
        self.set_space(SpaceState::Full, None, events);
    }

    fn set_space(&mut self, state: SpaceState, free: Option<u64>, events: &mut Vec<LogEvent>) {
        if self.space != state {
            self.space = state;
            events.push(LogEvent::Space(self.options.space_report(state, free)));
        }
    }

    /// Drops what the memory budget does not allow, oldest first.
    pub(crate) fn trim_cache(&mut self, now: Now) {
        for _ in 0..CACHE_LOOKS {
            if self.cache_bytes <= self.cache_bytes_max() {
                return;
            }
            let Some(id) = self.cache_order.pop_front() else {
                return;
            };
            self.trim_log(id, now);
        }
    }

    /// Drops the oldest chunk of a log, or files it again.
    fn trim_log(&mut self, id: LogId, now: Now) {
        let limit = self.cache_bytes_max();
        let Some(log) = self.logs.get_mut(id) else { return };
        let only = log.chunks.len() == 1;
        let Some(chunk) = log.chunks.front() else { return };
        let (segment, start, end) = (chunk.segment(), chunk.start(), chunk.end());
        let (used, large) = (chunk.take_used(), chunk.capacity() > CHUNK_BYTES_MIN);
        let clean = end <= log.clean_end(segment);
        let filling = log.logging == Some(segment) && !end.is_aligned();
        if used {
            self.cache_order.push_back(id);
        } else if clean && !filling {
            self.cache_bytes -= log.chunks.drop_front(&mut self.spare);
            self.reads.forget_range(segment, start, end);
        } else if clean && only && large {
            self.shrink(id, now);
            self.reads.forget_range(segment, start, end);
        } else {
            if only && large && self.can_rest(id) {
                self.lay_down(id);
            }
            if !clean && self.cache_bytes > limit / 8 * 9 {
                self.write_for_room(id);
            }
            self.cache_order.push_back(id);
        }
    }

    /// The cache is beyond its bound, and all that this log has in memory stays there until its oldest bytes are in
    /// their segment. By the journal alone they could wait for gigabytes of direct writes behind them.
    fn write_for_room(&mut self, id: LogId) {
        if self.behind_bytes_in_flight < self.behind_bytes_max(self.journal.point().head) {
            self.write_behind_one(id, true);
        }
    }

    /// Keeps only the block being filled, in memory of its size.
    fn shrink(&mut self, id: LogId, now: Now) {
        let Some(log) = self.logs.get_mut(id) else { return };
        let mut made = 0;
        let mut growth = Growth {
            now: now.monotonic,
            charged: &mut self.cache_bytes,
            made: &mut made,
            spare: &mut self.spare,
        };
        let freed = log.chunks.shrink(&mut growth);
        self.cache_bytes -= freed;
        self.cache_order.extend(std::iter::repeat_n(id, made as usize));
    }

    fn look_at_space<R: Ring>(&mut self, ring: &mut R, events: &mut Vec<LogEvent>) {
        let Ok(space) = ring.free_space(&self.dir) else {
            return;
        };
        self.house.disk = Some(space);
        if space.free < self.options.free_space_bytes_min {
            self.set_space(SpaceState::Full, Some(space.free), events);
        } else if space.free >= self.options.free_space_bytes_again() {
            self.files.retry_starved();
            self.set_space(SpaceState::Enough, Some(space.free), events);
        }
    }

    /// Drops the segments that retention gives up, and those below the log's start.
    fn retain(&mut self, id: LogId, now: Now) {
        let Some(log) = self.logs.get(id) else { return };
        if log.configured {
            self.drop_segments(id, &log.config.clone(), now);
        }
    }

    /// Drops the segments below the log's start: their space is asked back, and needs no configuration.
    fn drop_below_start(&mut self, id: LogId, now: Now) {
        let config = LogConfig {
            delete: false,
            ..LogConfig::default()
        };
        self.drop_segments(id, &config, now);
    }

    fn drop_segments(&mut self, id: LogId, config: &LogConfig, now: Now) {
        let Some(log) = self.logs.get_mut(id) else { return };
        if log.damage.is_some() || self.stopped || log.state.is_removed() {
            return;
        }
        let (start, flushed) = (
            log.state.offsets().start().get(),
            log.state.offsets().flushed().get(),
        );
        let mut choice = log.state.retention(config, flushed, now.wall);
        if choice.roll_active {
            let record = log.state.roll_record(self.segment_ids.next());
            log.record(&record, now.wall);
            choice = log.state.retention(config, flushed, now.wall);
            self.list(id);
        }
        let Some(log) = self.logs.get_mut(id) else { return };
        if let Some(record) = choice.record(&log.state) {
            log.record(&record, now.wall);
            let raised = log.state.offsets().start().get();
            if raised > start {
                self.told.push(LogEvent::StartRaised {
                    log: id,
                    start: raised,
                });
            }
            self.list(id);
        }
    }

    fn rest_if_idle(&mut self, id: LogId, now: Now) {
        let Some(log) = self.logs.get(id) else { return };
        let idle = now.monotonic.saturating_since(log.last_append) >= Duration::from_nanos(IDLE_AFTER_NS);
        if idle && self.can_rest(id) {
            self.lay_down(id);
        }
    }

    /// All that the log has in memory only can begin to be written at once. Where its write waits for space, its round
    /// for the disk, or its file failed to be made, asking again and again would only keep the shard from sleeping.
    fn can_rest(&self, id: LogId) -> bool {
        let Some(log) = self.logs.get(id) else {
            return false;
        };
        let front = log.dirty.front_segment();
        let file_is_ready =
            front.is_some_and(|front| self.files.is_made(front) || self.files.can_be_made(front));
        let free = log.damage.is_none() && log.pending.is_empty() && !log.dirty.has_behind();
        free && file_is_ready && log.dirty.is_front_settled()
    }

    /// Puts a log among those whose partial block is to be written.
    pub(crate) fn lay_down(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(id)
            && !log.in_rest_queue
        {
            log.in_rest_queue = true;
            self.resting.push_back(id);
        }
    }

    /// Puts a log among those with something pending.
    pub(crate) fn list(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(id)
            && !log.listed
        {
            log.listed = true;
            self.pending.push_back(id);
        }
    }

    /// Why a partition takes nothing, if it does not.
    pub fn fenced_at(&self, key: PartitionKey) -> Option<Offset> {
        let log = self.logs.get(self.logs.find(key)?)?;
        log.damage.map(|damage| damage.at)
    }

    /// Where the log ends for a reader, although offsets beyond it may have been given out: records that only a lost
    /// round of the journal told of. `None` where the end is known.
    pub fn unknown_from(&self, key: PartitionKey) -> Option<Offset> {
        let log = self.logs.get(self.logs.find(key)?)?;
        let lost = log
            .damage
            .filter(|damage| damage.reason != DamageReason::Segment)?;
        Some(lost.at)
    }
}

const _: () = assert!(BLOCK == 4096);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_protocol::record::batch::Batches;
    use millstream_protocol::record::builder::BatchBuilder;
    use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TimestampMs, TopicId};
    use millstream_ring::Wait;
    use millstream_ring::simulated::{SimOptions, SimRing, SimWorld};

    use super::*;
    use crate::TopicFate;

    /// A shard with one log, and its clock.
    struct Host {
        world: SimWorld,
        ring: SimRing,
        shard: ShardLogs,
        log: LogId,
    }

    impl Host {
        fn new(options: &StorageOptions, config: LogConfig) -> Host {
            let world = SimWorld::new(1, SimOptions::default());
            let mut ring = world.ring();
            let live = |_| TopicFate::Live;
            let booted = crate::open(&mut ring, Path::new(DIR), options, 1, &live, 7, now(&world)).unwrap();
            let mut shard = booted.shards.into_iter().next().unwrap();
            let key = PartitionKey {
                topic: TopicId::new([7; 16]),
                partition: PartitionIndex::new(0),
            };
            let log = shard.create(key, config, LeaderEpoch::ZERO, now(&world));
            Host {
                world,
                ring,
                shard,
                log,
            }
        }

        fn append(&mut self, bytes: usize) {
            let now = now(&self.world);
            let batch = BatchBuilder::new()
                .record(now.wall, None, Some(&vec![1; bytes]), &[])
                .build();
            let summary = Batches::new(&batch).next().unwrap().unwrap().summary();
            self.shard.append(self.log, &batch, &[summary], now).unwrap();
        }

        /// Turns for so long, and tells how many turns want another one at once.
        fn run_for(&mut self, span: std::time::Duration) -> u32 {
            let end = self.world.now() + span;
            let (mut completions, mut busy) = (Vec::new(), 0);
            while self.world.now() < end {
                let now = now(&self.world);
                self.ring.enter(Wait::No, &mut completions);
                let mut events = Vec::new();
                for completion in completions.drain(..) {
                    self.shard.complete(completion, &mut self.ring, now, &mut events);
                }
                self.shard.turn(&mut self.ring, now, &mut events);
                self.ring.enter(Wait::No, &mut completions);
                let next = self.shard.next_deadline().unwrap();
                busy += u32::from(next <= now.monotonic);
                self.world.advance(TURN);
            }
            busy
        }
    }

    /// Nothing is replayed after the checkpoint of an orderly end: what it names must be there.
    #[test]
    fn retention_rests_while_the_shard_ends() {
        for ends in [false, true] {
            let config = LogConfig {
                segment_bytes: 1 << 14,
                ..LogConfig::default()
            };
            let mut options = options();
            options.retention_first_after = Duration::from_nanos(TURN.as_nanos() as u64);
            options.retention_every = options.retention_first_after;
            let mut host = Host::new(&options, config.clone());
            for _ in 0..3 {
                host.append(12 << 10);
            }
            host.run_for(TURN * 1_000);
            let keeps_nothing = LogConfig {
                retention_bytes: Some(0),
                ..config
            };
            host.shard.set_config(host.log, keeps_nothing);
            if ends {
                host.shard.begin_shutdown();
            }
            host.run_for(std::time::Duration::from_secs(2));
            let start = host.shard.offsets(host.log).start;
            assert_eq!(start == Offset::ZERO, ends, "{start}");
            assert_eq!(host.shard.is_quiet(), ends);
        }
    }

    /// The cache asks for memory that only a write to the segment would free.
    #[test]
    fn a_log_whose_write_waits_for_space_does_not_keep_the_shard_awake() {
        let mut options = options();
        options.cache_bytes = 1;
        let mut host = Host::new(&options, LogConfig::default());
        host.append(9_000);
        let space = host.ring.free_space(Path::new(DIR)).unwrap();
        host.world.set_capacity(space.total - space.free);
        host.run_for(std::time::Duration::from_secs(1));
        assert!(!host.shard.logs.get(host.log).unwrap().dirty.is_clean());
        assert!(host.run_for(TURN * 1_000) < 10);

        host.world.set_capacity(1 << 40);
        host.run_for(std::time::Duration::from_secs(8));
        assert!(host.shard.logs.get(host.log).unwrap().dirty.is_clean());
    }

    fn options() -> StorageOptions {
        let mut options = StorageOptions::for_shards(1);
        options.lock = false;
        options
    }

    fn now(world: &SimWorld) -> Now {
        let passed = Duration::from(world.now());
        Now {
            monotonic: Instant::ZERO + passed,
            wall: TimestampMs::new(1_700_000_000_000 + passed.as_millis() as i64),
        }
    }

    const DIR: &str = "/data";
    const TURN: std::time::Duration = std::time::Duration::from_micros(100);
}
