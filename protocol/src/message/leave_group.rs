//! LeaveGroup: members leave at once and not by their session's end. From version 3 on several, and static
//! ones by their instance.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(LeaveGroup: LeaveGroupRequest<'a>, LeaveGroupResponse<'r>);

message! {
    pub struct LeaveGroupRequest<'a> {
        group_id: &'a str [0..],
        /// The one that leaves.
        member_id: &'a str [0..=2],
        members: Vec<MemberIdentity<'a>> [3..],
    }
}

message! {
    pub struct MemberIdentity<'a> {
        /// Empty for a static member that goes by its instance.
        member_id: &'a str [3..],
        group_instance_id: Option<&'a str> [3..],
        /// For the log.
        reason: Option<&'a str> [5..],
    }
}

message! {
    pub struct LeaveGroupResponse<'a> {
        throttle_time_ms: i32 [1..],
        error_code: i16 [0..],
        members: Vec<MemberResponse<'a>> [3..],
    }
}

message! {
    pub struct MemberResponse<'a> {
        member_id: &'a str [3..],
        group_instance_id: Option<&'a str> [3..],
        error_code: i16 [3..],
    }
}
