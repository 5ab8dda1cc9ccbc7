//! Kafka gives many things in the order of a hash table: sorted, they can be compared.

use millstream_protocol::message::delete_groups::DeleteGroupsResponse;
use millstream_protocol::message::describe_groups::DescribeGroupsResponse;
use millstream_protocol::message::find_coordinator::FindCoordinatorResponse;
use millstream_protocol::message::heartbeat::HeartbeatResponse;
use millstream_protocol::message::join_group::JoinGroupResponse;
use millstream_protocol::message::leave_group::LeaveGroupResponse;
use millstream_protocol::message::offset_commit::OffsetCommitResponse;
use millstream_protocol::message::offset_delete::OffsetDeleteResponse;
use millstream_protocol::message::offset_fetch::OffsetFetchResponse;
use millstream_protocol::message::sync_group::SyncGroupResponse;

/// A response whose order does not matter, or that has none.
pub trait Ordered {
    fn order(&mut self) {}
}

impl Ordered for FindCoordinatorResponse<'_> {}
impl Ordered for HeartbeatResponse {}
impl Ordered for JoinGroupResponse<'_> {}
impl Ordered for LeaveGroupResponse<'_> {}
impl Ordered for SyncGroupResponse<'_> {}

impl Ordered for DeleteGroupsResponse<'_> {
    fn order(&mut self) {
        self.results.sort_by_key(|result| result.group_id);
    }
}

impl Ordered for DescribeGroupsResponse<'_> {
    fn order(&mut self) {
        self.groups.sort_by_key(|group| group.group_id);
    }
}

impl Ordered for OffsetCommitResponse<'_> {
    fn order(&mut self) {
        self.topics.sort_by_key(|topic| (topic.name, topic.topic_id));
        for topic in &mut self.topics {
            topic
                .partitions
                .sort_by_key(|partition| partition.partition_index);
        }
    }
}

impl Ordered for OffsetDeleteResponse<'_> {
    fn order(&mut self) {
        self.topics.sort_by_key(|topic| topic.name);
        for topic in &mut self.topics {
            topic
                .partitions
                .sort_by_key(|partition| partition.partition_index);
        }
    }
}

impl Ordered for OffsetFetchResponse<'_> {
    fn order(&mut self) {
        self.topics.sort_by_key(|topic| topic.name);
        for topic in &mut self.topics {
            topic
                .partitions
                .sort_by_key(|partition| partition.partition_index);
        }
        self.groups.sort_by_key(|group| group.group_id);
        for topic in self.groups.iter_mut().flat_map(|group| &mut group.topics) {
            topic
                .partitions
                .sort_by_key(|partition| partition.partition_index);
        }
    }
}
