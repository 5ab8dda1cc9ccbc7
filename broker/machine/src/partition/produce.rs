//! Whether a client's records for one partition may be appended.
//!
//! Place: the produce handler, on the shard that owns the connection or the partition; the sequence check
//! follows in the log, which knows the producers.
//!
//! Invariants: one pass over the bytes and no allocation where the answer is yes. What was accepted is one
//! whole batch of format 2, whose checksum, lengths and counts agree. Compressed records are not opened: the
//! header speaks for them.

mod error;

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use millstream_protocol::record::batch::{BatchSummary, BatchView, TimestampType};
use millstream_protocol::record::codec::Codec;
use millstream_protocol::types::TimestampMs;

pub use error::{ProduceError, RecordError};

use crate::config::topic_config::TopicConfig;
use error::KEY_NEEDED;

/// What a topic asks of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceRules {
    /// Bytes of a batch, inclusive.
    pub batch_bytes_max: u32,
    /// Bytes of a segment, inclusive: a batch must fit into one.
    pub segment_bytes: u32,
    /// Whether every record needs a key.
    pub keys_needed: bool,
    pub timestamp_type: TimestampType,
    /// How far a record's own time may lie behind and ahead of the broker's, inclusive.
    pub timestamp_before_max_ms: u64,
    pub timestamp_after_max_ms: u64,
}

/// A batch that may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Offsets are relative to the append: from 0.
    pub summary: BatchSummary,
    /// The time that all records get, where the topic says that it is the broker's. The summary has it
    /// already, the batch's bytes do not.
    pub append_time: Option<TimestampMs>,
}

/// Which acknowledgement a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// 0: none at all, not even of an error.
    None,
    /// 1: the leader's flush.
    Leader,
    /// -1: the flush of every in-sync replica.
    All,
}

impl From<&TopicConfig> for ProduceRules {
    fn from(config: &TopicConfig) -> Self {
        Self {
            batch_bytes_max: config.max_message_bytes,
            segment_bytes: config.segment_bytes,
            keys_needed: config.compact,
            timestamp_type: config.timestamp_type,
            timestamp_before_max_ms: config.timestamp_before_max_ms,
            timestamp_after_max_ms: config.timestamp_after_max_ms,
        }
    }
}

impl ProduceRules {
    /// Checks the records that a Produce request of `version` (3 or later) brings for one partition.
    pub fn check(
        &self,
        records: Option<&[u8]>,
        version: i16,
        now: TimestampMs,
    ) -> Result<Accepted, ProduceError> {
        let batch = only_batch(records)?;
        let codec = batch.attributes().compression().map_err(ProduceError::from)?;
        if codec == Codec::Zstd && version < ZSTD_SINCE {
            return Err(ProduceError::ZstdBeforeVersion7);
        }
        self.check_size(&batch)?;
        batch.verify_crc()?;
        check_header(&batch)?;
        match codec {
            Codec::None => self.check_records(&batch, now)?,
            _ => self.check_times(&batch, batch.base_timestamp(), batch.max_timestamp(), now)?,
        }
        let mut summary = batch.summary();
        let append_time = (self.timestamp_type == TimestampType::LogAppendTime).then_some(now);
        summary.max_timestamp = append_time.or(summary.max_timestamp);
        Ok(Accepted { summary, append_time })
    }

    fn check_size(&self, batch: &BatchView<'_>) -> Result<(), ProduceError> {
        let size = batch.size();
        if batch.base_offset().get() != 0 {
            return Err(ProduceError::BaseOffset(batch.base_offset().get()));
        }
        if size > self.batch_bytes_max as usize {
            return Err(ProduceError::TooLarge {
                size,
                limit: self.batch_bytes_max,
            });
        }
        if size > self.segment_bytes as usize {
            return Err(ProduceError::LargerThanSegment {
                size,
                limit: self.segment_bytes,
            });
        }
        Ok(())
    }

    /// Walks records that are not compressed; a second time only to say which ones are refused.
    fn check_records(&self, batch: &BatchView<'_>, now: TimestampMs) -> Result<(), ProduceError> {
        let framing = batch.check_framing()?;
        if self.keys_needed && framing.has_null_key {
            return Err(ProduceError::KeysMissing(keys_missing(batch)));
        }
        let base = TimestampMs::to_wire(batch.base_timestamp());
        let at = |delta: i64| TimestampMs::from_wire(base.saturating_add(delta));
        let first = framing.timestamp_delta_min.and_then(at);
        let last = framing.timestamp_delta_max.and_then(at);
        self.check_times(batch, first, last, now)
    }

    /// Checks the earliest and the latest time of a batch; `None` is no time, which may lie anywhere.
    fn check_times(
        &self,
        batch: &BatchView<'_>,
        earliest: Option<TimestampMs>,
        latest: Option<TimestampMs>,
        now: TimestampMs,
    ) -> Result<(), ProduceError> {
        if batch.attributes().timestamp_type() == TimestampType::LogAppendTime {
            let message = "Producer should not set timestamp type to LogAppendTime.".to_string();
            return Err(ProduceError::Timestamps(alloc::vec![RecordError {
                batch_index: 0,
                message
            }]));
        }
        let is_refused = |time: Option<TimestampMs>| time.is_some_and(|time| !self.is_in_window(time, now));
        if self.timestamp_type == TimestampType::CreateTime && (is_refused(earliest) || is_refused(latest)) {
            let errors = self.times_refused(batch, now);
            return if errors.is_empty() {
                Ok(())
            } else {
                Err(ProduceError::Timestamps(errors))
            };
        }
        Ok(())
    }

    fn is_in_window(&self, time: TimestampMs, now: TimestampMs) -> bool {
        let ahead = i128::from(time.get()) - i128::from(now.get());
        ahead <= i128::from(self.timestamp_after_max_ms) && -ahead <= i128::from(self.timestamp_before_max_ms)
    }

    #[cold]
    fn times_refused(&self, batch: &BatchView<'_>, now: TimestampMs) -> Vec<RecordError> {
        let earliest = i128::from(now.get()) - i128::from(self.timestamp_before_max_ms);
        let latest = i128::from(now.get()) + i128::from(self.timestamp_after_max_ms);
        let refuse = |batch_index: i32, time: TimestampMs| {
            (!self.is_in_window(time, now)).then(|| RecordError {
                batch_index,
                message: format!(
                    "Timestamp {time} of message with offset {batch_index} is out of range. \
                     The timestamp should be within [{earliest}, {latest}]"
                ),
            })
        };
        let Ok(records) = batch.records() else {
            // Compressed: the header's times stand for the first and the last record.
            let times = [
                (0, batch.base_timestamp()),
                (batch.last_offset_delta(), batch.max_timestamp()),
            ];
            return times
                .into_iter()
                .filter_map(|(index, time)| refuse(index, time?))
                .collect();
        };
        let base = TimestampMs::to_wire(batch.base_timestamp());
        records
            .filter_map(Result::ok)
            .filter_map(|record| {
                let time = TimestampMs::from_wire(base.saturating_add(record.timestamp_delta))?;
                refuse(record.offset_delta, time)
            })
            .take(RECORD_ERRORS_MAX)
            .collect()
    }
}

impl Acks {
    /// `None` for a number that means nothing; the request is refused with INVALID_REQUIRED_ACKS.
    pub const fn from_wire(acks: i16) -> Option<Self> {
        match acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }

    /// Whether a write may be taken: `acks=all` needs `min.insync.replicas` of them in sync, or all where
    /// there are fewer. Otherwise it is refused with NOT_ENOUGH_REPLICAS.
    pub fn are_within_reach(self, in_sync: u32, replicas: u32, min_insync_replicas: u32) -> bool {
        self != Acks::All || in_sync >= min_insync_replicas.min(replicas)
    }
}

fn only_batch(records: Option<&[u8]>) -> Result<BatchView<'_>, ProduceError> {
    let (batch, rest) = BatchView::parse(records.unwrap_or_default())?;
    if rest.is_empty() {
        Ok(batch)
    } else {
        Err(ProduceError::SeveralBatches)
    }
}

fn check_header(batch: &BatchView<'_>) -> Result<(), ProduceError> {
    let (last_offset_delta, count) = (batch.last_offset_delta(), batch.record_count());
    if count < 1 || last_offset_delta != count - 1 {
        return Err(ProduceError::Count {
            last_offset_delta,
            count,
        });
    }
    let attributes = batch.attributes();
    if attributes.is_control() {
        return Err(ProduceError::Control);
    }
    if attributes.is_transactional() {
        return Err(ProduceError::Transactional);
    }
    if batch.producer_id().is_some() && (batch.producer_epoch().is_none() || batch.base_sequence().is_none())
    {
        return Err(ProduceError::ProducerStamp);
    }
    Ok(())
}

#[cold]
fn keys_missing(batch: &BatchView<'_>) -> Vec<RecordError> {
    let records = batch.records().into_iter().flatten().filter_map(Result::ok);
    records
        .filter(|record| record.key.is_none())
        .map(|record| RecordError {
            batch_index: record.offset_delta,
            message: KEY_NEEDED.to_string(),
        })
        .take(RECORD_ERRORS_MAX)
        .collect()
}

const ZSTD_SINCE: i16 = 7;
/// A client needs to know a few of its bad records, not a million.
const RECORD_ERRORS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_protocol::error::ErrorCode;
    use millstream_protocol::record::batch::HEADER_LEN;
    use millstream_protocol::record::builder::BatchBuilder;
    use millstream_protocol::record::crc;
    use millstream_protocol::types::{Offset, ProducerEpoch, ProducerId, Sequence};

    const NOW: TimestampMs = TimestampMs::new(1_000_000);
    const RULES: ProduceRules = ProduceRules {
        batch_bytes_max: 1_000,
        segment_bytes: 10_000,
        keys_needed: false,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: 500,
        timestamp_after_max_ms: 100,
    };

    /// One record a time, each with its time after [`NOW`] and its key.
    fn builder(records: &[(i64, Option<&str>)]) -> BatchBuilder {
        records.iter().fold(BatchBuilder::new(), |batch, (ahead, key)| {
            let time = TimestampMs::new(NOW.get() + ahead);
            batch.record(time, key.map(str::as_bytes), Some(b"value"), &[])
        })
    }

    fn two_records() -> Vec<u8> {
        builder(&[(0, Some("a")), (1, None)]).build()
    }

    /// Changes bytes and makes the checksum right again.
    fn with(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        let crc = crc::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        batch
    }

    #[track_caller]
    fn check(rules: ProduceRules, records: &[u8], expect: Result<(), ErrorCode>) {
        let found = rules.check(Some(records), 9, NOW);
        assert_eq!(
            found.clone().map(|_| ()).map_err(|error| error.code()),
            expect,
            "{found:?}"
        );
    }

    #[test]
    fn a_good_batch_is_summed_up() {
        let batch = builder(&[(5, None), (7, None)])
            .producer(ProducerId::new(4), ProducerEpoch::new(1), Sequence::new(9))
            .build();
        let accepted = RULES.check(Some(&batch), 3, NOW).unwrap();
        assert_eq!(accepted.append_time, None);
        assert_eq!(accepted.summary.last_offset, Offset::new(1));
        assert_eq!(accepted.summary.max_timestamp, Some(TimestampMs::new(1_000_007)));
        assert_eq!(
            accepted.summary.producer.unwrap().last_sequence,
            Sequence::new(10)
        );
        assert_eq!(accepted.summary.size as usize, batch.len());
    }

    #[test]
    fn exactly_one_whole_batch_is_needed() {
        assert_eq!(RULES.check(None, 9, NOW), Err(ProduceError::NoBatch));
        let batch = two_records();
        check(RULES, &batch[..batch.len() - 1], Err(ErrorCode::InvalidRecord));
        check(
            RULES,
            &[&batch[..], &batch[..]].concat(),
            Err(ErrorCode::InvalidRecord),
        );
        check(RULES, &[&batch[..], &[0]].concat(), Err(ErrorCode::InvalidRecord));
        check(
            RULES,
            &with(two_records(), 16, &[1]),
            Err(ErrorCode::InvalidRecord),
        );
        check(
            RULES,
            &with(two_records(), 16, &[3]),
            Err(ErrorCode::CorruptMessage),
        );
    }

    #[test]
    fn sizes_are_inclusive() {
        let batch = two_records();
        let limit = batch.len() as u32;
        check(
            ProduceRules {
                batch_bytes_max: limit,
                segment_bytes: limit,
                ..RULES
            },
            &batch,
            Ok(()),
        );
        check(
            ProduceRules {
                batch_bytes_max: limit - 1,
                ..RULES
            },
            &batch,
            Err(ErrorCode::MessageTooLarge),
        );
        check(
            ProduceRules {
                segment_bytes: limit - 1,
                ..RULES
            },
            &batch,
            Err(ErrorCode::RecordListTooLarge),
        );
    }

    #[test]
    fn damage_is_found_by_the_checksum() {
        for at in 21..two_records().len() {
            let mut batch = two_records();
            batch[at] ^= 0x40;
            assert!(RULES.check(Some(&batch), 9, NOW).is_err(), "byte {at}");
        }
        let mut batch = two_records();
        let last = batch.len() - 1;
        batch[last] ^= 1;
        check(RULES, &batch, Err(ErrorCode::CorruptMessage));
    }

    #[test]
    fn header_and_records_agree() {
        check(
            RULES,
            &with(two_records(), 23, &2i32.to_be_bytes()),
            Err(ErrorCode::InvalidRecord),
        );
        check(
            RULES,
            &with(two_records(), 57, &3i32.to_be_bytes()),
            Err(ErrorCode::InvalidRecord),
        );
        let counted_alike = with(
            with(two_records(), 23, &2i32.to_be_bytes()),
            57,
            &3i32.to_be_bytes(),
        );
        check(RULES, &counted_alike, Err(ErrorCode::InvalidRecord));
        check(
            RULES,
            &with(two_records(), HEADER_LEN, &[0]),
            Err(ErrorCode::InvalidRecord),
        );
        check(
            RULES,
            &with(two_records(), 0, &7i64.to_be_bytes()),
            Err(ErrorCode::InvalidRecord),
        );
    }

    #[test]
    fn producers_stamp_wholly_or_not_at_all() {
        let stamped = |sequence| {
            builder(&[(0, None)])
                .producer(ProducerId::new(4), ProducerEpoch::new(0), Sequence::new(sequence))
                .build()
        };
        check(RULES, &stamped(0), Ok(()));
        check(RULES, &stamped(-1), Err(ErrorCode::InvalidRecord));
    }

    #[test]
    fn transactions_and_their_ends_are_refused() {
        check(
            RULES,
            &builder(&[(0, None)]).control().build(),
            Err(ErrorCode::InvalidRecord),
        );
        check(
            RULES,
            &builder(&[(0, None)]).transactional().build(),
            Err(ErrorCode::TransactionalIdAuthorizationFailed),
        );
    }

    #[test]
    fn compressed_records_are_not_opened() {
        let zstd = builder(&[(0, None)]).build_with(Codec::Zstd, |_| b"opaque".to_vec());
        check(
            ProduceRules {
                keys_needed: true,
                ..RULES
            },
            &zstd,
            Ok(()),
        );
        let old = RULES.check(Some(&zstd), 6, NOW).map_err(|error| error.code());
        assert_eq!(old.unwrap_err(), ErrorCode::UnsupportedCompressionType);
        let gzip = builder(&[(0, None)]).build_with(Codec::Gzip, |_| b"opaque".to_vec());
        assert!(RULES.check(Some(&gzip), 3, NOW).is_ok());
        check(RULES, &with(gzip, 22, &[7]), Err(ErrorCode::UnknownServerError));
        let late = builder(&[(0, None), (101, None)]).build_with(Codec::Lz4, |_| b"opaque".to_vec());
        check(RULES, &late, Err(ErrorCode::InvalidTimestamp));
    }

    #[test]
    fn compacted_topics_need_keys_and_say_where_they_lack() {
        let rules = ProduceRules {
            keys_needed: true,
            ..RULES
        };
        check(rules, &builder(&[(0, Some("a"))]).build(), Ok(()));
        let error = rules.check(Some(&two_records()), 9, NOW).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRecord);
        let expect = RecordError {
            batch_index: 1,
            message: KEY_NEEDED.to_string(),
        };
        assert_eq!(error.record_errors(), [expect]);
    }

    #[test]
    fn times_lie_in_a_window_around_now() {
        check(RULES, &builder(&[(-500, None), (100, None)]).build(), Ok(()));
        check(
            RULES,
            &builder(&[(0, None), (-501, None)]).build(),
            Err(ErrorCode::InvalidTimestamp),
        );
        let late = builder(&[(0, None), (101, None), (3, None)]).build();
        let error = RULES.check(Some(&late), 9, NOW).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidTimestamp);
        let message = "Timestamp 1000101 of message with offset 1 is out of range. \
                       The timestamp should be within [999500, 1000100]";
        assert_eq!(
            error.record_errors(),
            [RecordError {
                batch_index: 1,
                message: message.to_string()
            }]
        );
        // No time at all lies in every window.
        let timeless = builder(&[(-1 - NOW.get(), None)]).build();
        check(RULES, &timeless, Ok(()));
    }

    #[test]
    fn the_brokers_time_replaces_any_other() {
        let rules = ProduceRules {
            timestamp_type: TimestampType::LogAppendTime,
            ..RULES
        };
        let accepted = rules
            .check(Some(&builder(&[(-9_000, None)]).build()), 9, NOW)
            .unwrap();
        assert_eq!(
            (accepted.append_time, accepted.summary.max_timestamp),
            (Some(NOW), Some(NOW))
        );
        check(
            RULES,
            &with(two_records(), 22, &[8]),
            Err(ErrorCode::InvalidTimestamp),
        );
        check(
            rules,
            &with(two_records(), 22, &[8]),
            Err(ErrorCode::InvalidTimestamp),
        );
    }

    #[test]
    fn acks_are_three_numbers() {
        assert_eq!(
            [0, 1, -1].map(Acks::from_wire),
            [Some(Acks::None), Some(Acks::Leader), Some(Acks::All)]
        );
        assert_eq!([2, -2].map(Acks::from_wire), [None, None]);
        assert!(
            Acks::All.are_within_reach(1, 1, 2),
            "one replica is all that there are"
        );
        assert!(!Acks::All.are_within_reach(1, 3, 2));
        assert!(Acks::Leader.are_within_reach(1, 3, 2));
    }
}
