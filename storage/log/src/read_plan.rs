//! Which bytes to look at for an offset or for a time. The caller reads them, skips the batches before the
//! one it wants, and stops at its bound: the index knows where batches begin only here and there.

use alloc::vec::Vec;

use millstream_protocol::types::{Offset, TimestampMs};

use crate::id::{FilePosition, SegmentId};
use crate::partition::PartitionState;
use crate::segment::Segment;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadPlan {
    /// In this order. Empty where nothing lies between the offset asked for and the bound.
    Pieces(Vec<Piece>),
    /// Load this segment's index (sidecar, else rebuild) and plan again.
    NeedIndex(SegmentId),
}

/// Bytes of one segment; a batch begins at `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub segment: SegmentId,
    pub from: FilePosition,
    /// Exclusive: the start of an indexed batch, or the recorded end.
    pub to: FilePosition,
}

/// Where to look for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimePlan {
    /// The first batch whose largest timestamp is at least the one asked for is likely in this piece. If none
    /// of its batches at or beyond the offset asked from is one, plan again from `next`.
    Scan { piece: Piece, next: Offset },
    /// Load this segment's index and plan again.
    NeedIndex(SegmentId),
    /// No such batch.
    NotFound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Below the log's start or beyond its end; both as they are now.
    OutOfRange {
        start: Offset,
        end: Offset,
    },
    Removed,
}

impl PartitionState {
    /// Plans to read batches from `from` on, below `bound` (exclusive), about `max_bytes` of them: at least
    /// one index run if there is anything, and no more than `max_bytes` plus a run at either end.
    pub fn plan_read(&self, from: Offset, bound: Offset, max_bytes: u64) -> Result<ReadPlan, ReadError> {
        let (start, end) = self.check_offset(from)?;
        let bound = bound.min(end);
        let mut pieces = Vec::new();
        let mut left = max_bytes;
        for segment in &self.segments()[self.segment_index(from.max(start))..] {
            if segment.base_offset >= bound || left == 0 && !pieces.is_empty() {
                break;
            }
            if segment.is_empty() || segment.end_offset <= from {
                continue;
            }
            let Some(piece) = piece(segment, from, bound, left) else {
                // What was planned so far is read first; the index is asked for when it is needed next.
                let plan = if pieces.is_empty() {
                    ReadPlan::NeedIndex(segment.id)
                } else {
                    ReadPlan::Pieces(pieces)
                };
                return Ok(plan);
            };
            left = left.saturating_sub(piece.to - piece.from);
            pieces.push(piece);
        }
        Ok(ReadPlan::Pieces(pieces))
    }

    /// Plans to find the first batch at or beyond offset `from` with a timestamp of at least `timestamp`.
    /// `from` is raised to the log's start.
    pub fn plan_time(&self, timestamp: TimestampMs, from: Offset) -> TimePlan {
        let from = from.max(self.offsets().start().get());
        for segment in self.segments() {
            let later = segment.max_timestamp.is_some_and(|max| max >= timestamp);
            if segment.end_offset <= from || !later {
                continue;
            }
            let Some(index) = &segment.index else {
                return TimePlan::NeedIndex(segment.id);
            };
            let found = index.run_for_time(timestamp, from);
            // After a cut the last bytes may not be indexed: they are looked at when no run is left.
            let unindexed = index.end() < segment.byte_end;
            let (from, to, next) = match found {
                Some((run, Some(next))) => (run.position, run.end, next),
                Some((run, None)) => (run.position, segment.byte_end, segment.end_offset),
                None if unindexed => (index.end(), segment.byte_end, segment.end_offset),
                None => continue,
            };
            return TimePlan::Scan {
                piece: Piece {
                    segment: segment.id,
                    from,
                    to,
                },
                next,
            };
        }
        TimePlan::NotFound
    }

    /// Plans to find the batch with the largest timestamp of all: [`Self::plan_time`] for the largest one
    /// known.
    pub fn max_timestamp(&self) -> Option<TimestampMs> {
        let start = self.offsets().start().get();
        self.segments()
            .iter()
            .filter(|segment| segment.end_offset > start)
            .filter_map(|s| s.max_timestamp)
            .max()
    }

    fn check_offset(&self, from: Offset) -> Result<(Offset, Offset), ReadError> {
        if self.is_removed() {
            return Err(ReadError::Removed);
        }
        let (start, end) = (self.offsets().start().get(), self.offsets().end().get());
        if from < start || from > end {
            Err(ReadError::OutOfRange { start, end })
        } else {
            Ok((start, end))
        }
    }

    /// The last segment that begins at or below `offset`, or the first.
    fn segment_index(&self, offset: Offset) -> usize {
        self.segments()
            .partition_point(|segment| segment.base_offset <= offset)
            .saturating_sub(1)
    }
}

/// `None` without an index.
fn piece(segment: &Segment, from: Offset, bound: Offset, max_bytes: u64) -> Option<Piece> {
    let index = segment.index.as_ref()?;
    let start = if from <= segment.base_offset {
        FilePosition::ZERO
    } else {
        index.position_for(from)
    };
    let by_size = index.boundary_from(start + max_bytes.max(1));
    let by_bound = index.boundary_from_offset(bound);
    let to = [by_size, by_bound]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(segment.byte_end);
    Some(Piece {
        segment: segment.id,
        from: start,
        to,
    })
}
