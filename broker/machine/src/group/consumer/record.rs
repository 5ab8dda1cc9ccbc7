//! What is durable of a group of the consumer protocol.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use super::super::member::{MemberProtocol, protocol_bytes};
use millstream_protocol::types::{PartitionIndex, TimestampMs, TopicId};

/// A partition by its topic's id.
pub type TopicPartition = (TopicId, PartitionIndex);

pub type Partitions = BTreeSet<TopicPartition>;

/// Partitions with the member epoch at which the member got each.
pub type PartitionEpochs = BTreeMap<TopicPartition, i32>;

/// A record of one group; `None` is a tombstone. Members go by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerRecord {
    Epoch(Option<GroupEpoch>),
    TargetEpoch(Option<TargetEpoch>),
    Member(Arc<str>, Option<Arc<MemberSubscription>>),
    /// What the member is to have.
    Target(Arc<str>, Option<Arc<Partitions>>),
    /// What the member has.
    Current(Arc<str>, Option<Arc<CurrentAssignment>>),
}

/// Kafka's `ConsumerGroupMetadataValue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEpoch {
    /// Counts the changes that ask for a new assignment.
    pub epoch: i32,
    /// Of the subscribed topics, so that a change of them is noticed; 0 without any.
    pub metadata_hash: i64,
}

/// Kafka's `ConsumerGroupTargetAssignmentMetadataValue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetEpoch {
    /// The group epoch that the assignment is for.
    pub epoch: i32,
    /// When it was made.
    pub timestamp: TimestampMs,
}

/// What a member says of itself (Kafka's `ConsumerGroupMemberMetadataValue`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSubscription {
    pub instance_id: Option<Arc<str>>,
    pub rack_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    /// Sorted, each once.
    pub topic_names: Box<[Arc<str>]>,
    /// In RE2's syntax, besides the names; never empty.
    pub topic_regex: Option<Arc<str>>,
    /// -1 where it never said.
    pub rebalance_timeout_ms: i32,
    /// `None` for the group's choice.
    pub server_assignor: Option<Arc<str>>,
    /// `None` for a member that speaks the consumer protocol.
    pub classic: Option<ClassicMember>,
}

/// What a member that speaks the classic protocol says besides (Kafka's `ClassicMemberMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMember {
    pub session_timeout_ms: i32,
    /// In its order of preference, each name once; at least one.
    pub protocols: Box<[MemberProtocol]>,
}

/// Where a member stands (Kafka's `ConsumerGroupCurrentMemberAssignmentValue`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentAssignment {
    /// The target's epoch that it has come to; -2 for a static member that is away.
    pub member_epoch: i32,
    /// Before the last step, whose answer may not have arrived.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: PartitionEpochs,
    /// What it has to give up, and has until it says that it has not.
    pub pending_revocation: PartitionEpochs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It has what it is to have.
    #[default]
    Stable,
    /// It has to give partitions up first.
    UnrevokedPartitions,
    /// Others have to give partitions up first.
    UnreleasedPartitions,
}

impl ConsumerRecord {
    pub(in crate::group) fn bytes(&self) -> usize {
        match self {
            ConsumerRecord::Epoch(_) | ConsumerRecord::TargetEpoch(_) => 32,
            ConsumerRecord::Member(member_id, value) => {
                member_id.len() + value.as_ref().map_or(0, |it| it.bytes() as usize)
            }
            ConsumerRecord::Target(member_id, value) => {
                member_id.len() + value.as_ref().map_or(0, |it| it.len() * PARTITION_BYTES)
            }
            ConsumerRecord::Current(member_id, value) => {
                let partitions = value.as_ref().map_or(0, |it| it.partitions().count());
                member_id.len() + 32 + partitions * PARTITION_BYTES
            }
        }
    }
}

impl MemberSubscription {
    /// Of a member that said nothing yet.
    pub(super) fn unsaid() -> Self {
        Self {
            rebalance_timeout_ms: -1,
            ..Self::default()
        }
    }

    /// The expression that it subscribes by, if there is one.
    pub(super) fn pattern(&self) -> Option<&Arc<str>> {
        self.topic_regex.as_ref()
    }

    /// Names as a subscription has them.
    pub(in crate::group) fn names<'a>(names: impl Iterator<Item = &'a str>) -> Box<[Arc<str>]> {
        let names: BTreeSet<&str> = names.collect();
        names.into_iter().map(Arc::from).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        let texts = [
            &self.instance_id,
            &self.rack_id,
            &self.server_assignor,
            &self.topic_regex,
        ];
        let texts = texts.into_iter().flatten().map(|text| text.len()).sum::<usize>();
        let names: usize = self.topic_names.iter().map(|name| name.len() + 40).sum();
        let classic = self
            .classic
            .as_ref()
            .map_or(0, |it| protocol_bytes(&it.protocols));
        64 + classic + (texts + names + self.client_id.len() + self.client_host.len()) as u64
    }
}

impl CurrentAssignment {
    pub(super) const NOTHING: Self = Self {
        member_epoch: 0,
        previous_epoch: 0,
        state: MemberState::Stable,
        assigned: BTreeMap::new(),
        pending_revocation: BTreeMap::new(),
    };

    /// All that it has.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.assigned.keys().chain(self.pending_revocation.keys())
    }

    /// Whether it has come to the target of this epoch.
    pub(super) fn is_at(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.member_epoch == target_epoch
    }
}

impl MemberState {
    pub const fn code(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
        }
    }

    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(MemberState::Stable),
            1 => Some(MemberState::UnrevokedPartitions),
            2 => Some(MemberState::UnreleasedPartitions),
            _ => None,
        }
    }
}

/// A topic's id, a number and an epoch, each in a list of its own.
pub(super) const PARTITION_BYTES: usize = 28;
