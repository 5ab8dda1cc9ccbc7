//! Writes the shard's checkpoints: collected partition by partition, written to the older one of two slots.
//!
//! Place: [`crate::ShardLogs`] offers partitions after each round it starts; what the last durable
//! checkpoint covers is freed in the journal.
//!
//! Invariant: a slot is written only when all rounds that its entries hold are settled, and the journal is
//! freed only when the slot is durable. So at any moment one slot and the journal from its tail on hold
//! everything.

use std::collections::VecDeque;
use std::path::PathBuf;

use millstream_log::planted::{self, Bug};
use millstream_log::{
    Checkpoint, CheckpointBuilder, CheckpointHead, Incarnation, JournalIdentity, RoundSequence, SegmentId,
};
use millstream_protocol::types::TimestampMs;
use millstream_ring::{AlignedBuf, Completion, Done, FileId, IoError, Op, OpenOptions, Ring};

use crate::event::LogId;
use crate::journal::JournalPoint;
use crate::log_table::{LogCursor, LogTable};
use crate::ops::{Io, Meaning};

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
    /// Its bytes move, some a turn, into memory that a direct write takes.
    Packing(Packing),
    Writing {
        file: FileId,
        floor: JournalPoint,
    },
    Failed,
}

struct Collecting {
    builder: CheckpointBuilder,
    /// The walk over the shard's logs; one that is made behind it is in rounds after `floor`.
    cursor: LogCursor,
    /// Partitions that the walk passed and that could not be added then.
    waiting: VecDeque<LogId>,
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

struct Packing {
    file: FileId,
    floor: JournalPoint,
    /// Whole blocks.
    bytes: Vec<u8>,
    /// As many; mapped memory, of which a page costs something when it is first touched.
    buf: AlignedBuf,
    packed: usize,
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

    /// Begins to collect all logs. `next` is the moment before the next round. `clean`: nothing will follow.
    pub(crate) fn begin(&mut self, next: JournalPoint, clean: bool) {
        assert!(matches!(self.stage, Stage::Idle), "one checkpoint at a time");
        self.stage = Stage::Collecting(Collecting {
            builder: CheckpointBuilder::new(self.bytes_last + self.bytes_last / 8),
            cursor: LogCursor::default(),
            waiting: VecDeque::new(),
            floor: next,
            as_of_max: next.chain.sequence.previous(),
            clean,
        });
    }

    /// A direct write failed: an entry may vouch for it, so all is collected anew. Not where the slot is being written:
    /// all rounds that its entries hold were settled before.
    pub(crate) fn give_up(&mut self) {
        if matches!(self.stage, Stage::Collecting(_) | Stage::Collected(_)) {
            self.stage = Stage::Idle;
        }
    }

    /// There is a step to take that waits for nothing.
    pub(crate) fn has_step(&self, logs: &LogTable) -> bool {
        match &self.stage {
            Stage::Collecting(collecting) => !logs.is_past(&collecting.cursor),
            Stage::Packing(_) => true,
            _ => false,
        }
    }

    /// Looks at up to `looks` of the partitions left, until they made `bytes`, and adds those that have nothing
    /// pending, or a shadow of when they had not. `next` is the moment before the next round: everything that a
    /// partition without anything pending knows is in rounds before it. `is_full`: no round can begin.
    pub(crate) fn collect(
        &mut self,
        looks: usize,
        bytes: usize,
        next: JournalPoint,
        is_full: bool,
        logs: &LogTable,
    ) {
        let Stage::Collecting(collecting) = &mut self.stage else {
            return;
        };
        let full = collecting.builder.bytes_len() + bytes;
        for _ in 0..looks {
            let Some(id) = logs
                .step(&mut collecting.cursor)
                .or_else(|| collecting.waiting.pop_front())
            else {
                break;
            };
            if !collecting.add(id, next, is_full, logs) {
                collecting.waiting.push_back(id);
            }
            if collecting.builder.bytes_len() >= full {
                return;
            }
        }
        if collecting.waiting.is_empty() && logs.is_past(&collecting.cursor) {
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

    /// Goes on with a collected checkpoint once its rounds are settled, one step.
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
            Stage::Packing(mut packing) => {
                packing.step();
                self.stage = if packing.packed < packing.bytes.len() {
                    Stage::Packing(packing)
                } else {
                    packing.submit(io)
                };
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
                self.pack(file, unlinks, now);
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

    fn pack(&mut self, file: FileId, unlinks: &[SegmentId], now: TimestampMs) {
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
        self.stage = Stage::Packing(Packing {
            file,
            floor: collected.floor,
            buf: AlignedBuf::zeroed(bytes.len()),
            bytes,
            packed: 0,
        });
    }
}

impl Collecting {
    /// Whether there is nothing more to do about this partition.
    fn add(&mut self, id: LogId, next: JournalPoint, is_full: bool, logs: &LogTable) -> bool {
        // One that is gone was deleted meanwhile; one that is going is waited for.
        let Some(log) = logs.get(id) else { return true };
        // Until a round took back what a failed direct write was to write, the entry would count it: what was
        // acknowledged before it is not told from it by the index. In a full journal there will be no such round, and
        // the entry says so in its place.
        let takes_back = log.is_untaken && is_full && log.in_round.direct.is_none();
        if log.is_untaken && !takes_back {
            return false;
        }
        let shadow = log.shadow.as_deref();
        let shadow = shadow.filter(|_| !log.pending.is_empty() && !takes_back);
        if log.state.is_removed() || (shadow.is_none() && !log.pending.is_empty() && !takes_back) {
            return false;
        }
        let as_of = next.chain.sequence.previous();
        let state = shadow.unwrap_or(&log.state);
        let floor = log.dirty.since().unwrap_or(next);
        let kept_from = match planted::has(Bug::CheckpointTooEarly) {
            true => as_of.next(),
            false => log.dirty.rescued().unwrap_or(floor.chain.sequence),
        };
        // What never held anything goes without a word when it is deleted: nothing may bring it back.
        if !state.is_blank() || log.damage.is_some() {
            self.builder.add(state, as_of, kept_from, log.damage);
        }
        if floor.head < self.floor.head {
            self.floor = floor;
        }
        self.as_of_max = self.as_of_max.max(as_of);
        true
    }
}

impl Packing {
    fn step(&mut self) {
        let to = self.bytes.len().min(self.packed + PACK_STEP_BYTES);
        let step = self.packed..to;
        self.buf[step.clone()].copy_from_slice(&self.bytes[step]);
        self.packed = to;
    }

    fn submit<R: Ring>(self, io: &mut Io<'_, R>) -> Stage {
        let op = Op::Write {
            file: self.file,
            at: 0,
            slices: vec![self.buf.freeze()],
            durable: !planted::has(Bug::FreedBeforeCheckpoint),
        };
        let len = self.bytes.len();
        io.submit(Meaning::Checkpoint(CheckpointOp::Written { len }), op);
        Stage::Writing {
            file: self.file,
            floor: self.floor,
        }
    }
}

/// Bytes that one turn moves into memory for the write.
const PACK_STEP_BYTES: usize = 128 << 10;
/// ENOSPC: a regular file takes a part of a write where space ran out. Whatever else it was shows when the slot, which
/// is not the one that counts, is written again.
const SHORT_WRITE_ERRNO: i32 = 28;

#[cfg(test)]
mod tests {
    use millstream_log::{
        ChainPoint, FilePosition, JournalId, LogConfig, PartitionKey, PartitionState, Record, StoredBatch,
    };
    use millstream_protocol::record::batch::BatchSummary;
    use millstream_protocol::time::Instant;
    use millstream_protocol::types::{LeaderEpoch, Offset, PartitionIndex, TopicId};

    use super::*;
    use crate::partition_log::PartitionLog;

    fn key() -> PartitionKey {
        PartitionKey {
            topic: TopicId::new([7; 16]),
            partition: PartitionIndex::new(0),
        }
    }

    fn identity() -> JournalIdentity {
        JournalIdentity {
            id: JournalId::new(1),
            nonce: 7,
        }
    }

    /// The checkpoint of an empty journal, begun, and where the next round goes.
    fn begun() -> (Checkpointer, JournalPoint) {
        let chain = ChainPoint::first(identity());
        let next = JournalPoint { chain, head: 0 };
        let paths = [PathBuf::new(), PathBuf::new()];
        let mut checkpointer =
            Checkpointer::new(paths, identity(), 1 << 18, Incarnation::new(1), chain.sequence, 1);
        checkpointer.begin(next, false);
        (checkpointer, next)
    }

    /// The checkpoint waits for the round that takes back what a failed direct write was to write, as long as there
    /// can be one.
    #[test]
    fn a_log_with_a_failed_direct_write_is_waited_for() {
        for (is_untaken, is_full, waits) in [(true, false, true), (false, false, false), (true, true, false)]
        {
            let state = PartitionState::new(key());
            let mut log = PartitionLog::new(state, LogConfig::default(), LeaderEpoch::ZERO, Instant::ZERO);
            log.is_untaken = is_untaken;
            let mut logs = LogTable::new();
            logs.insert(log);
            let (mut checkpointer, next) = begun();
            for _ in 0..3 {
                checkpointer.collect(10, 1 << 20, next, is_full, &logs);
            }
            assert_eq!(checkpointer.is_collecting(), waits, "{is_untaken} {is_full}");
        }
    }

    /// A full journal takes no round that takes back what a failed direct write was to write: the entry has done so.
    #[test]
    fn in_a_full_journal_the_entry_takes_back_itself() {
        let key = key();
        let now = millstream_protocol::types::TimestampMs::new(1);
        let segment = SegmentId::new(1);
        let batch = |offset: i64, size: u32| StoredBatch {
            summary: BatchSummary {
                base_offset: Offset::new(offset),
                last_offset: Offset::new(offset),
                size,
                base_timestamp: None,
                max_timestamp: None,
                producer: None,
                transactional: false,
                control: false,
            },
            crc: 0,
        };
        let mut state = PartitionState::new(key);
        let opened = Record::Opened {
            partition: key,
            segment,
            base_offset: Offset::ZERO,
        };
        state.apply(&opened, now).expect("a blank log");
        let batches = [batch(0, 4096)];
        let first = Record::Extent {
            partition: key,
            segment,
            position: FilePosition::ZERO,
            length: 4096,
            crc: 0,
            batches: &batches,
        };
        state.apply(&first, now).expect("the first bytes");
        state.flushed_to(Offset::new(1));
        let mut log = PartitionLog::new(state, LogConfig::default(), LeaderEpoch::ZERO, Instant::ZERO);
        let batches = [batch(1, 4096)];
        let failed = Record::Extent {
            partition: key,
            segment,
            position: FilePosition::new(4096),
            length: 4096,
            crc: 0,
            batches: &batches,
        };
        log.state.apply(&failed, now).expect("it goes on");
        log.shadow = Some(Box::new(log.state.clone()));
        (log.is_untaken, log.acked) = (true, Some((segment, FilePosition::new(4096))));
        log.take_back(SegmentId::new(2), now);
        let mut logs = LogTable::new();
        logs.insert(log);
        let (mut checkpointer, next) = begun();
        checkpointer.collect(10, 1 << 20, next, true, &logs);
        let Stage::Collected(collected) = checkpointer.stage else {
            panic!("nothing is waited for")
        };
        let head = CheckpointHead {
            generation: 1,
            journal: identity(),
            ring_bytes: 1 << 18,
            incarnation: Incarnation::new(1),
            raised_at: next.chain.sequence,
            tail: next.chain,
            clean: false,
            retired: false,
            written_at: now,
        };
        let bytes = collected.builder.finish(&head, &[]).expect("one partition");
        let entry = Checkpoint::decode(&bytes)
            .expect("a checkpoint")
            .entries
            .remove(0);
        assert_eq!(entry.state.offsets().end().get(), Offset::new(1));
        assert_eq!(entry.state.segments().len(), 2);
    }
}
