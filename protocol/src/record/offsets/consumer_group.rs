//! A consumer group (KIP-848): the group and its members, what they are to have and what they have.

use alloc::vec::Vec;

use crate::message::data::data;
use crate::message::schema::{message, optional};
use crate::types::TopicId;

data!(ConsumerGroupMetadataValue: 0..=0, flexible Some(0));
data!(ConsumerGroupPartitionMetadataValue<'a>: 0..=0, flexible Some(0));
data!(ConsumerGroupMemberMetadataValue<'a>: 0..=0, flexible Some(0));
data!(ConsumerGroupTargetAssignmentMetadataValue: 0..=0, flexible Some(0));
data!(ConsumerGroupTargetAssignmentMemberValue: 0..=0, flexible Some(0));
data!(ConsumerGroupCurrentMemberAssignmentValue: 0..=0, flexible Some(0));
data!(ConsumerGroupRegularExpressionValue<'a>: 0..=0, flexible Some(0));

optional!(tagged ClassicMemberMetadata<'a>);

message! {
    pub struct ConsumerGroupMetadataKey<'a> {
        group_id: &'a str [0..=0],
    }
}

message! {
    pub struct ConsumerGroupMetadataValue {
        /// The group epoch.
        epoch: i32 [0..],
        /// Of the topics that the group reads; 0 for none.
        metadata_hash: i64 [0..] tag(0),
    }
}

message! {
    pub struct ConsumerGroupPartitionMetadataKey<'a> {
        group_id: &'a str [0..=0],
    }
}

message! {
    pub struct ConsumerGroupPartitionMetadataValue<'a> {
        topics: Vec<TopicMetadata<'a>> [0..],
    }
}

message! {
    pub struct TopicMetadata<'a> {
        topic_id: TopicId [0..],
        topic_name: &'a str [0..],
        num_partitions: i32 [0..],
        partition_metadata: Vec<PartitionMetadata<'a>> [0..],
    }
}

message! {
    pub struct PartitionMetadata<'a> {
        partition: i32 [0..],
        racks: Vec<&'a str> [0..],
    }
}

message! {
    pub struct ConsumerGroupMemberMetadataKey<'a> {
        group_id: &'a str [0..=0],
        member_id: &'a str [0..=0],
    }
}

message! {
    pub struct ConsumerGroupMemberMetadataValue<'a> {
        instance_id: Option<&'a str> [0..],
        rack_id: Option<&'a str> [0..],
        client_id: &'a str [0..],
        client_host: &'a str [0..],
        subscribed_topic_names: Vec<&'a str> [0..],
        /// Null or empty for none.
        subscribed_topic_regex: Option<&'a str> [0..],
        /// -1 for none.
        rebalance_timeout_ms: i32 [0..] default(-1),
        /// Null for the broker's choice.
        server_assignor: Option<&'a str> [0..],
        /// Null for a member that speaks the consumer protocol; what is not there is an empty one.
        classic_member_metadata: Option<ClassicMemberMetadata<'a>> [0..]
            default(Some(ClassicMemberMetadata::default())) tag(0),
    }
}

message! {
    pub struct ClassicMemberMetadata<'a> {
        session_timeout_ms: i32 [0..],
        supported_protocols: Vec<ClassicProtocol<'a>> [0..],
    }
}

message! {
    pub struct ClassicProtocol<'a> {
        name: &'a str [0..],
        metadata: &'a [u8] [0..],
    }
}

message! {
    pub struct ConsumerGroupTargetAssignmentMetadataKey<'a> {
        group_id: &'a str [0..=0],
    }
}

message! {
    pub struct ConsumerGroupTargetAssignmentMetadataValue {
        /// The group epoch for which it was made.
        assignment_epoch: i32 [0..],
        /// When it was made, in milliseconds; 0 for unknown.
        assignment_timestamp: i64 [0..] tag(0),
    }
}

message! {
    pub struct ConsumerGroupTargetAssignmentMemberKey<'a> {
        group_id: &'a str [0..=0],
        member_id: &'a str [0..=0],
    }
}

message! {
    pub struct ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: Vec<TopicPartition> [0..],
    }
}

message! {
    pub struct TopicPartition {
        topic_id: TopicId [0..],
        partitions: Vec<i32> [0..],
    }
}

message! {
    pub struct ConsumerGroupCurrentMemberAssignmentKey<'a> {
        group_id: &'a str [0..=0],
        member_id: &'a str [0..=0],
    }
}

message! {
    pub struct ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: i32 [0..],
        /// The one before, as the last answer may not have arrived.
        previous_member_epoch: i32 [0..],
        /// 0: stable; 1: gives partitions up; 2: waits for partitions that others give up.
        state: i8 [0..],
        assigned_partitions: Vec<TopicPartitions> [0..],
        /// What it is to give up and may still read.
        partitions_pending_revocation: Vec<TopicPartitions> [0..],
    }
}

message! {
    pub struct TopicPartitions {
        topic_id: TopicId [0..],
        partitions: Vec<i32> [0..],
        /// The member epoch at which it got each of the partitions; null or empty for unknown.
        assignment_epochs: Option<Vec<i32>> [0..] default(Some(Vec::new())) tag(0),
    }
}

message! {
    pub struct ConsumerGroupRegularExpressionKey<'a> {
        group_id: &'a str [0..=0],
        regular_expression: &'a str [0..=0],
    }
}

message! {
    pub struct ConsumerGroupRegularExpressionValue<'a> {
        /// The names that it matched.
        topics: Vec<&'a str> [0..],
        /// Of the metadata image that it was held against.
        version: i64 [0..],
        /// When that was, in milliseconds.
        timestamp: i64 [0..],
    }
}
