//! A read on its way: which of the batches at hand it takes, and where it stops.

use std::ops::Range;

use millstream_log::{FilePosition, SegmentId};
use millstream_protocol::types::Offset;
use millstream_ring::Slice;

use super::attempt::Stop;
use crate::batch_walk::{BatchWalk, Found, WalkStep, cut};
use crate::error::ReadError;
use crate::partition_log::{Cursor, PartitionLog};

/// A read on its way.
pub(super) struct Serving {
    pub(super) from: Offset,
    pub(super) bound: Offset,
    pub(super) max_bytes: u64,
    pub(super) at_least_one: bool,
    pub(super) bytes: u64,
    pub(super) slices: Vec<Slice>,
    /// Where the batch after the last one served begins.
    pub(super) next: Option<Cursor>,
}

pub(super) struct Taken {
    /// Walked: whole batches.
    pub(super) bytes: u64,
    pub(super) more: bool,
}

impl Serving {
    /// Takes what is wanted of the batches that begin at `at`.
    pub(super) fn take(
        &mut self,
        segment: SegmentId,
        at: FilePosition,
        slices: &[Slice],
        unchecked: Range<usize>,
        log: &PartitionLog,
    ) -> Result<Taken, Stop> {
        let mut walk = BatchWalk::new(slices);
        let mut begin = None;
        let mut end = 0;
        let mut more = true;
        let mut last = None;
        loop {
            let found = match walk.next() {
                WalkStep::Batch(found) if found.last_offset < self.from => {
                    // Skipped bytes are not served; a wrong length among them shows at the next header.
                    continue;
                }
                WalkStep::Batch(found) => self.judge(&walk, found, last, &unchecked, segment, log),
                WalkStep::End => break,
                WalkStep::Damaged => Err(Stop::Damaged {
                    at: self.next_offset(last),
                    segment,
                }),
            };
            let found = match found {
                Ok(found) => found,
                // What came before it is whole; who asks for this one is told.
                Err(_) if self.bytes > 0 => {
                    more = false;
                    break;
                }
                Err(stop) => return Err(stop),
            };
            let first = self.bytes == 0;
            let fits = self.bytes + found.size as u64 <= self.max_bytes;
            if found.last_offset >= self.bound || !(fits || first && self.at_least_one) {
                more = false;
                break;
            }
            begin.get_or_insert(found.at);
            end = found.at + found.size;
            self.bytes += found.size as u64;
            last = Some(found.last_offset);
        }
        if let (Some(begin), Some(last)) = (begin, last) {
            self.slices.extend(cut(slices, begin, end));
            self.next = Some(Cursor {
                offset: last.next(),
                segment,
                position: at + end as u64,
            });
        }
        Ok(Taken {
            bytes: walk.at() as u64,
            more,
        })
    }

    /// Whether a batch may be served.
    fn judge(
        &self,
        walk: &BatchWalk<'_>,
        found: Found,
        last: Option<Offset>,
        unchecked: &Range<usize>,
        segment: SegmentId,
        log: &PartitionLog,
    ) -> Result<Found, Stop> {
        if let Some(damage) = log.damage.filter(|damage| found.last_offset >= damage.at) {
            return Err(Stop::Failed(ReadError::Fenced { at: damage.at }));
        }
        check(walk, &found, last, unchecked, segment).map(|()| found)
    }

    fn next_offset(&self, last: Option<Offset>) -> Offset {
        last.map(Offset::next)
            .or(self.next.map(|next| next.offset))
            .unwrap_or(self.from)
    }
}

/// A batch from the disk that no run vouches for is checked before it is believed.
pub(super) fn check(
    walk: &BatchWalk<'_>,
    found: &Found,
    last: Option<Offset>,
    unchecked: &Range<usize>,
    segment: SegmentId,
) -> Result<(), Stop> {
    let cold = unchecked.contains(&found.at);
    let follows = last.is_none_or(|last| found.base_offset > last);
    if follows && (!cold || walk.crc_matches(found)) {
        Ok(())
    } else {
        Err(Stop::Damaged {
            at: last.map_or(found.base_offset, Offset::next),
            segment,
        })
    }
}
