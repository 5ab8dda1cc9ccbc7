//! What the logs tell their shard, and the small words of their interface.
//!
//! Place: filled by [`crate::ShardLogs::turn`] and [`crate::ShardLogs::complete`], drained by the shard's
//! turn.

use millstream_log::PartitionKey;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{LeaderEpoch, Offset, TimestampMs};
use millstream_ring::Slice;

use crate::error::ReadError;

/// One open log of this shard: a slot and its generation, so that a late word about a deleted log meets
/// nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl LogId {
    /// The log's number among those of its shard, from zero; given again once it was deleted.
    #[must_use]
    pub fn index(self) -> usize {
        self.slot as usize
    }
}

/// The caller's name for a read in progress; comes back with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadId(pub u64);

/// The two clocks, as the shard's loop read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Instant,
    /// For timestamps and retention.
    pub wall: TimestampMs,
}

/// The offsets of one log: `start <= flushed <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// First offset that can be read, inclusive.
    pub start: Offset,
    /// Every record below survives a crash.
    pub flushed: Offset,
    /// The next offset to be given, exclusive end of what was accepted.
    pub end: Offset,
}

/// An accepted append: it has its offsets, and is not durable yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record; of a duplicate, the original's.
    pub base_offset: Offset,
    /// Offset of the last record; the append is durable once `flushed` lies beyond it.
    pub last_offset: Offset,
    /// The timestamp given to every record, where the topic uses LogAppendTime.
    pub append_time: Option<TimestampMs>,
    /// The log's first offset.
    pub log_start: Offset,
    /// The bytes were stored by an earlier request already.
    pub duplicate: bool,
}

/// The answer to a read.
#[derive(Debug)]
pub enum ReadOutcome {
    /// Whole batches, from the one that holds the offset asked for; empty at the bound.
    Ready(Vec<Slice>),
    /// The bytes are being read; a [`LogEvent::ReadDone`] follows.
    Pending,
}

/// The answer to a look-up by time.
#[derive(Debug)]
pub enum TimeOutcome {
    /// Known at once.
    Ready(Option<FoundTime>),
    /// Batches are being read; a [`LogEvent::TimeFound`] follows.
    Pending,
}

/// Where a look-up by time must look: the first batch whose largest timestamp reaches the time asked for.
#[derive(Debug, Clone)]
pub struct FoundTime {
    /// The batch's bytes, for the exact record inside (which may have to be decompressed).
    pub batch: Vec<Slice>,
    /// Leader epoch of the batch.
    pub leader_epoch: LeaderEpoch,
}

/// Whether appends find room on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceState {
    /// Appends are taken.
    Enough,
    /// Appends are refused until space returns.
    Full,
}

/// The room on the disk, and between which bounds appends are refused and taken. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceReport {
    pub state: SpaceState,
    /// What is free; `None` where a write failed for want of space and nobody has looked since.
    pub free: Option<u64>,
    /// With less, appends are refused.
    pub refused_below: u64,
    /// From here on, inclusive, they are taken again.
    pub taken_from: u64,
}

/// What the disk does not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stalled {
    /// A round of the journal: nothing of the shard is acknowledged meanwhile.
    Round,
    /// Something else: a read, a write to a segment, a checkpoint, a change of names.
    Other,
}

/// An operation that takes the disk unusually long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StallReport {
    /// Which one.
    pub what: Stalled,
    /// How long it took so far, or in the end.
    pub lasted: Duration,
    /// It is finished.
    pub over: bool,
}

/// What happened.
#[derive(Debug)]
pub enum LogEvent {
    /// Everything below `upto` is durable.
    Flushed {
        /// The log.
        log: LogId,
        /// Exclusive.
        upto: Offset,
    },
    /// A pending read ended.
    ReadDone {
        /// The caller's name for it.
        read: ReadId,
        /// As [`ReadOutcome::Ready`].
        result: Result<Vec<Slice>, ReadError>,
    },
    /// A pending look-up by time ended.
    TimeFound {
        /// The caller's name for it.
        read: ReadId,
        /// As [`TimeOutcome::Ready`].
        result: Result<Option<FoundTime>, ReadError>,
    },
    /// Retention moved the log's first offset: what lies below is not served any more, and may be again after a
    /// crash.
    StartRaised {
        /// The log.
        log: LogId,
        /// The new first offset.
        start: Offset,
    },
    /// The log's first offset moved, durably.
    StartMoved {
        /// The log.
        log: LogId,
        /// The new first offset.
        start: Offset,
    },
    /// A partition takes nothing more; what it can still read, it serves.
    Fenced {
        /// The log.
        log: LogId,
        /// Its partition.
        key: PartitionKey,
        /// For the log line and the operator.
        reason: String,
    },
    /// The shard takes no more appends until it is started again.
    WritesStopped {
        /// For the log line and the operator.
        reason: String,
    },
    /// Something that an operator should know, and that stops nothing.
    Warning {
        /// For the log line.
        reason: String,
    },
    /// A deleted partition's files are gone, durably.
    Deleted {
        /// The partition.
        key: PartitionKey,
    },
    /// Room on the disk came or went.
    Space(SpaceReport),
    /// The disk does not finish something, or did at last.
    Stall(StallReport),
}
