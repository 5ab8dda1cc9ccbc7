//! Writes the shard's checkpoints: collected partition by partition, written to the older one of two slots.
//!
//! Place: [`crate::ShardLogs`] offers partitions after each round it starts; what the last durable
//! checkpoint covers is freed in the journal.
//!
//! Invariant: a slot is written only when all rounds that its entries hold are settled, and the journal is
//! freed only when the slot is durable. So at any moment one slot and the journal from its tail on hold
//! everything.

use std::path::PathBuf;

use millstream_log::{
    Checkpoint, CheckpointBuilder, CheckpointHead, Incarnation, JournalIdentity, RoundSequence, SegmentId,
};
use millstream_protocol::types::TimestampMs;
use millstream_ring::{AlignedBuf, Completion, Done, FileId, IoError, Op, OpenOptions, Ring};

use crate::event::LogId;
use crate::journal::JournalPoint;
use crate::ops::{Io, Meaning};
use crate::partition_log::PartitionLog;

/// See the module's page.
pub(crate) struct Checkpointer {
    paths: [PathBuf; 2],
    /// What every checkpoint of this run says.
    identity: JournalIdentity,
    ring_bytes: u64,
    incarnation: Incarnation,
    raised_at: RoundSequence,
    /// Of the newest durable checkpoint.
    generation: u64,
    bytes_last: usize,
    stage: Stage,
}

enum Stage {
    Idle,
    Collecting(Collecting),
    /// Collected; the slot is being opened or the last rounds are not settled yet.
    Collected(Collected),
    Opening(Collected),
    Writing {
        file: FileId,
        floor: JournalPoint,
    },
    Failed,
}

struct Collecting {
    builder: CheckpointBuilder,
    /// Partitions still to be added.
    left: Vec<LogId>,
    floor: JournalPoint,
    as_of_max: RoundSequence,
    clean: bool,
}

struct Collected {
    builder: CheckpointBuilder,
    floor: JournalPoint,
    as_of_max: RoundSequence,
    clean: bool,
}

/// The meaning of a checkpoint's completion.
pub(crate) enum CheckpointOp {
    Opened,
    Written { len: usize },
    Closed,
}

/// What became of it.
pub(crate) enum CheckpointEvent {
    None,
    /// Durable: the journal before `floor` is needed no more.
    Done {
        floor: JournalPoint,
    },
    Failed(IoError),
}

impl Checkpointer {
    pub(crate) fn new(
        paths: [PathBuf; 2],
        identity: JournalIdentity,
        ring_bytes: u64,
        incarnation: Incarnation,
        raised_at: RoundSequence,
        generation: u64,
    ) -> Checkpointer {
        let stage = Stage::Idle;
        Checkpointer {
            paths,
            identity,
            ring_bytes,
            incarnation,
            raised_at,
            generation,
            bytes_last: 0,
            stage,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    pub(crate) fn is_collecting(&self) -> bool {
        matches!(self.stage, Stage::Collecting(_))
    }

    /// Begins to collect all of `logs`. `next` is the moment before the next round. `clean`: nothing will
    /// follow.
    pub(crate) fn begin(&mut self, logs: Vec<LogId>, next: JournalPoint, clean: bool) {
        assert!(matches!(self.stage, Stage::Idle), "one checkpoint at a time");
        self.stage = Stage::Collecting(Collecting {
            builder: CheckpointBuilder::new(self.bytes_last + self.bytes_last / 8),
            left: logs,
            floor: next,
            as_of_max: next.chain.sequence.previous(),
            clean,
        });
    }

    /// Adds up to `count` of the partitions left that have nothing pending, or a shadow of when they had
    /// not. `next` is the moment before the next round: everything that a partition without anything
    /// pending knows is in rounds before it.
    pub(crate) fn collect<'a>(
        &mut self,
        count: usize,
        next: JournalPoint,
        log_of: impl Fn(LogId) -> Option<&'a PartitionLog>,
    ) {
        let Stage::Collecting(collecting) = &mut self.stage else {
            return;
        };
        let as_of = next.chain.sequence.previous();
        let mut added = 0;
        collecting.left.retain(|id| {
            // One that is gone was deleted meanwhile; one that is going is waited for.
            let Some(log) = log_of(*id) else { return false };
            if log.state.is_removed() {
                return true;
            }
            let shadow = log.shadow.as_deref().filter(|_| !log.pending.is_empty());
            if added == count || (shadow.is_none() && !log.pending.is_empty()) {
                return true;
            }
            let state = shadow.unwrap_or(&log.state);
            let floor = log.dirty.since().unwrap_or(next);
            let kept_from = log.dirty.rescued().unwrap_or(floor.chain.sequence);
            collecting.builder.add(state, as_of, kept_from, log.damage);
            if floor.head < collecting.floor.head {
                collecting.floor = floor;
            }
            collecting.as_of_max = collecting.as_of_max.max(as_of);
            added += 1;
            false
        });
        if collecting.left.is_empty() {
            let Stage::Collecting(collecting) = std::mem::replace(&mut self.stage, Stage::Idle) else {
                unreachable!("matched above");
            };
            let Collecting {
                builder,
                floor,
                as_of_max,
                clean,
                ..
            } = collecting;
            self.stage = Stage::Collected(Collected {
                builder,
                floor,
                as_of_max,
                clean,
            });
        }
    }

    /// Goes on with a collected checkpoint once its rounds are settled.
    pub(crate) fn pump<R: Ring>(&mut self, settled: RoundSequence, io: &mut Io<'_, R>) {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Collected(collected) if collected.as_of_max <= settled => {
                let path = self.paths[Checkpoint::slot(self.generation + 1)].clone();
                let options = OpenOptions {
                    write: true,
                    direct: true,
                    ..OpenOptions::default()
                };
                io.submit(
                    Meaning::Checkpoint(CheckpointOp::Opened),
                    Op::OpenFile { path, options },
                );
                self.stage = Stage::Opening(collected);
            }
            stage => self.stage = stage,
        }
    }

    /// `unlinks`: segments that no manifest names and whose files may be there.
    pub(crate) fn complete<R: Ring>(
        &mut self,
        op: CheckpointOp,
        completion: Completion,
        unlinks: &[SegmentId],
        now: TimestampMs,
        io: &mut Io<'_, R>,
    ) -> CheckpointEvent {
        match (op, completion.result) {
            (CheckpointOp::Closed, _) => CheckpointEvent::None,
            (CheckpointOp::Opened, Ok(Done::Opened { file, .. })) => {
                self.write(file, unlinks, now, io);
                CheckpointEvent::None
            }
            (CheckpointOp::Written { len }, Ok(Done::Written { n, .. })) if n == len => {
                let Stage::Writing { file, floor } = std::mem::replace(&mut self.stage, Stage::Idle) else {
                    unreachable!("a slot was being written");
                };
                self.generation += 1;
                io.submit(Meaning::Checkpoint(CheckpointOp::Closed), Op::CloseFile { file });
                CheckpointEvent::Done { floor }
            }
            (_, result) => {
                if let Stage::Writing { file, .. } = std::mem::replace(&mut self.stage, Stage::Failed) {
                    io.submit(Meaning::Checkpoint(CheckpointOp::Closed), Op::CloseFile { file });
                }
                CheckpointEvent::Failed(result.err().unwrap_or(IoError::new(SHORT_WRITE_ERRNO)))
            }
        }
    }

    /// Tries again after a failure: the slot that failed is not the one that counts.
    pub(crate) fn retry(&mut self) {
        if matches!(self.stage, Stage::Failed) {
            self.stage = Stage::Idle;
        }
    }

    fn write<R: Ring>(&mut self, file: FileId, unlinks: &[SegmentId], now: TimestampMs, io: &mut Io<'_, R>) {
        let Stage::Opening(collected) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            unreachable!("a slot was being opened");
        };
        let head = CheckpointHead {
            generation: self.generation + 1,
            journal: self.identity,
            ring_bytes: self.ring_bytes,
            incarnation: self.incarnation,
            raised_at: self.raised_at,
            tail: collected.floor.chain,
            clean: collected.clean,
            retired: false,
            written_at: now,
        };
        let bytes = collected
            .builder
            .finish(&head, unlinks)
            .expect("the number of partitions is bounded");
        self.bytes_last = bytes.len();
        let mut buf = AlignedBuf::zeroed(bytes.len());
        buf.copy_from_slice(&bytes);
        let op = Op::Write {
            file,
            at: 0,
            slices: vec![buf.freeze()],
            durable: true,
        };
        io.submit(
            Meaning::Checkpoint(CheckpointOp::Written { len: bytes.len() }),
            op,
        );
        self.stage = Stage::Writing {
            file,
            floor: collected.floor,
        };
    }
}

/// EIO: what a write that stopped in the middle amounts to.
const SHORT_WRITE_ERRNO: i32 = 5;
