//! OffsetDelete and DeleteGroups: an administrator ends what nobody uses.

use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::PartitionIndex;

use super::Group;
use super::answer::{DeleteOffsetsAnswer, TopicErrors};
use super::offsets::OffsetKey;
use super::request::{DeleteOffsetsRequest, TopicPartitions};
use super::turn::Turn;

impl Group {
    /// Offsets of topics that the members subscribe to stay.
    pub fn delete_offsets(&mut self, request: DeleteOffsetsRequest, turn: &mut Turn) -> DeleteOffsetsAnswer {
        let (mut error, mut topics) = (ErrorCode::None, Vec::new());
        if !self.is_empty() && !self.uses_consumer_protocol() {
            error = ErrorCode::NonEmptyGroup;
        } else {
            let keeps = self.keeps_offsets();
            let kept: Vec<bool> = request.topics.iter().map(|topic| keeps(&topic.name)).collect();
            drop(keeps);
            for (topic, kept) in request.topics.into_iter().zip(kept) {
                topics.push(self.delete_offsets_of(topic, kept, turn));
            }
        }
        DeleteOffsetsAnswer { error, topics }
    }

    /// Ends an empty group with tombstones for everything that is durable of it.
    pub fn delete(&mut self, turn: &mut Turn) -> Result<(), ErrorCode> {
        if !self.is_empty() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let offsets: Vec<OffsetKey> = self.offsets.after(None).map(|(key, _)| key.clone()).collect();
        for key in offsets {
            self.drop_offset(&key, turn);
        }
        self.end(turn);
        Ok(())
    }

    fn delete_offsets_of(&mut self, topic: TopicPartitions, kept: bool, turn: &mut Turn) -> TopicErrors {
        let error = if kept {
            ErrorCode::GroupSubscribedToTopic
        } else {
            ErrorCode::None
        };
        if let Some(name) = turn.topics.find(&topic.name).filter(|_| !kept) {
            for &partition in &topic.partitions {
                self.drop_offset(&(name.clone(), partition), turn);
            }
        }
        let answered = |partition: PartitionIndex| (partition, error);
        TopicErrors {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: topic.partitions.into_iter().map(answered).collect(),
        }
    }

    /// Takes an offset away, with a tombstone; nothing where there is none.
    pub(super) fn drop_offset(&mut self, key: &OffsetKey, turn: &mut Turn) {
        if self.offsets.remove(turn.topics, key) {
            turn.effects.records.push(self.offset_record(key, None));
        }
    }
}
