//! AlterPartitionReassignments: moves replicas to other brokers, or stops doing so (KIP-455).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(
    AlterPartitionReassignments: AlterPartitionReassignmentsRequest<'a>, AlterPartitionReassignmentsResponse<'r>
);

message! {
    pub struct AlterPartitionReassignmentsRequest<'a> {
        timeout_ms: i32 [0..] default(60_000),
        allow_replication_factor_change: bool [1..] default(true),
        topics: Vec<ReassignableTopic<'a>> [0..],
    }
}

message! {
    pub struct ReassignableTopic<'a> {
        name: &'a str [0..],
        partitions: Vec<ReassignablePartition> [0..],
    }
}

message! {
    pub struct ReassignablePartition {
        partition_index: i32 [0..],
        /// Null stops what is under way.
        replicas: Option<Vec<i32>> [0..],
    }
}

message! {
    pub struct AlterPartitionReassignmentsResponse<'a> {
        throttle_time_ms: i32 [0..],
        allow_replication_factor_change: bool [1..] default(true),
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        responses: Vec<ReassignableTopicResponse<'a>> [0..],
    }
}

message! {
    pub struct ReassignableTopicResponse<'a> {
        name: &'a str [0..],
        partitions: Vec<ReassignablePartitionResponse<'a>> [0..],
    }
}

message! {
    pub struct ReassignablePartitionResponse<'a> {
        partition_index: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
    }
}
