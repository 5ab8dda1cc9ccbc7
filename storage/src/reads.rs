//! Serving batches: from memory at once, from the disk after a while; and looking up times.
//!
//! A read is tried; where bytes are missing it waits for them and is tried again. So what it serves is
//! always what the log is at that moment, whatever happened while it waited. Who finds all in memory is served at
//! once; who needs bytes from the disk looks at them when it is his turn (`line`).
//!
//! Invariants: bytes from the disk are served only after their CRC and their place among their neighbours
//! were checked; what fails is fenced, not served.

mod attempt;
mod line;
mod serving;

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_log::{Damage, DamageReason, FilePosition, SegmentId};
use millstream_protocol::time::Instant;
use millstream_protocol::types::{Offset, TimestampMs};
use millstream_ring::{AlignedBuf, IoError, Slice};

use self::attempt::{Stop, Try};
use self::line::Line;
use crate::cold_pieces::{ColdPieces, Waiter};
use crate::disk_share::DiskShare;
use crate::error::ReadError;
use crate::event::{FoundTime, LogEvent, LogId, ReadId, ReadOutcome, TimeOutcome};
use crate::limits::COLD_READS_MAX;
use crate::segment_files::SegmentFiles;
use crate::shard_logs::ShardLogs;

/// The reads that wait for the disk.
pub(crate) struct Reads {
    cold: ColdPieces,
    waiting: BTreeMap<Waiter, Request>,
    next: Waiter,
    /// Waiters whose bytes may be here by now.
    line: Line,
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

    /// The first batch below `bound` (exclusive) that ends at or beyond `from` (raised to the log's start) and holds
    /// a timestamp of at least `time`, for the caller to find the record in.
    pub fn offset_for_time(
        &mut self,
        log: LogId,
        time: TimestampMs,
        from: Offset,
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
            from: from.max(start),
            bound,
        };
        match self.begin(Request { read, log, what })? {
            Some(Answer::Time(found)) => Ok(TimeOutcome::Ready(found)),
            Some(Answer::Batches(_)) => unreachable!("a time was asked for"),
            None => Ok(TimeOutcome::Pending),
        }
    }

    /// Bytes from the disk that each turn from now on looks at, but for a run that passes it: checking them takes
    /// time. Not zero.
    pub fn look_at_most(&mut self, bytes: u64) {
        self.reads.line.set_share(bytes);
    }

    /// Tries the reads whose bytes came, as far as it is their turn.
    pub(crate) fn pump_reads(&mut self, now: Instant, events: &mut Vec<LogEvent>) {
        events.append(&mut self.told);
        while let Some(waiter) = self.reads.next_to_look() {
            self.try_again(waiter, events);
        }
        self.reads.line.next_turn();
        self.reads.cold.ask(&mut self.files, now);
    }

    fn try_again(&mut self, waiter: Waiter, events: &mut Vec<LogEvent>) {
        let Some(request) = self.reads.waiting.remove(&waiter) else {
            return;
        };
        let result = match self.reads.failed.remove(&waiter) {
            Some(error) => {
                self.reads.cold.release(waiter);
                Err(self.refusal(request, error))
            }
            None => self.attempt(request, Some(waiter), true),
        };
        if let Some(result) = result.transpose() {
            events.append(&mut self.told);
            events.push(done(request, result));
        } else {
            self.reads.waiting.insert(waiter, request);
        }
    }

    /// What a read that the disk failed is told: that error, unless it ended the service of these offsets, or they
    /// were deleted meanwhile, and their file with them.
    fn refusal(&self, request: Request, error: IoError) -> ReadError {
        let (Wanted::Batches { from, .. } | Wanted::Time { from, .. }) = request.what;
        let Some(log) = self.logs.get(request.log).filter(|log| !log.state.is_removed()) else {
            return ReadError::UnknownLog;
        };
        let offsets = log.state.offsets();
        let (start, end) = (offsets.start().get(), offsets.end().get());
        if from < start {
            return ReadError::OutOfRange { start, end };
        }
        match log.damage.filter(|damage| damage.at <= from) {
            Some(damage) => ReadError::Fenced { at: damage.at },
            None => ReadError::Device { errno: error.errno },
        }
    }

    fn begin(&mut self, request: Request) -> Result<Option<Answer>, ReadError> {
        if self.reads.waiting.len() >= COLD_READS_MAX {
            // Who finds all in memory need not wait behind those.
            return self.attempt(request, None, false);
        }
        let waiter = self.reads.next;
        self.reads.next += 1;
        let may_look = self.reads.line.is_free();
        let answer = self.attempt(request, Some(waiter), may_look)?;
        if answer.is_none() {
            self.reads.waiting.insert(waiter, request);
        }
        Ok(answer)
    }

    /// `None` where it is to wait; without a number to wait under it is refused then. Where it may not look at bytes
    /// from the disk and needs some, it stands in line.
    fn attempt(
        &mut self,
        request: Request,
        waiter: Option<Waiter>,
        may_look: bool,
    ) -> Result<Option<Answer>, ReadError> {
        let log = self.logs.get_mut(request.log).ok_or(ReadError::UnknownLog)?;
        let mut attempt = Try {
            id: request.log,
            log,
            indexes: &mut self.indexes,
            cold: &mut self.reads.cold,
            line: &mut self.reads.line,
            files: &mut self.files,
            waiter,
            may_look,
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
        if let Some(waiter) = waiter
            && !matches!(result, Err(Stop::Missing | Stop::NotYet))
        {
            attempt.cold.release(waiter);
        }
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(Stop::Missing) => waiter.map(|_| None).ok_or(ReadError::Busy),
            Err(Stop::NotYet) => {
                self.reads.line.join(waiter.ok_or(ReadError::Busy)?);
                Ok(None)
            }
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Damaged { at, segment }) => {
                let key = log.key();
                if log.damage.is_some_and(|known| known.at <= at) {
                    // Told before: every reader who comes this far finds it again.
                    return Err(ReadError::Fenced { at });
                }
                log.damage = Some(Damage::and(log.damage, at, DamageReason::Segment));
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
    pub(crate) fn new(cold_bytes_max: u64, disk: Arc<DiskShare>) -> Reads {
        Reads {
            cold: ColdPieces::new(cold_bytes_max, disk),
            waiting: BTreeMap::new(),
            next: 0,
            line: Line::new(),
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
            match result {
                Ok(()) => self.wake(waiter),
                Err(error) => self.fail(waiter, error),
            }
        }
    }

    /// What this one waited for is there, or will not come: it is tried again.
    pub(crate) fn wake(&mut self, waiter: Waiter) {
        self.line.join(waiter);
    }

    /// Somebody may look as soon as there is another turn.
    pub(crate) fn has_step(&self) -> bool {
        !self.line.is_empty() || self.cold.has_next_queued()
    }

    fn next_to_look(&mut self) -> Option<Waiter> {
        let queued = || self.cold.next_queued();
        match self.line.has_share() {
            true => self.line.next().or_else(queued),
            false => None,
        }
    }

    pub(crate) fn fail(&mut self, waiter: Waiter, error: IoError) {
        if self.waiting.contains_key(&waiter) {
            self.failed.insert(waiter, error);
            self.wake(waiter);
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "{} waiting, {} in line, {}",
            self.waiting.len(),
            self.line.len(),
            self.cold.describe()
        )
    }

    /// Bytes of pieces in memory and being read, and what they may come to.
    pub(crate) fn cold_bytes(&self) -> (u64, u64) {
        self.cold.bytes()
    }

    /// Its file is about to be removed.
    pub(crate) fn forget(&mut self, segment: SegmentId, files: &mut SegmentFiles) {
        self.cold.ask_for_all_of(segment, files);
        self.cold.forget(segment);
    }

    pub(crate) fn forget_range(&mut self, segment: SegmentId, from: FilePosition, to: FilePosition) {
        self.cold.forget_range(segment, from, to);
    }
}
