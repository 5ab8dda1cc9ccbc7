//! DescribeProducers: the idempotent and transactional producers that a partition's leader knows (KIP-664).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(DescribeProducers: DescribeProducersRequest<'a>, DescribeProducersResponse<'r>);

message! {
    pub struct DescribeProducersRequest<'a> {
        topics: Vec<TopicRequest<'a>> [0..],
    }
}

message! {
    pub struct TopicRequest<'a> {
        name: &'a str [0..],
        partition_indexes: Vec<i32> [0..],
    }
}

message! {
    pub struct DescribeProducersResponse<'a> {
        throttle_time_ms: i32 [0..],
        topics: Vec<TopicResponse<'a>> [0..],
    }
}

message! {
    pub struct TopicResponse<'a> {
        name: &'a str [0..],
        partitions: Vec<PartitionResponse<'a>> [0..],
    }
}

message! {
    pub struct PartitionResponse<'a> {
        partition_index: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        active_producers: Vec<ProducerState> [0..],
    }
}

message! {
    pub struct ProducerState {
        producer_id: i64 [0..],
        producer_epoch: i32 [0..],
        /// -1 for none.
        last_sequence: i32 [0..] default(-1),
        /// -1 for none.
        last_timestamp: i64 [0..] default(-1),
        /// -1 for none.
        coordinator_epoch: i32 [0..],
        /// -1 outside transactions.
        current_txn_start_offset: i64 [0..] default(-1),
    }
}
