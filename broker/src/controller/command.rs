//! What the controller is asked, and what it answers. Requests travel as the bytes of their body, which the shard has
//! decoded once already: the controller decodes them again rather than that every field has an owned double.

use std::ops::Deref;

use millstream_machine::cluster::controller::Refusal;
use millstream_machine::cluster::create_topics::CreatedTopic;
use millstream_machine::quota::mutations::MutationQuota;
use millstream_protocol::error::DecodeError;
use millstream_protocol::message::Decode;
use millstream_protocol::primitive::Reader;
use millstream_protocol::time::Duration;
use millstream_protocol::types::{ProducerId, TopicId};
use millstream_ring::Slice;

use crate::shard::mailbox::ShardId;
use crate::shard::slab::Key;

/// To the controller.
#[derive(Debug)]
pub enum Command {
    /// A request of a shard's connection.
    Ask {
        shard: ShardId,
        call: Key,
        action: Action,
    },
    /// All files of one partition of a deleted topic are gone, durably.
    PartitionGone(TopicId),
    /// Something that it looks at has changed: a shard has installed an image.
    Look,
    /// Decide nothing more and end.
    Stop,
}

/// What can be asked.
#[derive(Debug)]
pub enum Action {
    /// Topics that clients asked for and that do not exist: with the defaults.
    AutoCreate(Vec<String>, Option<MutationQuota>),
    CreateTopics(Body, Option<MutationQuota>),
    DeleteTopics(Body, Option<MutationQuota>),
    CreatePartitions(Body, Option<MutationQuota>),
    AlterConfigs(Body),
    IncrementalAlterConfigs(Body),
    AlterClientQuotas(Body),
    /// A block of producer ids.
    ProducerIds,
}

/// What became of it: durable, and installed on every shard. One answer for each item, in the request's order.
#[derive(Debug)]
pub enum Outcome {
    Created(Vec<Result<CreatedTopic, Refusal>>),
    Deleted(Vec<Result<(TopicId, String), Refusal>>),
    Grown(Vec<Result<(), Refusal>>),
    Altered(Vec<Result<(), Refusal>>),
    /// These ids are the shard's.
    ProducerIds {
        first: ProducerId,
        count: u32,
    },
    /// The client has to wait so long before it asks again.
    Throttled {
        wait: Duration,
        outcome: Box<Outcome>,
    },
    /// The controller cannot decide now: its log failed, or has no room, or it is overloaded.
    Unavailable {
        /// Nothing is decided any more until a restart.
        stopped: bool,
    },
}

/// The body of a request that has been found to decode.
#[derive(Debug, Clone)]
pub struct Body {
    bytes: Slice,
    version: i16,
}

impl Body {
    /// The rest of a frame, which `reader` has come to.
    pub fn new<'a, T: Decode<'a>>(
        bytes: &'a Slice,
        version: i16,
        reader: &Reader<'_>,
    ) -> Result<Self, DecodeError> {
        T::decode(&mut reader.alike(bytes), version)?;
        Ok(Self {
            bytes: bytes.clone(),
            version,
        })
    }

    /// The request. It decodes: it did before.
    pub fn decode<'a, T: Decode<'a>>(&'a self) -> T {
        T::decode(&mut Reader::new(self.bytes.deref()), self.version).expect("it was decoded before")
    }
}
