//! DeleteGroups: removes groups without members, with their offsets.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(DeleteGroups: DeleteGroupsRequest<'a>, DeleteGroupsResponse<'r>);

message! {
    pub struct DeleteGroupsRequest<'a> {
        groups_names: Vec<&'a str> [0..],
    }
}

message! {
    pub struct DeleteGroupsResponse<'a> {
        throttle_time_ms: i32 [0..],
        results: Vec<DeletableGroupResult<'a>> [0..],
    }
}

message! {
    pub struct DeletableGroupResult<'a> {
        group_id: &'a str [0..],
        error_code: i16 [0..],
    }
}
