//! What may be deleted now: state in, choice out.

use alloc::vec::Vec;

use millstream_protocol::types::{Offset, TimestampMs};

use crate::config::LogConfig;
use crate::id::SegmentId;
use crate::partition::PartitionState;
use crate::record::Record;

/// What to do, in this order: roll, then drop. Nothing where both are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// All of the active segment is past its time: roll it ([`PartitionState::roll_record`]) and choose
    /// again.
    pub roll_active: bool,
    /// The first segments of the manifest.
    pub segments: Vec<SegmentId>,
    /// The log's start after that.
    pub log_start: Offset,
    pub reason: Option<RetentionReason>,
}

/// Why the last of the chosen segments goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionReason {
    /// `retention.ms`.
    Age,
    /// `retention.bytes`.
    Bytes,
    /// Every record in it lies below the log's start (DeleteRecords).
    LogStart,
}

impl Choice {
    /// The record that drops the segments; `None` where there are none.
    pub fn record<'a>(&'a self, state: &PartitionState) -> Option<Record<'a>> {
        let Self {
            segments, log_start, ..
        } = self;
        let record = Record::Dropped {
            partition: state.key(),
            segments,
            log_start: *log_start,
        };
        (!segments.is_empty()).then_some(record)
    }
}

impl PartitionState {
    /// Chooses whole sealed segments from the front, all below `high_watermark` and flushed. `now` is the
    /// wall clock.
    pub fn retention(&self, config: &LogConfig, high_watermark: Offset, now: TimestampMs) -> Choice {
        let limit = high_watermark.min(self.offsets().flushed().get());
        let start = self.offsets().start().get();
        let mut choice = Choice {
            log_start: start,
            ..Choice::default()
        };
        let mut size = self.size();
        for segment in self.segments() {
            let bytes = segment.byte_end.get();
            let aged = config.delete
                && is_older(
                    segment.max_timestamp.or(segment.opened_at),
                    config.retention_ms,
                    now,
                );
            // As Kafka: a segment goes only if what is left still has the bytes to be kept.
            let exceeding = config.delete && config.retention_bytes.is_some_and(|kept| size - bytes >= kept);
            let reason = match segment.sealed {
                _ if segment.end_offset > limit => break,
                true if segment.end_offset <= start => RetentionReason::LogStart,
                true if aged => RetentionReason::Age,
                true if exceeding && bytes > 0 => RetentionReason::Bytes,
                true => break,
                false => {
                    choice.roll_active = !segment.is_empty() && aged;
                    break;
                }
            };
            size -= bytes;
            choice.segments.push(segment.id);
            choice.log_start = start.max(segment.end_offset);
            choice.reason = Some(reason);
        }
        choice
    }
}

/// A segment without timestamps is as old as its first append; one without either is empty and as old as may
/// be.
fn is_older(timestamp: Option<TimestampMs>, retention_ms: Option<u64>, now: TimestampMs) -> bool {
    match (timestamp, retention_ms) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(timestamp), Some(kept)) => {
            u64::try_from(now.get().saturating_sub(timestamp.get())).is_ok_and(|age| age > kept)
        }
    }
}
