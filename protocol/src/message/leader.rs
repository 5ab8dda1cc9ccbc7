//! Where the leader of a partition is (KIP-951): what Produce and Fetch tell a client that asked the wrong
//! broker.
//!
//! The fields that carry these structs say from which version on they are there.

use super::schema::message;

message! {
    pub struct LeaderIdAndEpoch {
        leader_id: i32 [0..] default(-1),
        leader_epoch: i32 [0..] default(-1),
    }
}

message! {
    pub struct NodeEndpoint<'a> {
        node_id: i32 [0..],
        host: &'a str [0..],
        port: i32 [0..],
        rack: Option<&'a str> [0..],
    }
}
