//! All logs of one shard: the storage that its turn drives.
//!
//! Place: owned by the shard's loop, which calls [`ShardLogs::complete`] for each of storage's completions
//! and [`ShardLogs::turn`] once after them. Calls from requests (append, read, …) change memory only; the
//! turn carries out. What happens in which file: `append` accepts, `commit` fills and ends rounds,
//! `write_behind` moves bytes from journal to segments and takes checkpoints, `reads` serves,
//! `housekeeping` does what the clock asks for.
//!
//! Invariants:
//! - Nothing is acknowledged (no [`LogEvent::Flushed`]) before the round that carries it, and its direct
//!   writes, are durable.
//! - The work of a call does not grow with the number of partitions, housekeeping aside, which looks at
//!   some a turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use millstream_log::{KnownProducer, LogConfig, PartitionKey, PartitionState, SegmentId, SegmentIds};
use millstream_protocol::time::Instant;
use millstream_protocol::types::{LeaderEpoch, Offset, TimestampMs};
use millstream_ring::{Completion, DiskSpace, Ring};

use crate::checkpointer::Checkpointer;
use crate::disk_share::DiskShare;
use crate::event::{LogEvent, LogId, Now, Offsets, SpaceState};
use crate::housekeeping::Housekeeping;
use crate::indexes::Indexes;
use crate::journal::Journal;
use crate::log_table::LogTable;
use crate::ops::{Io, Meaning, Ops};
use crate::options::StorageOptions;
use crate::pace::Pace;
use crate::partition_log::PartitionLog;
use crate::producer_count::ProducerCount;
use crate::reads::Reads;
use crate::rescue::Rescue;
use crate::segment_files::{FileEvent, SegmentFiles};
use crate::spare::Spare;
use crate::stall::StallWatch;
use crate::turned_away::TurnedAway;

/// See the module's page.
pub struct ShardLogs {
    pub(crate) dir: PathBuf,
    pub(crate) options: StorageOptions,
    pub(crate) logs: LogTable,
    pub(crate) journal: Journal,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) files: SegmentFiles,
    pub(crate) segment_ids: SegmentIds,
    pub(crate) reads: Reads,
    pub(crate) indexes: Indexes,
    pub(crate) rescue: Rescue,
    pub(crate) ops: Ops,
    pub(crate) spare: Spare,
    /// Partitions with something pending, longest waiting first.
    pub(crate) pending: VecDeque<LogId>,
    /// Partitions that wait for a checkpoint to make room, in the same way.
    pub(crate) parked: VecDeque<LogId>,
    /// What all of that takes in rounds at most, in bytes.
    pub(crate) pending_cost: u64,
    /// Partitions that the round in flight carries something of.
    pub(crate) in_round: Vec<LogId>,
    /// Dirty partitions by the place in the journal since which they are.
    pub(crate) dirty_order: BTreeSet<(u64, LogId)>,
    /// Where the walk over them goes on, and the head of the journal at which the next walk begins.
    pub(crate) behind_walk: Option<(u64, LogId)>,
    pub(crate) behind_walk_at: u64,
    /// Partitions whose partial block is to be written as it is: idle ones.
    pub(crate) resting: VecDeque<LogId>,
    /// One entry for each chunk in memory, oldest first.
    pub(crate) cache_order: VecDeque<LogId>,
    pub(crate) cache_bytes: u64,
    pub(crate) dirty_bytes: u64,
    pub(crate) producers: ProducerCount,
    pub(crate) turned_away: TurnedAway,
    pub(crate) behind_bytes_in_flight: u64,
    /// Segments that left their manifests, until their files are gone.
    pub(crate) unlinking: BTreeSet<SegmentId>,
    /// Deleted partitions, until all their files are gone.
    pub(crate) deleting: BTreeMap<PartitionKey, BTreeSet<SegmentId>>,
    pub(crate) file_events: Vec<FileEvent>,
    /// Events of calls that have no list of events, until the next turn.
    pub(crate) told: Vec<LogEvent>,
    pub(crate) space: SpaceState,
    pub(crate) stopped: bool,
    pub(crate) shutdown: Shutdown,
    /// When the last round completed; the idle journal settles some time after.
    pub(crate) last_round: Instant,
    pub(crate) pace: Pace,
    pub(crate) disk: Arc<DiskShare>,
    pub(crate) stall: StallWatch,
    pub(crate) stall_of_others: StallWatch,
    pub(crate) house: Housekeeping,
}

/// What a shard's logs have room for, in the journal and in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Appends will soon be refused: nobody should come with one.
    None,
    /// Who brings little may come, who brings much should wait.
    Little,
    Plenty,
}

/// How far an orderly end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    No,
    /// Everything is being written to the segments.
    Draining,
    /// The checkpoint that says "clean" is under way.
    Marking,
    Done,
}

impl ShardLogs {
    /// An empty log; nothing is on disk until the first append. Panics if the partition has a log already
    /// (recovery brings logs back: [`ShardLogs::lookup`] first).
    pub fn create(&mut self, key: PartitionKey, config: LogConfig, epoch: LeaderEpoch, now: Now) -> LogId {
        let mut log = PartitionLog::new(PartitionState::new(key), config, epoch, now.monotonic);
        log.configured = true;
        self.logs.insert(log)
    }

    /// The log of a partition.
    pub fn lookup(&self, key: PartitionKey) -> Option<LogId> {
        self.logs
            .find(key)
            .filter(|id| self.logs.get(*id).is_some_and(|log| !log.state.is_removed()))
    }

    /// All logs, in order of partition.
    pub fn logs(&self) -> impl Iterator<Item = (LogId, PartitionKey)> {
        self.logs.iter()
    }

    /// Changes a log's configuration; for a recovered log also the first word about it, which retention
    /// waits for.
    pub fn set_config(&mut self, log: LogId, config: LogConfig) {
        if let Some(log) = self.logs.get_mut(log) {
            log.config = config;
            log.configured = true;
        }
    }

    /// Batches appended from now on belong to this epoch, or to a younger one that was set or recovered before:
    /// epochs never go back within a log.
    pub fn set_epoch(&mut self, log: LogId, epoch: LeaderEpoch) {
        if let Some(log) = self.logs.get_mut(log) {
            log.epoch = log.epoch.max(epoch);
        }
    }

    /// The offsets of a log. Panics on a deleted one: see [`ShardLogs::try_offsets`].
    pub fn offsets(&self, log: LogId) -> Offsets {
        self.try_offsets(log).expect("the log was deleted")
    }

    /// The offsets of a log; `None` if it was deleted.
    pub fn try_offsets(&self, log: LogId) -> Option<Offsets> {
        let log = self.logs.get(log)?;
        let offsets = log.state.offsets();
        Some(Offsets {
            start: offsets.start().get(),
            flushed: offsets.flushed().get(),
            end: offsets.end().get(),
        })
    }

    /// The answer of OffsetForLeaderEpoch: the largest epoch known that is not above `epoch`, and where it
    /// ends (exclusive).
    pub fn end_offset_for_epoch(&self, log: LogId, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let log = self.logs.get(log)?;
        let end = log.state.offsets().end().get();
        if epoch == log.epoch && log.state.epochs().latest().is_none_or(|latest| latest < epoch) {
            return Some((epoch, end));
        }
        log.state.epochs().end_offset_for(epoch, end)
    }

    /// The epoch that wrote `offset`; at the log's end the current one.
    pub fn epoch_of(&self, log: LogId, offset: Offset) -> Option<LeaderEpoch> {
        let log = self.logs.get(log)?;
        if offset >= log.state.offsets().end().get() {
            return Some(log.epoch);
        }
        log.state.epochs().epoch_of(offset)
    }

    /// The largest timestamp of all records that are in the log.
    pub fn max_timestamp(&self, log: LogId) -> Option<TimestampMs> {
        self.logs.get(log)?.state.max_timestamp()
    }

    /// Bytes of all segments of a log.
    pub fn size_bytes(&self, log: LogId) -> u64 {
        self.logs.get(log).map_or(0, |log| log.state.size())
    }

    /// The producers that a log remembers, by id.
    pub fn producers(&self, log: LogId) -> Vec<KnownProducer> {
        let log = self.logs.get(log);
        log.map_or_else(Vec::new, |log| log.state.producers().iter().collect())
    }

    /// The file system's space as it was found when last looked at, some seconds ago at most; `None` where it could
    /// not be.
    pub fn disk_space(&self) -> Option<DiskSpace> {
        self.house.disk
    }

    /// Takes in the end of one of storage's operations (see [`crate::is_storage_token`]).
    pub fn complete<R: Ring>(
        &mut self,
        completion: Completion,
        ring: &mut R,
        now: Now,
        events: &mut Vec<LogEvent>,
    ) {
        match self.ops.take(&completion) {
            Meaning::Journal(op) => {
                let event = self.journal.complete(op, completion);
                self.journal_event(event, now, events);
            }
            Meaning::Checkpoint(op) => self.complete_checkpoint(op, completion, ring, now, events),
            Meaning::Rescue(op) => self.complete_rescue(op, completion, ring, events),
            Meaning::File(op) => {
                self.files.complete(op, completion, &mut self.file_events);
                self.take_file_events(now, events);
            }
        }
    }

    /// Carries out what was asked for, as far as it can go now. Never blocks; steps of background work are
    /// bounded.
    pub fn turn<R: Ring>(&mut self, ring: &mut R, now: Now, events: &mut Vec<LogEvent>) {
        self.journal.open(&mut Io {
            ring,
            ops: &mut self.ops,
        });
        self.housekeep(ring, now, events);
        self.start_round(ring, now);
        self.write_behind();
        self.give_up_pending(now);
        self.step_rescue(ring, now);
        self.step_checkpoint(ring, now);
        self.trim_cache(now);
        self.pump_reads(now.monotonic, events);
        self.step_indexes();
        let mut io = Io {
            ring,
            ops: &mut self.ops,
        };
        self.files.pump(&mut io);
        self.take_file_events(now, events);
    }

    /// When [`ShardLogs::turn`] has something to do by time alone.
    pub fn next_deadline(&self) -> Option<Instant> {
        let background = !self.stopped && (self.checkpointer.has_step(&self.logs) || self.may_rest());
        if background || self.files.has_step() || self.reads.has_step() {
            return Some(Instant::ZERO);
        }
        let house = self.house.next_deadline();
        Some(self.settles_at().map_or(house, |settle| settle.min(house)))
    }

    /// Begins an orderly end: all that was accepted is written, and the next start is told that it was
    /// orderly. Nothing may be appended any more.
    pub fn begin_shutdown(&mut self) {
        if self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Draining;
        }
    }

    /// After [`ShardLogs::begin_shutdown`]: it is done, or can go no further because the journal failed.
    pub fn is_quiet(&self) -> bool {
        self.ops.in_flight() == 0 && (self.shutdown == Shutdown::Done || self.stopped)
    }

    /// What appends find room for. Where it is not [`Room::Plenty`] something is under way that makes room.
    pub fn room(&self) -> Room {
        let (ring, dirty_max) = (self.journal.ring_bytes(), self.dirty_bytes_max());
        let used = self.journal.live_bytes() + self.pending_cost;
        // The rest is for what is on its way when this is noticed, from every shard.
        if self.ops.in_flight() == 0 || used <= ring / 8 * 5 && self.dirty_bytes <= dirty_max / 2 {
            Room::Plenty
        } else if used <= ring / 16 * 11 && self.dirty_bytes <= dirty_max / 8 * 5 {
            Room::Little
        } else {
            Room::None
        }
    }

    /// Who can wait with appends should.
    pub(crate) fn is_congested(&self) -> bool {
        self.room() != Room::Plenty
    }

    /// What is under way, as text for whoever looks for the reason of a stall.
    pub fn describe(&self) -> String {
        format!(
            "journal {} of {} bytes live, round in flight: {}, room {}, checkpoint idle: {}, collecting: {}, \
             pending {} logs {} bytes, dirty {} logs {} bytes, write-behind {} bytes, operations {}, \
             stopped: {}, reads: {}",
            self.journal.live_bytes(),
            self.journal.ring_bytes(),
            self.journal.has_round_in_flight(),
            self.journal.round_bytes_max(),
            self.checkpointer.is_idle(),
            self.checkpointer.is_collecting(),
            self.pending.len() + self.parked.len(),
            self.pending_cost,
            self.dirty_order.len(),
            self.dirty_bytes,
            self.behind_bytes_in_flight,
            self.ops.in_flight(),
            self.stopped,
            self.reads.describe(),
        )
    }

    /// What partitions leave of the memory for batches.
    pub(crate) fn cache_bytes_max(&self) -> u64 {
        self.beside_partitions(self.options.cache_bytes)
    }

    /// What partitions leave of the memory for bytes that no segment holds yet.
    pub(crate) fn dirty_bytes_max(&self) -> u64 {
        self.beside_partitions(self.options.dirty_bytes_max)
    }

    fn beside_partitions(&self, bytes: u64) -> u64 {
        let taken = self.logs.len() as u64 * self.options.partition_bytes;
        bytes.saturating_sub(taken).max(bytes / 2)
    }

    /// Memory of all batches in memory.
    pub fn cache_bytes(&self) -> u64 {
        self.cache_bytes
    }
}

/// The shard that owns a partition. Changes with the number of shards and with nothing else.
#[must_use]
pub fn shard_of(key: PartitionKey, shards: usize) -> usize {
    assert!(shards > 0);
    let topic = key.topic.get();
    let hash = topic.iter().fold(FNV_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    });
    // The partitions of one topic go round the shards, so that its load does.
    ((hash >> 32).wrapping_add(key.partition.get() as u64) % shards as u64) as usize
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
