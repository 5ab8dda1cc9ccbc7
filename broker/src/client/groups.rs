//! What administrators ask of groups: which there are, who is in them, what they have committed; and other offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::consumer_group_describe;
use millstream_protocol::message::consumer_protocol::ConsumerProtocolAssignment;
use millstream_protocol::message::data::Data;
use millstream_protocol::message::describe_groups;
use millstream_protocol::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::message::offset_fetch::OffsetFetchRequestGroup;
use millstream_protocol::message::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
};

use super::cluster::Cluster;
use super::error::ClientError;
use super::{RETRY_PAUSE, admin::all_done};

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    pub id: String,
    /// `Stable`, `Empty` …; empty where the broker does not say.
    pub state: String,
    /// `classic` or `consumer`; empty where the broker does not say.
    pub kind: String,
    /// What its members are to each other, such as `consumer`; empty where nobody ever joined.
    pub protocol_type: String,
}

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    pub id: String,
    pub state: String,
    pub kind: &'static str,
    /// How partitions are assigned; empty where nobody is there.
    pub assignor: String,
    pub coordinator: i32,
    pub members: Vec<GroupMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    pub id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub host: String,
    /// By topic and partition.
    pub assigned: BTreeSet<(String, i32)>,
}

/// Offsets of a group, by topic and partition: the next one to be read.
pub type GroupOffsets = BTreeMap<(String, i32), i64>;

/// As whom offsets are committed or looked up.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsMember<'a> {
    pub id: &'a str,
    pub epoch: Option<i32>,
}

impl Cluster {
    /// Every group of every broker, by name.
    pub fn groups(&mut self) -> Result<Vec<ListedGroup>, ClientError> {
        let nodes: Vec<i32> = self.nodes().map(|node| node.id).collect();
        let mut groups = Vec::new();
        for node in nodes {
            groups.extend(self.patiently(|cluster| cluster.groups_of(node))?);
        }
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(groups)
    }

    fn groups_of(&mut self, node: i32) -> Result<Vec<ListedGroup>, ClientError> {
        let reply = self.connection(node)?.call(&ListGroupsRequest::default())?;
        let response = reply.read()?;
        all_done(
            "listing groups".to_owned(),
            [(response.error_code, None)].into_iter(),
        )?;
        let groups = response.groups.iter().map(|group| ListedGroup {
            id: group.group_id.to_owned(),
            state: group.group_state.to_owned(),
            kind: group.group_type.to_owned(),
            protocol_type: group.protocol_type.to_owned(),
        });
        Ok(groups.collect())
    }

    /// A group as it is now; GROUP_ID_NOT_FOUND where there is none.
    pub fn describe_group(&mut self, id: &str) -> Result<GroupDescription, ClientError> {
        let node = self.coordinator(id)?;
        match self.patiently(|cluster| cluster.describe_consumer_group(node, id)) {
            // A group of the other protocol, or a broker that knows no other.
            Err(error)
                if error.code() == Some(ErrorCode::GroupIdNotFound)
                    || matches!(error, ClientError::Unsupported { .. }) =>
            {
                self.patiently(|cluster| cluster.describe_classic_group(node, id))
            }
            described => described,
        }
    }

    fn describe_consumer_group(&mut self, node: i32, id: &str) -> Result<GroupDescription, ClientError> {
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![id],
            ..ConsumerGroupDescribeRequest::default()
        };
        let reply = self.connection(node)?.call(&request)?;
        let response = reply.read()?;
        let codes = response
            .groups
            .iter()
            .map(|group| (group.error_code, group.error_message));
        all_done(what(id), codes)?;
        let group = response.groups.first().ok_or_else(|| unknown(id))?;
        Ok(GroupDescription {
            id: id.to_owned(),
            state: group.group_state.to_owned(),
            kind: "consumer",
            assignor: group.assignor_name.to_owned(),
            coordinator: node,
            members: group.members.iter().map(GroupMember::of_consumer).collect(),
        })
    }

    fn describe_classic_group(&mut self, node: i32, id: &str) -> Result<GroupDescription, ClientError> {
        let request = DescribeGroupsRequest {
            groups: vec![id],
            ..DescribeGroupsRequest::default()
        };
        let reply = self.connection(node)?.call(&request)?;
        let response = reply.read()?;
        let codes = response
            .groups
            .iter()
            .map(|group| (group.error_code, group.error_message));
        all_done(what(id), codes)?;
        let group = response.groups.first().ok_or_else(|| unknown(id))?;
        // Before version 6 a group that is none is a dead one.
        if group.group_state == "Dead" {
            return Err(unknown(id));
        }
        Ok(GroupDescription {
            id: id.to_owned(),
            state: group.group_state.to_owned(),
            kind: "classic",
            assignor: group.protocol_data.to_owned(),
            coordinator: node,
            members: group.members.iter().map(GroupMember::of_classic).collect(),
        })
    }

    /// What a group has committed, all of it.
    pub fn group_offsets(&mut self, id: &str, member: AsMember<'_>) -> Result<GroupOffsets, ClientError> {
        let node = self.coordinator(id)?;
        self.patiently(|cluster| cluster.fetch_offsets(node, id, member))
    }

    fn fetch_offsets(
        &mut self,
        node: i32,
        id: &str,
        member: AsMember<'_>,
    ) -> Result<GroupOffsets, ClientError> {
        let request = OffsetFetchRequest {
            group_id: id,
            topics: None,
            groups: vec![OffsetFetchRequestGroup {
                group_id: id,
                member_id: member.epoch.map(|_| member.id),
                member_epoch: member.epoch.unwrap_or(-1),
                topics: None,
            }],
            require_stable: true,
        };
        let reply = self
            .connection(node)?
            .call_up_to(&request, OFFSET_FETCH_BY_NAME)?;
        let response = reply.read()?;
        let group = response.groups.iter().map(|group| (group.error_code, None));
        all_done(what(id), group.chain([(response.error_code, None)]))?;
        let mut offsets = GroupOffsets::new();
        let mut add = |name: &str, index: i32, offset: i64| {
            if offset >= 0 {
                offsets.insert((name.to_owned(), index), offset);
            }
        };
        for topic in &response.topics {
            for partition in &topic.partitions {
                add(topic.name, partition.partition_index, partition.committed_offset);
            }
        }
        for topic in response.groups.iter().flat_map(|group| &group.topics) {
            for partition in &topic.partitions {
                add(topic.name, partition.partition_index, partition.committed_offset);
            }
        }
        Ok(offsets)
    }

    /// Commits offsets, all or none as far as the broker says.
    pub fn commit_offsets(
        &mut self,
        id: &str,
        member: AsMember<'_>,
        offsets: &GroupOffsets,
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition<'_>>> = BTreeMap::new();
        for ((topic, partition_index), offset) in offsets {
            topics
                .entry(topic)
                .or_default()
                .push(OffsetCommitRequestPartition {
                    partition_index: *partition_index,
                    committed_offset: *offset,
                    committed_metadata: Some(""),
                    ..OffsetCommitRequestPartition::default()
                });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| OffsetCommitRequestTopic {
                name,
                partitions,
                ..OffsetCommitRequestTopic::default()
            });
        let request = OffsetCommitRequest {
            group_id: id,
            generation_id_or_member_epoch: member.epoch.unwrap_or(-1),
            member_id: member.id,
            topics: topics.collect(),
            ..OffsetCommitRequest::default()
        };
        let node = self.coordinator(id)?;
        self.patiently(|cluster| {
            let reply = cluster
                .connection(node)?
                .call_up_to(&request, OFFSET_COMMIT_BY_NAME)?;
            let response = reply.read()?;
            let answers = response.topics.iter().flat_map(|topic| &topic.partitions);
            let codes = answers.map(|partition| (partition.error_code, None));
            all_done(format!("committing offsets of the group `{id}`"), codes)
        })
    }

    pub fn delete_group(&mut self, id: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest {
            groups_names: vec![id],
        };
        let node = self.coordinator(id)?;
        self.patiently(|cluster| {
            let reply = cluster.connection(node)?.call(&request)?;
            let response = reply.read()?;
            let codes = response.results.iter().map(|group| (group.error_code, None));
            all_done(format!("deleting the group `{id}`"), codes)
        })
    }

    /// The broker that keeps a group.
    pub fn coordinator(&mut self, id: &str) -> Result<i32, ClientError> {
        let request = FindCoordinatorRequest {
            key: id,
            coordinator_keys: vec![id],
            ..FindCoordinatorRequest::default()
        };
        self.patiently(|cluster| {
            let reply = cluster.any().call(&request)?;
            let response = reply.read()?;
            let found = match response.coordinators.first() {
                Some(found) => (found.error_code, found.error_message, found.node_id),
                None => (response.error_code, response.error_message, response.node_id),
            };
            all_done(
                format!("finding who keeps the group `{id}`"),
                [(found.0, found.1)].into_iter(),
            )?;
            Ok(found.2)
        })
    }

    /// Asks again for as long as one waits for an answer, where it may do better in a moment.
    fn patiently<T>(
        &mut self,
        mut ask: impl FnMut(&mut Cluster) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let until = Instant::now() + self.timeout();
        loop {
            match ask(self) {
                Err(error) if error.is_retriable() && Instant::now() < until => {
                    std::thread::sleep(RETRY_PAUSE)
                }
                done => return done,
            }
        }
    }
}

impl GroupMember {
    fn of_consumer(member: &consumer_group_describe::Member<'_>) -> GroupMember {
        let topics = member.assignment.topic_partitions.iter();
        let assigned = topics.flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| (topic.topic_name.to_owned(), *partition))
        });
        GroupMember {
            id: member.member_id.to_owned(),
            instance_id: member.instance_id.map(str::to_owned),
            client_id: member.client_id.to_owned(),
            host: member.client_host.to_owned(),
            assigned: assigned.collect(),
        }
    }

    fn of_classic(member: &describe_groups::DescribedGroupMember<'_>) -> GroupMember {
        GroupMember {
            id: member.member_id.to_owned(),
            instance_id: member.group_instance_id.map(str::to_owned),
            client_id: member.client_id.to_owned(),
            host: member.client_host.to_owned(),
            assigned: assigned(member.member_assignment),
        }
    }
}

/// What a member of the classic protocol was given; nothing where that is no consumers' assignment.
fn assigned(bytes: &[u8]) -> BTreeSet<(String, i32)> {
    let Ok(assignment) = ConsumerProtocolAssignment::decode(bytes) else {
        return BTreeSet::new();
    };
    let topics = assignment.assigned_partitions.iter();
    let assigned = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| (topic.topic.to_owned(), *partition))
    });
    assigned.collect()
}

fn what(id: &str) -> String {
    format!("the group `{id}`")
}

fn unknown(id: &str) -> ClientError {
    ClientError::refused(what(id), ErrorCode::GroupIdNotFound.code(), None)
}

/// The highest versions in which topics go by name.
const OFFSET_FETCH_BY_NAME: i16 = 9;
const OFFSET_COMMIT_BY_NAME: i16 = 9;
