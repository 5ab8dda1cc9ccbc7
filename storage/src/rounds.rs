//! From what a partition has pending to the records of a round, and to the direct writes beside it.
//!
//! Place: called by [`crate::ShardLogs`] for each partition with something pending, while no round is in
//! flight; so all that was logged before is durable.
//!
//! ```text
//! pending bytes    │ to the block's end │ whole blocks ...... │ rest │
//! few              └ tail ───────────────────────────────────────────┘
//! many             └ tail               └ extent + direct write └ tail
//! ```

use millstream_log::planted::{self, Bug};
use millstream_log::{
    FilePosition, PartitionKey, PartitionState, Record, RoundBuilder, SegmentId, StoredBatch, crc32c_append,
    salt,
};
use millstream_protocol::types::TimestampMs;

use crate::chunks::Chunks;
use crate::journal::JournalPoint;
use crate::limits::{BLOCK, DIRECT_WRITE_BYTES_MIN_DEFAULT};
use crate::partition_log::{DirectPart, Fact, PartitionLog};

/// A round being filled.
pub(crate) struct Filling<'a, 'b> {
    pub(crate) builder: &'a mut RoundBuilder<&'b mut [u8]>,
    /// The moment before this round.
    pub(crate) point: JournalPoint,
    /// From this many bytes on whole blocks are written directly.
    pub(crate) direct_bytes_min: u64,
    /// What else may be written directly with this round, but for a batch that passes it.
    pub(crate) direct_room: u64,
    /// What the round could hold when it was empty.
    pub(crate) round_bytes: u64,
    /// A segment that is to be written to directly, and where its space must reach for that.
    pub(crate) wants_space: Option<(SegmentId, FilePosition)>,
    /// The wall clock.
    pub(crate) now: TimestampMs,
}

/// How much of a partition's pending the round took.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// All of it.
    All,
    /// The rest finds no room in this round.
    Full,
    /// The rest is to be written directly, once there is space for it.
    NeedsSpace,
}

/// A direct write to submit with the round.
pub(crate) struct DirectWrite {
    pub(crate) segment: SegmentId,
    pub(crate) from: FilePosition,
    pub(crate) to: FilePosition,
}

/// Moves what fits from `log`'s pending into the round. `has_space`: whether a
/// segment's file takes data up to a position.
pub(crate) fn fill(
    log: &mut PartitionLog,
    filling: &mut Filling<'_, '_>,
    has_space: impl Fn(SegmentId, FilePosition) -> bool,
    direct: &mut Vec<DirectWrite>,
) -> Filled {
    while let Some(fact) = log.pending.facts.front() {
        if let Fact::Released { segments } = fact {
            log.in_round.released.extend(segments);
            log.pending.facts.pop_front();
            continue;
        }
        let filled = match *fact {
            Fact::Bytes { segment, to, batches } => {
                fill_bytes(log, segment, to, batches, filling, &has_space, direct)
            }
            _ => fill_fact(log, filling),
        };
        if filled == Filled::NeedsSpace {
            fill_starts(log, filling);
        }
        if filled != Filled::All {
            return filled;
        }
    }
    Filled::All
}

/// Lets what moves the log's start pass the bytes that wait for space: it is what gives space back. It may, for the
/// start never lies beyond what is durable; but not before the end of a segment is in a round that it drops.
fn fill_starts(log: &mut PartitionLog, filling: &mut Filling<'_, '_>) {
    let mut at = 1;
    while let Some(fact) = log.pending.facts.get(at) {
        let may_pass = match fact {
            Fact::LogStart { .. } | Fact::StartAgain { .. } => true,
            Fact::Dropped { segments, .. } => segments.iter().all(|segment| Some(*segment) < log.logging),
            Fact::Bytes { .. } | Fact::Seal { .. } | Fact::Epoch { .. } | Fact::Opened { .. } => {
                at += 1;
                continue;
            }
            Fact::Released { .. } | Fact::Removed { .. } => false,
        };
        if !may_pass {
            return;
        }
        let fact = log.pending.facts.remove(at).expect("looked at above");
        log.pending.facts.push_front(fact);
        if fill_fact(log, filling) != Filled::All {
            let fact = log.pending.facts.pop_front().expect("put there above");
            return log.pending.facts.insert(at, fact);
        }
    }
}

/// Everything but bytes: one small record.
fn fill_fact(log: &mut PartitionLog, filling: &mut Filling<'_, '_>) -> Filled {
    let partition = log.key();
    let fact = log.pending.facts.front().expect("called with a fact");
    let record = match fact {
        Fact::Bytes { .. } | Fact::Released { .. } => unreachable!("go another way"),
        Fact::Seal {
            segment,
            byte_end,
            end_offset,
            successor,
        } => Record::Seal {
            partition,
            segment: *segment,
            byte_end: *byte_end,
            end_offset: *end_offset,
            successor: *successor,
        },
        Fact::Epoch { epoch, start_offset } => Record::Epoch {
            partition,
            epoch: *epoch,
            start_offset: *start_offset,
        },
        Fact::LogStart { offset } | Fact::StartAgain { offset } => Record::LogStart {
            partition,
            offset: *offset,
        },
        Fact::Opened { segment, base_offset } => Record::Opened {
            partition,
            segment: *segment,
            base_offset: *base_offset,
        },
        Fact::Removed { .. } => Record::Removed { partition },
        Fact::Dropped { segments, log_start } => Record::Dropped {
            partition,
            segments,
            log_start: *log_start,
        },
    };
    let logged = match fact {
        Fact::LogStart { .. } if planted::has(Bug::LogStartNotLogged) => Record::Settle,
        Fact::Removed { .. } if planted::has(Bug::RemovalNotLogged) => Record::Settle,
        _ => record,
    };
    if filling.builder.push(&logged).is_err() {
        return Filled::Full;
    }
    follow(log.shadow.as_deref_mut(), &record, filling.now);
    match log.pending.facts.pop_front().expect("looked at above") {
        Fact::Seal { successor, .. } => {
            log.dirty.sealed();
            (log.logging, log.logged) = (Some(successor), FilePosition::ZERO);
            log.in_round.manifest = Some(successor);
        }
        Fact::Opened { segment, .. } => {
            (log.logging, log.logged) = (Some(segment), FilePosition::ZERO);
            log.in_round.manifest = Some(segment);
        }
        Fact::LogStart { offset } => log.in_round.start = Some(offset),
        Fact::Dropped { log_start, segments } => {
            log.in_round.start = Some(log_start);
            segments.iter().for_each(|segment| log.dirty.forget(*segment));
            log.in_round.released.extend(segments);
        }
        Fact::Removed { segments } => {
            log.in_round.removed = true;
            log.in_round.released.extend(segments);
        }
        Fact::StartAgain { .. } | Fact::Epoch { .. } | Fact::Bytes { .. } | Fact::Released { .. } => {}
    }
    Filled::All
}

fn fill_bytes(
    log: &mut PartitionLog,
    segment: SegmentId,
    to: FilePosition,
    batches: usize,
    filling: &mut Filling<'_, '_>,
    has_space: &impl Fn(SegmentId, FilePosition) -> bool,
    direct: &mut Vec<DirectWrite>,
) -> Filled {
    let first = log.pending.batches[0].summary.size;
    let whole_blocks = to.block_floor() > log.logged.block_ceil();
    let fits_a_round = journaled(first) + ROUND_OVERHEAD <= filling.round_bytes;
    let wants_direct = whole_blocks && (to - log.logged >= filling.direct_bytes_min || !fits_a_round);
    // One direct write a partition and round.
    if wants_direct && log.in_round.direct.is_some() {
        return Filled::Full;
    }
    if wants_direct && has_space(segment, to.block_floor()) {
        return fill_direct(log, segment, batches, filling, direct);
    }
    if wants_direct {
        filling.wants_space = Some((segment, to));
    }
    if wants_direct && (!fits_a_round || to - log.logged > JOURNALED_WITHOUT_FILE_MAX) {
        return Filled::NeedsSpace;
    }
    fill_tail(log, segment, batches, filling)
}

/// As many batches as fit, through the journal.
fn fill_tail(
    log: &mut PartitionLog,
    segment: SegmentId,
    batches: usize,
    filling: &mut Filling<'_, '_>,
) -> Filled {
    let from = log.dirty.log_from(log.logged);
    let room = (filling.builder.room() as u64).saturating_sub((log.logged - from) + RECORD_OVERHEAD);
    let (taken, len) = fitting(&log.pending.batches[..batches], room, |batch| {
        journaled(batch.summary.size)
    });
    if taken == 0 {
        return Filled::Full;
    }
    let end = log.logged + len;
    let mut records = Cutter::new(
        log.state.key(),
        segment,
        &log.pending.batches[..taken],
        log.logged,
    );
    records.shadow = log.shadow.as_deref_mut();
    records.push_tails(&log.chunks, image_from(from, log.logged), end, filling);
    log.dirty.logged(segment, from, end, filling.point);
    took(log, batches, taken, end);
    if taken < batches {
        Filled::Full
    } else {
        Filled::All
    }
}

/// As many batches as their records fit: whole blocks to the segment, what is around them through the
/// journal.
fn fill_direct(
    log: &mut PartitionLog,
    segment: SegmentId,
    batches: usize,
    filling: &mut Filling<'_, '_>,
    direct: &mut Vec<DirectWrite>,
) -> Filled {
    let from = log.dirty.log_from(log.logged);
    let room = (filling.builder.room() as u64).saturating_sub(DIRECT_OVERHEAD);
    let (fits, _) = fitting(&log.pending.batches[..batches], room, |_| 0);
    let share = filling.direct_room.max(DIRECT_WRITE_BYTES_MIN_DEFAULT);
    let (taken, len) = up_to(&log.pending.batches[..fits], share);
    let (end, blocks) = (
        log.logged + len,
        (log.logged.block_ceil(), (log.logged + len).block_floor()),
    );
    if taken == 0 {
        return Filled::Full;
    }
    if blocks.1 <= blocks.0 {
        return fill_tail(log, segment, batches, filling);
    }
    let joins = from == log.logged;
    let mut records = Cutter::new(
        log.state.key(),
        segment,
        &log.pending.batches[..taken],
        log.logged,
    );
    records.shadow = log.shadow.as_deref_mut();
    if from < blocks.0 {
        records.push_tails(&log.chunks, image_from(from, log.logged), blocks.0, filling);
        log.dirty.logged(segment, from, blocks.0, filling.point);
    }
    let mut crc = salt(segment);
    log.chunks.bytes(segment, blocks.0, blocks.1, |bytes| {
        crc = crc32c_append(crc, bytes)
    });
    records.push_extent(blocks.0, blocks.1, crc, filling);
    if blocks.1 < end {
        records.push_tails(&log.chunks, blocks.1, end, filling);
    }
    let start = log.dirty.direct(segment, blocks.0, joins);
    if blocks.1 < end {
        log.dirty.logged(segment, blocks.1, end, filling.point);
    }
    let joined = start < blocks.0;
    direct.push(DirectWrite {
        segment,
        from: start,
        to: blocks.1,
    });
    log.in_round.direct = Some(DirectPart {
        segment,
        from: start,
        joined,
        failed: false,
        bytes: blocks.1 - start,
    });
    took(log, batches, taken, end);
    if taken < batches {
        Filled::Full
    } else {
        Filled::All
    }
}

/// Where the tail of a round begins that is to hold the block being filled from `from` on, of which the journal held
/// bytes up to `logged` once.
fn image_from(from: FilePosition, logged: FilePosition) -> FilePosition {
    match planted::has(Bug::NoBlockImage) {
        true => logged,
        false => from,
    }
}

/// The first `taken` of `batches` pending ones are in the round; they end at `end`.
fn took(log: &mut PartitionLog, batches: usize, taken: usize, end: FilePosition) {
    let last = log.pending.batches[taken - 1].summary.last_offset;
    log.in_round.upto = Some(last.next());
    log.pending.bytes -= end - log.logged;
    log.pending.batches.drain(..taken);
    log.logged = end;
    match log.pending.facts.front_mut() {
        Some(Fact::Bytes { batches: left, .. }) if taken < batches => *left -= taken,
        _ => drop(log.pending.facts.pop_front()),
    }
}

/// How many batches fit in `room` bytes when each takes its summary and `extra`; and how long these batches
/// are.
fn fitting(batches: &[StoredBatch], room: u64, extra: impl Fn(&StoredBatch) -> u64) -> (usize, u64) {
    let (mut taken, mut used, mut len) = (0, 0, 0);
    for batch in batches {
        used += extra(batch) + SUMMARY_BYTES_MAX;
        if used > room {
            break;
        }
        taken += 1;
        len += u64::from(batch.summary.size);
    }
    (taken, len)
}

/// The first batches until they have this many bytes together, and how many they have.
fn up_to(batches: &[StoredBatch], bytes: u64) -> (usize, u64) {
    let (mut taken, mut len) = (0, 0);
    while taken < batches.len() && len < bytes {
        len += u64::from(batches[taken].summary.size);
        taken += 1;
    }
    (taken, len)
}

/// A shadow holds what rounds hold.
fn follow(shadow: Option<&mut PartitionState>, record: &Record<'_>, now: TimestampMs) {
    if let Some(shadow) = shadow {
        shadow
            .apply(record, now)
            .expect("what the state took in order, its shadow takes");
    }
}

/// Cuts a run of batches into records, giving each record the batches that end in it.
struct Cutter<'a> {
    partition: PartitionKey,
    segment: SegmentId,
    batches: &'a [StoredBatch],
    /// Where the first of `batches` begins.
    position: FilePosition,
    shadow: Option<&'a mut PartitionState>,
}

impl<'a> Cutter<'a> {
    fn new(
        partition: PartitionKey,
        segment: SegmentId,
        batches: &'a [StoredBatch],
        position: FilePosition,
    ) -> Self {
        Cutter {
            partition,
            segment,
            batches,
            position,
            shadow: None,
        }
    }

    /// One record for each piece of memory.
    fn push_tails(
        &mut self,
        chunks: &Chunks,
        from: FilePosition,
        to: FilePosition,
        filling: &mut Filling<'_, '_>,
    ) {
        let mut position = from;
        chunks.bytes(self.segment, from, to, |bytes| {
            let end = position + bytes.len() as u64;
            let batches = self.ending_at(end);
            let record = Record::Tail {
                partition: self.partition,
                segment: self.segment,
                position,
                bytes,
                batches,
            };
            filling
                .builder
                .push(&record)
                .expect("the room was counted before");
            follow(self.shadow.as_deref_mut(), &record, filling.now);
            position = end;
        });
    }

    fn push_extent(&mut self, from: FilePosition, to: FilePosition, crc: u32, filling: &mut Filling<'_, '_>) {
        let batches = self.ending_at(to);
        let (partition, segment, length) = (self.partition, self.segment, to - from);
        let record = Record::Extent {
            partition,
            segment,
            position: from,
            length,
            crc,
            batches,
        };
        filling
            .builder
            .push(&record)
            .expect("the room was counted before");
        follow(self.shadow.as_deref_mut(), &record, filling.now);
    }

    /// Takes the batches that end at or before `end`.
    fn ending_at(&mut self, end: FilePosition) -> &'a [StoredBatch] {
        let mut count = 0;
        while let Some(batch) = self.batches.get(count)
            && self.position + u64::from(batch.summary.size) <= end
        {
            self.position = self.position + u64::from(batch.summary.size);
            count += 1;
        }
        let (ending, rest) = self.batches.split_at(count);
        self.batches = rest;
        ending
    }
}

/// What a batch's bytes take in a round at most: they may be cut into one record for each block.
fn journaled(size: u32) -> u64 {
    let size = u64::from(size);
    size + size / BLOCK * RECORD_BYTES_MAX
}

/// A tail record without bytes and batches, at most.
const RECORD_BYTES_MAX: u64 = 64;
/// A batch's summary in a record, at most.
const SUMMARY_BYTES_MAX: u64 = 72;
/// The records around the bytes of one partition.
const RECORD_OVERHEAD: u64 = 4 * RECORD_BYTES_MAX;
/// Around a direct write: the tail before it, maybe an image, and the one after it, each less than a block.
const DIRECT_OVERHEAD: u64 = 3 * 4096 + RECORD_OVERHEAD;
/// What the first append of a partition needs besides its bytes.
const ROUND_OVERHEAD: u64 = 4096 + RECORD_OVERHEAD + SUMMARY_BYTES_MAX + 512;
/// A new segment's first bytes go through the journal while its file is being made, if they are no more
/// than this.
const JOURNALED_WITHOUT_FILE_MAX: u64 = 1 << 20;
