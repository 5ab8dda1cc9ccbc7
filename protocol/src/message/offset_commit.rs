//! OffsetCommit: how far a group has come in its partitions. From version 10 on topics go by id.

use alloc::vec::Vec;

use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(OffsetCommit: OffsetCommitRequest<'a>, OffsetCommitResponse<'r>);

message! {
    pub struct OffsetCommitRequest<'a> {
        group_id: &'a str [0..],
        /// -1 from whoever is no member.
        generation_id_or_member_epoch: i32 [1..] default(-1),
        /// Empty from whoever is no member.
        member_id: &'a str [1..],
        group_instance_id: Option<&'a str> [7..],
        /// -1 for the broker's own.
        retention_time_ms: i64 [2..=4] default(-1),
        topics: Vec<OffsetCommitRequestTopic<'a>> [0..],
    }
}

message! {
    pub struct OffsetCommitRequestTopic<'a> {
        name: &'a str [0..=9],
        topic_id: TopicId [10..],
        partitions: Vec<OffsetCommitRequestPartition<'a>> [0..],
    }
}

message! {
    pub struct OffsetCommitRequestPartition<'a> {
        partition_index: i32 [0..],
        /// The next one to be read.
        committed_offset: i64 [0..],
        /// The epoch of the last record read; -1 for none.
        committed_leader_epoch: i32 [6..] default(-1),
        /// Whatever the client wants to find there again.
        committed_metadata: Option<&'a str> [0..],
    }
}

message! {
    pub struct OffsetCommitResponse<'a> {
        throttle_time_ms: i32 [3..],
        topics: Vec<OffsetCommitResponseTopic<'a>> [0..],
    }
}

message! {
    pub struct OffsetCommitResponseTopic<'a> {
        name: &'a str [0..=9],
        topic_id: TopicId [10..],
        partitions: Vec<OffsetCommitResponsePartition> [0..],
    }
}

message! {
    pub struct OffsetCommitResponsePartition {
        partition_index: i32 [0..],
        error_code: i16 [0..],
    }
}
