//! SyncGroup: the leader hands in what it decided, and every member gets its share of it. Metadata and
//! assignments are bytes that only the members understand.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(SyncGroup: SyncGroupRequest<'a>, SyncGroupResponse<'r>);

message! {
    pub struct SyncGroupRequest<'a> {
        group_id: &'a str [0..],
        generation_id: i32 [0..],
        member_id: &'a str [0..],
        group_instance_id: Option<&'a str> [3..],
        /// Checked against the group's own unless it is null.
        protocol_type: Option<&'a str> [5..],
        /// Checked against the group's own unless it is null.
        protocol_name: Option<&'a str> [5..],
        /// From the leader; empty from the others.
        assignments: Vec<SyncGroupRequestAssignment<'a>> [0..],
    }
}

message! {
    pub struct SyncGroupRequestAssignment<'a> {
        member_id: &'a str [0..],
        /// In the members' own format.
        assignment: &'a [u8] [0..],
    }
}

message! {
    pub struct SyncGroupResponse<'a> {
        throttle_time_ms: i32 [1..],
        error_code: i16 [0..],
        protocol_type: Option<&'a str> [5..],
        protocol_name: Option<&'a str> [5..],
        /// In the members' own format.
        assignment: &'a [u8] [0..],
    }
}
