//! ListOffsets: the offset that belongs to a timestamp, or one of the special ones ([`LATEST_TIMESTAMP`] and
//! so on).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(ListOffsets: ListOffsetsRequest<'a>, ListOffsetsResponse<'r>);

message! {
    pub struct ListOffsetsRequest<'a> {
        /// -1 for a consumer.
        replica_id: i32 [0..],
        /// 0: read uncommitted; 1: read committed.
        isolation_level: i8 [2..],
        topics: Vec<ListOffsetsTopic<'a>> [0..],
        /// How long the look-up may take in tiered storage.
        timeout_ms: i32 [10..],
    }
}

message! {
    pub struct ListOffsetsTopic<'a> {
        name: &'a str [0..],
        partitions: Vec<ListOffsetsPartition> [0..],
    }
}

message! {
    pub struct ListOffsetsPartition {
        partition_index: i32 [0..],
        /// The epoch that the client knows of; -1 for none.
        current_leader_epoch: i32 [4..] default(-1),
        /// Milliseconds: asks for the first record of at least that time; or one of the special values.
        timestamp: i64 [0..],
    }
}

message! {
    pub struct ListOffsetsResponse<'a> {
        throttle_time_ms: i32 [2..],
        topics: Vec<ListOffsetsTopicResponse<'a>> [0..],
    }
}

message! {
    pub struct ListOffsetsTopicResponse<'a> {
        name: &'a str [0..],
        partitions: Vec<ListOffsetsPartitionResponse> [0..],
    }
}

message! {
    pub struct ListOffsetsPartitionResponse {
        partition_index: i32 [0..],
        error_code: i16 [0..],
        /// The found record's; -1 for the special offsets.
        timestamp: i64 [1..] default(-1),
        /// -1 where no record matches.
        offset: i64 [1..] default(-1),
        leader_epoch: i32 [4..] default(-1),
    }
}

/// The end of what the client may read: the high watermark, or the last stable offset under read committed.
pub const LATEST_TIMESTAMP: i64 = -1;

/// The start of the log.
pub const EARLIEST_TIMESTAMP: i64 = -2;

/// The record with the largest timestamp; from version 7 on.
pub const MAX_TIMESTAMP: i64 = -3;

/// The start of what is on this broker's own disk; from version 8 on.
pub const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;

/// The end of what is in tiered storage; from version 9 on.
pub const LATEST_TIERED_TIMESTAMP: i64 = -5;

/// The first offset that is not in tiered storage yet; from version 11 on.
pub const EARLIEST_PENDING_UPLOAD_TIMESTAMP: i64 = -6;
