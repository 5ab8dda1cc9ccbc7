//! DeleteRecords: moves the start of partitions.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(DeleteRecords: DeleteRecordsRequest<'a>, DeleteRecordsResponse<'r>);

message! {
    pub struct DeleteRecordsRequest<'a> {
        topics: Vec<DeleteRecordsTopic<'a>> [0..],
        timeout_ms: i32 [0..],
    }
}

message! {
    pub struct DeleteRecordsTopic<'a> {
        name: &'a str [0..],
        partitions: Vec<DeleteRecordsPartition> [0..],
    }
}

message! {
    pub struct DeleteRecordsPartition {
        partition_index: i32 [0..],
        /// The new start, records before it go; -1 for the high watermark.
        offset: i64 [0..],
    }
}

message! {
    pub struct DeleteRecordsResponse<'a> {
        throttle_time_ms: i32 [0..],
        topics: Vec<DeleteRecordsTopicResult<'a>> [0..],
    }
}

message! {
    pub struct DeleteRecordsTopicResult<'a> {
        name: &'a str [0..],
        partitions: Vec<DeleteRecordsPartitionResult> [0..],
    }
}

message! {
    pub struct DeleteRecordsPartitionResult {
        partition_index: i32 [0..],
        /// The start as it is now.
        low_watermark: i64 [0..],
        error_code: i16 [0..],
    }
}
