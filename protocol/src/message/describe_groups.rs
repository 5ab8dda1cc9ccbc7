//! DescribeGroups: classic groups with their members. Metadata and assignments are bytes that only the
//! members understand.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(DescribeGroups: DescribeGroupsRequest<'a>, DescribeGroupsResponse<'r>);

message! {
    pub struct DescribeGroupsRequest<'a> {
        groups: Vec<&'a str> [0..],
        include_authorized_operations: bool [3..],
    }
}

message! {
    pub struct DescribeGroupsResponse<'a> {
        throttle_time_ms: i32 [1..],
        groups: Vec<DescribedGroup<'a>> [0..],
    }
}

message! {
    pub struct DescribedGroup<'a> {
        error_code: i16 [0..],
        error_message: Option<&'a str> [6..],
        group_id: &'a str [0..],
        /// As Kafka spells it: `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Empty`, `Dead`.
        group_state: &'a str [0..],
        protocol_type: &'a str [0..],
        /// The protocol that the members agreed on.
        protocol_data: &'a str [0..],
        members: Vec<DescribedGroupMember<'a>> [0..],
        /// A bit set by operation; `i32::MIN` if not asked for.
        authorized_operations: i32 [3..] default(i32::MIN),
    }
}

message! {
    pub struct DescribedGroupMember<'a> {
        member_id: &'a str [0..],
        group_instance_id: Option<&'a str> [4..],
        client_id: &'a str [0..],
        client_host: &'a str [0..],
        /// What it joined with, of the protocol that was agreed on.
        member_metadata: &'a [u8] [0..],
        member_assignment: &'a [u8] [0..],
    }
}
