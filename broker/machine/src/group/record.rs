//! What is durable of groups: the records of `__consumer_offsets`, as values.
//!
//! Place: emitted by the coordinator with every change, replayed at a start. Their bytes are Kafka's.
//!
//! Invariant: a record stands for itself; the last one of a key wins, and a tombstone (no value) ends the key.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::consumer::record::ConsumerRecord;

use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TimestampMs, TopicId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    Offset {
        group_id: Arc<str>,
        topic: Arc<str>,
        partition: PartitionIndex,
        /// `None` is a tombstone.
        value: Option<CommittedOffset>,
    },
    Group {
        group_id: Arc<str>,
        /// `None` is a tombstone.
        value: Option<Arc<GroupMetadata>>,
    },
    /// Of a group of the consumer protocol (KIP-848).
    Consumer {
        group_id: Arc<str>,
        record: ConsumerRecord,
    },
}

/// A committed offset (Kafka's `OffsetCommitValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    pub leader_epoch: Option<LeaderEpoch>,
    pub metadata: Box<str>,
    /// When it was committed, by the broker's clock.
    pub commit_timestamp: TimestampMs,
    /// When it ends, where the committer said so; else it is kept as the configuration says.
    pub expire_timestamp: Option<TimestampMs>,
    /// [`TopicId::ZERO`] where nobody knew it.
    pub topic_id: TopicId,
}

/// A classic group as of its last rebalance (Kafka's `GroupMetadataValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// Empty for a group that never had members.
    pub protocol_type: Arc<str>,
    pub generation: i32,
    /// `None` in an empty group.
    pub protocol: Option<Arc<str>>,
    /// `None` in an empty group.
    pub leader: Option<Arc<str>>,
    /// When the group came to the state that it was written in.
    pub current_state_timestamp: Option<TimestampMs>,
    pub members: Box<[GroupMember]>,
}

/// A member of [`GroupMetadata`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: Arc<str>,
    pub group_instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// The member's metadata for the chosen protocol.
    pub subscription: Arc<[u8]>,
    pub assignment: Arc<[u8]>,
}

impl GroupRecord {
    pub fn group_id(&self) -> &Arc<str> {
        match self {
            GroupRecord::Offset { group_id, .. }
            | GroupRecord::Group { group_id, .. }
            | GroupRecord::Consumer { group_id, .. } => group_id,
        }
    }

    /// No less than the record's bytes in the log, with its share of a batch.
    pub fn bytes(&self) -> usize {
        let value = match self {
            GroupRecord::Offset { topic, value, .. } => {
                topic.len() + value.as_ref().map_or(0, |it| it.metadata.len())
            }
            GroupRecord::Group { value, .. } => value.as_ref().map_or(0, |it| it.record_bytes()),
            GroupRecord::Consumer { record, .. } => record.bytes(),
        };
        RECORD_BYTES + self.group_id().len() + value
    }
}

impl GroupMetadata {
    /// No less than its bytes as a record's value.
    pub fn record_bytes(&self) -> usize {
        let texts = [
            Some(&self.protocol_type),
            self.protocol.as_ref(),
            self.leader.as_ref(),
        ];
        let texts = texts.iter().flatten().map(|text| text.len()).sum::<usize>();
        METADATA_BYTES + texts + self.members.iter().map(GroupMember::record_bytes).sum::<usize>()
    }

    /// No less than what it takes in memory, nor than its record.
    pub(super) fn bytes(&self) -> u64 {
        RECORD_BYTES as u64 + self.record_bytes() as u64 + self.members.len() as u64 * MEMBER_HEADS_BYTES
    }
}

impl GroupMember {
    fn record_bytes(&self) -> usize {
        let texts = [Some(&self.member_id), self.group_instance_id.as_ref()];
        let more = [Some(&self.client_id), Some(&self.client_host)];
        let texts = texts
            .iter()
            .chain(&more)
            .flatten()
            .map(|text| text.len())
            .sum::<usize>();
        MEMBER_BYTES + texts + self.subscription.len() + self.assignment.len()
    }
}

/// Heads of a record, and the fixed fields of key and the larger kind of value.
const RECORD_BYTES: usize = 112;
/// The fixed fields and lengths of a group's value.
const METADATA_BYTES: usize = 32;
/// The fixed fields and lengths of a member in it.
const MEMBER_BYTES: usize = 32;
/// The pointers to a member's texts and bytes in memory.
const MEMBER_HEADS_BYTES: u64 = 96;
