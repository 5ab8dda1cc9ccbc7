//! Serving batches: from memory at once, from the disk after a while; and looking up times.
//!
//! A read is tried; where bytes are missing it waits for them and is tried again. So what it serves is
//! always what the log is at that moment, whatever happened while it waited.
//!
//! Invariants: bytes from the disk are served only after their CRC and their place among their neighbours
//! were checked; what fails is fenced, not served.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use millstream_log::{
    Damage, DamageReason, FilePosition, Piece, ReadPlan, SegmentId, SparseIndex, TimePlan, salt,
};
use millstream_protocol::types::{Offset, TimestampMs};
use millstream_ring::{AlignedBuf, IoError, Slice};

use crate::batch_walk::{BatchWalk, Found, WalkStep, crc_of, cut};
use crate::chunks::Located;
use crate::cold_pieces::{ColdPieces, Lookup, Waiter};
use crate::error::ReadError;
use crate::event::{FoundTime, LogEvent, LogId, ReadId, ReadOutcome, TimeOutcome};
use crate::limits::{COLD_PIECE_BYTES, COLD_READS_MAX, READ_AHEAD_PIECES};
use crate::partition_log::{Cursor, PartitionLog};
use crate::segment_files::SegmentFiles;
use crate::shard_logs::ShardLogs;

/// The reads that wait for the disk.
pub(crate) struct Reads {
    cold: ColdPieces,
    waiting: BTreeMap<Waiter, Request>,
    next: Waiter,
    /// Waiters whose bytes may be here by now, in the order of asking.
    woken: Vec<Waiter>,
    woken_set: HashSet<Waiter>,
    failed: BTreeMap<Waiter, IoError>,
}

#[derive(Clone, Copy)]
struct Request {
    read: ReadId,
    log: LogId,
    what: Wanted,
}

#[derive(Clone, Copy)]
enum Wanted {
    Batches {
        from: Offset,
        bound: Offset,
        max_bytes: u64,
        at_least_one: bool,
    },
    Time {
        time: TimestampMs,
        from: Offset,
        bound: Offset,
    },
}

/// Why a try did not end.
enum Stop {
    /// Pieces are being read.
    Missing,
    Failed(ReadError),
    /// Bytes from the disk are not what was written.
    Damaged {
        at: Offset,
        segment: SegmentId,
    },
}

/// One look at a log.
struct Try<'a> {
    log: &'a mut PartitionLog,
    cold: &'a mut ColdPieces,
    files: &'a mut SegmentFiles,
    waiter: Waiter,
}

impl ShardLogs {
    /// Whole batches from the one that holds `from` on, up to `bound` (exclusive) and `max_bytes`; with
    /// `at_least_one` the first one even if it is larger. Waits for the disk where it must: then
    /// [`LogEvent::ReadDone`] follows with `read`.
    pub fn read(
        &mut self,
        log: LogId,
        from: Offset,
        bound: Offset,
        max_bytes: u32,
        at_least_one: bool,
        read: ReadId,
    ) -> Result<ReadOutcome, ReadError> {
        let what = Wanted::Batches {
            from,
            bound,
            max_bytes: max_bytes.into(),
            at_least_one,
        };
        match self.begin(Request { read, log, what })? {
            Some(Answer::Batches(slices)) => Ok(ReadOutcome::Ready(slices)),
            Some(Answer::Time(_)) => unreachable!("batches were asked for"),
            None => Ok(ReadOutcome::Pending),
        }
    }

    /// The first batch below `bound` (exclusive) that holds a timestamp of at least `time`, for the caller
    /// to find the record in.
    pub fn offset_for_time(
        &mut self,
        log: LogId,
        time: TimestampMs,
        bound: Offset,
        read: ReadId,
    ) -> Result<TimeOutcome, ReadError> {
        let start = self
            .logs
            .get(log)
            .ok_or(ReadError::UnknownLog)?
            .state
            .offsets()
            .start()
            .get();
        let what = Wanted::Time {
            time,
            from: start,
            bound,
        };
        match self.begin(Request { read, log, what })? {
            Some(Answer::Time(found)) => Ok(TimeOutcome::Ready(found)),
            Some(Answer::Batches(_)) => unreachable!("a time was asked for"),
            None => Ok(TimeOutcome::Pending),
        }
    }

    /// Tries the reads whose bytes came.
    pub(crate) fn pump_reads(&mut self, events: &mut Vec<LogEvent>) {
        events.append(&mut self.told);
        self.reads.woken_set.clear();
        for waiter in std::mem::take(&mut self.reads.woken) {
            let Some(request) = self.reads.waiting.remove(&waiter) else {
                continue;
            };
            let result = match self.reads.failed.remove(&waiter) {
                Some(error) => Err(ReadError::Device { errno: error.errno }),
                None => self.attempt(request, waiter),
            };
            let result = match result {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => {
                    self.reads.waiting.insert(waiter, request);
                    continue;
                }
                Err(error) => Err(error),
            };
            events.append(&mut self.told);
            events.push(done(request, result));
        }
    }

    fn begin(&mut self, request: Request) -> Result<Option<Answer>, ReadError> {
        if self.reads.waiting.len() >= COLD_READS_MAX {
            return Err(ReadError::Busy);
        }
        let waiter = self.reads.next;
        self.reads.next += 1;
        let answer = self.attempt(request, waiter)?;
        if answer.is_none() {
            self.reads.waiting.insert(waiter, request);
        }
        Ok(answer)
    }

    fn attempt(&mut self, request: Request, waiter: Waiter) -> Result<Option<Answer>, ReadError> {
        let log = self.logs.get_mut(request.log).ok_or(ReadError::UnknownLog)?;
        let mut attempt = Try {
            log,
            cold: &mut self.reads.cold,
            files: &mut self.files,
            waiter,
        };
        let result = match request.what {
            Wanted::Batches {
                from,
                bound,
                max_bytes,
                at_least_one,
            } => attempt
                .batches(from, bound, max_bytes, at_least_one)
                .map(Answer::Batches),
            Wanted::Time { time, from, bound } => attempt.time(time, from, bound).map(Answer::Time),
        };
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(Stop::Missing) => Ok(None),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Damaged { at, segment }) => {
                let key = log.key();
                log.damage = Some(Damage {
                    at,
                    reason: DamageReason::Segment,
                });
                self.rescue.ask(request.log);
                let reason = format!("segment {segment} of partition {key} is damaged at offset {at}");
                self.told.push(LogEvent::Fenced {
                    log: request.log,
                    key,
                    reason,
                });
                Err(ReadError::Fenced { at })
            }
        }
    }
}

enum Answer {
    Batches(Vec<Slice>),
    Time(Option<FoundTime>),
}

fn done(request: Request, result: Result<Answer, ReadError>) -> LogEvent {
    let read = request.read;
    match (request.what, result) {
        (Wanted::Batches { .. }, Ok(Answer::Batches(slices))) => LogEvent::ReadDone {
            read,
            result: Ok(slices),
        },
        (Wanted::Batches { .. }, Err(error)) => LogEvent::ReadDone {
            read,
            result: Err(error),
        },
        (Wanted::Time { .. }, Ok(Answer::Time(found))) => LogEvent::TimeFound {
            read,
            result: Ok(found),
        },
        (Wanted::Time { .. }, Err(error)) => LogEvent::TimeFound {
            read,
            result: Err(error),
        },
        _ => unreachable!("an answer is of the kind asked for"),
    }
}

impl Reads {
    pub(crate) fn new(cold_bytes_max: u64) -> Reads {
        Reads {
            cold: ColdPieces::new(cold_bytes_max),
            waiting: BTreeMap::new(),
            next: 0,
            woken: Vec::new(),
            woken_set: HashSet::new(),
            failed: BTreeMap::new(),
        }
    }

    pub(crate) fn piece_read(
        &mut self,
        segment: SegmentId,
        number: u64,
        result: Result<(AlignedBuf, usize), IoError>,
    ) {
        let (waiters, result) = self.cold.piece_read(segment, number, result);
        for waiter in waiters {
            if let Err(error) = result {
                self.failed.insert(waiter, error);
            }
            if self.woken_set.insert(waiter) {
                self.woken.push(waiter);
            }
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{} waiting, {} woken, {}",
            self.waiting.len(),
            self.woken.len(),
            self.cold.describe()
        )
    }

    pub(crate) fn forget(&mut self, segment: SegmentId) {
        self.cold.forget(segment);
    }

    pub(crate) fn forget_range(&mut self, segment: SegmentId, from: FilePosition, to: FilePosition) {
        self.cold.forget_range(segment, from, to);
    }
}

impl Try<'_> {
    fn batches(
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
            ReadPlan::NeedIndex(segment) => unreachable!("indexes stay in memory, also that of {segment}"),
        };
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
            let (slices, cold_bytes) = self.gather(piece.segment, at, to, sequential)?;
            if cold_bytes > 0 && !self.begins_run(piece.segment, at) {
                // What comes from the disk is checked run by run.
                at = piece.from;
                continue;
            }
            let checked = self.check_runs(piece.segment, at, to, &slices, cold_bytes);
            let good = cut(&slices, 0, checked.good);
            let taken = serving.take(piece.segment, at, &good, checked.unchecked, self.log)?;
            if !taken.more {
                return Ok(false);
            }
            if let Some(bad) = checked.bad {
                return match serving.bytes {
                    0 => Err(Stop::Damaged {
                        at: bad.max(serving.from),
                        segment: piece.segment,
                    }),
                    _ => Ok(false),
                };
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

    fn time(
        &mut self,
        time: TimestampMs,
        mut from: Offset,
        bound: Offset,
    ) -> Result<Option<FoundTime>, Stop> {
        loop {
            let (piece, next) = match self.log.state.plan_time(time, from) {
                TimePlan::Scan { piece, next } => (piece, next),
                TimePlan::NeedIndex(segment) => {
                    unreachable!("indexes stay in memory, also that of {segment}")
                }
                TimePlan::NotFound => return Ok(None),
            };
            if from >= bound {
                return Ok(None);
            }
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
        &self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        slices: &[Slice],
        cold_bytes: usize,
    ) -> Checked {
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
        known.index.as_ref().expect("indexes stay in memory")
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
                Located::Gap { to: next } => {
                    let known = self
                        .log
                        .state
                        .segment(segment)
                        .expect("a plan names known segments");
                    let gap_end = next.unwrap_or(known.byte_end);
                    let end = to.min(gap_end);
                    match self.cold.look(segment, at, end, gap_end, self.waiter, self.files) {
                        Lookup::Here(cold) => slices.extend(cold),
                        Lookup::Reading => missing = true,
                    }
                    if sequential {
                        self.cold
                            .read_ahead(segment, end, READ_AHEAD_PIECES, gap_end, self.files);
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

/// A read on its way.
struct Serving {
    from: Offset,
    bound: Offset,
    max_bytes: u64,
    at_least_one: bool,
    bytes: u64,
    slices: Vec<Slice>,
    /// Where the batch after the last one served begins.
    next: Option<Cursor>,
}

struct Taken {
    /// Walked: whole batches.
    bytes: u64,
    more: bool,
}

impl Serving {
    /// Takes what is wanted of the batches that begin at `at`.
    fn take(
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
fn check(
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

fn plan_error(error: millstream_log::ReadError) -> Stop {
    Stop::Failed(match error {
        millstream_log::ReadError::OutOfRange { start, end } => ReadError::OutOfRange { start, end },
        millstream_log::ReadError::Removed => ReadError::UnknownLog,
    })
}
