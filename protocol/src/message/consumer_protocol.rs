//! What consumers say to each other through a classic group of protocol type `consumer`: the metadata that they
//! join with, and the assignments that their leader hands out. Members may be newer than the broker: it reads
//! them by [`Data::decode_open`].
//!
//! [`Data::decode_open`]: super::data::Data::decode_open

use alloc::vec::Vec;

use super::data::data;
use super::schema::message;

data!(ConsumerProtocolSubscription<'a>: 0..=3, flexible None);
data!(ConsumerProtocolAssignment<'a>: 0..=3, flexible None);

message! {
    pub struct ConsumerProtocolSubscription<'a> {
        topics: Vec<&'a str> [0..],
        /// The assignor's own.
        user_data: Option<&'a [u8]> [0..],
        /// What it had before, for cooperative and sticky assignors.
        owned_partitions: Vec<TopicPartition<'a>> [1..],
        /// The generation that it had them in; -1 for none.
        generation_id: i32 [2..] default(-1),
        rack_id: Option<&'a str> [3..],
    }
}

message! {
    pub struct TopicPartition<'a> {
        topic: &'a str [0..],
        partitions: Vec<i32> [0..],
    }
}

message! {
    pub struct ConsumerProtocolAssignment<'a> {
        assigned_partitions: Vec<TopicPartition<'a>> [0..],
        /// The assignor's own.
        user_data: Option<&'a [u8]> [0..],
    }
}
