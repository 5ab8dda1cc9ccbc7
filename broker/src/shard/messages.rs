//! What shards say to each other, and what the controller says to them.
//! Invariant: every message is a piece of a call, its answer, or a socket; record bytes travel as owned slices.

use std::net::SocketAddr;

use millstream_log::PartitionKey;
use millstream_machine::group::GroupRequest;
use millstream_protocol::time::Duration;
use millstream_protocol::types::Offset;
use millstream_ring::{DetachedSocket, Slice};

use super::mailbox::ShardId;
use super::slab::Key;
use crate::coordinator::Answered;
use crate::partition::fetch::{FetchAnswer, FetchPiece, FetchTerms};
use crate::partition::produce::{ProduceAnswer, ProducePiece, ProduceTerms};
use crate::partition::query::{Query, QueryAnswer};

/// Where the answer to a piece of a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub shard: ShardId,
    pub call: Key,
}

/// From one shard to another.
#[derive(Debug)]
pub enum PeerMessage {
    /// A fresh socket, nothing received yet.
    Connection {
        socket: DetachedSocket,
        peer: SocketAddr,
        listener: usize,
    },
    /// Batches for partitions of the receiver.
    Produce {
        call: Key,
        terms: ProduceTerms,
        pieces: Vec<ProducePiece>,
    },
    /// Their outcome, and what it took of the sender's time where that counts.
    Produced {
        call: Key,
        answers: Vec<ProduceAnswer>,
        spent: Duration,
    },
    /// Reads of partitions of the receiver.
    Fetch {
        call: Key,
        terms: FetchTerms,
        pieces: Vec<FetchPiece>,
    },
    /// What they gave, `round` as in the request, and what it took of the sender's time where that counts.
    Fetched {
        call: Key,
        round: u32,
        answers: Vec<FetchAnswer>,
        spent: Duration,
    },
    /// Tell when one of these partitions has records beyond the offset.
    Watch {
        call: Key,
        terms: FetchTerms,
        above: Vec<(PartitionKey, Offset)>,
    },
    /// One has.
    Woken { call: Key, round: u32 },
    /// A question about one partition of the receiver.
    Query {
        call: Key,
        slot: usize,
        partition: PartitionKey,
        query: Query,
    },
    /// Its answer.
    Answer {
        call: Key,
        slot: usize,
        answer: QueryAnswer,
    },
    /// A request to a group of the receiver. Boxed: it is large beside the others.
    Group {
        call: Key,
        slot: usize,
        partition: PartitionKey,
        request: Box<GroupRequest>,
    },
    /// Its answer.
    GroupAnswer {
        call: Key,
        slot: usize,
        answer: Box<Answered>,
    },
}

/// The range of `part` within `whole`, as a slice of its own.
pub fn slice_of(whole: &Slice, part: &[u8]) -> Slice {
    let start = (part.as_ptr() as usize)
        .checked_sub(whole.as_ptr() as usize)
        .expect("a part of the frame");
    whole.subslice(start..start + part.len())
}
