//! What a partition remembers of its producers: enough to recognise a repeated batch, to refuse a gap, and to
//! know which transactions are open.
//!
//! Invariants: the answer to a batch depends only on what was appended (and on what expired), never on time
//! by itself; at most [`PRODUCERS_MAX`] producers with [`crate::limits::PRODUCER_BATCHES`] batches each. The rules are
//! Kafka's (KIP-98, KIP-360): an unknown producer may begin at any sequence, a new epoch begins at 0, an
//! older epoch is refused.

mod producer;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use millstream_protocol::record::batch::{BatchSummary, ProducerStamp};
use millstream_protocol::types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::codec::{FormatError, Put, Take};
use crate::limits::{PRODUCER_BATCHES, PRODUCER_IDLE_MS, PRODUCERS_MAX};
use crate::planted::{self, Bug};
use producer::{PRODUCER_LEN, Producer, in_sequence};

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    known: BTreeMap<ProducerId, Producer>,
    /// The first offset of every open transaction.
    open: BTreeSet<(Offset, ProducerId)>,
    /// Transactions whose marker the high watermark has not passed, by marker.
    closing: VecDeque<ClosingTransaction>,
    /// Somebody may keep more batches, or room for them, than a repeated one is held against.
    burst: bool,
}

/// Whose batches a cut might have taken back says nothing of what is known.
impl PartialEq for Producers {
    fn eq(&self, other: &Self) -> bool {
        (&self.known, &self.open, &self.closing) == (&other.known, &other.open, &other.closing)
    }
}

impl Eq for Producers {}

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

/// What is known of one producer, as administrators are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownProducer {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    /// `None` where nothing was appended in this epoch.
    pub last_sequence: Option<Sequence>,
    /// The largest timestamp of its last batch; `None` where that is not remembered or had none.
    pub last_timestamp: Option<TimestampMs>,
    /// The first offset of its open transaction.
    pub transaction: Option<Offset>,
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

    /// Whether anything is remembered of this producer.
    pub fn knows(&self, producer: ProducerId) -> bool {
        self.known.contains_key(&producer)
    }

    /// All that are known, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = KnownProducer> {
        self.known.iter().map(|(id, producer)| KnownProducer {
            id: *id,
            epoch: producer.epoch,
            last_sequence: producer.last_sequence,
            last_timestamp: producer.batches.back().and_then(|batch| batch.timestamp),
            transaction: producer.transaction,
        })
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

    /// Notes an appended batch. Batches at and beyond `flushed` are remembered until they lie below it, however many,
    /// for a cut may take them back.
    pub(crate) fn push(&mut self, summary: &BatchSummary, flushed: Offset, now: TimestampMs) {
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
        producer.remember(&stamp, summary, flushed);
        self.burst |= producer.batches.len() > PRODUCER_BATCHES;
    }

    /// Gives back what a burst of batches took that were to be cut in a crash, and that are durable now.
    pub(crate) fn settle(&mut self, flushed: Offset) {
        if core::mem::take(&mut self.burst) {
            for producer in self.known.values_mut() {
                self.burst |= !producer.settle(flushed);
            }
        }
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

    /// Takes back batches at and beyond `end`. A producer whose remembered batches all go is left at the sequence
    /// before them.
    pub(crate) fn truncate(&mut self, end: Offset) {
        if planted::has(Bug::ProducersAheadOfLog) {
            return;
        }
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
        // Markers are never refused, so there may be a few more than the limit: the bytes left are the bound.
        for _ in 0..take.count(PRODUCER_LEN, u32::MAX as usize, "producers")? {
            let id = ProducerId::new(take.i64()?);
            if producers
                .known
                .last_key_value()
                .is_some_and(|(&last, _)| last >= id)
            {
                return Err(FormatError::Field("producer order"));
            }
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

#[cfg(test)]
mod tests {
    use super::producer::distance;
    use super::*;
    use crate::testing::{NOW, stamp, summary};

    /// Appends batches of ten records, the first of sequence 0 and offset 0, and keeps their stamps.
    struct Log {
        producers: Producers,
        end: i64,
        flushed: Offset,
    }

    impl Log {
        fn new() -> Self {
            Self {
                producers: Producers::default(),
                end: 0,
                flushed: Offset::ZERO,
            }
        }

        fn append(&mut self, stamp: ProducerStamp) {
            self.append_kind(stamp, false, false);
        }

        fn append_kind(&mut self, stamp: ProducerStamp, transactional: bool, control: bool) {
            let records = i64::from(distance(stamp.base_sequence, stamp.last_sequence)) + 1;
            let mut batch = summary(records, 100, 77);
            batch.base_offset = Offset::new(self.end);
            batch.last_offset = Offset::new(self.end + records - 1);
            batch.producer = Some(stamp);
            (batch.transactional, batch.control) = (transactional, control);
            self.end += records;
            self.producers.push(&batch, self.flushed, NOW);
        }

        fn check(&self, stamp: ProducerStamp) -> Result<Verdict, SequenceError> {
            self.producers.check(&stamp, None, NOW)
        }
    }

    fn found(base: i64, last: i64) -> Result<Verdict, SequenceError> {
        let timestamp = Some(TimestampMs::new(77));
        Ok(Verdict::Duplicate {
            base_offset: Offset::new(base),
            last_offset: Offset::new(last),
            timestamp,
        })
    }

    fn out_of_order(expected: i32, found: i32) -> Result<Verdict, SequenceError> {
        let (expected, found) = (Sequence::new(expected), Sequence::new(found));
        Err(SequenceError::OutOfOrder {
            producer: ProducerId::new(1),
            expected,
            found,
        })
    }

    #[test]
    fn the_last_five_batches_are_recognised_with_their_offsets() {
        let mut log = Log::new();
        (0..6).for_each(|batch| log.append(stamp(1, 0, batch * 10, 10)));
        for batch in 1..6 {
            let base = i64::from(batch) * 10;
            assert_eq!(log.check(stamp(1, 0, batch * 10, 10)), found(base, base + 9));
        }
        assert_eq!(
            log.check(stamp(1, 0, 0, 10)),
            out_of_order(60, 0),
            "the sixth last is forgotten"
        );
        assert_eq!(
            log.check(stamp(1, 0, 50, 9)),
            out_of_order(60, 50),
            "another length is another batch"
        );
        assert_eq!(log.check(stamp(1, 0, 60, 10)), Ok(Verdict::New));
        assert_eq!(log.check(stamp(1, 0, 61, 10)), out_of_order(60, 61));
    }

    #[test]
    fn sequences_go_on_around_their_end() {
        let mut log = Log::new();
        log.append(stamp(1, 0, i32::MAX - 4, 10));
        assert_eq!(log.check(stamp(1, 0, i32::MAX - 4, 10)), found(0, 9));
        assert_eq!(log.check(stamp(1, 0, 5, 1)), Ok(Verdict::New));
        assert_eq!(log.check(stamp(1, 0, 6, 1)), out_of_order(5, 6));
        log.append(stamp(1, 0, 5, i32::MAX - 4));
        assert_eq!(
            log.check(stamp(1, 0, 0, 1)),
            Ok(Verdict::New),
            "the last one was i32::MAX"
        );
    }

    #[test]
    fn epochs_fence_older_ones_and_begin_at_zero() {
        let mut log = Log::new();
        log.append(stamp(1, 3, 0, 10));
        let fenced = SequenceError::InvalidEpoch {
            producer: ProducerId::new(1),
            current: ProducerEpoch::new(3),
            found: ProducerEpoch::new(2),
        };
        assert_eq!(log.check(stamp(1, 2, 10, 1)), Err(fenced));
        assert_eq!(log.check(stamp(1, 4, 10, 1)), out_of_order(0, 10));
        assert_eq!(log.check(stamp(1, 4, 0, 1)), Ok(Verdict::New));
        log.append(stamp(1, 4, 0, 10));
        assert_eq!(
            log.check(stamp(1, 4, 0, 10)),
            found(10, 19),
            "not the batch of the epoch before"
        );
    }

    #[test]
    fn an_unknown_producer_begins_anywhere() {
        assert_eq!(Log::new().check(stamp(1, 7, 1234, 5)), Ok(Verdict::New));
    }

    #[test]
    fn a_crowd_refuses_newcomers_until_one_falls_silent() {
        let mut log = Log::new();
        (0..PRODUCERS_MAX as i64).for_each(|id| log.append(stamp(id, 0, 0, 1)));
        let newcomer = stamp(-5, 0, 0, 1);
        assert_eq!(log.check(newcomer), Err(SequenceError::TooManyProducers));
        assert!(
            matches!(log.check(stamp(3, 0, 0, 1)), Ok(Verdict::Duplicate { .. })),
            "the known go on"
        );
        let later = TimestampMs::new(NOW.get() + PRODUCER_IDLE_MS);
        assert_eq!(log.producers.check(&newcomer, None, later), Ok(Verdict::New));
        log.append(newcomer);
        assert_eq!(log.producers.len(), PRODUCERS_MAX);
        assert!(matches!(log.check(newcomer), Ok(Verdict::Duplicate { .. })));
    }

    #[test]
    fn silence_expires_a_producer_but_not_an_open_transaction() {
        let mut log = Log::new();
        log.append(stamp(1, 0, 0, 1));
        log.append_kind(stamp(2, 0, 0, 1), true, false);
        log.producers.expire(TimestampMs::new(NOW.get() + 999), 1000);
        assert_eq!(log.producers.len(), 2);
        log.producers.expire(TimestampMs::new(NOW.get() + 1000), 1000);
        assert_eq!(log.producers.len(), 1);
        assert!(matches!(
            log.check(stamp(2, 0, 0, 1)),
            Ok(Verdict::Duplicate { .. })
        ));
    }

    #[test]
    fn the_last_stable_offset_waits_for_markers_that_are_visible() {
        let mut log = Log::new();
        let stable = |log: &Log, hw: i64| log.producers.last_stable_offset(Offset::new(hw)).get();
        log.append(stamp(9, 0, 0, 5));
        log.append_kind(stamp(1, 0, 0, 5), true, false);
        log.append_kind(stamp(2, 0, 0, 5), true, false);
        log.append_kind(stamp(1, 0, 5, 5), true, false);
        assert_eq!((stable(&log, 3), stable(&log, 20)), (3, 5));
        log.append_kind(stamp(1, 0, 0, 1), false, true);
        assert_eq!(
            stable(&log, 20),
            5,
            "the marker at 20 is not below the high watermark"
        );
        assert_eq!(stable(&log, 21), 10, "the other transaction is open");
        log.append_kind(stamp(2, 0, 0, 1), false, true);
        assert_eq!(stable(&log, 22), 22);
        log.producers.truncate(Offset::new(20));
        assert_eq!(
            stable(&log, 20),
            5,
            "without its marker the transaction is open again"
        );
        log.producers.forget_closed(Offset::new(20));
        assert_eq!(stable(&log, 20), 5);
    }

    #[test]
    fn a_cut_takes_back_more_batches_than_are_recognised() {
        let mut log = Log::new();
        log.append(stamp(1, 0, 0, 10));
        log.flushed = Offset::new(10);
        (1..9).for_each(|batch| log.append(stamp(1, 0, batch * 10, 10)));
        assert_eq!(log.check(stamp(1, 0, 10, 10)), out_of_order(90, 10));
        log.producers.truncate(log.flushed);
        assert_eq!(
            log.check(stamp(1, 0, 10, 10)),
            Ok(Verdict::New),
            "the one after what is durable"
        );
    }

    #[test]
    fn what_is_durable_is_remembered_no_longer_than_it_is_recognised() {
        let mut log = Log::new();
        for batch in 0..20 {
            log.flushed = Offset::new(log.end);
            log.append(stamp(1, 0, batch * 10, 10));
        }
        let producer = &log.producers.known[&ProducerId::new(1)];
        assert_eq!(producer.batches.len(), crate::limits::PRODUCER_BATCHES);
    }

    /// A thousand small batches between two flushes, and then none for a day.
    #[test]
    fn a_burst_keeps_no_memory_once_it_is_durable() {
        let mut log = Log::new();
        (0..1_000).for_each(|batch| log.append(stamp(1, 0, batch * 10, 10)));
        let room = |log: &Log| log.producers.known[&ProducerId::new(1)].batches.capacity();
        log.producers.settle(Offset::new(5_000));
        assert!(room(&log) >= 500, "a cut may take them back");
        log.producers.settle(Offset::new(log.end));
        assert!(room(&log) <= 8, "{}", room(&log));
        assert_eq!(log.check(stamp(1, 0, 9_950, 10)), found(9_950, 9_959));
        assert_eq!(log.check(stamp(1, 0, 10_000, 10)), Ok(Verdict::New));
    }

    /// Two entries' room for one in a tree whose leaves are half empty, and what the allocator puts to a buffer.
    #[test]
    fn a_producer_takes_no_more_than_is_counted_for_it() {
        let mut log = Log::new();
        for batch in 0..20 {
            log.flushed = Offset::new(log.end);
            log.append(stamp(1, 0, batch * 10, 10));
        }
        let batches = log.producers.known[&ProducerId::new(1)].batches.capacity();
        let entry = size_of::<ProducerId>() + size_of::<Producer>();
        let bytes = 2 * entry + batches * size_of::<producer::AppendedBatch>() + 16;
        assert!(bytes <= crate::limits::PRODUCER_BYTES as usize, "{bytes}");
    }

    #[test]
    fn a_cut_takes_batches_back() {
        let mut log = Log::new();
        (0..7).for_each(|batch| log.append(stamp(1, 0, batch * 10, 10)));
        log.append(stamp(2, 0, 0, 10));
        log.producers.truncate(Offset::new(50));
        assert_eq!(log.check(stamp(1, 0, 50, 10)), Ok(Verdict::New));
        assert_eq!(log.check(stamp(1, 0, 40, 10)), found(40, 49));
        assert_eq!(
            log.producers.len(),
            1,
            "a producer whose first batch is gone was never there"
        );
        log.producers.truncate(Offset::new(20));
        assert_eq!(
            log.check(stamp(1, 0, 20, 10)),
            Ok(Verdict::New),
            "the sequence outlives the batches"
        );
        assert_eq!(log.check(stamp(1, 0, 30, 10)), out_of_order(20, 30));
    }

    #[test]
    fn a_cut_of_more_than_is_recognised_leaves_no_gap() {
        let mut log = Log::new();
        (0..7).for_each(|batch| log.append(stamp(1, 0, batch * 10, 10)));
        log.producers.truncate(Offset::new(10));
        assert_eq!(log.check(stamp(1, 0, 10, 10)), Ok(Verdict::New));
        for sequence in [20, 30, 70] {
            assert_eq!(log.check(stamp(1, 0, sequence, 10)), out_of_order(10, sequence));
        }
    }
}
