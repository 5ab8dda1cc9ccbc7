//! OffsetForLeaderEpoch: where an epoch ended, so that a reader finds out whether its log and this one part
//! (KIP-320).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(OffsetForLeaderEpoch: OffsetForLeaderEpochRequest<'a>, OffsetForLeaderEpochResponse<'r>);

message! {
    pub struct OffsetForLeaderEpochRequest<'a> {
        /// -1 for a consumer.
        replica_id: i32 [3..] default(-2),
        topics: Vec<OffsetForLeaderTopic<'a>> [0..],
    }
}

message! {
    pub struct OffsetForLeaderTopic<'a> {
        topic: &'a str [0..],
        partitions: Vec<OffsetForLeaderPartition> [0..],
    }
}

message! {
    pub struct OffsetForLeaderPartition {
        partition: i32 [0..],
        /// The epoch that the client knows of; -1 for none.
        current_leader_epoch: i32 [2..] default(-1),
        /// The epoch asked about.
        leader_epoch: i32 [0..],
    }
}

message! {
    pub struct OffsetForLeaderEpochResponse<'a> {
        throttle_time_ms: i32 [2..],
        topics: Vec<OffsetForLeaderTopicResult<'a>> [0..],
    }
}

message! {
    pub struct OffsetForLeaderTopicResult<'a> {
        topic: &'a str [0..],
        partitions: Vec<EpochEndOffset> [0..],
    }
}

message! {
    pub struct EpochEndOffset {
        error_code: i16 [0..],
        partition: i32 [0..],
        /// The largest epoch that is not above the one asked about; -1 for none.
        leader_epoch: i32 [1..] default(-1),
        /// Exclusive: the first offset of the next epoch, or the end of the log; -1 for none.
        end_offset: i64 [0..] default(-1),
    }
}
