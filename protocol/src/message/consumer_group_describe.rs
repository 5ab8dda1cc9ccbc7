//! ConsumerGroupDescribe: consumer groups (KIP-848) with their members, what they have and what they are to
//! have.

use alloc::vec::Vec;

use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(ConsumerGroupDescribe: ConsumerGroupDescribeRequest<'a>, ConsumerGroupDescribeResponse<'r>);

message! {
    pub struct ConsumerGroupDescribeRequest<'a> {
        group_ids: Vec<&'a str> [0..],
        include_authorized_operations: bool [0..],
    }
}

message! {
    pub struct ConsumerGroupDescribeResponse<'a> {
        throttle_time_ms: i32 [0..],
        groups: Vec<DescribedGroup<'a>> [0..],
    }
}

message! {
    pub struct DescribedGroup<'a> {
        error_code: i16 [0..],
        error_message: Option<&'a str> [0..],
        group_id: &'a str [0..],
        /// As Kafka spells it: `Assigning`, `Reconciling`, `Stable`, `Empty`, `Dead`.
        group_state: &'a str [0..],
        /// Counts the changes of members, subscriptions and topics.
        group_epoch: i32 [0..],
        /// The group epoch for which the target was made.
        assignment_epoch: i32 [0..],
        assignor_name: &'a str [0..],
        members: Vec<Member<'a>> [0..],
        /// A bit set by operation; `i32::MIN` if not asked for.
        authorized_operations: i32 [0..] default(i32::MIN),
    }
}

message! {
    pub struct Member<'a> {
        member_id: &'a str [0..],
        instance_id: Option<&'a str> [0..],
        rack_id: Option<&'a str> [0..],
        member_epoch: i32 [0..],
        client_id: &'a str [0..],
        client_host: &'a str [0..],
        subscribed_topic_names: Vec<&'a str> [0..],
        subscribed_topic_regex: Option<&'a str> [0..],
        assignment: Assignment<'a> [0..],
        /// What it has once everybody has given up what goes elsewhere.
        target_assignment: Assignment<'a> [0..],
        /// -1: unknown; 0: speaks the classic protocol; 1: the consumer protocol.
        member_type: i8 [1..] default(-1),
    }
}

message! {
    pub struct Assignment<'a> {
        topic_partitions: Vec<TopicPartitions<'a>> [0..],
    }
}

message! {
    pub struct TopicPartitions<'a> {
        topic_id: TopicId [0..],
        topic_name: &'a str [0..],
        partitions: Vec<i32> [0..],
    }
}
