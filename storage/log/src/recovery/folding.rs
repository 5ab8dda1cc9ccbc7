//! One partition while it is replayed.
//!
//! Place: [`super::Replay`] passes it the records of its home journal, in order.
//! Invariants: records that its checkpoint entry holds already change nothing but what is dirty; nothing is applied
//! once the replay found the partition damaged, save its deletion.

use alloc::vec::Vec;

use millstream_protocol::types::{Offset, TimestampMs};

use super::dirty::{DirtySegments, RunMemory};
use super::{Cut, Damage, DamageReason, ExtentCheck, RecoveredPartition};
use crate::checkpoint::PartitionEntry;
use crate::id::{FilePosition, Incarnation, JournalId, PartitionKey, RoundSequence, SegmentId};
use crate::partition::PartitionState;
use crate::record::Record;
use crate::segment::Segment;

/// A partition while it is replayed.
#[derive(Debug)]
pub(super) struct Folding<M> {
    pub(super) home: JournalId,
    pub(super) incarnation: Incarnation,
    state: PartitionState,
    as_of: RoundSequence,
    pub(super) floor: RoundSequence,
    dirty: DirtySegments<M>,
    pub(super) extents: Vec<PendingExtent>,
    pub(super) damage: Option<Damage>,
    /// A lost round may have held records of this partition that its state lacks.
    is_doubted: bool,
    /// A lost round may have held bytes that the segments lack.
    lacks_bytes: bool,
    /// It was taken out of service while it lived, and its journal goes on to tell of it: what was given up is taken
    /// back there.
    is_fenced_live: bool,
    /// The round of the last record.
    last: RoundSequence,
    /// Direct writes of rounds from the floor on.
    direct: Vec<(SegmentId, FilePosition, FilePosition)>,
    pub(super) cut: Option<Cut>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PendingExtent {
    pub(super) round: RoundSequence,
    pub(super) check: ExtentCheck,
    /// Where the log ends if the extent is bad.
    pub(super) cut: Cut,
}

impl<M: RunMemory> Folding<M> {
    /// As a checkpoint has it.
    pub(super) fn known(entry: PartitionEntry, home: JournalId, incarnation: Incarnation) -> Self {
        let PartitionEntry {
            state,
            as_of,
            floor,
            damage,
        } = entry;
        Self {
            home,
            incarnation,
            state,
            as_of,
            floor,
            dirty: DirtySegments::default(),
            extents: Vec::new(),
            damage,
            is_doubted: false,
            lacks_bytes: false,
            is_fenced_live: damage.is_some_and(|damage| damage.reason == DamageReason::Segment),
            last: as_of,
            direct: Vec::new(),
            cut: None,
        }
    }

    /// As it is before the round that opens it.
    pub(super) fn opened(
        key: PartitionKey,
        home: JournalId,
        incarnation: Incarnation,
        sequence: RoundSequence,
    ) -> Self {
        let (state, as_of) = (PartitionState::new(key), sequence.previous());
        Self::known(
            PartitionEntry {
                state,
                as_of,
                floor: sequence,
                damage: None,
            },
            home,
            incarnation,
        )
    }

    /// `settled`: as the record's round says.
    pub(super) fn apply(
        &mut self,
        record: &Record<'_>,
        sequence: RoundSequence,
        settled: RoundSequence,
        at: TimestampMs,
    ) {
        if self.state.is_removed() {
            return;
        }
        if sequence > self.as_of {
            if self.damage.is_some() && !self.is_fenced_live && !matches!(record, Record::Removed { .. }) {
                return;
            }
            self.note_settled(sequence, settled);
            let before = self.end();
            let was_doubted = self.is_doubted;
            if !self.settle_doubt(record, before) {
                self.fence(DamageReason::JournalRound);
                return;
            }
            if self.state.apply(record, at).is_err() {
                // The checkpoint that fenced it may have taken back already what a later record takes back.
                if !self.is_fenced_live {
                    // It goes on at the end, but in a segment of which the lost round told.
                    self.is_doubted |= was_doubted;
                    self.refuse();
                }
                return;
            }
            self.note_extent(record, sequence, before);
        }
        self.collect(record, sequence);
    }

    /// No cut reaches below what is settled.
    fn note_settled(&mut self, sequence: RoundSequence, settled: RoundSequence) {
        if sequence > self.last {
            if self.last <= settled {
                self.state.flushed_to(self.state.offsets().end().get());
            }
            self.last = sequence;
        }
    }

    /// Whether its direct writes are to be verified: one that cannot be trusted any more is not read for that.
    pub(super) fn is_verified(&self) -> bool {
        self.damage.is_none() || self.is_fenced_live
    }

    /// Keeps the bytes that the segment may lack.
    pub(super) fn collect(&mut self, record: &Record<'_>, sequence: RoundSequence) {
        if let Record::Tail {
            segment,
            position,
            bytes,
            ..
        } = *record
            && sequence >= self.floor
            && let Some(known) = self.state.segment(segment)
        {
            let kept = self
                .dirty
                .add(segment, position, bytes, known.written, known.byte_end, sequence);
            if kept.is_err() {
                self.refuse();
            }
        }
        if let Record::Extent {
            segment,
            position,
            length,
            ..
        } = *record
            && sequence >= self.floor
        {
            self.direct.push((segment, position, position + length));
        }
        if let Record::Seal {
            segment, byte_end, ..
        } = *record
            && sequence > self.as_of
        {
            self.dirty.truncate(segment, byte_end);
            self.extents.retain(|extent| {
                extent.check.segment != segment || extent.check.position + extent.check.length <= byte_end
            });
        }
    }

    /// Where the log ends by whole batches.
    fn end(&self) -> Option<Cut> {
        let active = self.state.active()?;
        Some(Cut {
            segment: active.id,
            byte_end: active.batch_end,
            end_offset: active.end_offset,
        })
    }

    fn note_extent(&mut self, record: &Record<'_>, round: RoundSequence, before: Option<Cut>) {
        if let Record::Extent {
            partition,
            segment,
            position,
            length,
            crc,
            ..
        } = *record
        {
            let cut = before.expect("an extent was applied to an open log");
            let check = ExtentCheck {
                partition,
                segment,
                position,
                length,
                crc,
            };
            self.extents.push(PendingExtent { round, check, cut });
        }
    }

    /// Whether the record may be applied: one that goes on exactly at the end proves that the lost round held
    /// nothing of this partition, one that goes on elsewhere proves the opposite.
    fn settle_doubt(&mut self, record: &Record<'_>, before: Option<Cut>) -> bool {
        let Some(before) = before.filter(|_| self.is_doubted) else {
            return true;
        };
        let continues = match *record {
            Record::Tail { batches, .. } | Record::Extent { batches, .. } => batches
                .first()
                .is_none_or(|batch| batch.summary.base_offset == before.end_offset),
            Record::Seal { end_offset, .. } => end_offset == before.end_offset,
            Record::Epoch { start_offset, .. } => start_offset == before.end_offset,
            _ => return true,
        };
        if continues {
            self.is_doubted = false;
        }
        continues
    }

    /// Rounds are lost (both inclusive). What moves the log's start is repeated in the round after, so a record that
    /// goes on at the end proves no more than that one round held nothing of this partition.
    pub(super) fn doubt(&mut self, from: RoundSequence, to: RoundSequence) {
        self.lacks_bytes |= from <= self.as_of && to >= self.floor;
        if to <= self.as_of {
            return;
        }
        if self.is_doubted || from.max(self.as_of.next()) < to {
            self.fence(DamageReason::JournalRound);
        }
        self.is_doubted = true;
    }

    /// The record does not fit.
    fn refuse(&mut self) {
        let reason = match self.is_doubted || self.lacks_bytes {
            true => DamageReason::JournalRound,
            false => DamageReason::Inconsistent,
        };
        self.fence(reason);
    }

    fn fence(&mut self, reason: DamageReason) {
        self.is_fenced_live = false;
        let at = self.state.offsets().end().get();
        self.damage.get_or_insert(Damage { at, reason });
    }

    /// The first offset of the first segment that has bytes neither in its file, nor in a journal, nor written
    /// directly.
    fn first_lost(&self) -> Option<Offset> {
        let lacks = |segment: &&Segment| {
            let mut at = segment.written.block_floor();
            while at < segment.byte_end && segment.written < segment.byte_end {
                let direct = self.direct.iter().filter(|(id, ..)| *id == segment.id);
                let direct = direct.map(|(_, from, to)| (*from, *to));
                let mut known = direct.chain(self.dirty.ranges(segment.id));
                match known.find(|(from, to)| *from <= at && at < *to) {
                    Some((_, to)) => at = to,
                    None => return true,
                }
            }
            false
        };
        let lost = self.state.segments().iter().find(lacks);
        lost.map(|segment| segment.base_offset)
    }

    /// Segments that the last record took out of the manifest.
    pub(super) fn release(&mut self) -> Vec<SegmentId> {
        let released = self.state.take_released();
        for &segment in &released {
            self.dirty.forget(segment);
            self.extents.retain(|extent| extent.check.segment != segment);
        }
        released
    }

    pub(super) fn finish(
        mut self,
        after: RoundSequence,
        unlinks: &mut Vec<SegmentId>,
    ) -> Option<RecoveredPartition<M>> {
        unlinks.extend(self.release());
        if self.state.is_removed() {
            return None;
        }
        if self.is_doubted {
            self.fence(DamageReason::JournalRound);
        }
        if self.lacks_bytes
            && let Some(at) = self.first_lost()
        {
            let reason = DamageReason::JournalRound;
            self.damage.get_or_insert(Damage { at, reason });
        }
        // One append's records share a round, so this is only seen where a round was written by a bug; it is
        // cut all the same.
        let incomplete = self
            .state
            .active()
            .is_some_and(|active| active.batch_end < active.byte_end);
        let mut cut = if incomplete && self.cut.is_none() {
            self.end()
        } else {
            self.cut
        };
        // Only what was flushed is ever deleted, so a cut below the log's start contradicts itself.
        if cut.is_some_and(|cut| cut.end_offset < self.state.offsets().start().get()) {
            self.fence(DamageReason::Inconsistent);
            cut = None;
        }
        if let Some(cut) = cut {
            self.dirty.truncate(cut.segment, cut.byte_end);
            let beyond = self
                .state
                .segments()
                .iter()
                .rev()
                .take_while(|segment| segment.id != cut.segment);
            beyond.for_each(|segment| self.dirty.forget(segment.id));
        }
        let end = cut.map_or(self.state.offsets().end().get(), |cut| cut.end_offset);
        self.state.flushed_to(end);
        let floor = self.dirty.floor().unwrap_or(after);
        let dirty = self.dirty.into_runs();
        Some(RecoveredPartition {
            state: self.state,
            home: self.home,
            dirty,
            floor,
            cut,
            damage: self.damage,
        })
    }
}
