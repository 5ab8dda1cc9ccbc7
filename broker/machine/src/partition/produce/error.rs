//! Why records are refused, with the code and the words that a client is told.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::record::error::BatchError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProduceError {
    /// No records, or not even one whole batch.
    NoBatch,
    /// Something follows the first batch.
    SeveralBatches,
    /// A record format that was removed or does not exist.
    Magic(i8),
    /// Zstandard in a request whose version is too old for it.
    ZstdBeforeVersion7,
    /// A compression that does not exist.
    UnknownCodec(u8),
    /// The batch does not start at offset 0.
    BaseOffset(i64),
    /// More bytes than `max.message.bytes`.
    TooLarge { size: usize, limit: u32 },
    /// More bytes than `segment.bytes`.
    LargerThanSegment { size: usize, limit: u32 },
    /// Lengths or checksum are wrong: the bytes were damaged on their way.
    Corrupt(BatchError),
    /// The records are not those that the header describes.
    Malformed(BatchError),
    /// The header's last offset and count do not agree.
    Count { last_offset_delta: i32, count: i32 },
    /// Only brokers end transactions.
    Control,
    /// No transaction can be open here.
    Transactional,
    /// A producer id without an epoch or a sequence.
    ProducerStamp,
    /// Records without a key where keys are needed.
    KeysMissing(Vec<RecordError>),
    /// Records too old or too new, or with a time that only the broker may give.
    Timestamps(Vec<RecordError>),
}

/// What is wrong with one record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// From 0.
    pub batch_index: i32,
    pub message: String,
}

impl ProduceError {
    pub const fn code(&self) -> ErrorCode {
        match self {
            ProduceError::NoBatch
            | ProduceError::SeveralBatches
            | ProduceError::Magic(0 | 1)
            | ProduceError::BaseOffset(_)
            | ProduceError::Malformed(_)
            | ProduceError::Count { .. }
            | ProduceError::Control
            | ProduceError::ProducerStamp
            | ProduceError::KeysMissing(_) => ErrorCode::InvalidRecord,
            ProduceError::ZstdBeforeVersion7 => ErrorCode::UnsupportedCompressionType,
            // Kafka stumbles over it, and no client can send it.
            ProduceError::UnknownCodec(_) => ErrorCode::UnknownServerError,
            ProduceError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            ProduceError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            ProduceError::Corrupt(_) | ProduceError::Magic(_) => ErrorCode::CorruptMessage,
            ProduceError::Transactional => ErrorCode::TransactionalIdAuthorizationFailed,
            ProduceError::Timestamps(_) => ErrorCode::InvalidTimestamp,
        }
    }

    /// Whether `log_start_offset` is told beside the refusal: not where the request alone was looked at.
    pub const fn tells_log_start(&self) -> bool {
        match self {
            ProduceError::NoBatch
            | ProduceError::SeveralBatches
            | ProduceError::Magic(_)
            | ProduceError::ZstdBeforeVersion7
            | ProduceError::TooLarge { .. }
            | ProduceError::LargerThanSegment { .. }
            | ProduceError::Corrupt(_)
            | ProduceError::Transactional => false,
            ProduceError::UnknownCodec(_)
            | ProduceError::BaseOffset(_)
            | ProduceError::Malformed(_)
            | ProduceError::Count { .. }
            | ProduceError::Control
            | ProduceError::ProducerStamp
            | ProduceError::KeysMissing(_)
            | ProduceError::Timestamps(_) => true,
        }
    }

    /// For `error_message` of Produce 8 and later.
    pub fn message(&self) -> String {
        match self {
            ProduceError::NoBatch => "A partition's records must hold one record batch.".to_string(),
            ProduceError::SeveralBatches => {
                "A partition's records must hold exactly one record batch.".to_string()
            }
            ProduceError::Magic(magic) => {
                format!("Record format {magic} is not supported, only format 2 is.")
            }
            ProduceError::ZstdBeforeVersion7 => "ZStandard needs Produce version 7 or later.".to_string(),
            ProduceError::UnknownCodec(id) => format!("No compression has id {id}."),
            ProduceError::BaseOffset(offset) => {
                format!("The base offset of the record batch should be 0, but it is {offset}.")
            }
            ProduceError::TooLarge { size, limit } => {
                format!("The record batch size is {size} bytes, which exceeds max.message.bytes of {limit}.")
            }
            ProduceError::LargerThanSegment { size, limit } => {
                format!("The record batch size is {size} bytes, which exceeds segment.bytes of {limit}.")
            }
            ProduceError::Corrupt(error) => format!("The record batch is corrupt: {error}."),
            ProduceError::Malformed(error) => format!("The record batch is invalid: {error}."),
            ProduceError::Count {
                last_offset_delta,
                count,
            } => {
                format!(
                    "Inconsistent batch offset range [0, {last_offset_delta}] and count of records {count}."
                )
            }
            ProduceError::Control => "Clients are not allowed to write control records.".to_string(),
            ProduceError::Transactional => {
                "There is no transaction: transactions are not supported yet.".to_string()
            }
            ProduceError::ProducerStamp => {
                "A producer id needs an epoch and a sequence of 0 or more.".to_string()
            }
            ProduceError::KeysMissing(errors) => format!(
                "One or more records have been rejected due to {} record errors in total: {}",
                errors.len(),
                KEY_NEEDED
            ),
            ProduceError::Timestamps(_) => {
                "One or more records have been rejected due to invalid timestamp".to_string()
            }
        }
    }

    /// For `record_errors` of Produce 8 and later; the first ones of many.
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            ProduceError::KeysMissing(errors) | ProduceError::Timestamps(errors) => errors,
            _ => &[],
        }
    }
}

impl From<BatchError> for ProduceError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Truncated => ProduceError::NoBatch,
            BatchError::UnsupportedMagic(magic) => ProduceError::Magic(magic),
            BatchError::UnknownCodec(id) => ProduceError::UnknownCodec(id),
            BatchError::InvalidLength | BatchError::WrongCrc { .. } => ProduceError::Corrupt(error),
            BatchError::InvalidOffsets
            | BatchError::InvalidRecord
            | BatchError::WrongCount
            | BatchError::Compressed => ProduceError::Malformed(error),
        }
    }
}

pub(super) const KEY_NEEDED: &str = "Compacted topic cannot accept message without key";
