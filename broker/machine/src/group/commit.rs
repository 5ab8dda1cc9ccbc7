//! OffsetCommit: how far a group has read.

use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::{PartitionIndex, TimestampMs, TopicId};

use super::Group;
use super::answer::TopicErrors;
use super::classic::ClassicGroup;
use super::dispatch::TEXT_BYTES_MAX;
use super::offsets::bytes_of;
use super::record::CommittedOffset;
use super::request::{CommitPartition, CommitRequest, CommitTopic};
use super::state::ClassicState;
use super::turn::Turn;

impl Group {
    /// Each offset is taken or refused by itself: for its metadata, or where there is no room for one more.
    pub fn commit(&mut self, request: CommitRequest, turn: &mut Turn) -> Vec<TopicErrors> {
        let checked = match &self.consumer {
            Some(consumer) => consumer.check_commit(&request, turn.image),
            None => self.classic.check_commit(&request),
        };
        if let Err(error) = checked {
            return request.refused(error);
        }
        self.classic.heard_of_committer(&request.member_id, turn);
        let now = turn.now.wall.get();
        let expires = request
            .retention_ms
            .map(|ms| TimestampMs::new(now.saturating_add(ms)));
        let topics = request.topics.into_iter();
        topics
            .map(|topic| self.commit_topic(topic, expires, turn))
            .collect()
    }

    fn commit_topic(
        &mut self,
        topic: CommitTopic,
        expires: Option<TimestampMs>,
        turn: &mut Turn,
    ) -> TopicErrors {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let index = partition.partition;
            let value = committed(partition, topic.topic_id, expires, turn);
            let error = match self.commit_partition(&topic.name, index, value, turn) {
                Ok(()) => ErrorCode::None,
                Err(error) => error,
            };
            partitions.push((index, error));
        }
        TopicErrors {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
        }
    }

    fn commit_partition(
        &mut self,
        topic: &str,
        partition: PartitionIndex,
        value: CommittedOffset,
        turn: &mut Turn,
    ) -> Result<(), ErrorCode> {
        let units_max = turn.settings.offset_metadata_max_bytes;
        if is_longer(&value.metadata, units_max) || value.metadata.len() > TEXT_BYTES_MAX {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        let topic = turn.topics.find(topic).unwrap_or_else(|| topic.into());
        let key = (topic, partition);
        let before = self.offsets.get(&key).map_or(0, |old| bytes_of(&key, old));
        let growth = bytes_of(&key, &value).saturating_sub(before);
        turn.room = turn
            .room
            .checked_sub(growth)
            .ok_or(ErrorCode::CoordinatorNotAvailable)?;
        let key = self.offsets.set(turn.topics, &key.0, partition, value.clone());
        turn.effects.records.push(self.offset_record(&key, Some(value)));
        Ok(())
    }
}

impl ClassicGroup {
    /// Members commit for their generation; who is none, only while the group is empty.
    fn check_commit(&self, request: &CommitRequest) -> Result<(), ErrorCode> {
        let instance_id = request.group_instance_id.as_deref();
        if request.generation_id < 0 && self.is_empty() {
            return Ok(());
        }
        if request.generation_id < 0 && request.member_id.is_empty() && instance_id.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&request.member_id, instance_id)?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == ClassicState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit shows that the member lives.
    fn heard_of_committer(&mut self, member_id: &str, turn: &mut Turn) {
        let counts = matches!(
            self.state,
            ClassicState::Stable | ClassicState::PreparingRebalance
        );
        if counts && self.members.contains(member_id) {
            self.heard_of(member_id, turn);
        }
    }
}

fn committed(
    partition: CommitPartition,
    topic_id: TopicId,
    expires: Option<TimestampMs>,
    turn: &Turn,
) -> CommittedOffset {
    CommittedOffset {
        offset: partition.offset,
        leader_epoch: partition.leader_epoch,
        metadata: partition.metadata.into(),
        commit_timestamp: turn.now.wall,
        expire_timestamp: expires,
        topic_id,
    }
}

/// Kafka counts a text's UTF-16 units, not its bytes.
fn is_longer(text: &str, units_max: usize) -> bool {
    text.len() > units_max && text.encode_utf16().count() > units_max
}
