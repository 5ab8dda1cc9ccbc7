//! One producer's history in one partition: its epoch, its last batches, its open transaction.
//!
//! Invariant: the batches are all of the one epoch, in the order of their sequences, which run around from
//! `i32::MAX` to 0.

use alloc::collections::VecDeque;

use millstream_protocol::record::batch::{BatchSummary, ProducerStamp};
use millstream_protocol::types::{Offset, ProducerEpoch, Sequence, TimestampMs};

use super::{SequenceError, Verdict};
use crate::codec::{FormatError, Put, Take};
use crate::limits::PRODUCER_BATCHES;

/// See the module's page.
#[derive(Clone, Debug)]
pub(super) struct Producer {
    pub(super) epoch: ProducerEpoch,
    /// `None` where nothing was appended in this epoch.
    pub(super) last_sequence: Option<Sequence>,
    /// The wall clock at the last append.
    pub(super) last_append: TimestampMs,
    /// The first offset of the open transaction.
    pub(super) transaction: Option<Offset>,
    /// The latest batches of this epoch, oldest first: those that a repeated one is held against, and before them what
    /// a cut may still take back.
    pub(super) batches: VecDeque<AppendedBatch>,
}

/// What is remembered for a cut alone depends on when bytes became durable, and nothing but a cut on it.
impl PartialEq for Producer {
    fn eq(&self, other: &Self) -> bool {
        let known = |producer: &Self| {
            (
                producer.epoch,
                producer.last_sequence,
                producer.last_append,
                producer.transaction,
            )
        };
        known(self) == known(other) && self.recent().eq(other.recent())
    }
}

impl Eq for Producer {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AppendedBatch {
    last_sequence: Sequence,
    pub(super) last_offset: Offset,
    /// Records in the batch, less one.
    pub(super) delta: i32,
    pub(super) timestamp: Option<TimestampMs>,
}

impl Producer {
    pub(super) fn new(epoch: ProducerEpoch, now: TimestampMs) -> Self {
        Self {
            epoch,
            last_sequence: None,
            last_append: now,
            transaction: None,
            batches: VecDeque::new(),
        }
    }

    pub(super) fn duplicate_of(&self, stamp: &ProducerStamp) -> Option<&AppendedBatch> {
        let same_epoch = self.epoch == stamp.epoch;
        self.recent().find(|batch| {
            same_epoch
                && batch.last_sequence == stamp.last_sequence
                && batch.delta == distance(stamp.base_sequence, stamp.last_sequence)
        })
    }

    /// The batches that a repeated one is held against, oldest first.
    pub(super) fn recent(&self) -> impl ExactSizeIterator<Item = &AppendedBatch> {
        self.batches
            .range(self.batches.len().saturating_sub(PRODUCER_BATCHES)..)
    }

    /// Nothing below `flushed` is ever cut.
    pub(super) fn remember(&mut self, stamp: &ProducerStamp, summary: &BatchSummary, flushed: Offset) {
        self.forget_flushed(PRODUCER_BATCHES - 1, flushed);
        self.batches.push_back(AppendedBatch {
            last_sequence: stamp.last_sequence,
            last_offset: summary.last_offset,
            delta: distance(stamp.base_sequence, stamp.last_sequence),
            timestamp: summary.max_timestamp,
        });
        self.last_sequence = Some(stamp.last_sequence);
    }

    /// Forgets what is only remembered for a cut and lies below `flushed`; returns whether nothing of it is left.
    pub(super) fn settle(&mut self, flushed: Offset) -> bool {
        self.forget_flushed(PRODUCER_BATCHES, flushed);
        if self.batches.len() > PRODUCER_BATCHES {
            return false;
        }
        if self.batches.capacity() > ROOM_KEPT {
            self.batches.shrink_to(ROOM_KEPT);
        }
        true
    }

    /// Forgets the oldest batches, down to `keep`.
    fn forget_flushed(&mut self, keep: usize, flushed: Offset) {
        let is_flushed = |batch: &AppendedBatch| batch.last_offset < flushed;
        while self.batches.len() > keep && self.batches.front().is_some_and(is_flushed) {
            self.batches.pop_front();
        }
    }

    /// Whether anything is left to remember.
    pub(super) fn truncate(&mut self, end: Offset) -> bool {
        let mut lowest_cut = None;
        while let Some(batch) = self.batches.back().filter(|batch| batch.last_offset >= end) {
            lowest_cut = Some(batch.first_sequence());
            self.batches.pop_back();
        }
        if self.transaction.is_some_and(|first| first >= end) {
            self.transaction = None;
        }
        match lowest_cut {
            None => true,
            Some(first) if self.batches.is_empty() && first.get() == 0 => {
                self.last_sequence = None;
                self.transaction.is_some()
            }
            Some(first) => {
                self.last_sequence = Some(before(first));
                true
            }
        }
    }

    pub(super) fn idle_for(&self, now: TimestampMs, ms: i64) -> bool {
        self.transaction.is_none() && now.get().saturating_sub(self.last_append.get()) >= ms
    }

    pub(super) fn encode(&self, out: &mut impl Put) {
        out.i16(self.epoch.get());
        out.i32(self.last_sequence.map_or(-1, Sequence::get));
        out.i64(self.last_append.get());
        out.i64(self.transaction.map_or(-1, Offset::get));
        out.u8(self.recent().len() as u8);
        for batch in self.recent() {
            out.i32(batch.last_sequence.get());
            out.i32(batch.delta);
            out.i64(batch.last_offset.get());
            out.i64(TimestampMs::to_wire(batch.timestamp));
        }
    }

    pub(super) fn decode(take: &mut Take<'_>) -> Result<Self, FormatError> {
        let epoch = ProducerEpoch::new(take.i16()?);
        let last_sequence = match take.i32()? {
            -1 => None,
            sequence => Some(sequence_from(sequence)?),
        };
        let last_append = take.timestamp()?;
        let transaction = Offset::checked(take.i64()?);
        let count = usize::from(take.u8()?);
        if count > PRODUCER_BATCHES {
            return Err(FormatError::Field("producer batches"));
        }
        let mut batches = VecDeque::with_capacity(count);
        for _ in 0..count {
            let last_sequence = sequence_from(take.i32()?)?;
            let delta = take.i32()?;
            let last_offset = take.last_offset()?;
            if delta < 0 || i64::from(delta) > last_offset.get() {
                return Err(FormatError::Field("offset delta"));
            }
            let timestamp = TimestampMs::from_wire(take.i64()?);
            batches.push_back(AppendedBatch {
                last_sequence,
                last_offset,
                delta,
                timestamp,
            });
        }
        Ok(Self {
            epoch,
            last_sequence,
            last_append,
            transaction,
            batches,
        })
    }
}

impl AppendedBatch {
    fn first_sequence(&self) -> Sequence {
        wrap(i64::from(self.last_sequence.get()) - i64::from(self.delta))
    }
}

/// Whether a batch follows what was appended last in `epoch`.
pub(super) fn in_sequence(
    stamp: &ProducerStamp,
    epoch: ProducerEpoch,
    last: Option<Sequence>,
) -> Result<Verdict, SequenceError> {
    if stamp.epoch < epoch {
        return Err(SequenceError::InvalidEpoch {
            producer: stamp.id,
            current: epoch,
            found: stamp.epoch,
        });
    }
    let expected = match last {
        Some(last) if stamp.epoch == epoch => last.advance(1),
        _ => Sequence::new(0),
    };
    if stamp.base_sequence == expected {
        Ok(Verdict::New)
    } else {
        Err(SequenceError::OutOfOrder {
            producer: stamp.id,
            expected,
            found: stamp.base_sequence,
        })
    }
}

/// How many sequences lie between the two, around the wrap.
pub(super) fn distance(first: Sequence, last: Sequence) -> i32 {
    wrap(i64::from(last.get()) - i64::from(first.get())).get()
}

fn before(sequence: Sequence) -> Sequence {
    wrap(i64::from(sequence.get()) - 1)
}

fn wrap(sequence: i64) -> Sequence {
    Sequence::new((sequence & i64::from(i32::MAX)) as i32)
}

fn sequence_from(value: i32) -> Result<Sequence, FormatError> {
    if value >= 0 {
        Ok(Sequence::new(value))
    } else {
        Err(FormatError::Field("sequence"))
    }
}

/// Batches that there is room for without a burst: [`PRODUCER_BATCHES`] as a growing buffer rounds them up.
const ROOM_KEPT: usize = 8;

/// A producer without batches, with its id before it: id, epoch, last sequence, last append, transaction, batch count.
pub(super) const PRODUCER_LEN: usize = 8 + 2 + 4 + 8 + 8 + 1;
