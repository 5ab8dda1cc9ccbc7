//! What a group is asked: requests as the coordinator takes them, owned, one group each, whatever version they came in.
//!
//! Place: made by the broker's handlers from decoded messages; what an old version cannot say is filled in there as
//! the fields' docs tell.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::consumer::record::Partitions;

use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TopicId};

/// One question to one group; [`GroupRequest::List`] goes to every coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRequest {
    Join(JoinRequest),
    Sync(SyncRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveRequest),
    CommitOffsets(CommitRequest),
    FetchOffsets(FetchRequest),
    DeleteOffsets(DeleteOffsetsRequest),
    Describe(DescribeRequest),
    Delete(DeleteRequest),
    List(ListRequest),
    ConsumerHeartbeat(ConsumerHeartbeatRequest),
    ConsumerDescribe(DescribeRequest),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    pub group_id: String,
    /// Empty for a member that has no id yet.
    pub member_id: String,
    /// Of a static member (KIP-345), `None` before version 5.
    pub group_instance_id: Option<String>,
    /// What kind of group it is: `consumer`, `connect`, `sr` or anything else.
    pub protocol_type: String,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    pub session_timeout_ms: i32,
    /// `None` in version 0, where the session timeout is meant.
    pub rebalance_timeout_ms: Option<i32>,
    pub reason: Option<String>,
    pub client: Client,
    /// Whether a new member has to come again with the id that it is given (KIP-394): from version 4 on.
    pub requires_known_member_id: bool,
    /// Whether a leader can be told to leave the assignment as it is (KIP-814): from version 9 on.
    pub supports_skipping_assignment: bool,
    /// 128 random bits for the id of a new member.
    pub draw: u128,
}

/// A way to share the work that a member knows, with what the assignor wants to know of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub name: String,
    pub metadata: Box<[u8]>,
}

/// Who sent a request, as `DescribeGroups` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Of the request's header; empty where that has none.
    pub id: String,
    /// The peer's address in Kafka's form, `/192.0.2.1`.
    pub host: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
    /// `None` before version 5, and then not checked.
    pub protocol_type: Option<String>,
    /// `None` before version 5, and then not checked.
    pub protocol_name: Option<String>,
    /// From the leader: what each member is to work on.
    pub assignments: Vec<MemberAssignment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAssignment {
    pub member_id: String,
    pub assignment: Box<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatRequest {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveRequest {
    pub group_id: String,
    /// Exactly one before version 3.
    pub members: Vec<LeavingMember>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeavingMember {
    /// May be empty beside an instance id.
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    pub group_id: String,
    /// Empty where the committer is no member.
    pub member_id: String,
    pub group_instance_id: Option<String>,
    /// A generation, or a member epoch (KIP-848); negative where the committer is no member.
    pub generation_id: i32,
    /// How long the offsets are kept, in versions 2 to 4; `None` (the wire's -1) for what the broker is configured to.
    pub retention_ms: Option<i64>,
    /// Whether the client understands GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH: from version 9 on.
    pub understands_new_errors: bool,
    pub topics: Vec<CommitTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTopic {
    pub name: String,
    /// [`TopicId::ZERO`] where nobody knows it.
    pub topic_id: TopicId,
    pub partitions: Vec<CommitPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPartition {
    pub partition: PartitionIndex,
    /// As the client sent it: Kafka takes any number.
    pub offset: i64,
    /// Of the last record that was consumed (KIP-320), `None` before version 6.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Null is the empty text.
    pub metadata: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    pub group_id: String,
    /// `None` before version 9, and then not checked.
    pub member_id: Option<String>,
    /// A member epoch (KIP-848); -1 before version 9.
    pub member_epoch: i32,
    /// Whether offsets of open transactions are waited for (KIP-447). There are no transactions yet.
    pub require_stable: bool,
    /// `None` for all that there are.
    pub topics: Option<Vec<TopicPartitions>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    pub name: String,
    /// [`TopicId::ZERO`] where nobody knows it.
    pub topic_id: TopicId,
    pub partitions: Vec<PartitionIndex>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsetsRequest {
    pub group_id: String,
    pub topics: Vec<TopicPartitions>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeRequest {
    pub group_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRequest {
    pub group_id: String,
}

/// Filters of `ListGroups`, compared without regard to case; an empty list lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    pub states: Vec<String>,
    pub types: Vec<String>,
}

/// The one request of a member of the consumer protocol (KIP-848). `None`, and -1 for the timeout, is what did not
/// change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeatRequest {
    pub group_id: String,
    pub member_id: String,
    /// 0 joins, -1 leaves, -2 leaves a static member's place for a while.
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub subscribed_topic_names: Option<Vec<String>>,
    pub subscribed_topic_regex: Option<String>,
    pub server_assignor: Option<String>,
    /// What the member has.
    pub topic_partitions: Option<Partitions>,
    pub client: Client,
    /// Whether members make their ids themselves: from version 1 on.
    pub needs_member_id: bool,
    /// 128 random bits for the id of a member without one.
    pub draw: u128,
}

impl GroupRequest {
    /// By which the coordinator is found; `None` for a list.
    pub fn group_id(&self) -> Option<&str> {
        match self {
            GroupRequest::Join(request) => Some(&request.group_id),
            GroupRequest::Sync(request) => Some(&request.group_id),
            GroupRequest::Heartbeat(request) => Some(&request.group_id),
            GroupRequest::Leave(request) => Some(&request.group_id),
            GroupRequest::CommitOffsets(request) => Some(&request.group_id),
            GroupRequest::FetchOffsets(request) => Some(&request.group_id),
            GroupRequest::DeleteOffsets(request) => Some(&request.group_id),
            GroupRequest::Describe(request) => Some(&request.group_id),
            GroupRequest::Delete(request) => Some(&request.group_id),
            GroupRequest::ConsumerHeartbeat(request) => Some(&request.group_id),
            GroupRequest::ConsumerDescribe(request) => Some(&request.group_id),
            GroupRequest::List(_) => None,
        }
    }
}
