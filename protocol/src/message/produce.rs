//! Produce: batches of records for partitions that this broker leads. Versions below 3 carried older record
//! formats and are not served. From version 13 on topics go by id.

use alloc::vec::Vec;

use super::leader::{LeaderIdAndEpoch, NodeEndpoint};
use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(Produce: ProduceRequest<'a>, ProduceResponse<'r>);

message! {
    pub struct ProduceRequest<'a> {
        /// Null outside transactions.
        transactional_id: Option<&'a str> [3..],
        /// 0: none, and no response at all; 1: the leader; -1: all in-sync replicas.
        acks: i16 [0..],
        /// How long the broker may wait for replicas before it answers REQUEST_TIMED_OUT.
        timeout_ms: i32 [0..],
        topic_data: Vec<TopicProduceData<'a>> [0..],
    }
}

message! {
    pub struct TopicProduceData<'a> {
        name: &'a str [0..=12],
        topic_id: TopicId [13..],
        partition_data: Vec<PartitionProduceData<'a>> [0..],
    }
}

message! {
    pub struct PartitionProduceData<'a> {
        index: i32 [0..],
        /// One batch, as it is to be stored.
        records: Option<&'a [u8]> [0..],
    }
}

message! {
    pub struct ProduceResponse<'a> {
        responses: Vec<TopicProduceResponse<'a>> [0..],
        throttle_time_ms: i32 [1..],
        /// The addresses of the leaders that the partitions name.
        node_endpoints: Vec<NodeEndpoint<'a>> [10..] tag(0),
    }
}

message! {
    pub struct TopicProduceResponse<'a> {
        name: &'a str [0..=12],
        topic_id: TopicId [13..],
        partition_responses: Vec<PartitionProduceResponse<'a>> [0..],
    }
}

message! {
    pub struct PartitionProduceResponse<'a> {
        index: i32 [0..],
        error_code: i16 [0..],
        /// The first record's offset; -1 after an error.
        base_offset: i64 [0..],
        /// The time of append where it replaced the records' own; else -1.
        log_append_time_ms: i64 [2..] default(-1),
        log_start_offset: i64 [5..] default(-1),
        /// The records for which the whole batch was refused.
        record_errors: Vec<BatchIndexAndErrorMessage<'a>> [8..],
        error_message: Option<&'a str> [8..],
        /// Where to turn to after NOT_LEADER_OR_FOLLOWER (KIP-951).
        current_leader: LeaderIdAndEpoch [10..] tag(0),
    }
}

message! {
    pub struct BatchIndexAndErrorMessage<'a> {
        /// The record's place in the batch, from 0.
        batch_index: i32 [8..],
        batch_index_error_message: Option<&'a str> [8..],
    }
}
