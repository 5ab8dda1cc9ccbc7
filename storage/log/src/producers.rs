//! What a partition remembers of its producers: enough to recognise a repeated batch, to refuse a gap, and to
//! know which transactions are open.
//!
//! Invariants: the answer to a batch depends only on what was appended (and on what expired), never on time
//! by itself; at most [`PRODUCERS_MAX`] producers with [`PRODUCER_BATCHES`] batches each. The rules are
//! Kafka's (KIP-98, KIP-360): an unknown producer may begin at any sequence, a new epoch begins at 0, an
//! older epoch is refused.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_protocol::record::batch::{BatchSummary, ProducerStamp};
use millstream_protocol::types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::codec::{FormatError, Put, Take};
use crate::limits::{PRODUCER_BATCHES, PRODUCER_IDLE_MS, PRODUCERS_MAX};

/// See the module's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    known: BTreeMap<ProducerId, Producer>,
    /// The first offset of every open transaction.
    open: BTreeSet<(Offset, ProducerId)>,
    /// Transactions whose marker the high watermark has not passed, by marker.
    closing: VecDeque<ClosingTransaction>,
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceError {
    /// Not the sequence after the last one, nor one of the last batches.
    OutOfOrder {
        producer: ProducerId,
        expected: Sequence,
        found: Sequence,
    },
    /// A newer incarnation of the producer has written here.
    InvalidEpoch {
        producer: ProducerId,
        current: ProducerEpoch,
        found: ProducerEpoch,
    },
    /// One append repeats some batches of this producer and brings others.
    Mixed { producer: ProducerId },
    /// The partition remembers as many producers as it may, all of them active. Worth a retry.
    TooManyProducers,
}

/// What a batch is to its producer's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    New,
    /// It was appended before, with these offsets (inclusive) and this timestamp.
    Duplicate {
        base_offset: Offset,
        last_offset: Offset,
        timestamp: Option<TimestampMs>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: ProducerEpoch,
    /// `None` where nothing was appended in this epoch.
    last_sequence: Option<Sequence>,
    /// The wall clock at the last append.
    last_append: TimestampMs,
    /// The first offset of the open transaction.
    transaction: Option<Offset>,
    /// The latest batches of this epoch, oldest first.
    batches: VecDeque<AppendedBatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AppendedBatch {
    last_sequence: Sequence,
    last_offset: Offset,
    /// Records in the batch, less one.
    delta: i32,
    timestamp: Option<TimestampMs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClosingTransaction {
    marker: Offset,
    first: Offset,
    producer: ProducerId,
}

impl Producers {
    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Judges one batch; `earlier` is the producer's batch before it in the same append, if there is one.
    pub fn check(
        &self,
        stamp: &ProducerStamp,
        earlier: Option<&ProducerStamp>,
        now: TimestampMs,
    ) -> Result<Verdict, SequenceError> {
        if let Some(earlier) = earlier {
            return in_sequence(stamp, earlier.epoch, Some(earlier.last_sequence));
        }
        let Some(producer) = self.known.get(&stamp.id) else {
            return if self.has_room(now) {
                Ok(Verdict::New)
            } else {
                Err(SequenceError::TooManyProducers)
            };
        };
        match producer.duplicate_of(stamp) {
            Some(batch) => Ok(Verdict::Duplicate {
                base_offset: Offset::new(batch.last_offset.get() - i64::from(batch.delta)),
                last_offset: batch.last_offset,
                timestamp: batch.timestamp,
            }),
            None => in_sequence(stamp, producer.epoch, producer.last_sequence),
        }
    }

    /// Notes an appended batch.
    pub(crate) fn push(&mut self, summary: &BatchSummary, now: TimestampMs) {
        let Some(stamp) = summary.producer else { return };
        if !self.known.contains_key(&stamp.id) && self.known.len() >= PRODUCERS_MAX {
            self.evict_most_idle();
        }
        let producer = self
            .known
            .entry(stamp.id)
            .or_insert_with(|| Producer::new(stamp.epoch, now));
        producer.last_append = now;
        if stamp.epoch != producer.epoch {
            producer.epoch = stamp.epoch;
            producer.last_sequence = None;
            producer.batches.clear();
        }
        if summary.control {
            if let Some(first) = producer.transaction.take() {
                self.open.remove(&(first, stamp.id));
                self.closing.push_back(ClosingTransaction {
                    marker: summary.last_offset,
                    first,
                    producer: stamp.id,
                });
            }
            return;
        }
        if summary.transactional && producer.transaction.is_none() {
            producer.transaction = Some(summary.base_offset);
            self.open.insert((summary.base_offset, stamp.id));
        }
        producer.remember(&stamp, summary);
    }

    /// The first offset that read_committed must not pass below `high_watermark`: an open transaction's
    /// first, or that of one whose marker is not visible yet.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        let open = self.open.first().map(|&(first, _)| first);
        let closing = self
            .closing
            .iter()
            .filter(|closed| closed.marker >= high_watermark)
            .map(|closed| closed.first)
            .min();
        open.into_iter().chain(closing).fold(high_watermark, Offset::min)
    }

    /// Markers below the high watermark are visible for good.
    pub fn forget_closed(&mut self, high_watermark: Offset) {
        while self
            .closing
            .front()
            .is_some_and(|closed| closed.marker < high_watermark)
        {
            self.closing.pop_front();
        }
    }

    /// Forgets producers without an open transaction that appended nothing for `expiration_ms`.
    pub fn expire(&mut self, now: TimestampMs, expiration_ms: u64) {
        let expiration_ms = i64::try_from(expiration_ms).unwrap_or(i64::MAX);
        self.known
            .retain(|_, producer| !producer.idle_for(now, expiration_ms));
    }

    /// Takes back batches at and beyond `end`. A producer whose remembered batches all go is left at the
    /// sequence before them.
    pub(crate) fn truncate(&mut self, end: Offset) {
        while self.closing.back().is_some_and(|closed| closed.marker >= end) {
            let closed = self.closing.pop_back().expect("just looked at");
            if let Some(producer) = self.known.get_mut(&closed.producer)
                && producer.transaction.is_none_or(|first| first > closed.first)
            {
                producer.transaction = Some(closed.first);
            }
        }
        self.known.retain(|_, producer| producer.truncate(end));
        self.open = self
            .known
            .iter()
            .filter_map(|(&id, producer)| Some((producer.transaction?, id)))
            .collect();
    }

    fn has_room(&self, now: TimestampMs) -> bool {
        self.known.len() < PRODUCERS_MAX
            || self
                .known
                .values()
                .any(|producer| producer.idle_for(now, PRODUCER_IDLE_MS))
    }

    /// A scan of ten thousand, and only where the limit is reached and a new producer comes.
    fn evict_most_idle(&mut self) {
        let idle = self
            .known
            .iter()
            .filter(|(_, producer)| producer.transaction.is_none());
        if let Some(id) = idle
            .min_by_key(|(_, producer)| producer.last_append)
            .map(|(&id, _)| id)
        {
            self.known.remove(&id);
        }
    }

    pub(crate) fn encode(&self, out: &mut impl Put) {
        out.count(self.known.len());
        for (id, producer) in &self.known {
            out.i64(id.get());
            producer.encode(out);
        }
        out.count(self.closing.len());
        for closed in &self.closing {
            out.i64(closed.marker.get());
            out.i64(closed.first.get());
            out.i64(closed.producer.get());
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Result<Self, FormatError> {
        let mut producers = Self::default();
        // A replay may hold more than the limit for a moment, a checkpoint never does.
        for _ in 0..take.count(PRODUCER_LEN, PRODUCERS_MAX, "producers")? {
            let id = ProducerId::new(take.i64()?);
            let producer = Producer::decode(take)?;
            if let Some(first) = producer.transaction {
                producers.open.insert((first, id));
            }
            producers.known.insert(id, producer);
        }
        for _ in 0..take.count(24, u32::MAX as usize, "closing transactions")? {
            producers.closing.push_back(ClosingTransaction {
                marker: take.offset("marker")?,
                first: take.offset("transaction start")?,
                producer: ProducerId::new(take.i64()?),
            });
        }
        Ok(producers)
    }
}

impl Producer {
    fn new(epoch: ProducerEpoch, now: TimestampMs) -> Self {
        Self {
            epoch,
            last_sequence: None,
            last_append: now,
            transaction: None,
            batches: VecDeque::new(),
        }
    }

    fn duplicate_of(&self, stamp: &ProducerStamp) -> Option<&AppendedBatch> {
        let same_epoch = self.epoch == stamp.epoch;
        self.batches.iter().find(|batch| {
            same_epoch
                && batch.last_sequence == stamp.last_sequence
                && batch.delta == distance(stamp.base_sequence, stamp.last_sequence)
        })
    }

    fn remember(&mut self, stamp: &ProducerStamp, summary: &BatchSummary) {
        if self.batches.len() == PRODUCER_BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back(AppendedBatch {
            last_sequence: stamp.last_sequence,
            last_offset: summary.last_offset,
            delta: distance(stamp.base_sequence, stamp.last_sequence),
            timestamp: summary.max_timestamp,
        });
        self.last_sequence = Some(stamp.last_sequence);
    }

    /// Whether anything is left to remember.
    fn truncate(&mut self, end: Offset) -> bool {
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

    fn idle_for(&self, now: TimestampMs, ms: i64) -> bool {
        self.transaction.is_none() && now.get().saturating_sub(self.last_append.get()) >= ms
    }

    fn encode(&self, out: &mut impl Put) {
        out.i16(self.epoch.get());
        out.i32(self.last_sequence.map_or(-1, Sequence::get));
        out.i64(self.last_append.get());
        out.i64(self.transaction.map_or(-1, Offset::get));
        out.u8(self.batches.len() as u8);
        for batch in &self.batches {
            out.i32(batch.last_sequence.get());
            out.i32(batch.delta);
            out.i64(batch.last_offset.get());
            out.i64(TimestampMs::to_wire(batch.timestamp));
        }
    }

    fn decode(take: &mut Take<'_>) -> Result<Self, FormatError> {
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
            let last_offset = take.offset("last offset")?;
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

fn in_sequence(
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
fn distance(first: Sequence, last: Sequence) -> i32 {
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

/// A producer without batches: id, epoch, last sequence, last append, transaction, batch count.
const PRODUCER_LEN: usize = 8 + 2 + 4 + 8 + 8 + 1;
