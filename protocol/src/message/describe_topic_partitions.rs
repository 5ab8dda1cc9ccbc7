//! DescribeTopicPartitions: topics and their partitions, page by page (KIP-966).

use alloc::vec::Vec;

use super::schema::{exchange, message, optional};
use crate::types::TopicId;

exchange!(DescribeTopicPartitions: DescribeTopicPartitionsRequest<'a>, DescribeTopicPartitionsResponse<'r>);

optional!(Cursor<'a>);

message! {
    pub struct DescribeTopicPartitionsRequest<'a> {
        /// Empty for all.
        topics: Vec<TopicRequest<'a>> [0..],
        /// How many partitions at most; the broker's own limit holds as well.
        response_partition_limit: i32 [0..] default(2_000),
        /// Where the page begins; null for the beginning.
        cursor: Option<Cursor<'a>> [0..],
    }
}

message! {
    pub struct TopicRequest<'a> {
        name: &'a str [0..],
    }
}

message! {
    pub struct Cursor<'a> {
        topic_name: &'a str [0..],
        /// The first one wanted.
        partition_index: i32 [0..],
    }
}

message! {
    pub struct DescribeTopicPartitionsResponse<'a> {
        throttle_time_ms: i32 [0..],
        topics: Vec<DescribeTopicPartitionsResponseTopic<'a>> [0..],
        /// Where the next page begins; null after the last one.
        next_cursor: Option<Cursor<'a>> [0..],
    }
}

message! {
    pub struct DescribeTopicPartitionsResponseTopic<'a> {
        error_code: i16 [0..],
        name: Option<&'a str> [0..],
        topic_id: TopicId [0..],
        is_internal: bool [0..],
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0..],
        /// A bit set by operation; `i32::MIN` if not asked for.
        topic_authorized_operations: i32 [0..] default(i32::MIN),
    }
}

message! {
    pub struct DescribeTopicPartitionsResponsePartition {
        error_code: i16 [0..],
        partition_index: i32 [0..],
        /// -1 where there is none.
        leader_id: i32 [0..],
        leader_epoch: i32 [0..] default(-1),
        replica_nodes: Vec<i32> [0..],
        isr_nodes: Vec<i32> [0..],
        /// Those beyond the in-sync ones that have all that was acknowledged.
        eligible_leader_replicas: Option<Vec<i32>> [0..],
        /// Those that were eligible before the last of them was lost.
        last_known_elr: Option<Vec<i32>> [0..],
        offline_replicas: Vec<i32> [0..],
    }
}
