//! OffsetFetch: how far groups have come. From version 8 on for many groups at once, from version 10 on
//! topics go by id.

use alloc::vec::Vec;

use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(OffsetFetch: OffsetFetchRequest<'a>, OffsetFetchResponse<'r>);

message! {
    pub struct OffsetFetchRequest<'a> {
        group_id: &'a str [0..=7],
        /// Null for all.
        topics: Option<Vec<OffsetFetchRequestTopic<'a>>> [0..=7] nullable(2..=7),
        groups: Vec<OffsetFetchRequestGroup<'a>> [8..],
        /// UNSTABLE_OFFSET_COMMIT rather than an offset that an open transaction may yet move (KIP-447).
        require_stable: bool [7..],
    }
}

message! {
    pub struct OffsetFetchRequestTopic<'a> {
        name: &'a str [0..=7],
        partition_indexes: Vec<i32> [0..=7],
    }
}

message! {
    pub struct OffsetFetchRequestGroup<'a> {
        group_id: &'a str [8..],
        /// Null from whoever is no member of a consumer group.
        member_id: Option<&'a str> [9..],
        member_epoch: i32 [9..] default(-1),
        /// Null for all.
        topics: Option<Vec<OffsetFetchRequestTopics<'a>>> [8..],
    }
}

message! {
    pub struct OffsetFetchRequestTopics<'a> {
        name: &'a str [8..=9],
        topic_id: TopicId [10..],
        partition_indexes: Vec<i32> [8..],
    }
}

message! {
    pub struct OffsetFetchResponse<'a> {
        throttle_time_ms: i32 [3..],
        topics: Vec<OffsetFetchResponseTopic<'a>> [0..=7],
        error_code: i16 [2..=7],
        groups: Vec<OffsetFetchResponseGroup<'a>> [8..],
    }
}

message! {
    pub struct OffsetFetchResponseTopic<'a> {
        name: &'a str [0..=7],
        partitions: Vec<OffsetFetchResponsePartition<'a>> [0..=7],
    }
}

message! {
    pub struct OffsetFetchResponsePartition<'a> {
        partition_index: i32 [0..=7],
        /// -1 where there is none.
        committed_offset: i64 [0..=7],
        /// -1 where it is unknown.
        committed_leader_epoch: i32 [5..=7] default(-1),
        metadata: Option<&'a str> [0..=7],
        error_code: i16 [0..=7],
    }
}

message! {
    pub struct OffsetFetchResponseGroup<'a> {
        group_id: &'a str [8..],
        topics: Vec<OffsetFetchResponseTopics<'a>> [8..],
        error_code: i16 [8..],
    }
}

message! {
    pub struct OffsetFetchResponseTopics<'a> {
        name: &'a str [8..=9],
        topic_id: TopicId [10..],
        partitions: Vec<OffsetFetchResponsePartitions<'a>> [8..],
    }
}

message! {
    pub struct OffsetFetchResponsePartitions<'a> {
        partition_index: i32 [8..],
        /// -1 where there is none.
        committed_offset: i64 [8..],
        /// -1 where it is unknown.
        committed_leader_epoch: i32 [8..] default(-1),
        metadata: Option<&'a str> [8..],
        error_code: i16 [8..],
    }
}
