//! ConsumerGroupDescribe, and what commits and fetches of offsets are checked against.

use alloc::string::String;
use alloc::sync::Arc;

use millstream_protocol::error::ErrorCode;

use super::super::answer::{ConsumerDescribeAnswer, DescribedConsumer};
use super::super::request::{CommitRequest, CommitTopic, FetchRequest};
use super::ConsumerGroup;
use super::record::CurrentAssignment;
use crate::cluster::image::ClusterImage;

impl ConsumerGroup {
    pub fn describe(&self, group_id: String) -> ConsumerDescribeAnswer {
        let members = self.members.iter().map(|(member_id, member)| DescribedConsumer {
            member_id: Arc::clone(member_id),
            subscription: Arc::clone(&member.subscription),
            member_epoch: member.current().member_epoch,
            assigned: member.current().partitions().copied().collect(),
            target: member.target.clone().unwrap_or_default(),
        });
        ConsumerDescribeAnswer {
            error: ErrorCode::None,
            error_message: None,
            group_id,
            state: self.state(),
            group_epoch: self.group_epoch(),
            assignment_epoch: self.target_epoch(),
            assignor: self.preferred_assignor().name(),
            members: members.collect(),
        }
    }

    /// Members commit at their epoch, or at one at which they had the partition already.
    pub fn check_commit(&self, request: &CommitRequest, image: &ClusterImage) -> Result<(), ErrorCode> {
        if request.generation_id < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self
            .members
            .get(&*request.member_id)
            .ok_or(ErrorCode::UnknownMemberId)?;
        let stale = match member.classic() {
            Some(_) => ErrorCode::IllegalGeneration,
            None => ErrorCode::StaleMemberEpoch,
        };
        if member.classic().is_none() && !request.understands_new_errors {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let current = member.current();
        if request.generation_id == current.member_epoch {
            return Ok(());
        }
        let had_all = |topic: &CommitTopic| had_partitions(current, topic, request.generation_id, image);
        if request.generation_id < current.member_epoch && request.topics.iter().all(had_all) {
            return Ok(());
        }
        Err(stale)
    }

    /// Who says that it is a member has to be one at its epoch.
    pub fn check_fetch(&self, request: &FetchRequest) -> Result<(), ErrorCode> {
        let Some(member_id) = &request.member_id else {
            return if request.member_epoch < 0 {
                Ok(())
            } else {
                Err(ErrorCode::UnknownMemberId)
            };
        };
        let member = self.members.get(&**member_id).ok_or(ErrorCode::UnknownMemberId)?;
        match member.classic() {
            _ if member.current().member_epoch == request.member_epoch => Ok(()),
            Some(_) => Err(ErrorCode::IllegalGeneration),
            None => Err(ErrorCode::StaleMemberEpoch),
        }
    }
}

/// Whether the member has had the topic's partitions since `epoch` or longer.
fn had_partitions(
    current: &CurrentAssignment,
    topic: &CommitTopic,
    epoch: i32,
    image: &ClusterImage,
) -> bool {
    let by_name = || {
        image
            .topic_by_name(&topic.name)
            .map_or(topic.topic_id, |it| it.id)
    };
    let topic_id = if topic.topic_id.is_zero() {
        by_name()
    } else {
        topic.topic_id
    };
    topic.partitions.iter().all(|it| {
        let partition = (topic_id, it.partition);
        let pending = || current.pending_revocation.get(&partition);
        let since = current.assigned.get(&partition).or_else(pending);
        since.is_some_and(|&since| epoch >= since)
    })
}
