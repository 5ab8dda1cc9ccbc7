//! Everything known of one partition's log.
//!
//! Place: one per partition, on the shard that owns it. Live and in recovery it changes by
//! [`PartitionState::apply`] alone (and by what needs no record: what is flushed, what a segment file holds
//! by now).
//! Invariants: segments are in order of offset and only the last one is unsealed; a segment begins where the
//! one before it ends; the last one ends at the log's end; a record that does not fit what is known changes
//! nothing.

mod apply;

use alloc::vec::Vec;

use millstream_protocol::types::{LeaderEpoch, Offset, TimestampMs};

pub use apply::ApplyError;

use crate::codec::{FormatError, Put, Take};
use crate::id::{FilePosition, PartitionKey, SegmentId};
use crate::index::SparseIndex;
use crate::leader_epochs::LeaderEpochs;
use crate::limits::SEGMENTS_MAX;
use crate::offsets::Offsets;
use crate::planted::{self, Bug};
use crate::producers::Producers;
use crate::record::Record;
use crate::segment::Segment;

/// See the module's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    key: PartitionKey,
    offsets: Offsets,
    segments: Vec<Segment>,
    epochs: LeaderEpochs,
    producers: Producers,
    removed: bool,
    /// Segments that left the manifest and that nobody has asked for yet.
    released: Vec<SegmentId>,
}

impl PartitionState {
    /// A log without segments; it begins at offset 0 unless [`Record::Opened`] says otherwise.
    pub fn new(key: PartitionKey) -> Self {
        Self {
            key,
            offsets: Offsets::default(),
            segments: Vec::new(),
            epochs: LeaderEpochs::default(),
            producers: Producers::default(),
            removed: false,
            released: Vec::new(),
        }
    }

    pub fn key(&self) -> PartitionKey {
        self.key
    }

    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// In order of offset; all but the last are sealed. Empty before the first append.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub fn segment(&self, id: SegmentId) -> Option<&Segment> {
        self.segments.iter().rev().find(|segment| segment.id == id)
    }

    /// The segment that appends go to.
    pub fn active(&self) -> Option<&Segment> {
        self.segments.last()
    }

    pub fn epochs(&self) -> &LeaderEpochs {
        &self.epochs
    }

    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// All segments' data, in bytes.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.byte_end.get()).sum()
    }

    /// The record that gives an empty log its first segment.
    pub fn open_record(&self, segment: SegmentId) -> Record<'static> {
        assert!(self.segments.is_empty(), "the log is open already");
        Record::Opened {
            partition: self.key,
            segment,
            base_offset: self.offsets.end().get(),
        }
    }

    /// The record that ends the active segment where it stands.
    pub fn roll_record(&self, successor: SegmentId) -> Record<'static> {
        let active = self.active().expect("a log without segments is not rolled");
        assert_eq!(
            active.byte_end, active.batch_end,
            "a roll between the records of one append"
        );
        Record::Seal {
            partition: self.key,
            segment: active.id,
            byte_end: active.byte_end,
            end_offset: active.end_offset,
            successor,
        }
    }

    /// The record that `epoch` needs before the next append: `None` where it is known, or where the log is
    /// not open yet.
    pub fn epoch_record(&self, epoch: LeaderEpoch) -> Option<Record<'static>> {
        let start_offset = self.offsets.end().get();
        let needed = !self.segments.is_empty() && self.epochs.latest().is_none_or(|latest| latest < epoch);
        needed.then_some(Record::Epoch {
            partition: self.key,
            epoch,
            start_offset,
        })
    }

    /// Everything below `upto` (exclusive) survives a crash now. A lower value than before changes nothing.
    pub fn flushed_to(&mut self, upto: Offset) {
        self.offsets.flush(upto);
    }

    /// All bytes of `segment` below `upto` are durable in its file: a multiple of the block size, or the
    /// recorded end.
    pub fn written_to(&mut self, segment: SegmentId, upto: FilePosition) {
        if let Some(segment) = self.segment_mut(segment) {
            assert!(upto <= segment.byte_end, "written beyond the recorded end");
            assert!(
                upto.is_aligned() || upto == segment.byte_end,
                "a segment is written in whole blocks"
            );
            segment.written = segment.written.max(upto);
        }
    }

    /// The sidecar of a sealed segment is durable; its index may leave memory by [`Self::unload_index`].
    pub fn sidecar_written(&mut self, id: SegmentId) {
        if let Some(segment) = self.segment_mut(id) {
            assert!(segment.sealed, "a sidecar describes a sealed segment");
            segment.sidecar = true;
        }
    }

    /// The sidecar turned out to be missing or of no use: it stands for the index no longer.
    pub fn sidecar_lost(&mut self, id: SegmentId) {
        if let Some(segment) = self.segment_mut(id) {
            segment.sidecar = false;
        }
    }

    /// Frees the index of a segment whose sidecar is durable; returns whether there was one.
    pub fn unload_index(&mut self, id: SegmentId) -> bool {
        match self.segment_mut(id) {
            Some(segment) if segment.sidecar => segment.index.take().is_some(),
            _ => false,
        }
    }

    /// Gives a segment the index that was read from its sidecar or rebuilt from its batches.
    pub fn load_index(&mut self, id: SegmentId, index: SparseIndex) {
        if let Some(segment) = self.segment_mut(id)
            && segment.index.is_none()
            && index.end() <= segment.byte_end
        {
            segment.index = Some(index);
        }
    }

    /// Forgets producers that appended nothing for `expiration_ms`. Needs no record: a replay may remember
    /// more.
    pub fn expire_producers(&mut self, now: TimestampMs, expiration_ms: u64) {
        self.producers.expire(now, expiration_ms);
    }

    /// Gives back what producers took for batches that might have been cut and are durable now.
    pub fn settle_producers(&mut self) {
        self.producers.settle(self.offsets.flushed().get());
    }

    /// The high watermark passed transaction markers below it.
    pub fn forget_closed_transactions(&mut self, high_watermark: Offset) {
        self.producers.forget_closed(high_watermark);
    }

    /// The bound of read_committed, given the high watermark.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        self.producers.last_stable_offset(high_watermark)
    }

    /// Segments that records took out of the manifest since the last call. Their files may go once those
    /// records are durable.
    pub fn take_released(&mut self) -> Vec<SegmentId> {
        core::mem::take(&mut self.released)
    }

    fn segment_mut(&mut self, id: SegmentId) -> Option<&mut Segment> {
        self.segments.iter_mut().rev().find(|segment| segment.id == id)
    }

    /// It never held anything: no record tells of it, and its deletion leaves none.
    pub fn is_blank(&self) -> bool {
        self.segments.is_empty() && self.offsets.end().get() == Offset::ZERO
    }

    pub(crate) fn encode(&self, out: &mut impl Put) {
        assert!(!self.removed, "a deleted partition is not in a checkpoint");
        assert!(
            self.segments
                .iter()
                .all(|segment| segment.byte_end == segment.batch_end),
            "a checkpoint between the records of one append"
        );
        out.key(self.key);
        out.i64(self.offsets.start().get().get());
        out.i64(self.offsets.end().get().get());
        self.epochs.encode(out);
        self.producers.encode(out);
        out.count(self.segments.len());
        self.segments.iter().for_each(|segment| segment.encode(out));
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Result<Self, FormatError> {
        let mut state = Self::new(take.key()?);
        let start = take.offset("log start")?;
        let end = take.offset("log end")?;
        if start > end {
            return Err(FormatError::Field("log start"));
        }
        state.offsets = Offsets::recovered(start, end);
        state.epochs = LeaderEpochs::decode(take)?;
        state.producers = Producers::decode(take)?;
        if planted::has(Bug::ProducersForgotten) {
            state.producers = Producers::default();
        }
        let count = take.count(Segment::ENCODED_LEN_MIN, SEGMENTS_MAX, "segments")?;
        state.segments.reserve(count);
        for index in 0..count {
            let segment = Segment::decode(take)?;
            let follows = state
                .segments
                .last()
                .is_none_or(|last| last.end_offset == segment.base_offset);
            if !follows || segment.sealed != (index + 1 < count) {
                return Err(FormatError::Field("segment order"));
            }
            state.segments.push(segment);
        }
        if state.segments.last().is_some_and(|last| last.end_offset != end) {
            return Err(FormatError::Field("log end"));
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::StoredBatch;
    use crate::testing::{NOW, key, stored, summary};

    const ONE: SegmentId = SegmentId::new(1);
    const TWO: SegmentId = SegmentId::new(2);

    /// Offsets 0 to 2 in one batch of 100 bytes of segment 1, then an empty segment 2.
    fn log() -> PartitionState {
        let mut state = PartitionState::new(key(0));
        state.apply(&state.open_record(ONE), NOW).unwrap();
        let batches = [stored(summary(3, 0, 5), 0, &[0; 100])];
        state.apply(&tail(ONE, 0, &[0; 100], &batches), NOW).unwrap();
        state.apply(&state.roll_record(TWO), NOW).unwrap();
        state
    }

    fn tail<'a>(
        segment: SegmentId,
        position: u64,
        bytes: &'a [u8],
        batches: &'a [StoredBatch],
    ) -> Record<'a> {
        Record::Tail {
            partition: key(0),
            segment,
            position: FilePosition::new(position),
            bytes,
            batches,
        }
    }

    fn seal(segment: SegmentId, byte_end: u64, end_offset: i64, successor: u64) -> Record<'static> {
        let (byte_end, end_offset) = (FilePosition::new(byte_end), Offset::new(end_offset));
        let successor = SegmentId::new(successor);
        Record::Seal {
            partition: key(0),
            segment,
            byte_end,
            end_offset,
            successor,
        }
    }

    fn dropped(segments: &[SegmentId], log_start: i64) -> Record<'_> {
        Record::Dropped {
            partition: key(0),
            segments,
            log_start: Offset::new(log_start),
        }
    }

    #[test]
    fn a_record_that_does_not_fit_changes_nothing() {
        let [second, third] = [2, 3].map(|offset| [stored(summary(1, 0, 5), offset, &[0; 100])]);
        let extent = Record::Extent {
            partition: key(0),
            segment: TWO,
            position: FilePosition::new(8192),
            length: 4096,
            crc: 0,
            batches: &[],
        };
        let refused = [
            (Record::Removed { partition: key(1) }, ApplyError::Partition),
            (Record::Settle, ApplyError::Partition),
            (tail(ONE, 100, &[0; 100], &third), ApplyError::Segment),
            (tail(TWO, 100, &[0; 100], &third), ApplyError::Position),
            (extent, ApplyError::Position),
            (tail(TWO, 0, &[0; 100], &second), ApplyError::Batches),
            (tail(TWO, 0, &[0; 99], &third), ApplyError::Batches),
            (seal(SegmentId::new(9), 0, 3, 4), ApplyError::Segment),
            (seal(TWO, 0, 3, 1), ApplyError::Segment),
            (seal(TWO, 1, 3, 4), ApplyError::Position),
            (seal(TWO, 0, 2, 4), ApplyError::Offset),
            (seal(ONE, 100, 2, 4), ApplyError::Offset),
            (seal(ONE, 0, 3, 4), ApplyError::Offset),
            (
                Record::LogStart {
                    partition: key(0),
                    offset: Offset::new(4),
                },
                ApplyError::Offset,
            ),
            (
                Record::Opened {
                    partition: key(0),
                    segment: SegmentId::new(4),
                    base_offset: Offset::ZERO,
                },
                ApplyError::Lifetime,
            ),
            (dropped(&[TWO], 3), ApplyError::Segment),
            (dropped(&[ONE, TWO], 3), ApplyError::Segment),
            (dropped(&[ONE], 2), ApplyError::Offset),
            (
                Record::Epoch {
                    partition: key(0),
                    epoch: LeaderEpoch::ZERO,
                    start_offset: Offset::new(4),
                },
                ApplyError::Offset,
            ),
        ];
        for (record, error) in refused {
            let mut state = log();
            assert_eq!(state.apply(&record, NOW), Err(error), "{record:?}");
            assert_eq!(state, log(), "{record:?} left a trace");
        }
    }

    #[test]
    fn a_deleted_partition_takes_no_record() {
        let mut state = log();
        state.apply(&Record::Removed { partition: key(0) }, NOW).unwrap();
        assert_eq!(state.take_released(), [ONE, TWO]);
        let start = Record::LogStart {
            partition: key(0),
            offset: Offset::ZERO,
        };
        assert_eq!(state.apply(&start, NOW), Err(ApplyError::Lifetime));
    }

    #[test]
    fn a_cut_in_an_older_segment_releases_the_later_ones() {
        let mut state = log();
        state.apply(&seal(ONE, 0, 0, 3), NOW).unwrap();
        assert_eq!(state.take_released(), [TWO]);
        assert_eq!(state.offsets().end().get(), Offset::ZERO);
        let ids = state
            .segments()
            .iter()
            .map(|segment| (segment.id.get(), segment.sealed));
        assert_eq!(ids.collect::<Vec<_>>(), [(1, true), (3, false)]);
        assert_eq!(state.segments()[0].max_timestamp, None, "nothing is left of it");
    }

    #[test]
    fn what_is_flushed_never_passes_a_cut() {
        let mut state = log();
        state.flushed_to(Offset::new(3));
        state.flushed_to(Offset::new(1));
        assert_eq!(
            state.offsets().flushed().get(),
            Offset::new(3),
            "it never goes back by itself"
        );
        state.apply(&seal(ONE, 0, 0, 3), NOW).unwrap();
        assert_eq!(state.offsets().flushed().get(), Offset::ZERO);
    }
}
