//! What a group answers: owned, in no version's form yet, with Kafka's error codes inside.
//!
//! Place: made here, encoded by the broker's handlers.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TopicId};

use super::consumer::record::{MemberSubscription, Partitions};
use super::request::{CommitRequest, GroupRequest, JoinRequest, LeaveRequest, LeavingMember};
use super::state::GroupState;
use super::turn::Turn;

/// The answer to the [`GroupRequest`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupAnswer {
    Join(JoinAnswer),
    Sync(SyncAnswer),
    Heartbeat(ErrorCode),
    Leave(LeaveAnswer),
    CommitOffsets(Vec<TopicErrors>),
    FetchOffsets(FetchAnswer),
    DeleteOffsets(DeleteOffsetsAnswer),
    Describe(DescribeAnswer),
    Delete(ErrorCode),
    List(ListAnswer),
    ConsumerHeartbeat(ConsumerHeartbeatAnswer),
    ConsumerDescribe(ConsumerDescribeAnswer),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAnswer {
    pub error: ErrorCode,
    /// -1 after an error.
    pub generation_id: i32,
    pub protocol_type: Option<Arc<str>>,
    /// `None` after an error; the empty text there before version 7.
    pub protocol_name: Option<Arc<str>>,
    /// The member id of the leader; empty after an error.
    pub leader: Arc<str>,
    /// The leader keeps the assignment that there is (KIP-814).
    pub skip_assignment: bool,
    pub member_id: Arc<str>,
    /// All members, for the leader alone.
    pub members: Vec<JoinedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: Arc<str>,
    pub group_instance_id: Option<Arc<str>>,
    /// Of the protocol that was chosen.
    pub metadata: Arc<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncAnswer {
    pub error: ErrorCode,
    pub protocol_type: Option<Arc<str>>,
    pub protocol_name: Option<Arc<str>>,
    /// Empty after an error.
    pub assignment: Arc<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveAnswer {
    /// Of the whole request. Before version 3 the one member's error stands in its place.
    pub error: ErrorCode,
    pub members: Vec<LeftMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub error: ErrorCode,
}

/// One topic of an answer that has nothing but an error to say of each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicErrors {
    pub name: String,
    /// As the request gave it.
    pub topic_id: TopicId,
    pub partitions: Vec<(PartitionIndex, ErrorCode)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchAnswer {
    /// Of the whole group. Before version 2 it stands at each partition that was asked for.
    pub error: ErrorCode,
    /// Empty after an error.
    pub topics: Vec<FetchedTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    pub name: Arc<str>,
    /// As the request gave it, or as it was committed where all offsets were asked for.
    pub topic_id: TopicId,
    pub partitions: Vec<FetchedPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    pub partition: PartitionIndex,
    pub error: ErrorCode,
    /// `None` where nothing was committed: offset -1, leader epoch -1, empty metadata.
    pub committed: Option<FetchedOffset>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    pub offset: i64,
    pub leader_epoch: Option<LeaderEpoch>,
    pub metadata: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsetsAnswer {
    pub error: ErrorCode,
    /// Empty after an error.
    pub topics: Vec<TopicErrors>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeAnswer {
    /// GROUP_ID_NOT_FOUND comes with the state Dead; before version 6 the code is NONE then.
    pub error: ErrorCode,
    /// From version 6 on.
    pub error_message: Option<String>,
    pub group_id: String,
    /// `None` after an error other than GROUP_ID_NOT_FOUND: the empty text.
    pub state: Option<GroupState>,
    /// Empty for a group that never had members.
    pub protocol_type: Arc<str>,
    /// The protocol that was chosen, in the states that have one; else empty.
    pub protocol: Arc<str>,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: Arc<str>,
    pub group_instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    /// Empty but in a stable group.
    pub metadata: Arc<[u8]>,
    /// Of the last stable generation, until the next one is under way.
    pub assignment: Arc<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListAnswer {
    pub error: ErrorCode,
    pub groups: Vec<ListedGroup>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    pub group_id: Arc<str>,
    pub protocol_type: Arc<str>,
    pub state: GroupState,
    pub group_type: GroupType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeatAnswer {
    pub error: ErrorCode,
    pub error_message: Option<String>,
    /// `None` after an error.
    pub member_id: Option<Arc<str>>,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// What the member may have from now on; `None` where that did not change.
    pub assignment: Option<Partitions>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDescribeAnswer {
    pub error: ErrorCode,
    pub error_message: Option<String>,
    pub group_id: String,
    /// [`GroupState::Dead`] after an error: the empty text.
    pub state: GroupState,
    pub group_epoch: i32,
    /// Of the last target.
    pub assignment_epoch: i32,
    pub assignor: &'static str,
    pub members: Vec<DescribedConsumer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumer {
    pub member_id: Arc<str>,
    pub subscription: Arc<MemberSubscription>,
    pub member_epoch: i32,
    pub assigned: Partitions,
    pub target: Arc<Partitions>,
}

/// Which protocol a group speaks (KIP-848 added others).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupType {
    Classic,
    Consumer,
}

impl GroupType {
    /// As `ListGroups` names it.
    pub const fn name(self) -> &'static str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
        }
    }
}

impl GroupRequest {
    /// The answer that does nothing but refuse: for a shell that has no coordinator for the group, or none yet.
    /// `error` is not NONE.
    pub fn refused(self, error: ErrorCode) -> GroupAnswer {
        assert!(error != ErrorCode::None, "a refusal needs a reason");
        match self {
            GroupRequest::Join(request) => GroupAnswer::Join(request.refused(error)),
            GroupRequest::Sync(_) => GroupAnswer::Sync(SyncAnswer::refusal(error)),
            GroupRequest::Heartbeat(_) => GroupAnswer::Heartbeat(error),
            GroupRequest::Leave(_) => GroupAnswer::Leave(LeaveAnswer {
                error,
                members: Vec::new(),
            }),
            GroupRequest::CommitOffsets(request) => GroupAnswer::CommitOffsets(request.refused(error)),
            GroupRequest::FetchOffsets(_) => GroupAnswer::FetchOffsets(FetchAnswer {
                error,
                topics: Vec::new(),
            }),
            GroupRequest::DeleteOffsets(_) => GroupAnswer::DeleteOffsets(DeleteOffsetsAnswer {
                error,
                topics: Vec::new(),
            }),
            GroupRequest::Describe(request) => {
                GroupAnswer::Describe(DescribeAnswer::without_members(request.group_id, error, None))
            }
            GroupRequest::Delete(_) => GroupAnswer::Delete(error),
            GroupRequest::ConsumerHeartbeat(_) => {
                GroupAnswer::ConsumerHeartbeat(ConsumerHeartbeatAnswer::refusal(error, None))
            }
            GroupRequest::ConsumerDescribe(request) => {
                GroupAnswer::ConsumerDescribe(ConsumerDescribeAnswer::refusal(request.group_id, error, None))
            }
            GroupRequest::List(_) => GroupAnswer::List(ListAnswer {
                error,
                groups: Vec::new(),
            }),
        }
    }
}

impl JoinRequest {
    pub(super) fn refused(self, error: ErrorCode) -> JoinAnswer {
        JoinAnswer::refusal(error, self.member_id.into())
    }
}

impl JoinAnswer {
    pub(super) fn refusal(error: ErrorCode, member_id: Arc<str>) -> Self {
        Self {
            error,
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: "".into(),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}

impl SyncAnswer {
    pub(super) fn refusal(error: ErrorCode) -> Self {
        Self {
            error,
            protocol_type: None,
            protocol_name: None,
            assignment: Arc::new([]),
        }
    }
}

impl ConsumerHeartbeatAnswer {
    pub(super) fn to(group_id: &str, member_id: Arc<str>, turn: &Turn) -> Self {
        let interval = turn.consumer_times(group_id).heartbeat_interval.as_millis();
        Self {
            error: ErrorCode::None,
            error_message: None,
            member_id: Some(member_id),
            member_epoch: 0,
            heartbeat_interval_ms: i32::try_from(interval).unwrap_or(i32::MAX),
            assignment: None,
        }
    }

    pub(super) fn refusal(error: ErrorCode, error_message: Option<String>) -> Self {
        Self {
            error,
            error_message,
            member_id: None,
            member_epoch: 0,
            heartbeat_interval_ms: 0,
            assignment: None,
        }
    }
}

impl ConsumerDescribeAnswer {
    pub(super) fn refusal(group_id: String, error: ErrorCode, error_message: Option<String>) -> Self {
        Self {
            error,
            error_message,
            group_id,
            state: GroupState::Dead,
            group_epoch: 0,
            assignment_epoch: 0,
            assignor: "",
            members: Vec::new(),
        }
    }
}

impl LeaveRequest {
    pub(super) fn refused(self, error: ErrorCode) -> LeaveAnswer {
        let members = self.members.into_iter().map(|member| member.answered(error));
        LeaveAnswer {
            error: ErrorCode::None,
            members: members.collect(),
        }
    }
}

impl LeavingMember {
    pub(super) fn answered(self, error: ErrorCode) -> LeftMember {
        LeftMember {
            member_id: self.member_id,
            group_instance_id: self.group_instance_id,
            error,
        }
    }
}

impl CommitRequest {
    pub(super) fn refused(self, error: ErrorCode) -> Vec<TopicErrors> {
        let topics = self.topics.into_iter().map(|topic| TopicErrors {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(|it| (it.partition, error)).collect(),
        });
        topics.collect()
    }
}

impl DescribeAnswer {
    pub(super) fn without_members(group_id: String, error: ErrorCode, state: Option<GroupState>) -> Self {
        Self {
            error,
            error_message: None,
            group_id,
            state,
            protocol_type: "".into(),
            protocol: "".into(),
            members: Vec::new(),
        }
    }
}
