//! DescribeQuorum: who keeps the cluster's metadata, and how far each has come (KIP-595).

use alloc::vec::Vec;

use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(DescribeQuorum: DescribeQuorumRequest<'a>, DescribeQuorumResponse<'r>);

message! {
    pub struct DescribeQuorumRequest<'a> {
        topics: Vec<TopicRequest<'a>> [0..],
    }
}

message! {
    pub struct TopicRequest<'a> {
        topic_name: &'a str [0..],
        partitions: Vec<PartitionRequest> [0..],
    }
}

message! {
    pub struct PartitionRequest {
        partition_index: i32 [0..],
    }
}

message! {
    pub struct DescribeQuorumResponse<'a> {
        error_code: i16 [0..],
        error_message: Option<&'a str> [2..],
        topics: Vec<TopicData<'a>> [0..],
        nodes: Vec<Node<'a>> [2..],
    }
}

message! {
    pub struct TopicData<'a> {
        topic_name: &'a str [0..],
        partitions: Vec<PartitionData<'a>> [0..],
    }
}

message! {
    pub struct PartitionData<'a> {
        partition_index: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [2..],
        /// -1 where there is none.
        leader_id: i32 [0..],
        leader_epoch: i32 [0..],
        high_watermark: i64 [0..],
        current_voters: Vec<ReplicaState> [0..],
        observers: Vec<ReplicaState> [0..],
    }
}

message! {
    pub struct ReplicaState {
        replica_id: i32 [0..],
        replica_directory_id: TopicId [2..],
        /// -1 for unknown.
        log_end_offset: i64 [0..],
        /// By the leader's clock; -1 for the leader itself and for unknown.
        last_fetch_timestamp: i64 [1..] default(-1),
        /// By the leader's clock; -1 for unknown.
        last_caught_up_timestamp: i64 [1..] default(-1),
    }
}

message! {
    pub struct Node<'a> {
        node_id: i32 [2..],
        listeners: Vec<Listener<'a>> [2..],
    }
}

message! {
    pub struct Listener<'a> {
        name: &'a str [2..],
        host: &'a str [2..],
        port: u16 [2..],
    }
}
