//! A small blocking Kafka client, for the command line's tools only.
//!
//! Place: used by `cli` alone; the broker's own rooms never open a socket by themselves. One thread, one
//! request in flight, every wait with an end, every reply with a largest size.

mod admin;
mod cluster;
mod connection;
mod consumer;
mod error;
mod groups;
mod member;
mod partitioner;
mod producer;
mod records;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;

pub use admin::{ConfigEntry, ConfigOwner, ConfigSource, NewTopic, Watermarks};
pub use cluster::{Cluster, Node, Partition, Topic};
pub use consumer::{Consumer, Position};
pub use error::ClientError;
pub use groups::{AsMember, GroupDescription, GroupMember, GroupOffsets, ListedGroup};
pub use member::Member;
pub use partitioner::Partitioner;
pub use producer::{Acks, Placed, Producer};
pub use records::{FetchedRecord, decode_batches};

use std::time::Duration;

/// How the tools call themselves to brokers.
const CLIENT_ID: &str = "millstream-cli";
/// The largest reply that is read, in bytes: twice what a fetch asks for at most.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// Before something that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
