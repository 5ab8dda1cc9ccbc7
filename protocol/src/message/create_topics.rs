//! CreateTopics: new topics, and what they are configured to.

use alloc::vec::Vec;

use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(CreateTopics: CreateTopicsRequest<'a>, CreateTopicsResponse<'r>);

message! {
    pub struct CreateTopicsRequest<'a> {
        topics: Vec<CreatableTopic<'a>> [0..],
        /// How long to wait until the topics exist.
        timeout_ms: i32 [0..] default(60000),
        /// Only checks.
        validate_only: bool [1..],
    }
}

message! {
    pub struct CreatableTopic<'a> {
        name: &'a str [0..],
        /// -1 for the broker's default, or where the assignments tell.
        num_partitions: i32 [0..],
        /// -1 for the broker's default, or where the assignments tell.
        replication_factor: i16 [0..],
        /// Which brokers hold which partition; empty for an assignment by the broker.
        assignments: Vec<CreatableReplicaAssignment> [0..],
        configs: Vec<CreatableTopicConfig<'a>> [0..],
    }
}

message! {
    pub struct CreatableReplicaAssignment {
        partition_index: i32 [0..],
        broker_ids: Vec<i32> [0..],
    }
}

message! {
    pub struct CreatableTopicConfig<'a> {
        name: &'a str [0..],
        value: Option<&'a str> [0..],
    }
}

message! {
    pub struct CreateTopicsResponse<'a> {
        throttle_time_ms: i32 [2..],
        topics: Vec<CreatableTopicResult<'a>> [0..],
    }
}

message! {
    pub struct CreatableTopicResult<'a> {
        name: &'a str [0..],
        topic_id: TopicId [7..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [1..],
        /// Why the configs are not told.
        topic_config_error_code: i16 [5..] tag(0),
        num_partitions: i32 [5..] default(-1),
        replication_factor: i16 [5..] default(-1),
        /// Null where they may not be told.
        configs: Option<Vec<CreatableTopicConfigs<'a>>> [5..],
    }
}

message! {
    pub struct CreatableTopicConfigs<'a> {
        name: &'a str [5..],
        value: Option<&'a str> [5..],
        read_only: bool [5..],
        /// As in DescribeConfigs.
        config_source: i8 [5..] default(-1),
        is_sensitive: bool [5..],
    }
}
