//! What an append would do: offsets, duplicates, and whether the segment must be rolled first. Nothing is
//! changed here.

use millstream_protocol::record::batch::{BatchSummary, ProducerStamp};
use millstream_protocol::types::{Offset, TimestampMs};

use crate::config::{LogConfig, TimestampType};
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENTS_MAX};
use crate::partition::PartitionState;
use crate::producers::{SequenceError, Verdict};
use crate::segment::Segment;

/// What to do with a set of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendDecision {
    Append(AppendPlan),
    /// They were appended before. The acknowledgement waits until the original is flushed.
    Duplicate {
        base_offset: Offset,
        /// Inclusive.
        last_offset: Offset,
        /// The original's timestamp under LogAppendTime.
        append_time: Option<TimestampMs>,
    },
}

/// Where and how the batches go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendPlan {
    /// Of the first batch.
    pub base_offset: Offset,
    /// Of the last record; inclusive.
    pub last_offset: Offset,
    /// All batches together, in bytes.
    pub bytes: u64,
    pub place: Place,
    /// Under LogAppendTime: the timestamp that the batches must get (their CRCs change).
    pub append_time: Option<TimestampMs>,
}

/// What must be recorded before the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The log has no segment yet: [`PartitionState::open_record`].
    Open,
    /// The active segment is full or old: [`PartitionState::roll_record`].
    Roll(RollReason),
    /// The active segment takes them.
    Active,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollReason {
    /// `segment.bytes`.
    Bytes,
    /// `segment.ms`.
    Age,
    /// Offsets relative to the segment's base no longer fit 31 bits.
    Offsets,
}

/// Why nothing is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    Sequence(SequenceError),
    /// The batches together are larger than a segment may be.
    TooLarge {
        bytes: u64,
        max: u64,
    },
    /// The partition has as many segments as it may, or its offsets are used up.
    LogFull,
    /// The partition is deleted.
    Removed,
}

impl AppendPlan {
    /// The summary of the next batch as it is to be stored, beginning at `base`; the batch after it begins at
    /// the returned `last_offset` plus one.
    pub fn store(&self, summary: &BatchSummary, base: Offset) -> BatchSummary {
        let mut stored = *summary;
        stored.base_offset = base;
        stored.last_offset = base + (summary.last_offset - summary.base_offset);
        if let Some(now) = self.append_time {
            stored.max_timestamp = Some(now);
        }
        stored
    }
}

impl PartitionState {
    /// Decides on batches that the broker has checked (CRC, framing, size): at least one, with any base
    /// offsets. `now` is the wall clock.
    pub fn plan_append(
        &self,
        batches: &[BatchSummary],
        config: &LogConfig,
        now: TimestampMs,
    ) -> Result<AppendDecision, AppendError> {
        assert!(!batches.is_empty(), "an append has a batch");
        if self.is_removed() {
            return Err(AppendError::Removed);
        }
        let log_append_time = config.timestamp_type == TimestampType::LogAppendTime;
        if let Some(Verdict::Duplicate {
            base_offset,
            last_offset,
            timestamp,
        }) = self.check_sequences(batches, now)?
        {
            let append_time = timestamp.filter(|_| log_append_time);
            return Ok(AppendDecision::Duplicate {
                base_offset,
                last_offset,
                append_time,
            });
        }
        let bytes = batches.iter().map(|batch| u64::from(batch.size)).sum();
        if bytes > SEGMENT_BYTES_MAX {
            return Err(AppendError::TooLarge {
                bytes,
                max: SEGMENT_BYTES_MAX,
            });
        }
        let records: i64 = batches
            .iter()
            .map(|batch| batch.last_offset - batch.base_offset + 1)
            .sum();
        let base_offset = self.offsets().end().get();
        let end = base_offset
            .checked_add(records)
            .filter(|&end| end < Offset::MAX)
            .ok_or(AppendError::LogFull)?;
        let last_offset = Offset::new(end.get() - 1);
        let place = self.place(bytes, last_offset, config, now);
        if place != Place::Active && self.segments().len() >= SEGMENTS_MAX {
            return Err(AppendError::LogFull);
        }
        let append_time = log_append_time.then_some(now);
        Ok(AppendDecision::Append(AppendPlan {
            base_offset,
            last_offset,
            bytes,
            place,
            append_time,
        }))
    }

    /// The verdict on all batches together; `None` where they are new. Repeated and new batches in one append
    /// are a gap, and so are batches of one producer with another's between them.
    fn check_sequences(
        &self,
        batches: &[BatchSummary],
        now: TimestampMs,
    ) -> Result<Option<Verdict>, AppendError> {
        let mut earlier: Option<&ProducerStamp> = None;
        let mut whole: Option<Verdict> = None;
        for batch in batches.iter().filter(|batch| !batch.control) {
            let Some(stamp) = &batch.producer else { continue };
            let repeating = matches!(whole, Some(Verdict::Duplicate { .. }));
            let known = earlier.filter(|earlier| earlier.id == stamp.id && !repeating);
            let verdict = self
                .producers()
                .check(stamp, known, now)
                .map_err(AppendError::Sequence)?;
            whole = match (whole, verdict) {
                (None, first) => Some(first),
                (Some(Verdict::New), Verdict::New) => Some(Verdict::New),
                (
                    Some(Verdict::Duplicate { base_offset, .. }),
                    Verdict::Duplicate {
                        last_offset,
                        timestamp,
                        ..
                    },
                ) => Some(Verdict::Duplicate {
                    base_offset,
                    last_offset,
                    timestamp,
                }),
                _ => return Err(AppendError::Sequence(SequenceError::Mixed { producer: stamp.id })),
            };
            earlier = Some(stamp);
        }
        Ok(whole.filter(|verdict| matches!(verdict, Verdict::Duplicate { .. })))
    }

    fn place(&self, bytes: u64, last_offset: Offset, config: &LogConfig, now: TimestampMs) -> Place {
        match self.segments().last() {
            None => Place::Open,
            Some(active) => match roll_reason(active, bytes, last_offset, config, now) {
                Some(reason) => Place::Roll(reason),
                None => Place::Active,
            },
        }
    }
}

fn roll_reason(
    active: &Segment,
    bytes: u64,
    last_offset: Offset,
    config: &LogConfig,
    now: TimestampMs,
) -> Option<RollReason> {
    let opened_at = active.opened_at?;
    let limit = config.segment_bytes.min(SEGMENT_BYTES_MAX);
    if active.byte_end.get() + bytes > limit {
        return Some(RollReason::Bytes);
    }
    if last_offset - active.base_offset > i64::from(i32::MAX) {
        return Some(RollReason::Offsets);
    }
    let age_ms = now.get().saturating_sub(opened_at.get());
    u64::try_from(age_ms)
        .is_ok_and(|age_ms| age_ms >= config.segment_ms)
        .then_some(RollReason::Age)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::id::{FilePosition, SegmentId};
    use crate::record::Record;
    use crate::testing::{NOW, key, stamp, stored, summary};

    /// A log with one batch of `bytes` at offset 0, appended at [`NOW`].
    fn log(bytes: u32) -> PartitionState {
        let mut state = PartitionState::new(key(0));
        state.apply(&state.open_record(SegmentId::new(1)), NOW).unwrap();
        let bytes = alloc::vec![0; bytes as usize];
        append(&mut state, &[stored(summary(1, 0, 1), 0, &bytes)], &bytes);
        state
    }

    fn append(state: &mut PartitionState, batches: &[crate::StoredBatch], bytes: &[u8]) {
        let active = state.active().unwrap();
        let (segment, position) = (active.id, active.byte_end);
        let record = Record::Tail {
            partition: key(0),
            segment,
            position,
            bytes,
            batches,
        };
        state.apply(&record, NOW).unwrap();
    }

    fn plan(state: &PartitionState, batches: &[BatchSummary], config: &LogConfig, now: i64) -> AppendPlan {
        match state.plan_append(batches, config, TimestampMs::new(now)).unwrap() {
            AppendDecision::Append(plan) => plan,
            duplicate => panic!("{duplicate:?}"),
        }
    }

    #[test]
    fn offsets_follow_the_log_whatever_the_producer_sent() {
        let batches = [summary(3, 100, 5), summary(2, 50, 9)];
        let plan = plan(&log(100), &batches, &LogConfig::default(), NOW.get());
        assert_eq!(
            (plan.base_offset.get(), plan.last_offset.get(), plan.bytes),
            (1, 5, 150)
        );
        let second = plan.store(&batches[1], Offset::new(4));
        assert_eq!((second.base_offset.get(), second.last_offset.get()), (4, 5));
        assert_eq!(second.max_timestamp, Some(TimestampMs::new(9)));
    }

    #[test]
    fn log_append_time_is_the_wall_clock() {
        let config = LogConfig {
            timestamp_type: TimestampType::LogAppendTime,
            ..LogConfig::default()
        };
        let plan = plan(&log(100), &[summary(1, 100, 5)], &config, 1234);
        assert_eq!(plan.append_time, Some(TimestampMs::new(1234)));
        assert_eq!(
            plan.store(&summary(1, 100, 5), Offset::ZERO).max_timestamp,
            plan.append_time
        );
    }

    #[test]
    fn a_segment_is_rolled_before_it_is_too_large_or_when_it_is_too_old() {
        let config = LogConfig {
            segment_bytes: 1000,
            segment_ms: 50,
            ..LogConfig::default()
        };
        let place =
            |state: &PartitionState, bytes, now| plan(state, &[summary(1, bytes, 5)], &config, now).place;
        let now = NOW.get();
        assert_eq!(place(&PartitionState::new(key(0)), 5000, now), Place::Open);
        assert_eq!(place(&log(400), 600, now), Place::Active);
        assert_eq!(place(&log(400), 601, now), Place::Roll(RollReason::Bytes));
        assert_eq!(place(&log(400), 600, now + 49), Place::Active);
        assert_eq!(place(&log(400), 600, now + 50), Place::Roll(RollReason::Age));
        assert_eq!(
            place(&log(400), 600, now - 1_000_000),
            Place::Active,
            "a clock that went back rolls nothing"
        );
        let mut empty = log(400);
        empty.apply(&empty.roll_record(SegmentId::new(2)), NOW).unwrap();
        assert_eq!(
            place(&empty, 5000, now + 1000),
            Place::Active,
            "an empty segment takes anything"
        );
    }

    #[test]
    fn a_segment_is_rolled_before_its_offsets_overflow() {
        let records = i64::from(i32::MAX);
        let place = |records| {
            plan(
                &log(100),
                &[summary(records, 100, 5)],
                &LogConfig::default(),
                NOW.get(),
            )
            .place
        };
        assert_eq!(place(records), Place::Active);
        assert_eq!(place(records + 1), Place::Roll(RollReason::Offsets));
    }

    #[test]
    fn a_repeated_append_is_answered_with_its_first_offsets() {
        let mut state = log(100);
        let sent: Vec<BatchSummary> = [0, 10]
            .map(|base| BatchSummary {
                producer: Some(stamp(1, 0, base, 10)),
                ..summary(10, 200, 5)
            })
            .into();
        let stored = [stored(sent[0], 1, &[1; 200]), stored(sent[1], 11, &[2; 200])];
        append(&mut state, &stored, &[[1; 200], [2; 200]].concat());
        let again = |batches: &[BatchSummary]| state.plan_append(batches, &LogConfig::default(), NOW);
        let duplicate = |base, last| {
            let (base_offset, last_offset) = (Offset::new(base), Offset::new(last));
            Ok(AppendDecision::Duplicate {
                base_offset,
                last_offset,
                append_time: None,
            })
        };
        assert_eq!(again(&sent[..1]), duplicate(1, 10));
        assert_eq!(again(&sent[1..]), duplicate(11, 20));
        assert_eq!(again(&sent), duplicate(1, 20));
        let next = BatchSummary {
            producer: Some(stamp(1, 0, 20, 10)),
            ..sent[0]
        };
        assert!(matches!(again(&[next]), Ok(AppendDecision::Append(_))));
        let mixed = again(&[sent[1], next]);
        assert!(
            matches!(mixed, Err(AppendError::Sequence(SequenceError::Mixed { .. }))),
            "{mixed:?}"
        );
        let after = BatchSummary {
            producer: Some(stamp(1, 0, 30, 10)),
            ..sent[0]
        };
        assert!(matches!(again(&[next, after]), Ok(AppendDecision::Append(_))));
        let gap = again(&[next, next]);
        assert!(
            matches!(gap, Err(AppendError::Sequence(SequenceError::OutOfOrder { .. }))),
            "{gap:?}"
        );
    }

    #[test]
    fn what_no_segment_takes_is_refused() {
        let max = u32::try_from(SEGMENT_BYTES_MAX).unwrap();
        let batches = [summary(1, max, 5), summary(1, 1, 5)];
        let refused = log(100).plan_append(&batches, &LogConfig::default(), NOW);
        assert_eq!(
            refused,
            Err(AppendError::TooLarge {
                bytes: SEGMENT_BYTES_MAX + 1,
                max: SEGMENT_BYTES_MAX
            })
        );
        assert_eq!(log(100).active().unwrap().byte_end, FilePosition::new(100));
    }
}
