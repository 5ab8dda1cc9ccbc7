//! Accepting batches: offsets are given, bytes are copied once into memory laid out as the segment, nothing
//! is durable.

use millstream_log::{
    AppendDecision, AppendPlan, Place, Record, SequenceError, StoredBatch, combine, crc32c,
};
use millstream_protocol::record::batch::{BatchSummary, HEADER_LEN, ProducerStamp, set_log_append_time};
use millstream_protocol::types::{LeaderEpoch, Offset};

use crate::chunks::Growth;
use crate::error::AppendError;
use crate::event::{Appended, LogId, Now, SpaceState};
use crate::partition_log::PartitionLog;
use crate::shard_logs::{ShardLogs, Shutdown};

impl ShardLogs {
    /// Appends whole batches (checked, their CRCs too; at least one; one after the other in `batches`, one
    /// of `summaries` for each).
    ///
    /// Accepted is not durable: it is once `offsets(log).flushed` lies beyond `last_offset` (of a
    /// duplicate: the original's).
    pub fn append(
        &mut self,
        log: LogId,
        batches: &[u8],
        summaries: &[BatchSummary],
        now: Now,
    ) -> Result<Appended, AppendError> {
        assert!(
            self.shutdown == Shutdown::No,
            "nothing is appended after the shutdown began"
        );
        let id = log;
        let log = self.logs.get(id).ok_or(AppendError::UnknownLog)?;
        // A batch costs nothing here while nobody was turned away.
        if !self.turned_away.is_empty()
            && let Some(stamp) = newcomer(log, summaries)
            && self.turned_away.is_ahead_of(id, stamp, now.monotonic)
        {
            return Err(AppendError::Busy);
        }
        let result = self.append_next(id, batches, summaries, now);
        match &result {
            Ok(_) if self.turned_away.is_empty() => {}
            Ok(_) => stamps(summaries).for_each(|stamp| self.turned_away.forget(id, stamp)),
            Err(error) if error.is_passing() => {
                if let Some(stamp) = self.logs.get(id).and_then(|log| newcomer(log, summaries)) {
                    self.turned_away.note(id, stamp, now.monotonic);
                }
            }
            Err(_) => {}
        }
        result
    }

    /// Appends what nothing has to come before.
    fn append_next(
        &mut self,
        id: LogId,
        batches: &[u8],
        summaries: &[BatchSummary],
        now: Now,
    ) -> Result<Appended, AppendError> {
        let log = self.logs.get_mut(id).expect("looked at before");
        if log.damage.is_some() {
            return Err(AppendError::Fenced);
        }
        let plan = match log
            .state
            .plan_append(summaries, &log.config, now.wall)
            .map_err(AppendError::Refused)?
        {
            AppendDecision::Append(plan) => plan,
            AppendDecision::Duplicate {
                base_offset,
                last_offset,
                append_time,
            } => {
                let log_start = log.state.offsets().start().get();
                return Ok(Appended {
                    base_offset,
                    last_offset,
                    append_time,
                    log_start,
                    duplicate: true,
                });
            }
        };
        if self.producers.is_full() && newcomer(log, summaries).is_some() {
            let crowd = millstream_log::AppendError::Sequence(SequenceError::TooManyProducers);
            return Err(AppendError::Refused(crowd));
        }
        self.admit(id, &plan, summaries.len())?;
        let appended = self.accept(id, batches, summaries, &plan, now);
        self.count_producers(id);
        Ok(appended)
    }

    /// What gets something pending now keeps a shadow: the next checkpoint may be needed to make room for it.
    pub(crate) fn keeps_shadows(&self) -> bool {
        self.journal.live_bytes() + self.pending_cost > self.journal.ring_bytes() / SHADOW_FROM
    }

    /// Whether the shard has room for it; keeps a shadow of the log where the journal's room is short.
    fn admit(&mut self, id: LogId, plan: &AppendPlan, batches: usize) -> Result<(), AppendError> {
        if self.stopped {
            return Err(AppendError::WritesStopped);
        }
        if self.space == SpaceState::Full {
            return Err(AppendError::NoSpace);
        }
        if self.dirty_bytes + plan.bytes > self.dirty_bytes_max() {
            return Err(AppendError::Busy);
        }
        let log = self.logs.get_mut(id).expect("looked at before");
        // Where room is short whole blocks go straight to a segment whose file is there.
        let active = plan.place == Place::Active;
        let made = active
            && log
                .logging
                .is_some_and(|segment| log.is_made(segment, &self.files));
        let through_journal = if made { 0 } else { plan.bytes };
        let first = FIRST_COST * u64::from(!log.listed);
        let cost = through_journal + SUMMARY_COST * batches as u64 + first;
        let ring = self.journal.ring_bytes();
        let used = self.journal.live_bytes() + self.pending_cost + cost;
        if used > ring / SHADOW_FROM && log.shadow.is_none() {
            if log.pending.is_empty() {
                log.shadow = Some(Box::new(log.state.clone()));
            } else if used > ring / 4 * 3 {
                return Err(AppendError::Busy);
            }
        }
        log.pending.cost += cost;
        self.pending_cost += cost;
        Ok(())
    }

    /// Gives the batches their place and keeps them, to be carried by the next round.
    fn accept(
        &mut self,
        id: LogId,
        batches: &[u8],
        summaries: &[BatchSummary],
        plan: &AppendPlan,
        now: Now,
    ) -> Appended {
        let log = self.logs.get_mut(id).expect("looked at before");
        match plan.place {
            Place::Open => {
                let record = log.state.open_record(self.segment_ids.next());
                log.record(&record, now.wall);
            }
            Place::Roll(_) => {
                let record = log.state.roll_record(self.segment_ids.next());
                log.record(&record, now.wall);
            }
            Place::Active => {}
        }
        if let Some(record) = log.state.epoch_record(log.epoch) {
            log.record(&record, now.wall);
        }
        let mut chunks_made = 0;
        let mut growth = Growth {
            now: now.monotonic,
            charged: &mut self.cache_bytes,
            made: &mut chunks_made,
            spare: &mut self.spare,
        };
        store(log, batches, summaries, plan, now, &mut growth);
        log.last_append = now.monotonic;
        log.dirty_bytes += plan.bytes;
        self.dirty_bytes += plan.bytes;
        let log_start = log.state.offsets().start().get();
        self.cache_order
            .extend(std::iter::repeat_n(id, chunks_made as usize));
        self.list(id);
        Appended {
            base_offset: plan.base_offset,
            last_offset: plan.last_offset,
            append_time: plan.append_time,
            log_start,
            duplicate: false,
        }
    }
}

/// The first batch of a producer that the log does not know.
fn newcomer<'a>(log: &PartitionLog, summaries: &'a [BatchSummary]) -> Option<&'a ProducerStamp> {
    stamps(summaries).find(|stamp| !log.state.producers().knows(stamp.id))
}

fn stamps(summaries: &[BatchSummary]) -> impl Iterator<Item = &ProducerStamp> {
    summaries.iter().filter_map(|summary| summary.producer.as_ref())
}

/// Copies the batches into the log's memory, with their offsets and epoch, and records them.
fn store(
    log: &mut PartitionLog,
    mut batches: &[u8],
    summaries: &[BatchSummary],
    plan: &AppendPlan,
    now: Now,
    growth: &mut Growth<'_>,
) {
    let mut base = plan.base_offset;
    for summary in summaries {
        let (bytes, rest) = batches.split_at(summary.size as usize);
        batches = rest;
        let more = batches.len() as u64;
        let stored = plan.store(summary, base);
        base = stored.last_offset.next();
        match plan.append_time {
            None => store_one(log, bytes, stored, now, more, growth),
            Some(time) => {
                // The one case that changes a batch: it is copied once more, for its new CRC.
                let mut bytes = bytes.to_vec();
                set_log_append_time(&mut bytes, time);
                store_one(log, &bytes, stored, now, more, growth);
            }
        }
    }
    assert!(batches.is_empty(), "the summaries describe all bytes");
}

fn store_one(
    log: &mut PartitionLog,
    bytes: &[u8],
    summary: BatchSummary,
    now: Now,
    more: u64,
    growth: &mut Growth<'_>,
) {
    let active = log.state.active().expect("opened before the first append");
    let (segment, position) = (active.id, active.byte_end);
    let header = patched_header(bytes, summary.base_offset, log.epoch);
    let crc = stored_crc(&header, bytes);
    let after_patch = &bytes[PATCH_LEN..];
    log.chunks.append(
        segment,
        position,
        &header[..PATCH_LEN],
        after_patch.len() as u64 + more,
        growth,
    );
    log.chunks
        .append(segment, position + PATCH_LEN as u64, after_patch, more, growth);
    let batches = [StoredBatch { summary, crc }];
    let record = Record::Tail {
        partition: log.key(),
        segment,
        position,
        bytes,
        batches: &batches,
    };
    log.record(&record, now.wall);
}

/// The batch's header as it is stored.
fn patched_header(bytes: &[u8], base_offset: Offset, epoch: LeaderEpoch) -> [u8; HEADER_LEN] {
    let mut header: [u8; HEADER_LEN] = bytes[..HEADER_LEN].try_into().expect("a batch has a header");
    millstream_protocol::record::batch::patch(&mut header, base_offset, epoch);
    header
}

/// The CRC of all stored bytes: of the part before the one that the batch's own CRC covers, and that CRC,
/// which was checked when the batch came.
fn stored_crc(header: &[u8; HEADER_LEN], bytes: &[u8]) -> u32 {
    let own = u32::from_be_bytes(header[CRC_AT..CRC_AT + 4].try_into().expect("four bytes"));
    combine(
        crc32c(&header[..COVERED_FROM]),
        own,
        (bytes.len() - COVERED_FROM) as u64,
    )
}

/// With one part in so many of the ring in use, a log that gets something pending keeps a shadow.
const SHADOW_FROM: u64 = 2;
/// What a batch takes in a round besides its bytes, at most.
const SUMMARY_COST: u64 = 128;
/// What a partition takes in a round besides its batches, at most: the image of a block, the blocks around
/// a direct write, and records of segments and epochs.
const FIRST_COST: u64 = 16 << 10;
/// Base offset, length and leader epoch: the bytes that differ from the producer's.
const PATCH_LEN: usize = 16;
const CRC_AT: usize = 17;
/// First byte that a batch's own CRC covers.
const COVERED_FROM: usize = 21;
