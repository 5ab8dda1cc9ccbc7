//! One segment's sparse index: by offset and by time, with a checksum for every run of bytes between two
//! entries.
//!
//! ```text
//! segment   │ batch batch batch │ batch batch │ batch … │ (not indexed)
//! runs      └ run 0             └ run 1       └ run 2   └ end
//! ```
//!
//! Invariants: runs are whole batches, back to back from position 0 to `end`; offsets and positions rise;
//! there are at most [`INDEX_RUNS_MAX`]. Built from batch summaries alone, it is equal whether built live, in
//! replay or by a rebuild.

use alloc::vec::Vec;

use millstream_protocol::types::{Offset, TimestampMs};

use crate::batch::StoredBatch;
use crate::codec::{FormatError, Put, Take};
use crate::crc;
use crate::id::{FilePosition, SegmentId};
use crate::limits::{INDEX_INTERVAL_MIN, INDEX_RUNS_MAX, SEGMENT_BYTES_MAX};

/// The bytes from one entry of the index to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexRun {
    /// Base offset of the first batch.
    pub offset: Offset,
    /// Where the first batch begins.
    pub position: FilePosition,
    /// Exclusive.
    pub end: FilePosition,
    /// The largest in the run; `None` where no batch has one.
    pub max_timestamp: Option<TimestampMs>,
    /// CRC-32C of the bytes, starting from [`crate::salt`] of the segment.
    pub crc: u32,
}

/// See the module's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparseIndex {
    segment: SegmentId,
    /// A new run starts at the first batch that begins at least this far from the last run's start, in bytes.
    interval: u64,
    end: FilePosition,
    runs: Vec<PackedRun>,
}

/// [`IndexRun`] without what follows from its neighbour: 24 bytes instead of 48, times many segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PackedRun {
    offset: Offset,
    max_timestamp: i64,
    position: u32,
    crc: u32,
}

impl SparseIndex {
    pub fn new(segment: SegmentId) -> Self {
        Self {
            segment,
            interval: INDEX_INTERVAL_MIN,
            end: FilePosition::ZERO,
            runs: Vec::new(),
        }
    }

    /// Adds the batch that begins at the index's end.
    pub fn push(&mut self, batch: &StoredBatch) {
        let size = u64::from(batch.summary.size);
        let position = self.end;
        assert!(
            (position + size).get() <= SEGMENT_BYTES_MAX,
            "a segment's data is bounded"
        );
        let timestamp = TimestampMs::to_wire(batch.summary.max_timestamp);
        self.end = position + size;
        match self.runs.last_mut() {
            Some(run) if position.get() - u64::from(run.position) < self.interval => {
                run.crc = crc::combine(run.crc, batch.crc, size);
                run.max_timestamp = run.max_timestamp.max(timestamp);
            }
            _ => {
                let crc = crc::combine(crc::salt(self.segment), batch.crc, size);
                let (offset, position) = (batch.summary.base_offset, position.get() as u32);
                self.runs.push(PackedRun {
                    offset,
                    max_timestamp: timestamp,
                    position,
                    crc,
                });
                if self.runs.len() > INDEX_RUNS_MAX {
                    self.thin_out();
                }
            }
        }
    }

    /// Where the indexed bytes end; exclusive. Lower than the segment's end only after a cut.
    pub fn end(&self) -> FilePosition {
        self.end
    }

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn memory_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<PackedRun>()
    }

    /// All runs in order.
    pub fn runs(&self) -> impl Iterator<Item = IndexRun> + '_ {
        (0..self.runs.len()).map(|index| self.run(index))
    }

    /// The position to scan from in order to meet `offset`: a batch begins there.
    pub fn position_for(&self, offset: Offset) -> FilePosition {
        match self.runs.partition_point(|run| run.offset <= offset) {
            0 => FilePosition::ZERO,
            after => FilePosition::new(u64::from(self.runs[after - 1].position)),
        }
    }

    /// The first batch start known to lie at or beyond `position`; `None` where only the end does.
    pub fn boundary_from(&self, position: FilePosition) -> Option<FilePosition> {
        let index = self
            .runs
            .partition_point(|run| u64::from(run.position) < position.get());
        self.runs
            .get(index)
            .map(|run| FilePosition::new(u64::from(run.position)))
    }

    /// The first batch start known to hold only offsets at or beyond `offset`; `None` where only the end
    /// does.
    pub fn boundary_from_offset(&self, offset: Offset) -> Option<FilePosition> {
        let index = self.runs.partition_point(|run| run.offset < offset);
        self.runs
            .get(index)
            .map(|run| FilePosition::new(u64::from(run.position)))
    }

    /// The runs that lie wholly between `from` and `to`.
    pub fn runs_within(&self, from: FilePosition, to: FilePosition) -> impl Iterator<Item = IndexRun> + '_ {
        let first = self
            .runs
            .partition_point(|run| u64::from(run.position) < from.get());
        (first..self.runs.len())
            .map(|index| self.run(index))
            .take_while(move |run| run.end <= to)
    }

    /// The first run that reaches beyond offset `from` and holds a timestamp of at least `timestamp`, with
    /// the offset at which the run after it begins (`None` for the last).
    pub fn run_for_time(&self, timestamp: TimestampMs, from: Offset) -> Option<(IndexRun, Option<Offset>)> {
        let first = self
            .runs
            .partition_point(|run| run.offset <= from)
            .saturating_sub(1);
        let found = self.runs[first..]
            .iter()
            .position(|run| TimestampMs::from_wire(run.max_timestamp).is_some_and(|max| max >= timestamp))?;
        let index = first + found;
        Some((self.run(index), self.runs.get(index + 1).map(|run| run.offset)))
    }

    /// Forgets what lies at or beyond `end`. A run that the cut divides is forgotten whole: its checksum is
    /// not known any more.
    pub(crate) fn truncate(&mut self, end: FilePosition) {
        while self.end > end {
            let Some(run) = self.runs.pop() else { break };
            self.end = FilePosition::new(u64::from(run.position));
        }
    }

    fn run(&self, index: usize) -> IndexRun {
        let run = &self.runs[index];
        let end = self
            .runs
            .get(index + 1)
            .map_or(self.end, |next| FilePosition::new(u64::from(next.position)));
        IndexRun {
            offset: run.offset,
            position: FilePosition::new(u64::from(run.position)),
            end,
            max_timestamp: TimestampMs::from_wire(run.max_timestamp),
            crc: run.crc,
        }
    }

    /// Doubles the interval, and joins runs, until half of the entries are free.
    fn thin_out(&mut self) {
        while self.runs.len() > INDEX_RUNS_MAX / 2 {
            self.interval *= 2;
            let mut kept = 0;
            for index in 1..self.runs.len() {
                let run = self.run(index);
                let last = &mut self.runs[kept];
                if run.position.get() - u64::from(last.position) < self.interval {
                    let len = run.end - run.position;
                    last.crc = crc::combine(last.crc, crc::unsalt(run.crc, self.segment, len), len);
                    last.max_timestamp = last.max_timestamp.max(TimestampMs::to_wire(run.max_timestamp));
                } else {
                    kept += 1;
                    self.runs[kept] = self.runs[index];
                }
            }
            self.runs.truncate(kept + 1);
        }
    }

    pub(crate) fn encode(&self, out: &mut impl Put) {
        out.u64(self.interval);
        out.u64(self.end.get());
        out.count(self.runs.len());
        for run in &self.runs {
            out.i64(run.offset.get());
            out.i64(run.max_timestamp);
            out.u32(run.position);
            out.u32(run.crc);
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>, segment: SegmentId) -> Result<Self, FormatError> {
        let interval = take.u64()?;
        if interval == 0 || interval > 1 << 40 {
            return Err(FormatError::Field("index interval"));
        }
        let end = take.position("index end")?;
        let count = take.count(RUN_LEN, INDEX_RUNS_MAX, "index runs")?;
        let mut runs: Vec<PackedRun> = Vec::with_capacity(count);
        for _ in 0..count {
            let run = PackedRun {
                offset: take.offset("run offset")?,
                max_timestamp: take.i64()?,
                position: take.u32()?,
                crc: take.u32()?,
            };
            let rises = match runs.last() {
                Some(last) => last.offset < run.offset && last.position < run.position,
                None => run.position == 0,
            };
            if !rises || u64::from(run.position) >= end.get() {
                return Err(FormatError::Field("index order"));
            }
            runs.push(run);
        }
        if runs.is_empty() && end != FilePosition::ZERO {
            return Err(FormatError::Field("index end"));
        }
        Ok(Self {
            segment,
            interval,
            end,
            runs,
        })
    }
}

const RUN_LEN: usize = 8 + 8 + 4 + 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crc::crc32c_append;
    use crate::testing::{Chance, stored, summary};

    const ID: SegmentId = SegmentId::new(5);

    /// An index over `batches` of random size, with all bytes.
    fn built(batches: i64, size_max: u64) -> (SparseIndex, Vec<u8>, Vec<StoredBatch>) {
        let mut chance = Chance(3);
        let (mut index, mut bytes, mut all) = (SparseIndex::new(ID), Vec::new(), Vec::new());
        for offset in 0..batches {
            let size = 1 + chance.below(size_max) as usize;
            let body = chance.bytes(size);
            let batch = stored(summary(1, 0, chance.below(1000) as i64), offset, &body);
            index.push(&batch);
            bytes.extend_from_slice(&body);
            all.push(batch);
        }
        (index, bytes, all)
    }

    #[test]
    fn runs_stay_few_and_their_checksums_hold_however_often_they_are_joined() {
        let (index, bytes, _) = built(9_000, 4_000);
        assert!(index.len() <= INDEX_RUNS_MAX);
        assert!(
            index.len() > INDEX_RUNS_MAX / 4,
            "{} runs are too few",
            index.len()
        );
        assert_eq!(index.end().get() as usize, bytes.len());
        let mut position = FilePosition::ZERO;
        for run in index.runs() {
            assert_eq!(run.position, position, "runs leave no gap");
            let covered = &bytes[run.position.get() as usize..run.end.get() as usize];
            assert_eq!(run.crc, crc32c_append(crc::salt(ID), covered));
            position = run.end;
        }
        assert_eq!(position, index.end());
    }

    #[test]
    fn an_offset_is_met_by_scanning_from_its_position() {
        let (index, _, batches) = built(3_000, 4_000);
        let mut starts = alloc::collections::BTreeMap::new();
        let mut at = 0;
        for batch in &batches {
            starts.insert(at, batch.summary.base_offset);
            let offset = batch.summary.base_offset;
            let from = index.position_for(offset).get();
            assert!(
                from <= at && starts.contains_key(&from),
                "a batch begins at {from}"
            );
            let boundary = index
                .boundary_from_offset(offset)
                .map_or(index.end().get(), FilePosition::get);
            assert!(boundary >= at);
            at += u64::from(batch.summary.size);
        }
    }

    #[test]
    fn a_cut_forgets_the_run_that_it_divides() {
        let (mut index, bytes, _) = built(300, 4_000);
        let third = index.runs().nth(3).unwrap();
        index.truncate(third.position + 1);
        assert_eq!((index.len(), index.end()), (3, third.position));
        let (whole, ..) = built(300, 4_000);
        assert_eq!(
            index.runs().collect::<Vec<_>>(),
            whole.runs().take(3).collect::<Vec<_>>()
        );
        index.truncate(FilePosition::ZERO);
        assert!(index.is_empty() && index.end() == FilePosition::ZERO);
        assert!(!bytes.is_empty());
    }
}
