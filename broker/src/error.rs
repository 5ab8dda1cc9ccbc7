//! The only map from the storage's errors to Kafka's codes. The machines' refusals carry their codes themselves.
//! Invariant: every match names every case, so that a new error cannot be forgotten.

use millstream_log::{AppendError as AppendRefusal, SequenceError};
use millstream_protocol::error::ErrorCode;
use millstream_storage::{AppendError, DeleteRecordsError, ReadError};

/// Why an append was not accepted.
pub fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::Refused(refusal) => append_refusal(refusal),
        AppendError::UnknownLog => ErrorCode::UnknownTopicOrPartition,
        AppendError::Fenced | AppendError::WritesStopped => ErrorCode::KafkaStorageError,
        // Retriable for every client, and nothing was stored.
        AppendError::NoSpace | AppendError::Busy => ErrorCode::NotEnoughReplicas,
    }
}

/// Why a read served nothing.
pub fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::UnknownLog => ErrorCode::UnknownTopicOrPartition,
        ReadError::Fenced { .. } | ReadError::Device { .. } => ErrorCode::KafkaStorageError,
        ReadError::Busy => ErrorCode::ThrottlingQuotaExceeded,
    }
}

/// Why the front of a log did not move.
pub fn trim(error: &DeleteRecordsError) -> ErrorCode {
    match error {
        DeleteRecordsError::OutOfRange => ErrorCode::OffsetOutOfRange,
        DeleteRecordsError::UnknownLog => ErrorCode::UnknownTopicOrPartition,
        DeleteRecordsError::Fenced | DeleteRecordsError::WritesStopped => ErrorCode::KafkaStorageError,
    }
}

fn append_refusal(refusal: &AppendRefusal) -> ErrorCode {
    match refusal {
        AppendRefusal::Sequence(error) => match error {
            SequenceError::OutOfOrder { .. } | SequenceError::Mixed { .. } => {
                ErrorCode::OutOfOrderSequenceNumber
            }
            SequenceError::InvalidEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            SequenceError::TooManyProducers => ErrorCode::NotEnoughReplicas,
        },
        AppendRefusal::TooLarge { .. } => ErrorCode::RecordListTooLarge,
        AppendRefusal::LogFull => ErrorCode::KafkaStorageError,
        AppendRefusal::Removed => ErrorCode::UnknownTopicOrPartition,
    }
}
