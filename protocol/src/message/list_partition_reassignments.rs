//! ListPartitionReassignments: the partitions whose replicas are on the move (KIP-455).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(
    ListPartitionReassignments: ListPartitionReassignmentsRequest<'a>, ListPartitionReassignmentsResponse<'r>
);

message! {
    pub struct ListPartitionReassignmentsRequest<'a> {
        timeout_ms: i32 [0..] default(60_000),
        /// Null for all.
        topics: Option<Vec<ListPartitionReassignmentsTopics<'a>>> [0..],
    }
}

message! {
    pub struct ListPartitionReassignmentsTopics<'a> {
        name: &'a str [0..],
        partition_indexes: Vec<i32> [0..],
    }
}

message! {
    pub struct ListPartitionReassignmentsResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        topics: Vec<OngoingTopicReassignment<'a>> [0..],
    }
}

message! {
    pub struct OngoingTopicReassignment<'a> {
        name: &'a str [0..],
        partitions: Vec<OngoingPartitionReassignment> [0..],
    }
}

message! {
    pub struct OngoingPartitionReassignment {
        partition_index: i32 [0..],
        replicas: Vec<i32> [0..],
        adding_replicas: Vec<i32> [0..],
        removing_replicas: Vec<i32> [0..],
    }
}
