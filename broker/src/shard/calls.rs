//! Requests that wait: for the flush, another shard, records, the disk or the controller.
//! Invariant: a call is answered once and then gone; late words about it meet nobody, for its key has passed.

use millstream_protocol::types::{Offset, PartitionIndex};
use millstream_storage::LogId;

use super::messages::Origin;
use super::slab::Key;
use crate::coordinator::asking::GroupCall;
use crate::partition::fetch::FetchWork;
use crate::partition::produce::ProduceWork;
use crate::partition::query::{QueryOrigin, TimeSearch};
use crate::server::handlers::admin::AdminCall;
use crate::server::handlers::fetch::FetchCall;
use crate::server::handlers::produce::ProduceCall;
use crate::server::handlers::query::QueryCall;

/// A request in progress, or a shard's part of one.
#[derive(Debug)]
pub enum Call {
    /// A produce request of one of our connections.
    Produce(ProduceCall),
    /// Batches for our partitions.
    ProduceWork(ProduceWork),
    /// A fetch request of one of our connections.
    Fetch(FetchCall),
    /// Reads of our partitions.
    FetchWork(FetchWork),
    /// A request made of questions about partitions.
    Query(QueryCall),
    /// A request that the controller decides.
    Admin(AdminCall),
    /// A request to groups.
    Group(GroupCall),
}

/// Who waits in the purgatory.
#[derive(Clone, Copy, Debug)]
pub enum Waiting {
    /// A [`Call::ProduceWork`].
    Produce(Key),
    /// A [`Call::Fetch`] of this or another shard, in this round.
    Fetch { origin: Origin, round: u32 },
    /// A question that moves the start of this log.
    Trim { origin: QueryOrigin, log: LogId },
    /// Answers of groups: that this partition of the offsets topic is durable up to here.
    Coordinator { partition: PartitionIndex, upto: Offset },
}

/// Who waits for a read of the disk.
#[derive(Clone, Copy, Debug)]
pub enum PendingRead {
    /// Nobody yet: the read is being begun.
    Starting,
    /// An answer of a [`Call::FetchWork`].
    Fetch { work: Key, index: usize },
    /// A look-up by time.
    Search(TimeSearch),
    /// A coordinator of this partition that is being loaded.
    Coordinator(PartitionIndex),
}

impl PendingRead {
    pub fn starting() -> Self {
        Self::Starting
    }

    /// Names the call that waits.
    pub fn attach(&mut self, work: Key, index: usize) {
        *self = Self::Fetch { work, index };
    }
}
