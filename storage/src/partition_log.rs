//! One partition as its shard holds it: what is known, what waits for a round, what is in memory.
//!
//! Place: in the slots of [`crate::ShardLogs`]; filled by appends, emptied by rounds and write-behind.
//!
//! Invariants:
//! - Every change of `state` that needs a record has that record in `pending` until a round carries it, in
//!   order.
//! - `logged` is where the active segment's bytes in `pending` begin.

use std::collections::VecDeque;

use millstream_log::{
    Damage, FilePosition, LogConfig, PartitionKey, PartitionState, Record, SegmentId, StoredBatch,
};
use millstream_protocol::time::Instant;
use millstream_protocol::types::{LeaderEpoch, Offset, TimestampMs};

use crate::chunks::Chunks;
use crate::dirty_runs::DirtyRuns;
use crate::segment_files::SegmentFiles;

/// See the module's page.
pub(crate) struct PartitionLog {
    pub(crate) state: PartitionState,
    pub(crate) config: LogConfig,
    /// The configuration is the topic's, not the default of a log just recovered: retention may act.
    pub(crate) configured: bool,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) chunks: Chunks,
    pub(crate) dirty: DirtyRuns,
    pub(crate) pending: Pending,
    /// The state without what is pending: what closed rounds hold. Kept while the journal is short of room,
    /// for a checkpoint holds nothing else, and where the rounds for what is pending find no room only a
    /// checkpoint makes some.
    pub(crate) shadow: Option<Box<PartitionState>>,
    pub(crate) in_round: InRound,
    /// The segment of the next bytes that a round takes, and the exclusive end of those that rounds took.
    pub(crate) logging: Option<SegmentId>,
    pub(crate) logged: FilePosition,
    /// The newest segment whose manifest record is durable: it and those before may have files.
    pub(crate) manifest_durable: Option<SegmentId>,
    /// A segment whose file takes data, once that was seen: it stays so, and the next append need not look again.
    pub(crate) made: Option<SegmentId>,
    /// A direct write failed, and no round took back yet what it was to write.
    pub(crate) is_untaken: bool,
    /// Where the acknowledged bytes end.
    pub(crate) acked: Option<(SegmentId, FilePosition)>,
    /// Nothing is appended any more, and nothing served from `at` on.
    pub(crate) damage: Option<Damage>,
    /// Pieces of the write-behind in flight.
    pub(crate) behind_outstanding: u32,
    /// All of it is to be written, unless there is a later append than this.
    pub(crate) rests: Option<Instant>,
    /// Pieces of the direct write in flight.
    pub(crate) direct_outstanding: u32,
    pub(crate) last_append: Instant,
    /// In the shard's list of partitions whose indexes may have to be saved.
    pub(crate) in_save_queue: bool,
    /// In the shard's list of partitions with something pending.
    pub(crate) listed: bool,
    /// In the shard's list of partitions whose partial block is to be written.
    pub(crate) in_rest_queue: bool,
    /// Its key in the shard's order of dirty partitions.
    pub(crate) dirty_key: Option<u64>,
    /// Its part of the shard's dirty bytes.
    pub(crate) dirty_bytes: u64,
    /// Its part of the shard's count of producers.
    pub(crate) producers_counted: usize,
    /// Where sequential readers stopped.
    pub(crate) cursors: Cursors,
}

/// What waits for a round, in order.
pub(crate) struct Pending {
    pub(crate) facts: VecDeque<Fact>,
    /// The batches of all [`Fact::Bytes`], in order.
    pub(crate) batches: Vec<StoredBatch>,
    /// Of all [`Fact::Bytes`].
    pub(crate) bytes: u64,
    /// What all of it takes in rounds at most, in bytes.
    pub(crate) cost: u64,
}

/// A record to come. [`Record`] borrows; this does not.
#[derive(Debug)]
pub(crate) enum Fact {
    /// Bytes of one segment, up to `to` (exclusive); `batches` of [`Pending::batches`] end in them.
    Bytes {
        segment: SegmentId,
        to: FilePosition,
        batches: usize,
    },
    Seal {
        segment: SegmentId,
        byte_end: FilePosition,
        end_offset: Offset,
        successor: SegmentId,
    },
    Epoch {
        epoch: LeaderEpoch,
        start_offset: Offset,
    },
    LogStart {
        offset: Offset,
    },
    /// The log's start again, in the round after the one that moved it: no single round that is damaged brings deleted
    /// records back.
    StartAgain {
        offset: Offset,
    },
    Opened {
        segment: SegmentId,
        base_offset: Offset,
    },
    Removed {
        segments: Vec<SegmentId>,
    },
    /// No record: files that may go once what was recorded before is durable.
    Released {
        segments: Vec<SegmentId>,
    },
    Dropped {
        segments: Vec<SegmentId>,
        log_start: Offset,
    },
}

/// What becomes true when the round in flight completes.
#[derive(Default)]
pub(crate) struct InRound {
    pub(crate) listed: bool,
    /// Everything below is durable.
    pub(crate) upto: Option<Offset>,
    pub(crate) manifest: Option<SegmentId>,
    pub(crate) start: Option<Offset>,
    /// A direct write is part of the round; what it wrote ends here.
    pub(crate) direct: Option<DirectPart>,
    pub(crate) released: Vec<SegmentId>,
    pub(crate) removed: bool,
}

/// A direct write of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectPart {
    pub(crate) segment: SegmentId,
    pub(crate) from: FilePosition,
    /// The first dirty run went along.
    pub(crate) joined: bool,
    pub(crate) failed: bool,
    pub(crate) bytes: u64,
}

/// The ends of recent reads: where the next batch of a sequential reader begins.
#[derive(Default)]
pub(crate) struct Cursors {
    recent: [Option<Cursor>; CURSORS],
    next: usize,
}

/// The batch that holds `offset` begins at `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) offset: Offset,
    pub(crate) segment: SegmentId,
    pub(crate) position: FilePosition,
}

impl PartitionLog {
    pub(crate) fn new(
        state: PartitionState,
        config: LogConfig,
        epoch: LeaderEpoch,
        now: Instant,
    ) -> PartitionLog {
        let manifest_durable = state.active().map(|active| active.id);
        let logged = state
            .active()
            .map_or(FilePosition::ZERO, |active| active.byte_end);
        PartitionLog {
            state,
            config,
            configured: false,
            epoch,
            chunks: Chunks::new(),
            dirty: DirtyRuns::new(),
            pending: Pending {
                facts: VecDeque::new(),
                batches: Vec::new(),
                bytes: 0,
                cost: 0,
            },
            shadow: None,
            in_round: InRound::default(),
            logging: manifest_durable,
            logged,
            manifest_durable,
            made: None,
            is_untaken: false,
            acked: manifest_durable.map(|segment| (segment, logged)),
            damage: None,
            behind_outstanding: 0,
            rests: None,
            direct_outstanding: 0,
            last_append: now,
            in_save_queue: false,
            listed: false,
            in_rest_queue: false,
            dirty_key: None,
            dirty_bytes: 0,
            producers_counted: 0,
            cursors: Cursors::default(),
        }
    }

    pub(crate) fn key(&self) -> PartitionKey {
        self.state.key()
    }

    /// Whether the segment's file takes data.
    pub(crate) fn is_made(&mut self, segment: SegmentId, files: &SegmentFiles) -> bool {
        if self.made != Some(segment) && files.is_made(segment) {
            self.made = Some(segment);
        }
        self.made == Some(segment)
    }

    /// Exclusive end of the bytes of `segment` that its file holds, or that are on their way there from
    /// memory of their own.
    pub(crate) fn clean_end(&self, segment: SegmentId) -> FilePosition {
        let Some(known) = self.state.segment(segment) else {
            // Dropped from the manifest; what was not written is kept until that is in a round.
            return self
                .dirty
                .clean_until(segment)
                .unwrap_or(FilePosition::new(u64::MAX));
        };
        let logged = match self.logging {
            Some(logging) if segment == logging => self.logged,
            Some(logging) if segment < logging => known.byte_end,
            // Accepted, and in no round yet.
            _ => FilePosition::ZERO,
        };
        let direct = self.in_round.direct.filter(|direct| direct.segment == segment);
        let clean = self.dirty.clean_until(segment).unwrap_or(logged);
        direct.map_or(clean, |direct| clean.min(direct.from))
    }

    /// Deletes the partition. What is in no round yet need not be in one any more.
    pub(crate) fn remove(&mut self, at: TimestampMs) {
        let mut segments = Vec::new();
        for fact in self.pending.facts.drain(..) {
            if let Fact::Dropped {
                segments: dropped, ..
            } = fact
            {
                segments.extend(dropped);
            }
        }
        self.pending.batches.clear();
        self.pending.bytes = 0;
        let record = Record::Removed {
            partition: self.key(),
        };
        self.state.apply(&record, at).expect("the partition is there");
        segments.extend(self.state.take_released());
        segments.iter().for_each(|segment| self.dirty.forget(*segment));
        self.pending.facts.push_back(Fact::Removed { segments });
    }

    /// A piece of the direct write in flight failed; tells whether it is the first one.
    pub(crate) fn direct_failed(&mut self) -> bool {
        let Some(direct) = &mut self.in_round.direct else {
            return false;
        };
        self.is_untaken = true;
        !std::mem::replace(&mut direct.failed, true)
    }

    /// Takes back what was never acknowledged, after a direct write of it failed: the log ends at its
    /// flushed end, in a record of the next round.
    pub(crate) fn take_back(&mut self, successor: SegmentId, at: TimestampMs) {
        let Some((segment, byte_end)) = self.acked else {
            return;
        };
        self.pending.facts.retain(is_about_start);
        self.pending.batches.clear();
        self.pending.bytes = 0;
        self.dirty.cut(segment, byte_end);
        let end_offset = self.state.offsets().flushed().get();
        let record = Record::Seal {
            partition: self.key(),
            segment,
            byte_end,
            end_offset,
            successor,
        };
        self.record(&record, at);
        // Nobody but this process ever knew the segments that are gone now.
        let gone = self.state.take_released();
        self.pending.facts.push_back(Fact::Released { segments: gone });
    }

    /// Changes the state and leaves the record for the next round. The record fits: it was made from this
    /// state.
    pub(crate) fn record(&mut self, record: &Record<'_>, at: TimestampMs) {
        self.state
            .apply(record, at)
            .expect("a record made from the state fits it");
        let fact = match *record {
            Record::Tail {
                segment,
                position,
                bytes,
                batches,
                ..
            } => {
                return self.pending.push_bytes(
                    segment,
                    position + bytes.len() as u64,
                    bytes.len() as u64,
                    batches,
                );
            }
            Record::Seal {
                segment,
                byte_end,
                end_offset,
                successor,
                ..
            } => Fact::Seal {
                segment,
                byte_end,
                end_offset,
                successor,
            },
            Record::Epoch {
                epoch, start_offset, ..
            } => Fact::Epoch { epoch, start_offset },
            Record::LogStart { offset, .. } => Fact::LogStart { offset },
            Record::Opened {
                segment, base_offset, ..
            } => Fact::Opened { segment, base_offset },
            Record::Dropped {
                segments, log_start, ..
            } => {
                // The fact names them already.
                drop(self.state.take_released());
                Fact::Dropped {
                    segments: segments.to_vec(),
                    log_start,
                }
            }
            Record::Extent { .. } | Record::Settle | Record::Removed { .. } => {
                unreachable!("made elsewhere")
            }
        };
        self.pending.facts.push_back(fact);
    }
}

/// What was decided about the log's start stays, whatever becomes of its end.
fn is_about_start(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::LogStart { .. } | Fact::StartAgain { .. } | Fact::Dropped { .. }
    )
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    fn push_bytes(&mut self, segment: SegmentId, to: FilePosition, len: u64, batches: &[StoredBatch]) {
        self.bytes += len;
        self.batches.extend_from_slice(batches);
        match self.facts.back_mut() {
            Some(Fact::Bytes {
                segment: last,
                to: end,
                batches: count,
            }) if *last == segment => {
                *end = to;
                *count += batches.len();
            }
            _ => self.facts.push_back(Fact::Bytes {
                segment,
                to,
                batches: batches.len(),
            }),
        }
    }
}

impl Cursors {
    pub(crate) fn find(&self, offset: Offset) -> Option<Cursor> {
        self.recent
            .iter()
            .flatten()
            .find(|cursor| cursor.offset == offset)
            .copied()
    }

    /// A read that began at `from` ended before `cursor`.
    pub(crate) fn note(&mut self, from: Offset, cursor: Cursor) {
        let slot = match self
            .recent
            .iter()
            .position(|known| known.is_some_and(|known| known.offset == from))
        {
            Some(slot) => slot,
            None => {
                self.next = (self.next + 1) % CURSORS;
                self.next
            }
        };
        self.recent[slot] = Some(cursor);
    }
}

/// Sequential readers of one partition that are remembered.
const CURSORS: usize = 4;
