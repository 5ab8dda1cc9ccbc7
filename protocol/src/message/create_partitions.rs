//! CreatePartitions: more partitions for a topic.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(CreatePartitions: CreatePartitionsRequest<'a>, CreatePartitionsResponse<'r>);

message! {
    pub struct CreatePartitionsRequest<'a> {
        topics: Vec<CreatePartitionsTopic<'a>> [0..],
        timeout_ms: i32 [0..],
        /// Only checks.
        validate_only: bool [0..],
    }
}

message! {
    pub struct CreatePartitionsTopic<'a> {
        name: &'a str [0..],
        /// How many there shall be in all.
        count: i32 [0..],
        /// Which brokers hold each new one; null for an assignment by the broker.
        assignments: Option<Vec<CreatePartitionsAssignment>> [0..],
    }
}

message! {
    pub struct CreatePartitionsAssignment {
        broker_ids: Vec<i32> [0..],
    }
}

message! {
    pub struct CreatePartitionsResponse<'a> {
        throttle_time_ms: i32 [0..],
        results: Vec<CreatePartitionsTopicResult<'a>> [0..],
    }
}

message! {
    pub struct CreatePartitionsTopicResult<'a> {
        name: &'a str [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
    }
}
