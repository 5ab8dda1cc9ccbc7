//! How far a group has come in a partition.

use crate::message::data::data;
use crate::message::schema::message;
use crate::types::TopicId;

data!(LegacyOffsetCommitValue<'a>: 0..=0, flexible None);
data!(OffsetCommitValue<'a>: 0..=4, flexible Some(4));

message! {
    pub struct LegacyOffsetCommitKey<'a> {
        group: &'a str [0..=0],
        topic: &'a str [0..=0],
        partition: i32 [0..=0],
    }
}

message! {
    pub struct LegacyOffsetCommitValue<'a> {
        offset: i64 [0..=0],
        metadata: &'a str [0..=0],
        commit_timestamp: i64 [0..=0],
    }
}

message! {
    pub struct OffsetCommitKey<'a> {
        group: &'a str [0..=0],
        topic: &'a str [0..=0],
        partition: i32 [0..=0],
    }
}

message! {
    pub struct OffsetCommitValue<'a> {
        /// The next one to be read.
        offset: i64 [0..],
        /// The epoch of the last record read; -1 for unknown.
        leader_epoch: i32 [3..] default(-1),
        metadata: &'a str [0..],
        /// Milliseconds, by the coordinator's clock.
        commit_timestamp: i64 [0..],
        /// When it is to be forgotten; -1 for as long as the broker says.
        expire_timestamp: i64 [1..=1] default(-1),
        /// Zero for unknown.
        topic_id: TopicId [4..] tag(0),
    }
}
