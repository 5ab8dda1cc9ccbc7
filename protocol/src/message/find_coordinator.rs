//! FindCoordinator: which broker keeps a group's, a transaction's or a share partition's state. From version
//! 4 on for many keys at once.

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(FindCoordinator: FindCoordinatorRequest<'a>, FindCoordinatorResponse<'r>);

message! {
    pub struct FindCoordinatorRequest<'a> {
        key: &'a str [0..=3],
        /// 0: group; 1: transaction; 2: share partition.
        key_type: i8 [1..],
        /// Of one type, all of them.
        coordinator_keys: Vec<&'a str> [4..],
    }
}

message! {
    pub struct FindCoordinatorResponse<'a> {
        throttle_time_ms: i32 [1..],
        error_code: i16 [0..=3],
        error_message: Option<&'a str> [1..=3],
        /// -1 after an error.
        node_id: i32 [0..=3],
        host: &'a str [0..=3],
        /// -1 after an error.
        port: i32 [0..=3],
        coordinators: Vec<Coordinator<'a>> [4..],
    }
}

message! {
    pub struct Coordinator<'a> {
        key: &'a str [4..],
        /// -1 after an error.
        node_id: i32 [4..],
        host: &'a str [4..],
        /// -1 after an error.
        port: i32 [4..],
        error_code: i16 [4..],
        error_message: Option<&'a str> [4..],
    }
}
