//! ConsumerGroupHeartbeat: the one request of a member of a consumer group (KIP-848): it joins, tells what it
//! wants and has, and gets what it is to have. Null stands for what did not change.

use alloc::vec::Vec;

use super::schema::{exchange, message, optional};
use crate::types::TopicId;

exchange!(ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest<'a>, ConsumerGroupHeartbeatResponse<'r>);

optional!(Assignment);

message! {
    pub struct ConsumerGroupHeartbeatRequest<'a> {
        group_id: &'a str [0..],
        /// From version 1 on of the member's own making.
        member_id: &'a str [0..],
        /// 0: joins; -1: leaves; -2: a static member that comes back.
        member_epoch: i32 [0..],
        instance_id: Option<&'a str> [0..],
        rack_id: Option<&'a str> [0..],
        /// How long it may take to give partitions up; -1 if it did not change.
        rebalance_timeout_ms: i32 [0..] default(-1),
        subscribed_topic_names: Option<Vec<&'a str>> [0..],
        /// In RE2's syntax; empty to drop it.
        subscribed_topic_regex: Option<&'a str> [1..],
        /// By name; null for the broker's choice.
        server_assignor: Option<&'a str> [0..],
        /// What the member has.
        topic_partitions: Option<Vec<TopicPartitions>> [0..],
    }
}

message! {
    pub struct TopicPartitions {
        topic_id: TopicId [0..],
        partitions: Vec<i32> [0..],
    }
}

message! {
    pub struct ConsumerGroupHeartbeatResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        member_id: Option<&'a str> [0..],
        member_epoch: i32 [0..],
        /// When to ask again.
        heartbeat_interval_ms: i32 [0..],
        /// What the member may read; null if it did not change.
        assignment: Option<Assignment> [0..],
    }
}

message! {
    pub struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0..],
    }
}
