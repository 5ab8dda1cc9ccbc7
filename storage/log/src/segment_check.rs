//! A segment's bytes held against everything that is known of them, fed in pieces of any size: for who wants to know
//! what is bad and what is not, and not only where the first bad byte lies.
//!
//! Place: driven by the look of `millstream-storage` at a directory that nobody serves. The walk goes on behind what is
//! bad: at the next batch where the bad one's length can be believed, else at the next entry of the index.
//!
//! Invariants: every byte up to the recorded end is covered by a batch's checksum or by that of a run of the index; bad
//! ranges rise and do not touch; memory is bounded however much is bad.

use alloc::vec::Vec;

use millstream_protocol::record::batch::{BatchSummary, HEADER_LEN};
use millstream_protocol::types::Offset;

use crate::batch::StoredBatch;
use crate::crc::{combine, crc32c, crc32c_append, salt};
use crate::id::{FilePosition, SegmentId};
use crate::index::{IndexRun, SparseIndex};
use crate::leader_epochs::LeaderEpochs;
use crate::rebuild::{COVERED_FROM, leader_epoch_of};
use crate::segment::Segment;

/// See the module's page.
#[derive(Debug)]
pub struct SegmentCheck {
    segment: SegmentId,
    byte_end: FilePosition,
    end_offset: Offset,
    epochs: LeaderEpochs,
    /// What the bytes are divided into; the last one ends at `byte_end`.
    stretches: Vec<Stretch>,
    /// The stretch that the next byte belongs to, its checksum so far, and whether anything in it is bad.
    current: usize,
    crc: u32,
    is_bad: bool,
    /// Bytes taken in.
    fed: FilePosition,
    next_offset: Offset,
    /// The batch before was bad: where it ends is told by the next one's base offset.
    is_unsure: bool,
    /// Nothing is parsed up to the stretch's end.
    is_lost: bool,
    header: [u8; HEADER_LEN],
    /// Bytes of `header` that are here.
    filled: usize,
    batch: Option<Batch>,
    batches: u64,
    rebuilt: SparseIndex,
    bad: Vec<BadRange>,
}

/// Bytes of a segment that are not those that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRange {
    pub from: FilePosition,
    /// Exclusive.
    pub to: FilePosition,
    pub first_offset: Offset,
    /// Exclusive.
    pub end_offset: Offset,
    pub why: BadBytes,
}

/// How it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBytes {
    /// A batch's own checksum does not match.
    Checksum,
    /// A batch's header is none, or does not continue the log: offset, leader epoch, length.
    Header,
    /// Whole batches, but not those that the index knows here.
    Foreign,
}

/// A run of the index, or bytes that no index knows.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    end: FilePosition,
    from: FilePosition,
    /// Of the first batch; `None` where only the walk can tell.
    offset: Option<Offset>,
    crc: Option<u32>,
}

/// A batch whose header is here and whose end is not.
#[derive(Clone, Copy, Debug)]
struct Batch {
    summary: BatchSummary,
    from: FilePosition,
    /// As the header says, and of what is here.
    crc: u32,
    crc_so_far: u32,
    left: u64,
}

impl SegmentCheck {
    /// `epochs` is the partition's history. `index` is what a checkpoint or a sidecar says of the segment.
    pub fn new(segment: &Segment, epochs: &LeaderEpochs, index: Option<&SparseIndex>) -> Self {
        let mut stretches: Vec<Stretch> = index
            .into_iter()
            .flat_map(SparseIndex::runs)
            .take_while(|run| run.end <= segment.byte_end)
            .map(|run: IndexRun| Stretch {
                from: run.position,
                end: run.end,
                offset: Some(run.offset),
                crc: Some(run.crc),
            })
            .collect();
        let indexed = stretches.last().map_or(FilePosition::ZERO, |last| last.end);
        if indexed < segment.byte_end {
            stretches.push(Stretch {
                from: indexed,
                end: segment.byte_end,
                offset: None,
                crc: None,
            });
        }
        Self {
            segment: segment.id,
            byte_end: segment.byte_end,
            end_offset: segment.end_offset,
            epochs: epochs.clone(),
            stretches,
            current: 0,
            crc: salt(segment.id),
            is_bad: false,
            fed: FilePosition::ZERO,
            next_offset: segment.base_offset,
            is_unsure: false,
            is_lost: false,
            header: [0; HEADER_LEN],
            filled: 0,
            batch: None,
            batches: 0,
            rebuilt: SparseIndex::new(segment.id),
            bad: Vec::new(),
        }
    }

    /// Where the next piece is to begin.
    pub fn position(&self) -> FilePosition {
        self.fed
    }

    /// Whole batches so far that are what was written.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Takes the bytes at [`Self::position`]; what lies beyond the segment's end is ignored.
    pub fn feed(&mut self, bytes: &[u8]) {
        let left = usize::try_from(self.byte_end - self.fed).unwrap_or(usize::MAX);
        let mut bytes = &bytes[..bytes.len().min(left)];
        while let Some(stretch) = self.stretches.get(self.current).copied()
            && !bytes.is_empty()
        {
            let room = usize::try_from(stretch.end - self.fed).unwrap_or(usize::MAX);
            let (here, later) = bytes.split_at(bytes.len().min(room));
            self.crc = crc32c_append(self.crc, here);
            self.walk(here);
            self.fed = self.fed + here.len() as u64;
            if self.fed == stretch.end {
                self.end_stretch(stretch);
            }
            bytes = later;
        }
    }

    /// What is bad, and the index as these bytes give it if nothing is. All bytes were fed.
    pub fn finish(self) -> Result<SparseIndex, Vec<BadRange>> {
        assert!(self.fed == self.byte_end, "a check ends with the segment");
        match self.bad.is_empty() {
            true => Ok(self.rebuilt),
            false => Err(self.bad),
        }
    }

    /// Walks bytes that begin at `fed` and lie in one stretch.
    fn walk(&mut self, mut bytes: &[u8]) {
        let end = self.fed + bytes.len() as u64;
        while !bytes.is_empty() && !self.is_lost {
            let at = FilePosition::new(end.get() - bytes.len() as u64);
            bytes = match self.batch {
                None => self.take_header(at, bytes),
                Some(batch) => self.take_body(batch, bytes),
            };
        }
    }

    fn take_header<'a>(&mut self, at: FilePosition, bytes: &'a [u8]) -> &'a [u8] {
        let take = bytes.len().min(HEADER_LEN - self.filled);
        self.header[self.filled..self.filled + take].copy_from_slice(&bytes[..take]);
        let from = FilePosition::new(at.get() - self.filled as u64);
        self.filled += take;
        if self.filled == HEADER_LEN {
            match self.believed(from) {
                Some(batch) => {
                    if self.is_unsure {
                        self.is_unsure = false;
                        self.next_offset = batch.summary.base_offset;
                        if let Some(last) = self.bad.last_mut() {
                            last.end_offset = batch.summary.base_offset;
                        }
                    }
                    self.batch = Some(batch);
                    self.end_batch_if_whole(batch);
                }
                None => self.lose(from, BadBytes::Header),
            }
        }
        &bytes[take..]
    }

    /// The batch that a header tells of, if it goes on where the log stands and ends within its stretch.
    fn believed(&self, from: FilePosition) -> Option<Batch> {
        let (summary, crc) = BatchSummary::from_header(&self.header).ok()?;
        let epoch = leader_epoch_of(&self.header)?;
        let continues = match self.is_unsure {
            true => summary.base_offset > self.next_offset,
            false => summary.base_offset == self.next_offset,
        };
        let fits = continues
            && summary.last_offset < self.end_offset
            && from + u64::from(summary.size) <= self.stretches[self.current].end
            && self.epochs.may_have_written(epoch, summary.last_offset);
        fits.then(|| Batch {
            summary,
            from,
            crc,
            crc_so_far: crc32c(&self.header[COVERED_FROM..]),
            left: u64::from(summary.size) - HEADER_LEN as u64,
        })
    }

    fn take_body<'a>(&mut self, mut batch: Batch, bytes: &'a [u8]) -> &'a [u8] {
        let take = bytes.len().min(usize::try_from(batch.left).unwrap_or(usize::MAX));
        batch.crc_so_far = crc32c_append(batch.crc_so_far, &bytes[..take]);
        batch.left -= take as u64;
        self.batch = Some(batch);
        self.end_batch_if_whole(batch);
        &bytes[take..]
    }

    fn end_batch_if_whole(&mut self, batch: Batch) {
        if batch.left > 0 {
            return;
        }
        let (summary, size) = (batch.summary, u64::from(batch.summary.size));
        self.filled = 0;
        self.batch = None;
        if batch.crc_so_far != batch.crc {
            // Its length and last offset are covered by that checksum, and may be what is wrong.
            let range = BadRange {
                from: batch.from,
                to: batch.from + size,
                first_offset: summary.base_offset,
                end_offset: summary.last_offset.next(),
                why: BadBytes::Checksum,
            };
            self.note(range);
            (self.is_bad, self.is_unsure) = (true, true);
            return;
        }
        let covered = size - COVERED_FROM as u64;
        let crc = combine(crc32c(&self.header[..COVERED_FROM]), batch.crc, covered);
        if self.rebuilt.end() == batch.from {
            self.rebuilt.push(&StoredBatch { summary, crc });
        }
        self.batches += 1;
        self.next_offset = summary.last_offset.next();
    }

    /// No batch can be found from `from` on.
    fn lose(&mut self, from: FilePosition, why: BadBytes) {
        let range = BadRange {
            from,
            to: self.stretches[self.current].end,
            first_offset: self.next_offset,
            end_offset: self.after_stretch(),
            why,
        };
        self.note(range);
        (self.is_bad, self.is_lost, self.is_unsure) = (true, true, false);
    }

    /// Where the offsets of the current stretch end, exclusive.
    fn after_stretch(&self) -> Offset {
        let next = self.stretches.get(self.current + 1);
        next.map_or(Some(self.end_offset), |next| next.offset)
            .unwrap_or(self.end_offset)
    }

    fn end_stretch(&mut self, stretch: Stretch) {
        if let Some(batch) = self.batch.filter(|_| !self.is_lost) {
            self.lose(batch.from, BadBytes::Header);
        } else if self.filled > 0 && !self.is_lost {
            self.lose(
                FilePosition::new(stretch.end.get() - self.filled as u64),
                BadBytes::Header,
            );
        }
        let after = self.after_stretch();
        let is_last = self.current + 1 == self.stretches.len();
        if self.is_unsure
            && let Some(last) = self.bad.last_mut()
        {
            last.end_offset = after;
        } else if !self.is_bad && self.next_offset != after && (is_last || self.is_anchored()) {
            // Batches are missing at the end.
            self.lose(stretch.end, BadBytes::Header);
        }
        if !self.is_bad && stretch.crc.is_some_and(|crc| crc != self.crc) {
            let first_offset = stretch.offset.unwrap_or(self.next_offset);
            let range = BadRange {
                from: stretch.from,
                to: stretch.end,
                first_offset,
                end_offset: after,
                why: BadBytes::Foreign,
            };
            self.note(range);
        }
        self.current += 1;
        self.crc = salt(self.segment);
        if let Some(offset) = self.stretches.get(self.current).and_then(|next| next.offset) {
            self.next_offset = offset;
        } else if self.is_bad && !is_last {
            self.next_offset = after;
        }
        (self.is_bad, self.is_unsure, self.is_lost) = (false, false, false);
        (self.filled, self.batch) = (0, None);
    }

    /// The next stretch tells its first offset.
    fn is_anchored(&self) -> bool {
        let next = self.stretches.get(self.current + 1);
        next.is_some_and(|next| next.offset.is_some())
    }

    /// Adds a bad range, to the last one where they touch or where there are many already.
    fn note(&mut self, range: BadRange) {
        let is_full = self.bad.len() >= BAD_RANGES_MAX;
        match self.bad.last_mut() {
            Some(last) if last.to == range.from || is_full => {
                (last.to, last.end_offset) = (range.to, range.end_offset);
            }
            _ => self.bad.push(range),
        }
    }
}

/// Of one segment; what lies beyond is told as one with the last.
const BAD_RANGES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::rebuild::testing::{epochs, sealed};

    fn checked(
        segment: &Segment,
        index: Option<&SparseIndex>,
        bytes: &[u8],
    ) -> Result<SparseIndex, Vec<BadRange>> {
        let mut results = [1usize, 977, 1 << 20].map(|piece| {
            let mut check = SegmentCheck::new(segment, &epochs(), index);
            bytes.chunks(piece).for_each(|piece| check.feed(piece));
            check.finish()
        });
        assert!(results.iter().all(|result| *result == results[0]));
        core::mem::replace(&mut results[0], Err(Vec::new()))
    }

    /// Where each batch begins, and the end.
    fn starts(bytes: &[u8]) -> Vec<usize> {
        let mut starts = vec![0];
        while let Ok((_, rest)) =
            millstream_protocol::record::batch::BatchView::parse(&bytes[starts[starts.len() - 1]..])
        {
            starts.push(bytes.len() - rest.len());
        }
        starts
    }

    #[test]
    fn a_whole_segment_gives_the_index_that_it_had() {
        let (segment, mut bytes) = sealed(300);
        let live = segment.index.clone().unwrap();
        bytes.extend_from_slice(&[9; 5000]);
        assert_eq!(checked(&segment, Some(&live), &bytes), Ok(live.clone()));
        assert_eq!(checked(&segment, None, &bytes), Ok(live));
        let (empty, _) = sealed(0);
        assert!(checked(&empty, None, &[]).unwrap().is_empty());
    }

    /// Every bit of some headers, and some of the rest: found, and only what is bad is called so.
    #[test]
    fn damage_of_one_batch_is_told_as_that_batch_alone() {
        let (segment, bytes) = sealed(60);
        let index = segment.index.clone().unwrap();
        let starts = starts(&bytes);
        let headers = [2, 29, 30, 59].map(|batch| starts[batch]..starts[batch] + HEADER_LEN);
        let places = headers
            .into_iter()
            .flatten()
            .chain((0..bytes.len()).step_by(2003));
        for (at, bit) in places.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let batch = starts.partition_point(|start| *start <= at) - 1;
            let mut check = SegmentCheck::new(&segment, &epochs(), Some(&index));
            check.feed(&damaged);
            let bad = check.finish().expect_err("a bit flipped unseen");
            assert_eq!(bad.len(), 1, "bit {bit} of byte {at}: {bad:?}");
            let run = index
                .runs()
                .filter(|run| run.position.get() <= at as u64)
                .last()
                .unwrap();
            let batches = Offset::new(batch as i64)..Offset::new(batch as i64 + 1);
            let is_body = at >= starts[batch] + HEADER_LEN;
            assert!(bad[0].first_offset <= batches.start && batches.end <= bad[0].end_offset);
            assert!(bad[0].from >= run.position && bad[0].to <= run.end, "{bad:?}");
            if is_body {
                assert_eq!(
                    (bad[0].first_offset, bad[0].end_offset),
                    (batches.start, batches.end)
                );
                assert_eq!(
                    (bad[0].from.get(), bad[0].to.get()),
                    (starts[batch] as u64, starts[batch + 1] as u64)
                );
            }
        }
    }

    #[test]
    fn without_an_index_everything_behind_a_lost_length_is_bad() {
        let (segment, mut bytes) = sealed(40);
        let third = starts(&bytes)[3];
        bytes[third + 8] ^= 0x40;
        let bad = checked(&segment, None, &bytes).unwrap_err();
        assert_eq!(
            (bad[0].first_offset, bad[0].end_offset),
            (Offset::new(3), Offset::new(40))
        );
    }

    #[test]
    fn two_bad_batches_are_two_ranges_and_what_lies_between_is_not_bad() {
        let (segment, mut bytes) = sealed(60);
        let starts = starts(&bytes);
        for batch in [4, 50] {
            bytes[starts[batch + 1] - 1] ^= 1;
        }
        let bad = checked(&segment, segment.index.as_ref(), &bytes).unwrap_err();
        let firsts: Vec<i64> = bad.iter().map(|range| range.first_offset.get()).collect();
        assert_eq!(firsts, [4, 50]);
        assert!(bad.iter().all(|range| range.why == BadBytes::Checksum));
    }

    #[test]
    fn whole_batches_of_another_segment_are_seen() {
        let (segment, bytes) = sealed(60);
        let (other, _) = sealed(60);
        let mut other = other;
        other.id = SegmentId::new(6);
        let bad = checked(&other, segment.index.as_ref(), &bytes).unwrap_err();
        assert_eq!(
            (bad[0].why, bad[0].first_offset),
            (BadBytes::Foreign, Offset::ZERO)
        );
        assert_eq!(bad[0].end_offset, Offset::new(60));
    }

    #[test]
    fn zeros_are_bad_to_the_end_and_memory_stays_bounded() {
        let (segment, bytes) = sealed(900);
        let bad = checked(&segment, segment.index.as_ref(), &vec![0; bytes.len()]).unwrap_err();
        assert_eq!(bad.len(), 1, "ranges that touch are one");
        assert_eq!(
            (bad[0].first_offset, bad[0].end_offset),
            (Offset::ZERO, Offset::new(900))
        );
        let mut holed = bytes.clone();
        for start in starts(&bytes).windows(2).step_by(2) {
            holed[start[1] - 1] ^= 1;
        }
        let bad = checked(&segment, segment.index.as_ref(), &holed).unwrap_err();
        assert_eq!(bad.len(), BAD_RANGES_MAX);
        assert!(bad[BAD_RANGES_MAX - 1].end_offset >= Offset::new(899));
    }
}
