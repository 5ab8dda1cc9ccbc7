//! A sealed segment's index made anew from the segment's bytes, fed in pieces of any size.
//!
//! Place: for a segment whose sidecar is missing or cannot be trusted. The walk may stop between any two
//! pieces. What the lost index vouched for beyond the batches' own checksums is held against what the partition
//! knows: offsets leave no gap between the segment's bounds (nothing takes batches out of a segment's middle),
//! bytes end where its manifest says, and every batch has the epoch that wrote its offsets.

use core::ops::Range;

use millstream_protocol::record::batch::{BatchSummary, HEADER_LEN};
use millstream_protocol::types::{LeaderEpoch, Offset};

use crate::batch::StoredBatch;
use crate::crc::{combine, crc32c, crc32c_append};
use crate::id::FilePosition;
use crate::index::SparseIndex;
use crate::leader_epochs::LeaderEpochs;
use crate::segment::Segment;

/// See the module's page.
#[derive(Clone, Debug)]
pub struct IndexRebuild {
    byte_end: FilePosition,
    end_offset: Offset,
    /// Where the next batch begins.
    next_offset: Offset,
    epochs: LeaderEpochs,
    index: SparseIndex,
    /// Bytes taken in: where the next piece begins.
    fed: FilePosition,
    header: [u8; HEADER_LEN],
    /// Bytes of `header` that are here.
    filled: usize,
    batch: Option<Batch>,
}

/// A batch whose header is here and whose end is not.
#[derive(Clone, Copy, Debug)]
struct Batch {
    summary: BatchSummary,
    /// As the header says, and of what is here.
    crc: u32,
    crc_so_far: u32,
    left: u64,
}

/// The segment's bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildDamage {
    /// The first offset that cannot be trusted.
    pub at: Offset,
}

impl IndexRebuild {
    /// `segment` is sealed; `epochs` is its partition's history.
    pub fn new(segment: &Segment, epochs: &LeaderEpochs) -> Self {
        assert!(segment.sealed, "a segment that grows has its index");
        Self {
            byte_end: segment.byte_end,
            end_offset: segment.end_offset,
            next_offset: segment.base_offset,
            epochs: epochs.clone(),
            index: SparseIndex::new(segment.id),
            fed: FilePosition::ZERO,
            header: [0; HEADER_LEN],
            filled: 0,
            batch: None,
        }
    }

    /// Where the next piece is to begin.
    pub fn position(&self) -> FilePosition {
        self.fed
    }

    /// Where the segment's bytes end; exclusive.
    pub fn byte_end(&self) -> FilePosition {
        self.byte_end
    }

    /// Whether all bytes are taken in: [`Self::finish`] has the index.
    pub fn is_done(&self) -> bool {
        self.fed == self.byte_end
    }

    /// Takes the bytes at [`Self::position`]; what lies beyond the segment's end is ignored.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), RebuildDamage> {
        let left = self.byte_end - self.fed;
        let mut bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        self.fed = self.fed + bytes.len() as u64;
        while !bytes.is_empty() {
            bytes = match self.batch {
                None => self.take_header(bytes)?,
                Some(batch) => self.take_body(batch, bytes)?,
            };
        }
        let whole = self.filled == 0 && self.next_offset == self.end_offset;
        if self.is_done() && !whole {
            return Err(self.damage());
        }
        Ok(())
    }

    /// The index of what was taken in, whole batches: after damage, of what lies before it.
    pub fn finish(self) -> SparseIndex {
        self.index
    }

    fn take_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], RebuildDamage> {
        let take = bytes.len().min(HEADER_LEN - self.filled);
        self.header[self.filled..self.filled + take].copy_from_slice(&bytes[..take]);
        self.filled += take;
        if self.filled == HEADER_LEN {
            let (summary, crc) = BatchSummary::from_header(&self.header)
                .map_err(|_| RebuildDamage { at: self.next_offset })?;
            let end = self.index.end() + u64::from(summary.size);
            let epoch = leader_epoch_of(&self.header);
            let fits = summary.base_offset == self.next_offset
                && summary.last_offset < self.end_offset
                && end <= self.byte_end
                && epoch.is_some_and(|epoch| self.epochs.may_have_written(epoch, summary.last_offset));
            if !fits {
                return Err(self.damage());
            }
            let batch = Batch {
                summary,
                crc,
                crc_so_far: crc32c(&self.header[COVERED_FROM..]),
                left: u64::from(summary.size) - HEADER_LEN as u64,
            };
            self.batch = Some(batch);
            self.end_batch_if_whole(batch)?;
        }
        Ok(&bytes[take..])
    }

    fn take_body<'a>(&mut self, mut batch: Batch, bytes: &'a [u8]) -> Result<&'a [u8], RebuildDamage> {
        let take = bytes.len().min(usize::try_from(batch.left).unwrap_or(usize::MAX));
        batch.crc_so_far = crc32c_append(batch.crc_so_far, &bytes[..take]);
        batch.left -= take as u64;
        self.batch = Some(batch);
        self.end_batch_if_whole(batch)?;
        Ok(&bytes[take..])
    }

    fn end_batch_if_whole(&mut self, batch: Batch) -> Result<(), RebuildDamage> {
        if batch.left > 0 {
            return Ok(());
        }
        if batch.crc_so_far != batch.crc {
            return Err(self.damage());
        }
        let covered = u64::from(batch.summary.size) - COVERED_FROM as u64;
        let crc = combine(crc32c(&self.header[..COVERED_FROM]), batch.crc, covered);
        self.index.push(&StoredBatch {
            summary: batch.summary,
            crc,
        });
        self.next_offset = batch.summary.last_offset.next();
        self.filled = 0;
        self.batch = None;
        Ok(())
    }

    fn damage(&self) -> RebuildDamage {
        RebuildDamage { at: self.next_offset }
    }
}

pub(crate) fn leader_epoch_of(header: &[u8; HEADER_LEN]) -> Option<LeaderEpoch> {
    let field = header[LEADER_EPOCH].try_into().expect("four bytes");
    LeaderEpoch::checked(i32::from_be_bytes(field))
}

/// Partition leader epoch, big-endian: the field before the magic byte.
const LEADER_EPOCH: Range<usize> = 12..16;
/// First byte that a batch's own CRC covers.
pub(crate) const COVERED_FROM: usize = 21;

/// A segment to break, for this room's tests.
#[cfg(test)]
pub(crate) mod testing {
    use alloc::vec;
    use alloc::vec::Vec;

    use millstream_protocol::record::batch::{BatchView, patch};
    use millstream_protocol::record::builder::BatchBuilder;
    use millstream_protocol::types::TimestampMs;

    use super::*;
    use crate::id::SegmentId;
    use crate::testing::Chance;

    pub(crate) const ID: SegmentId = SegmentId::new(5);

    /// Epoch 3 up to offset 29, then epoch 7.
    pub(crate) fn epochs() -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        epochs.assign(LeaderEpoch::new(3), Offset::ZERO);
        epochs.assign(LeaderEpoch::new(7), Offset::new(30));
        epochs
    }

    /// A sealed segment with its live index, and its bytes.
    pub(crate) fn sealed(batches: i64) -> (Segment, Vec<u8>) {
        let mut chance = Chance(9);
        let mut segment = Segment::new(ID, Offset::ZERO);
        let mut bytes = Vec::new();
        for offset in 0..batches {
            let value = vec![offset as u8; chance.below(5_000) as usize];
            let time = TimestampMs::new(chance.below(900) as i64);
            let mut batch = BatchBuilder::new().record(time, None, Some(&value), &[]).build();
            let epoch = LeaderEpoch::new(if offset < 30 { 3 } else { 7 });
            patch(&mut batch, Offset::new(offset), epoch);
            let (view, _) = BatchView::parse(&batch).unwrap();
            let stored = StoredBatch {
                summary: view.summary(),
                crc: crc32c(&batch),
            };
            segment.push(&stored, TimestampMs::new(1));
            bytes.extend_from_slice(&batch);
        }
        segment.byte_end = segment.batch_end;
        segment.sealed = true;
        (segment, bytes)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use millstream_protocol::record::batch::BatchView;

    use super::testing::{ID, epochs, sealed};
    use super::*;

    fn rebuilt(
        segment: &Segment,
        bytes: &[u8],
        piece: usize,
    ) -> Result<SparseIndex, (RebuildDamage, SparseIndex)> {
        let mut rebuild = IndexRebuild::new(segment, &epochs());
        while !rebuild.is_done() {
            let from = rebuild.position().get() as usize;
            let to = (from + piece).min(bytes.len());
            if let Err(damage) = rebuild.feed(&bytes[from..to]) {
                return Err((damage, rebuild.finish()));
            }
        }
        Ok(rebuild.finish())
    }

    #[test]
    fn it_equals_the_live_index_however_the_bytes_come() {
        let (segment, mut bytes) = sealed(900);
        let live = segment.index.clone().unwrap();
        assert!(live.len() > 50);
        bytes.extend_from_slice(&[7; 4096]);
        for piece in [1, 60, 61, 62, 4096, 131_072, usize::MAX / 2] {
            assert_eq!(
                rebuilt(&segment, &bytes, piece).unwrap(),
                live,
                "pieces of {piece}"
            );
        }
        let (empty, _) = sealed(0);
        assert_eq!(rebuilt(&empty, &[], 10).unwrap(), SparseIndex::new(ID));
    }

    #[test]
    fn damage_is_told_with_the_index_of_what_lies_before_it() {
        let (segment, bytes) = sealed(60);
        let mut starts = vec![0];
        while let Ok((view, rest)) = BatchView::parse(&bytes[*starts.last().unwrap()..]) {
            starts.push(bytes.len() - rest.len());
            assert!(view.size() > 0);
        }
        let headers = [2, 29, 30].map(|batch| starts[batch]..starts[batch] + HEADER_LEN);
        let places = headers.into_iter().flatten().chain((0..bytes.len()).step_by(97));
        for (at, bit) in places.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let batch = starts.partition_point(|start| *start <= at) - 1;
            let (damage, index) = rebuilt(&segment, &damaged, 1000).expect_err("a bit flipped unseen");
            assert_eq!(damage.at, Offset::new(batch as i64), "bit {bit} of byte {at}");
            assert_eq!(index.end().get() as usize, starts[batch]);
        }
    }

    #[test]
    fn bytes_of_other_bounds_are_damage() {
        let (segment, bytes) = sealed(20);
        let mut more = segment.clone();
        more.end_offset = Offset::new(21);
        assert_eq!(rebuilt(&more, &bytes, 500).unwrap_err().0.at, Offset::new(20));
        let mut later = segment.clone();
        later.base_offset = Offset::new(1);
        assert_eq!(rebuilt(&later, &bytes, 500).unwrap_err().0.at, Offset::new(1));
        let mut shorter = segment;
        shorter.byte_end = FilePosition::new(shorter.byte_end.get() - 1);
        assert_eq!(rebuilt(&shorter, &bytes, 500).unwrap_err().0.at, Offset::new(19));
    }
}
