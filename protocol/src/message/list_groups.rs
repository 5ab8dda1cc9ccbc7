//! ListGroups: the groups of one broker, of every kind.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(ListGroups: ListGroupsRequest<'a>, ListGroupsResponse<'r>);

message! {
    pub struct ListGroupsRequest<'a> {
        /// Empty for all.
        states_filter: Vec<&'a str> [4..],
        /// Empty for all.
        types_filter: Vec<&'a str> [5..],
    }
}

message! {
    pub struct ListGroupsResponse<'a> {
        throttle_time_ms: i32 [1..],
        error_code: i16 [0..],
        groups: Vec<ListedGroup<'a>> [0..],
    }
}

message! {
    pub struct ListedGroup<'a> {
        group_id: &'a str [0..],
        /// Empty for a group that nobody ever joined.
        protocol_type: &'a str [0..],
        group_state: &'a str [4..],
        /// `classic`, `consumer`, …
        group_type: &'a str [5..],
    }
}
