//! OffsetDelete: forgets a group's offsets of topics that it does not read now.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(OffsetDelete: OffsetDeleteRequest<'a>, OffsetDeleteResponse<'r>);

message! {
    pub struct OffsetDeleteRequest<'a> {
        group_id: &'a str [0..],
        topics: Vec<OffsetDeleteRequestTopic<'a>> [0..],
    }
}

message! {
    pub struct OffsetDeleteRequestTopic<'a> {
        name: &'a str [0..],
        partitions: Vec<OffsetDeleteRequestPartition> [0..],
    }
}

message! {
    pub struct OffsetDeleteRequestPartition {
        partition_index: i32 [0..],
    }
}

message! {
    pub struct OffsetDeleteResponse<'a> {
        error_code: i16 [0..],
        throttle_time_ms: i32 [0..],
        topics: Vec<OffsetDeleteResponseTopic<'a>> [0..],
    }
}

message! {
    pub struct OffsetDeleteResponseTopic<'a> {
        name: &'a str [0..],
        partitions: Vec<OffsetDeleteResponsePartition> [0..],
    }
}

message! {
    pub struct OffsetDeleteResponsePartition {
        partition_index: i32 [0..],
        error_code: i16 [0..],
    }
}
