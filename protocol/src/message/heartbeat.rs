//! Heartbeat: a member of a classic group says that it is alive, and learns that the group rebalances.

use super::schema::{exchange, message};

exchange!(Heartbeat: HeartbeatRequest<'a>, HeartbeatResponse);

message! {
    pub struct HeartbeatRequest<'a> {
        group_id: &'a str [0..],
        generation_id: i32 [0..],
        member_id: &'a str [0..],
        group_instance_id: Option<&'a str> [3..],
    }
}

message! {
    pub struct HeartbeatResponse {
        throttle_time_ms: i32 [1..],
        error_code: i16 [0..],
    }
}
