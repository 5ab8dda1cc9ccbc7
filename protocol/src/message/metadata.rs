//! Metadata: brokers, topics, and who leads which partition. Creates topics that do not exist, if asked to.

use alloc::vec::Vec;

use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(Metadata: MetadataRequest<'a>, MetadataResponse<'r>);

message! {
    pub struct MetadataRequest<'a> {
        /// Null (in version 0: empty) asks for all topics, empty for none.
        topics: Option<Vec<MetadataRequestTopic<'a>>> [0..] nullable(1..),
        allow_auto_topic_creation: bool [4..] default(true),
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }
}

message! {
    pub struct MetadataRequestTopic<'a> {
        /// Zero where the name is given.
        topic_id: TopicId [10..],
        /// Null where the id is given.
        name: Option<&'a str> [0..] nullable(10..),
    }
}

message! {
    pub struct MetadataResponse<'a> {
        throttle_time_ms: i32 [3..],
        brokers: Vec<MetadataResponseBroker<'a>> [0..],
        cluster_id: Option<&'a str> [2..],
        /// -1 where there is none.
        controller_id: i32 [1..] default(-1),
        topics: Vec<MetadataResponseTopic<'a>> [0..],
        /// A bit set by operation; `i32::MIN` if not asked for.
        cluster_authorized_operations: i32 [8..=10] default(i32::MIN),
        error_code: i16 [13..],
    }
}

message! {
    pub struct MetadataResponseBroker<'a> {
        node_id: i32 [0..],
        host: &'a str [0..],
        port: i32 [0..],
        rack: Option<&'a str> [1..],
    }
}

message! {
    pub struct MetadataResponseTopic<'a> {
        error_code: i16 [0..],
        /// Null for an id that is not known.
        name: Option<&'a str> [0..] nullable(12..),
        topic_id: TopicId [10..],
        is_internal: bool [1..],
        partitions: Vec<MetadataResponsePartition> [0..],
        /// A bit set by operation; `i32::MIN` if not asked for.
        topic_authorized_operations: i32 [8..] default(i32::MIN),
    }
}

message! {
    pub struct MetadataResponsePartition {
        error_code: i16 [0..],
        partition_index: i32 [0..],
        /// -1 where there is none.
        leader_id: i32 [0..],
        leader_epoch: i32 [7..] default(-1),
        replica_nodes: Vec<i32> [0..],
        isr_nodes: Vec<i32> [0..],
        offline_replicas: Vec<i32> [5..],
    }
}
