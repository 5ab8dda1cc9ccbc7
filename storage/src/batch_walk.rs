//! A walk over batches that lie one after another in several pieces of memory.
//!
//! Place: every read goes through it, whether the bytes come from memory or from the disk: it finds where
//! the batches asked for begin and end, and checks those that come from the disk.
//!
//! Invariant: the walk tells a batch only when all its bytes are there; what is wrong with one ends the walk.

use millstream_protocol::record::batch::{HEADER_LEN, LENGTH_END};
use millstream_protocol::record::crc;
use millstream_protocol::types::{LeaderEpoch, Offset, TimestampMs};
use millstream_ring::Slice;

/// Walks batch by batch; starts at the start of a batch.
pub(crate) struct BatchWalk<'a> {
    slices: &'a [Slice],
    /// The piece that holds the next batch's first byte, and where in it.
    index: usize,
    within: usize,
    /// Bytes walked.
    at: usize,
    /// Bytes in all pieces.
    len: usize,
}

/// One batch, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Of the first byte, counted from the start of the walk.
    pub(crate) at: usize,
    pub(crate) size: usize,
    pub(crate) base_offset: Offset,
    /// Inclusive.
    pub(crate) last_offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) max_timestamp: Option<TimestampMs>,
    crc: u32,
}

/// How a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WalkStep {
    Batch(Found),
    /// The pieces end, maybe in the middle of a batch.
    End,
    /// These bytes are no batch.
    Damaged,
}

impl<'a> BatchWalk<'a> {
    pub(crate) fn new(slices: &'a [Slice]) -> BatchWalk<'a> {
        BatchWalk {
            slices,
            index: 0,
            within: 0,
            at: 0,
            len: slices.iter().map(|slice| slice.len()).sum(),
        }
    }

    /// Bytes walked: the end of the last batch told.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next batch; the walk goes on behind it.
    pub(crate) fn next(&mut self) -> WalkStep {
        if self.len - self.at < HEADER_LEN {
            return WalkStep::End;
        }
        let Some(found) = self.header() else {
            return WalkStep::Damaged;
        };
        if found.size > self.len - self.at {
            return WalkStep::End;
        }
        self.skip(found.size);
        WalkStep::Batch(found)
    }

    /// What the next batch's header says, whether or not the rest of the batch is there.
    pub(crate) fn header(&self) -> Option<Found> {
        let mut header = [0; HEADER_LEN];
        if self.len - self.at < HEADER_LEN {
            return None;
        }
        self.copy(&mut header);
        Found::parse(self.at, &header)
    }

    /// Whether the batch's bytes match its CRC. `found` was told by a walk over the same pieces.
    pub(crate) fn crc_matches(&self, found: &Found) -> bool {
        let mut crc = 0;
        visit(
            self.slices,
            found.at + CRC_FROM,
            found.at + found.size,
            |slice, range| {
                crc = crc::extend(crc, &slice[range]);
            },
        );
        crc == found.crc
    }

    fn copy(&self, out: &mut [u8]) {
        let mut index = self.index;
        let mut within = self.within;
        let mut filled = 0;
        while filled < out.len() {
            let piece = &self.slices[index][within..];
            let take = piece.len().min(out.len() - filled);
            out[filled..filled + take].copy_from_slice(&piece[..take]);
            filled += take;
            index += 1;
            within = 0;
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
        self.within += bytes;
        while self.index < self.slices.len() && self.within >= self.slices[self.index].len() {
            self.within -= self.slices[self.index].len();
            self.index += 1;
        }
    }
}

impl Found {
    fn parse(at: usize, header: &[u8; HEADER_LEN]) -> Option<Found> {
        let length = i32::from_be_bytes(field(header, 8));
        let size = usize::try_from(length).ok()? + LENGTH_END;
        let base_offset = Offset::checked(i64::from_be_bytes(field(header, 0)))?;
        let delta = i32::from_be_bytes(field(header, 23));
        if size < HEADER_LEN || header[16] != 2 || delta < 0 {
            return None;
        }
        Some(Found {
            at,
            size,
            base_offset,
            last_offset: base_offset.checked_add(delta.into())?,
            leader_epoch: LeaderEpoch::checked(i32::from_be_bytes(field(header, 12)))?,
            max_timestamp: TimestampMs::from_wire(i64::from_be_bytes(field(header, 35))),
            crc: u32::from_be_bytes(field(header, 17)),
        })
    }
}

/// Cuts `from..to` of the pieces into slices of their own.
pub(crate) fn cut(slices: &[Slice], from: usize, to: usize) -> Vec<Slice> {
    let mut out = Vec::new();
    visit(slices, from, to, |slice, range| out.push(slice.subslice(range)));
    out
}

/// The CRC-32C of bytes `from..to` of the pieces, going on from `crc`.
pub(crate) fn crc_of(slices: &[Slice], from: usize, to: usize, mut crc: u32) -> u32 {
    visit(slices, from, to, |slice, range| {
        crc = crc::extend(crc, &slice[range])
    });
    crc
}

fn visit(slices: &[Slice], from: usize, to: usize, mut take: impl FnMut(&Slice, std::ops::Range<usize>)) {
    let mut start = 0;
    for slice in slices {
        let end = start + slice.len();
        if end > from && start < to {
            take(slice, from.max(start) - start..to.min(end) - start);
        }
        start = end;
    }
}

fn field<const N: usize>(header: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    header[at..at + N]
        .try_into()
        .expect("the range is as long as the type")
}

/// First byte that a batch's CRC covers.
const CRC_FROM: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_protocol::record::batch::patch;
    use millstream_protocol::record::builder::BatchBuilder;

    fn batches(count: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for offset in 0..count {
            let value = vec![offset as u8; 10 + offset as usize];
            let mut batch = BatchBuilder::new()
                .record(TimestampMs::new(1000 + offset), None, Some(&value), &[])
                .build();
            patch(&mut batch, Offset::new(offset), LeaderEpoch::new(3));
            bytes.extend_from_slice(&batch);
        }
        bytes
    }

    fn in_pieces(bytes: &[u8], size: usize) -> Vec<Slice> {
        bytes
            .chunks(size)
            .map(|piece| Slice::from(piece.to_vec()))
            .collect()
    }

    #[test]
    fn finds_and_checks_batches_however_they_are_cut() {
        let bytes = batches(5);
        for size in [1, 7, 61, 80, 100, 4096] {
            let slices = in_pieces(&bytes, size);
            let mut walk = BatchWalk::new(&slices);
            for offset in 0..5 {
                let WalkStep::Batch(found) = walk.next() else {
                    panic!("batch {offset} in pieces of {size}")
                };
                assert_eq!(
                    (found.base_offset, found.last_offset),
                    (Offset::new(offset), Offset::new(offset))
                );
                assert_eq!(found.max_timestamp, Some(TimestampMs::new(1000 + offset)));
                assert!(walk.crc_matches(&found));
                let joined: Vec<u8> = cut(&slices, found.at, found.at + found.size)
                    .iter()
                    .flat_map(|slice| slice.to_vec())
                    .collect();
                assert_eq!(joined, bytes[found.at..found.at + found.size]);
            }
            assert_eq!((walk.next(), walk.at()), (WalkStep::End, bytes.len()));
        }
    }

    #[test]
    fn sees_damage_and_ends_before_a_batch_that_is_not_all_there() {
        let mut bytes = batches(2);
        let slices = in_pieces(&bytes[..bytes.len() - 1], 50);
        let mut walk = BatchWalk::new(&slices);
        assert!(matches!(walk.next(), WalkStep::Batch(_)));
        assert_eq!(walk.next(), WalkStep::End);
        bytes[70] ^= 1;
        let slices = in_pieces(&bytes, 50);
        let mut walk = BatchWalk::new(&slices);
        let WalkStep::Batch(found) = walk.next() else {
            panic!("the header is whole")
        };
        assert!(!walk.crc_matches(&found));
        bytes[16] = 1;
        assert_eq!(BatchWalk::new(&in_pieces(&bytes, 50)).next(), WalkStep::Damaged);
    }
}
