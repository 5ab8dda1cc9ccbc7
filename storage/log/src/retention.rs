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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::FilePosition;
    use crate::testing::{NOW, key, stored, summary};

    /// One record in 100 bytes, the first of the segment.
    fn append(state: &mut PartitionState, segment: SegmentId, offset: i64, timestamp: i64) {
        let tail = Record::Tail {
            partition: key(0),
            segment,
            position: FilePosition::ZERO,
            bytes: &[0; 100],
            batches: &[stored(summary(1, 0, timestamp), offset, &[0; 100])],
        };
        state.apply(&tail, NOW).unwrap();
    }

    /// Segments 1, 2, 3 … of one record and 100 bytes each, with these timestamps; the last one is active.
    /// All is flushed.
    fn log(timestamps: &[i64]) -> PartitionState {
        let mut state = PartitionState::new(key(0));
        for (index, &timestamp) in timestamps.iter().enumerate() {
            let id = SegmentId::new(index as u64 + 1);
            let record = if index == 0 {
                state.open_record(id)
            } else {
                state.roll_record(id)
            };
            state.apply(&record, NOW).unwrap();
            append(&mut state, id, index as i64, timestamp);
        }
        state.flushed_to(state.offsets().end().get());
        state
    }

    fn chosen(choice: &Choice) -> Vec<u64> {
        choice.segments.iter().map(|segment| segment.get()).collect()
    }

    const ALL: Offset = Offset::MAX;

    #[test]
    fn age_takes_the_front_and_stops_at_the_first_that_is_young() {
        let config = LogConfig {
            retention_ms: Some(100),
            ..LogConfig::default()
        };
        let choice = log(&[10, 20, 500, 30, 40]).retention(&config, ALL, TimestampMs::new(121));
        assert_eq!((chosen(&choice), choice.log_start.get()), (alloc::vec![1, 2], 2));
        assert_eq!(choice.reason, Some(RetentionReason::Age));
        assert!(!choice.roll_active);
    }

    #[test]
    fn an_old_active_segment_is_rolled_first() {
        let config = LogConfig {
            retention_ms: Some(100),
            ..LogConfig::default()
        };
        let mut state = log(&[10, 20]);
        let now = TimestampMs::new(1000);
        let choice = state.retention(&config, ALL, now);
        assert_eq!((chosen(&choice), choice.roll_active), (alloc::vec![1], true));
        state.apply(&state.roll_record(SegmentId::new(9)), NOW).unwrap();
        let choice = state.retention(&config, ALL, now);
        assert_eq!((chosen(&choice), choice.roll_active), (alloc::vec![1, 2], false));
        state.apply(&choice.record(&state).unwrap(), NOW).unwrap();
        assert_eq!(
            (state.offsets().start().get().get(), state.segments().len()),
            (2, 1)
        );
        assert_eq!(state.take_released(), [SegmentId::new(1), SegmentId::new(2)]);
        assert_eq!(
            state.retention(&config, ALL, now),
            Choice {
                log_start: Offset::new(2),
                ..Choice::default()
            }
        );
    }

    #[test]
    fn bytes_keep_at_least_what_is_asked_for() {
        let choose = |kept| {
            let config = LogConfig {
                retention_ms: None,
                retention_bytes: Some(kept),
                ..LogConfig::default()
            };
            chosen(&log(&[1, 1, 1, 1]).retention(&config, ALL, NOW))
        };
        assert_eq!(choose(400), []);
        assert_eq!(choose(301), []);
        assert_eq!(choose(300), [1]);
        assert_eq!(choose(0), [1, 2, 3]);
    }

    #[test]
    fn nothing_goes_that_is_not_flushed_or_not_visible() {
        let config = LogConfig {
            retention_bytes: Some(0),
            ..LogConfig::default()
        };
        assert_eq!(
            chosen(&log(&[1, 1, 1]).retention(&config, Offset::new(1), NOW)),
            [1]
        );
        let mut state = log(&[1, 1, 1]);
        state.apply(&state.roll_record(SegmentId::new(4)), NOW).unwrap();
        append(&mut state, SegmentId::new(4), 3, 1);
        state.apply(&state.roll_record(SegmentId::new(5)), NOW).unwrap();
        assert_eq!(
            chosen(&state.retention(&config, ALL, NOW)),
            [1, 2, 3],
            "the fourth is not flushed"
        );
    }

    #[test]
    fn deleted_records_take_their_segments_even_from_a_compacted_topic() {
        let config = LogConfig {
            delete: false,
            compact: true,
            retention_ms: Some(0),
            ..LogConfig::default()
        };
        let mut state = log(&[1, 1, 1, 1]);
        assert_eq!(chosen(&state.retention(&config, ALL, NOW)), []);
        state
            .apply(
                &Record::LogStart {
                    partition: key(0),
                    offset: Offset::new(2),
                },
                NOW,
            )
            .unwrap();
        let choice = state.retention(&config, ALL, NOW);
        assert_eq!(
            (chosen(&choice), choice.reason),
            (alloc::vec![1, 2], Some(RetentionReason::LogStart))
        );
        assert_eq!(choice.log_start, Offset::new(2));
    }
}
