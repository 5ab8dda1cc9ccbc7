//! A classic group: its generation and its members, as they were when it was last put together.

use alloc::vec::Vec;

use crate::message::data::data;
use crate::message::schema::message;

data!(GroupMetadataValue<'a>: 0..=4, flexible Some(4));

message! {
    pub struct GroupMetadataKey<'a> {
        group: &'a str [0..=0],
    }
}

message! {
    pub struct GroupMetadataValue<'a> {
        protocol_type: &'a str [0..],
        /// 0 for a group that only commits.
        generation: i32 [0..],
        /// The one that the members agreed on; null for a group without members.
        protocol: Option<&'a str> [0..],
        /// A member's id; null for a group without members.
        leader: Option<&'a str> [0..],
        /// When the group came into its state, in milliseconds; -1 for unknown.
        current_state_timestamp: i64 [2..] default(-1),
        members: Vec<MemberMetadata<'a>> [0..],
    }
}

message! {
    pub struct MemberMetadata<'a> {
        member_id: &'a str [0..],
        group_instance_id: Option<&'a str> [3..],
        client_id: &'a str [0..],
        client_host: &'a str [0..],
        /// Milliseconds; -1 in version 0, where it is the session timeout.
        rebalance_timeout: i32 [1..] default(-1),
        /// Milliseconds.
        session_timeout: i32 [0..],
        /// What it joined with, of the protocol that was agreed on.
        subscription: &'a [u8] [0..],
        assignment: &'a [u8] [0..],
    }
}
