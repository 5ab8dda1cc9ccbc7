//! One try of a read: what the log is at this moment, from memory and from pieces of the disk that are here.
//!
//! Invariants: bytes from the disk are served only after the checksums that cover them were checked, and are checked
//! only as far as they are served; a read that has something ends when the turn's share is used up.

use std::ops::Range;

use millstream_log::planted::{self, Bug};
use millstream_log::{FilePosition, Piece, ReadPlan, SegmentId, SparseIndex, TimePlan, salt};
use millstream_protocol::types::{Offset, TimestampMs};
use millstream_ring::Slice;

use super::line::Line;
use super::serving::{Serving, Taken, check};
use crate::batch_walk::{BatchWalk, WalkStep, crc_of, cut};
use crate::chunks::Located;
use crate::cold_pieces::{ColdPieces, Lookup, Waiter};
use crate::error::ReadError;
use crate::event::{FoundTime, LogId};
use crate::indexes::Indexes;
use crate::limits::{COLD_LOOK_BYTES, COLD_PIECE_BYTES, READ_AHEAD_PIECES};
use crate::partition_log::PartitionLog;
use crate::segment_files::SegmentFiles;

/// Why a try did not end.
pub(super) enum Stop {
    /// Something is to be read first.
    Missing,
    /// Bytes from the disk are to be looked at, and others are before it.
    NotYet,
    Failed(ReadError),
    /// Bytes from the disk are not what was written.
    Damaged {
        at: Offset,
        segment: SegmentId,
    },
}

/// One look at a log.
pub(super) struct Try<'a> {
    pub(super) id: LogId,
    pub(super) log: &'a mut PartitionLog,
    pub(super) indexes: &'a mut Indexes,
    pub(super) cold: &'a mut ColdPieces,
    pub(super) line: &'a mut Line,
    pub(super) files: &'a mut SegmentFiles,
    /// Who waits for what is missing; without one nothing is asked for.
    pub(super) waiter: Option<Waiter>,
    /// It may look at bytes from the disk.
    pub(super) may_look: bool,
}

impl Try<'_> {
    pub(super) fn batches(
        &mut self,
        from: Offset,
        bound: Offset,
        max_bytes: u64,
        at_least_one: bool,
    ) -> Result<Vec<Slice>, Stop> {
        let plan = self
            .log
            .state
            .plan_read(from, bound, max_bytes)
            .map_err(plan_error)?;
        let pieces = match plan {
            ReadPlan::Pieces(pieces) => pieces,
            ReadPlan::NeedIndex(segment) => return Err(self.want_index(segment)),
        };
        pieces.iter().for_each(|piece| self.indexes.touch(piece.segment));
        let cursor = self.log.cursors.find(from);
        let mut served = Serving {
            from,
            bound,
            max_bytes,
            at_least_one,
            bytes: 0,
            slices: Vec::new(),
            next: None,
        };
        for piece in pieces {
            let start =
                cursor.filter(|cursor| cursor.segment == piece.segment && cursor.position >= piece.from);
            let start = start.map_or(piece.from, |cursor| cursor.position);
            // The first piece must be there; for what lies in the next segments nobody waits.
            match self.serve_piece(piece, start, cursor.is_some(), &mut served) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) if served.bytes > 0 => break,
                Err(stop) => return Err(stop),
            }
        }
        if let Some(cursor) = served.next {
            self.log.cursors.note(from, cursor);
        }
        Ok(served.slices)
    }

    /// Takes the batches of one piece; tells whether there is room for more.
    fn serve_piece(
        &mut self,
        piece: Piece,
        start: FilePosition,
        sequential: bool,
        serving: &mut Serving,
    ) -> Result<bool, Stop> {
        let mut at = start;
        // A little more than what is asked for, then more where one batch is larger than that.
        let mut len = serving.max_bytes.saturating_sub(serving.bytes) + COLD_PIECE_BYTES;
        while at < piece.to {
            let to = self.run_end(piece, at + len);
            if to - at >= len + COLD_PIECE_BYTES && self.first_is_too_large(piece.segment, at, to, serving)? {
                return Ok(false);
            }
            let (slices, cold_bytes) = self.gather(piece.segment, at, to, sequential)?;
            if cold_bytes > 0 && !self.begins_run(piece.segment, at) {
                // What comes from the disk is checked run by run.
                at = piece.from;
                continue;
            }
            let taken = self.serve_gathered(
                Piece {
                    from: at,
                    to,
                    ..piece
                },
                &slices,
                cold_bytes,
                serving,
            )?;
            if !taken.more {
                return Ok(false);
            }
            if taken.bytes == 0 {
                len *= 2;
                if to == piece.to {
                    // The plan ends with whole batches; only damage leaves a rest.
                    return Err(Stop::Damaged {
                        at: serving.from,
                        segment: piece.segment,
                    });
                }
            }
            at = at + taken.bytes;
        }
        Ok(true)
    }

    /// Takes the batches of bytes that are all here, of which `cold_bytes` come from the disk or lie before some that
    /// do: these are checked some runs at a time.
    fn serve_gathered(
        &mut self,
        piece: Piece,
        slices: &[Slice],
        cold_bytes: usize,
        serving: &mut Serving,
    ) -> Result<Taken, Stop> {
        let mut at = piece.from;
        let all = |at: FilePosition, more| Taken {
            bytes: at - piece.from,
            more,
        };
        while at < piece.to {
            let done = (at - piece.from) as usize;
            let cold_left = cold_bytes.saturating_sub(done);
            let to = if cold_left == 0 {
                piece.to
            } else if serving.bytes > 0 && !self.line.has_share() {
                return Ok(all(at, false));
            } else {
                let wanted = serving.max_bytes.saturating_sub(serving.bytes);
                self.run_end(piece, at + wanted.clamp(1, COLD_PIECE_BYTES))
            };
            let part = cut(slices, done, (to - piece.from) as usize);
            let checked = self.check_runs(piece.segment, at, to, &part, cold_left);
            let good = cut(&part, 0, checked.good);
            let taken = serving.take(piece.segment, at, &good, checked.unchecked, self.log)?;
            at = at + taken.bytes;
            if !taken.more {
                return Ok(all(at, false));
            }
            match checked.bad {
                Some(bad) if serving.bytes == 0 => {
                    return Err(Stop::Damaged {
                        at: bad.max(serving.from),
                        segment: piece.segment,
                    });
                }
                Some(_) => return Ok(all(at, false)),
                // The rest is in no memory yet, or is no batch.
                None if at < to => break,
                None => {}
            }
        }
        Ok(all(at, true))
    }

    /// Whether the first batch of a read that takes none beyond its bytes is larger than they are. Its header is
    /// looked at before the rest of it is read: a wrong one makes this read end with nothing, no more than that.
    fn first_is_too_large(
        &mut self,
        segment: SegmentId,
        at: FilePosition,
        to: FilePosition,
        serving: &Serving,
    ) -> Result<bool, Stop> {
        if serving.at_least_one || serving.bytes > 0 {
            return Ok(false);
        }
        let piece_end = FilePosition::new((at.get() / COLD_PIECE_BYTES + 1) * COLD_PIECE_BYTES);
        let (slices, _) = self.gather(segment, at, to.min(piece_end), false)?;
        let mut walk = BatchWalk::new(&slices);
        while let WalkStep::Batch(found) = walk.next() {
            if found.last_offset >= serving.from {
                return Ok(found.size as u64 > serving.max_bytes);
            }
        }
        let first = walk.header().filter(|found| found.last_offset >= serving.from);
        Ok(first.is_some_and(|found| found.size as u64 > serving.max_bytes))
    }

    pub(super) fn time(
        &mut self,
        time: TimestampMs,
        mut from: Offset,
        bound: Offset,
    ) -> Result<Option<FoundTime>, Stop> {
        loop {
            let (piece, next) = match self.log.state.plan_time(time, from) {
                TimePlan::Scan { piece, next } => (piece, next),
                TimePlan::NeedIndex(segment) => return Err(self.want_index(segment)),
                TimePlan::NotFound => return Ok(None),
            };
            if from >= bound {
                return Ok(None);
            }
            self.indexes.touch(piece.segment);
            let (slices, cold_bytes) = self.gather(piece.segment, piece.from, piece.to, false)?;
            let checked = self.check_runs(piece.segment, piece.from, piece.to, &slices, cold_bytes);
            if let Some(bad) = checked.bad {
                return Err(Stop::Damaged {
                    at: bad.max(from),
                    segment: piece.segment,
                });
            }
            let mut walk = BatchWalk::new(&slices);
            while let WalkStep::Batch(found) = walk.next() {
                check(&walk, &found, None, &checked.unchecked, piece.segment)?;
                if found.base_offset >= bound {
                    return Ok(None);
                }
                if found.last_offset >= from && found.max_timestamp.is_some_and(|max| max >= time) {
                    let batch = cut(&slices, found.at, found.at + found.size);
                    return Ok(Some(FoundTime {
                        batch,
                        leader_epoch: found.leader_epoch,
                    }));
                }
            }
            from = next;
        }
    }

    /// Has the index of a segment brought to memory; the read is tried again then.
    fn want_index(&mut self, segment: SegmentId) -> Stop {
        if let Some(waiter) = self.waiter {
            self.indexes.want(self.id, segment, waiter, self.files);
        }
        Stop::Missing
    }

    /// The end of the run that holds the byte before `position`, within the piece.
    fn run_end(&self, piece: Piece, position: FilePosition) -> FilePosition {
        let index = self.index(piece.segment);
        index
            .boundary_from(position)
            .map_or(piece.to, |end| end.min(piece.to))
    }

    /// Whether a run begins here, or none is known from here on.
    fn begins_run(&self, segment: SegmentId, position: FilePosition) -> bool {
        let index = self.index(segment);
        position >= index.end() || index.boundary_from(position) == Some(position)
    }

    /// Holds the runs that have bytes from the disk against their checksums, which cover what a batch's own does not:
    /// its offset, its epoch, and that it is this batch of this segment.
    fn check_runs(
        &mut self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        slices: &[Slice],
        cold_bytes: usize,
    ) -> Checked {
        if planted::has(Bug::ColdReadNotChecked) {
            return Checked {
                good: (to - from) as usize,
                unchecked: 0..0,
                bad: None,
            };
        }
        self.line.spend(cold_bytes.min((to - from) as usize) as u64);
        let mut checked = 0;
        for run in self.index(segment).runs_within(from, to) {
            let (start, end) = ((run.position - from) as usize, (run.end - from) as usize);
            if start >= cold_bytes {
                break;
            }
            if crc_of(slices, start, end, salt(segment)) != run.crc {
                return Checked {
                    good: start,
                    unchecked: 0..0,
                    bad: Some(run.offset),
                };
            }
            checked = end;
        }
        Checked {
            good: (to - from) as usize,
            unchecked: checked..cold_bytes.max(checked),
            bad: None,
        }
    }

    fn index(&self, segment: SegmentId) -> &SparseIndex {
        let known = self
            .log
            .state
            .segment(segment)
            .expect("a plan names known segments");
        known
            .index
            .as_ref()
            .expect("a plan names segments whose index is in memory")
    }

    /// The bytes of `from..to`, and up to where there are some from the disk among them.
    fn gather(
        &mut self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        sequential: bool,
    ) -> Result<(Vec<Slice>, usize), Stop> {
        let mut slices = Vec::new();
        let mut checked = 0;
        let mut missing = false;
        let mut at = from;
        while at < to {
            match self.log.chunks.locate(segment, at) {
                Located::Here { to: end } => {
                    let end = end.min(to);
                    self.log.chunks.read(segment, at, end, &mut slices);
                    at = end;
                }
                Located::Gap { .. } if !self.may_look => return Err(Stop::NotYet),
                Located::Gap { to: next } => {
                    self.line.spend(COLD_LOOK_BYTES);
                    let known = self
                        .log
                        .state
                        .segment(segment)
                        .expect("a plan names known segments");
                    let gap_end = next.unwrap_or(known.byte_end);
                    let end = to.min(gap_end);
                    match self.cold.look(segment, at, end, gap_end, self.waiter) {
                        Lookup::Here(cold) => slices.extend(cold),
                        Lookup::Missing => missing = true,
                    }
                    if sequential && self.waiter.is_some() {
                        self.cold.read_ahead(segment, end, READ_AHEAD_PIECES, gap_end);
                    }
                    at = end;
                    checked = (at - from) as usize;
                }
            }
        }
        if missing {
            Err(Stop::Missing)
        } else {
            Ok((slices, checked))
        }
    }
}

/// What the checksums of the index say of bytes that were gathered. Counted from the first byte.
struct Checked {
    /// Everything below may be served.
    good: usize,
    /// From the disk, and in no whole run: only the batches' own checksums vouch for these.
    unchecked: Range<usize>,
    /// First offset of a run that is not what was written.
    bad: Option<Offset>,
}

fn plan_error(error: millstream_log::ReadError) -> Stop {
    Stop::Failed(match error {
        millstream_log::ReadError::OutOfRange { start, end } => ReadError::OutOfRange { start, end },
        millstream_log::ReadError::Removed => ReadError::UnknownLog,
    })
}
