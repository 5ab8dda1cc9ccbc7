//! JoinGroup: a member enters a group, or enters it again for the next generation. The answer waits until all
//! members have done so, or the time for it is up.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(JoinGroup: JoinGroupRequest<'a>, JoinGroupResponse<'r>);

message! {
    pub struct JoinGroupRequest<'a> {
        group_id: &'a str [0..],
        /// A member that was not heard of for so long is out.
        session_timeout_ms: i32 [0..],
        /// How long the group waits for members to join again; in version 0 it is the session timeout.
        rebalance_timeout_ms: i32 [1..] default(-1),
        /// Empty at the first time: the coordinator gives one.
        member_id: &'a str [0..],
        /// What a static member keeps over its restarts; null for a dynamic one.
        group_instance_id: Option<&'a str> [5..],
        /// `consumer`, `connect`, …: what kind of members these are.
        protocol_type: &'a str [0..],
        /// What the member could work by, the one it likes best first.
        protocols: Vec<JoinGroupRequestProtocol<'a>> [0..],
        /// For the log.
        reason: Option<&'a str> [8..],
    }
}

message! {
    pub struct JoinGroupRequestProtocol<'a> {
        name: &'a str [0..],
        /// What the leader gets to see of the member.
        metadata: &'a [u8] [0..],
    }
}

message! {
    pub struct JoinGroupResponse<'a> {
        throttle_time_ms: i32 [2..],
        error_code: i16 [0..],
        /// Counts the times that the group was put together; -1 after an error.
        generation_id: i32 [0..] default(-1),
        protocol_type: Option<&'a str> [7..],
        /// The one that all members know; null after an error.
        protocol_name: Option<&'a str> [0..] nullable(7..),
        /// The member that is to decide who gets what.
        leader: &'a str [0..],
        /// The leader came back and is not to decide anew.
        skip_assignment: bool [9..],
        member_id: &'a str [0..],
        /// For the leader alone; empty for the others.
        members: Vec<JoinGroupResponseMember<'a>> [0..],
    }
}

message! {
    pub struct JoinGroupResponseMember<'a> {
        member_id: &'a str [0..],
        group_instance_id: Option<&'a str> [5..],
        metadata: &'a [u8] [0..],
    }
}
