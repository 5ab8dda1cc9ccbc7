//! How a record changes a partition: checked as a whole, then done.

use millstream_protocol::types::{Offset, TimestampMs};

use super::PartitionState;
use crate::batch::StoredBatch;
use crate::id::{FilePosition, SegmentId};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::offsets::Offsets;
use crate::record::Record;
use crate::segment::Segment;

/// Why a record does not fit a partition. Live it is a bug; in recovery it is damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// The record belongs to another partition, or to none.
    Partition,
    /// It names a segment that is not the active one, or not in the manifest.
    Segment,
    /// It does not begin where the recorded bytes end.
    Position,
    /// Its batches do not continue the offsets or do not fill its bytes.
    Batches,
    /// An offset lies outside the log.
    Offset,
    /// The partition was opened before, or is deleted.
    Lifetime,
}

impl PartitionState {
    /// Changes the state as `record` says; on an error nothing is changed. `at` is the wall clock: live it is
    /// now, in replay the moment at which the round was written.
    pub fn apply(&mut self, record: &Record<'_>, at: TimestampMs) -> Result<(), ApplyError> {
        if record.partition() != Some(self.key) {
            return Err(ApplyError::Partition);
        }
        if self.removed {
            return Err(ApplyError::Lifetime);
        }
        match *record {
            Record::Tail {
                segment,
                position,
                bytes,
                batches,
                ..
            } => self.extend(segment, position, bytes.len() as u64, true, batches, at),
            Record::Extent {
                segment,
                position,
                length,
                batches,
                ..
            } => {
                if !position.is_aligned() {
                    return Err(ApplyError::Position);
                }
                self.extend(segment, position, length, false, batches, at)
            }
            Record::Seal {
                segment,
                byte_end,
                end_offset,
                successor,
                ..
            } => self.seal(segment, byte_end, end_offset, successor),
            Record::Epoch {
                epoch, start_offset, ..
            } => {
                if start_offset > self.offsets.end().get() {
                    return Err(ApplyError::Offset);
                }
                self.epochs.assign(epoch, start_offset);
                Ok(())
            }
            Record::LogStart { offset, .. } => self.raise_start(offset),
            Record::Opened {
                segment, base_offset, ..
            } => self.open(segment, base_offset),
            Record::Removed { .. } => {
                self.removed = true;
                self.released
                    .extend(self.segments.drain(..).map(|segment| segment.id));
                Ok(())
            }
            Record::Dropped {
                segments, log_start, ..
            } => self.drop_front(segments, log_start),
            Record::Settle => Err(ApplyError::Partition),
        }
    }

    fn open(&mut self, segment: SegmentId, base_offset: Offset) -> Result<(), ApplyError> {
        if !self.segments.is_empty() {
            return Err(ApplyError::Lifetime);
        }
        self.offsets = Offsets::empty_at(base_offset);
        self.segments.push(Segment::new(segment, base_offset));
        Ok(())
    }

    /// Records `length` bytes at `position` of the active segment, and the batches that end in them.
    fn extend(
        &mut self,
        segment: SegmentId,
        position: FilePosition,
        length: u64,
        image: bool,
        batches: &[StoredBatch],
        at: TimestampMs,
    ) -> Result<(), ApplyError> {
        let active = self
            .segments
            .last_mut()
            .filter(|active| active.id == segment)
            .ok_or(ApplyError::Segment)?;
        let repeats = image && position.is_aligned() && position < active.byte_end;
        if position != active.byte_end && !repeats {
            return Err(ApplyError::Position);
        }
        let end = position
            .get()
            .checked_add(length)
            .filter(|&end| end <= SEGMENT_BYTES_MAX);
        let byte_end = FilePosition::new(end.ok_or(ApplyError::Position)?);
        if byte_end < active.byte_end {
            return Err(ApplyError::Position);
        }
        check_batches(active, byte_end, batches)?;
        let flushed = self.offsets.flushed().get();
        active.byte_end = byte_end;
        for batch in batches {
            active.push(batch, at);
            self.producers.push(&batch.summary, flushed, at);
        }
        self.offsets.extend(active.end_offset);
        Ok(())
    }

    /// Ends `segment` at `byte_end`, forgets what lies beyond (later segments included) and goes on in
    /// `successor`.
    fn seal(
        &mut self,
        id: SegmentId,
        byte_end: FilePosition,
        end_offset: Offset,
        successor: SegmentId,
    ) -> Result<(), ApplyError> {
        let index = self
            .segments
            .iter()
            .rposition(|segment| segment.id == id)
            .ok_or(ApplyError::Segment)?;
        let segment = &self.segments[index];
        if byte_end > segment.batch_end {
            return Err(ApplyError::Position);
        }
        let within = segment.base_offset <= end_offset && end_offset <= segment.end_offset;
        let whole = byte_end == segment.batch_end;
        if !within || whole != (end_offset == segment.end_offset) || end_offset < self.offsets.start().get() {
            return Err(ApplyError::Offset);
        }
        if self.segments.iter().any(|segment| segment.id == successor) {
            return Err(ApplyError::Segment);
        }
        if byte_end < segment.byte_end || index + 1 < self.segments.len() {
            self.released
                .extend(self.segments.drain(index + 1..).map(|segment| segment.id));
            if byte_end < self.segments[index].byte_end {
                self.segments[index].truncate(byte_end, end_offset);
            }
            self.offsets.truncate(end_offset);
            self.epochs.truncate_back(end_offset);
            self.producers.truncate(end_offset);
        }
        self.segments[index].sealed = true;
        self.segments.push(Segment::new(successor, end_offset));
        Ok(())
    }

    fn raise_start(&mut self, offset: Offset) -> Result<(), ApplyError> {
        if offset > self.offsets.end().get() {
            return Err(ApplyError::Offset);
        }
        self.offsets.raise_start(offset);
        self.epochs.truncate_front(self.offsets.start().get());
        Ok(())
    }

    fn drop_front(&mut self, segments: &[SegmentId], log_start: Offset) -> Result<(), ApplyError> {
        let front = self.segments.get(..segments.len()).ok_or(ApplyError::Segment)?;
        let named = front
            .iter()
            .map(|segment| segment.id)
            .eq(segments.iter().copied());
        // The active segment stays: it says where the log goes on.
        if !named || segments.len() >= self.segments.len() {
            return Err(ApplyError::Segment);
        }
        if log_start < self.segments[segments.len()].base_offset {
            return Err(ApplyError::Offset);
        }
        self.raise_start(log_start)?;
        self.released
            .extend(self.segments.drain(..segments.len()).map(|segment| segment.id));
        Ok(())
    }
}

/// Whether `batches` continue the segment and end within `byte_end`.
fn check_batches(
    active: &Segment,
    byte_end: FilePosition,
    batches: &[StoredBatch],
) -> Result<(), ApplyError> {
    let mut position = active.batch_end.get();
    let mut next = active.end_offset;
    for batch in batches {
        let summary = &batch.summary;
        if summary.base_offset < next || summary.last_offset < summary.base_offset || summary.size == 0 {
            return Err(ApplyError::Batches);
        }
        position += u64::from(summary.size);
        next = summary.last_offset.next();
    }
    if position > byte_end.get() {
        Err(ApplyError::Batches)
    } else {
        Ok(())
    }
}
