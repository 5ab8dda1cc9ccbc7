//! Records of groups of the consumer protocol (KIP-848), as the machine knows them and as they lie in the log.

use std::sync::Arc;

use millstream_machine::group::{
    ClassicMember, ConsumerRecord, CurrentAssignment, GroupEpoch, GroupRecord, MemberProtocol, MemberState,
    MemberSubscription, PartitionEpochs, Partitions, TargetEpoch,
};
use millstream_protocol::record::offsets::consumer_group::{
    ClassicMemberMetadata, ClassicProtocol, TopicPartition, TopicPartitions,
};
use millstream_protocol::record::offsets::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue, OffsetsRecord,
};
use millstream_protocol::types::{PartitionIndex, TimestampMs, TopicId};

/// `None` for a record of another kind.
pub(super) fn decode(record: OffsetsRecord<'_>) -> Option<GroupRecord> {
    let (group_id, record) = match record {
        OffsetsRecord::ConsumerGroupMetadata(key, value) => {
            let epoch = value.map(|value| GroupEpoch {
                epoch: value.epoch,
                metadata_hash: value.metadata_hash,
            });
            (key.group_id, ConsumerRecord::Epoch(epoch))
        }
        OffsetsRecord::ConsumerGroupTargetAssignmentMetadata(key, value) => {
            let epoch = value.map(|value| TargetEpoch {
                epoch: value.assignment_epoch,
                timestamp: TimestampMs::new(value.assignment_timestamp),
            });
            (key.group_id, ConsumerRecord::TargetEpoch(epoch))
        }
        OffsetsRecord::ConsumerGroupMemberMetadata(key, value) => {
            let subscription = value.map(|value| Arc::new(subscription(&value)));
            (
                key.group_id,
                ConsumerRecord::Member(key.member_id.into(), subscription),
            )
        }
        OffsetsRecord::ConsumerGroupTargetAssignmentMember(key, value) => {
            let target = value.map(|value| Arc::new(target(&value)));
            (key.group_id, ConsumerRecord::Target(key.member_id.into(), target))
        }
        OffsetsRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
            let current = value.map(|value| Arc::new(current(&value)));
            (
                key.group_id,
                ConsumerRecord::Current(key.member_id.into(), current),
            )
        }
        _ => return None,
    };
    Some(GroupRecord::Consumer {
        group_id: group_id.into(),
        record,
    })
}

/// Hands the record over as the log has it.
pub(super) fn encode<R>(
    group_id: &str,
    record: &ConsumerRecord,
    take: impl FnOnce(&OffsetsRecord<'_>) -> R,
) -> R {
    match record {
        ConsumerRecord::Epoch(value) => take(&OffsetsRecord::ConsumerGroupMetadata(
            ConsumerGroupMetadataKey { group_id },
            value.map(|value| ConsumerGroupMetadataValue {
                epoch: value.epoch,
                metadata_hash: value.metadata_hash,
            }),
        )),
        ConsumerRecord::TargetEpoch(value) => take(&OffsetsRecord::ConsumerGroupTargetAssignmentMetadata(
            ConsumerGroupTargetAssignmentMetadataKey { group_id },
            value.map(|value| ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch: value.epoch,
                assignment_timestamp: value.timestamp.get(),
            }),
        )),
        ConsumerRecord::Member(member_id, value) => take(&OffsetsRecord::ConsumerGroupMemberMetadata(
            ConsumerGroupMemberMetadataKey { group_id, member_id },
            value.as_deref().map(subscription_value),
        )),
        ConsumerRecord::Target(member_id, value) => {
            take(&OffsetsRecord::ConsumerGroupTargetAssignmentMember(
                ConsumerGroupTargetAssignmentMemberKey { group_id, member_id },
                value.as_deref().map(target_value),
            ))
        }
        ConsumerRecord::Current(member_id, value) => {
            take(&OffsetsRecord::ConsumerGroupCurrentMemberAssignment(
                ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id },
                value.as_deref().map(current_value),
            ))
        }
    }
}

fn subscription(value: &ConsumerGroupMemberMetadataValue<'_>) -> MemberSubscription {
    MemberSubscription {
        instance_id: value.instance_id.map(Into::into),
        rack_id: value.rack_id.map(Into::into),
        client_id: value.client_id.into(),
        client_host: value.client_host.into(),
        topic_names: value
            .subscribed_topic_names
            .iter()
            .map(|name| Arc::from(*name))
            .collect(),
        topic_regex: value
            .subscribed_topic_regex
            .filter(|it| !it.is_empty())
            .map(Into::into),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: value.server_assignor.map(Into::into),
        classic: value.classic_member_metadata.as_ref().and_then(classic),
    }
}

/// `None` for a member that knows no protocol, which is none.
fn classic(value: &ClassicMemberMetadata<'_>) -> Option<ClassicMember> {
    let protocols = value.supported_protocols.iter().map(|it| MemberProtocol {
        name: it.name.into(),
        metadata: it.metadata.into(),
    });
    (!value.supported_protocols.is_empty()).then(|| ClassicMember {
        session_timeout_ms: value.session_timeout_ms,
        protocols: protocols.collect(),
    })
}

fn classic_value(classic: &ClassicMember) -> ClassicMemberMetadata<'_> {
    let protocols = classic.protocols.iter().map(|it| ClassicProtocol {
        name: &it.name,
        metadata: &it.metadata,
    });
    ClassicMemberMetadata {
        session_timeout_ms: classic.session_timeout_ms,
        supported_protocols: protocols.collect(),
    }
}

fn subscription_value(subscription: &MemberSubscription) -> ConsumerGroupMemberMetadataValue<'_> {
    ConsumerGroupMemberMetadataValue {
        instance_id: subscription.instance_id.as_deref(),
        rack_id: subscription.rack_id.as_deref(),
        client_id: &subscription.client_id,
        client_host: &subscription.client_host,
        subscribed_topic_names: subscription.topic_names.iter().map(|name| &**name).collect(),
        subscribed_topic_regex: Some(subscription.topic_regex.as_deref().unwrap_or("")),
        rebalance_timeout_ms: subscription.rebalance_timeout_ms,
        server_assignor: subscription.server_assignor.as_deref(),
        classic_member_metadata: subscription.classic.as_ref().map(classic_value),
    }
}

fn target(value: &ConsumerGroupTargetAssignmentMemberValue) -> Partitions {
    let topics = value.topic_partitions.iter();
    let partitions = topics.flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic_id, *index)));
    partitions
        .map(|(topic, index)| (topic, PartitionIndex::new(index)))
        .collect()
}

fn target_value(target: &Partitions) -> ConsumerGroupTargetAssignmentMemberValue {
    let mut topics: Vec<TopicPartition> = Vec::new();
    for (topic_id, index) in target {
        of_topic(
            &mut topics,
            |it| it.topic_id == *topic_id,
            || new_target(*topic_id),
        )
        .partitions
        .push(index.get());
    }
    ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: topics,
    }
}

fn new_target(topic_id: TopicId) -> TopicPartition {
    TopicPartition {
        topic_id,
        partitions: Vec::new(),
    }
}

fn current(value: &ConsumerGroupCurrentMemberAssignmentValue) -> CurrentAssignment {
    CurrentAssignment {
        member_epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        // A state that nobody writes yet is corrected by the next step.
        state: MemberState::from_code(value.state).unwrap_or_default(),
        assigned: epochs(&value.assigned_partitions, value.member_epoch),
        pending_revocation: epochs(&value.partitions_pending_revocation, value.member_epoch),
    }
}

fn current_value(current: &CurrentAssignment) -> ConsumerGroupCurrentMemberAssignmentValue {
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: current.member_epoch,
        previous_member_epoch: current.previous_epoch,
        state: current.state.code(),
        assigned_partitions: topics(&current.assigned),
        partitions_pending_revocation: topics(&current.pending_revocation),
    }
}

/// Where it is not said since when the member has a partition, it is since its epoch.
fn epochs(topics: &[TopicPartitions], member_epoch: i32) -> PartitionEpochs {
    let mut all = PartitionEpochs::new();
    for topic in topics {
        let since = topic.assignment_epochs.as_deref().unwrap_or(&[]);
        for (place, index) in topic.partitions.iter().enumerate() {
            let epoch = since.get(place).copied().unwrap_or(member_epoch);
            all.insert((topic.topic_id, PartitionIndex::new(*index)), epoch);
        }
    }
    all
}

fn topics(partitions: &PartitionEpochs) -> Vec<TopicPartitions> {
    let mut topics: Vec<TopicPartitions> = Vec::new();
    for ((topic_id, index), epoch) in partitions {
        let topic = of_topic(
            &mut topics,
            |it| it.topic_id == *topic_id,
            || new_current(*topic_id),
        );
        topic.partitions.push(index.get());
        topic.assignment_epochs.get_or_insert_default().push(*epoch);
    }
    topics
}

fn new_current(topic_id: TopicId) -> TopicPartitions {
    TopicPartitions {
        topic_id,
        partitions: Vec::new(),
        assignment_epochs: Some(Vec::new()),
    }
}

/// The last topic of a sorted list, or a new one behind it.
fn of_topic<T>(topics: &mut Vec<T>, is_it: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> &mut T {
    if !topics.last().is_some_and(is_it) {
        topics.push(new());
    }
    topics.last_mut().expect("one was pushed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::record::{RecordBytes, decode, encode};

    #[test]
    fn records_survive_their_bytes() {
        let (one, two) = (TopicId::new([1; 16]), TopicId::new([2; 16]));
        let partition = |topic, index| (topic, PartitionIndex::new(index));
        let subscription = MemberSubscription {
            instance_id: Some("i".into()),
            rack_id: Some("r".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            topic_names: ["a".into(), "b".into()].into(),
            topic_regex: Some("a.*".into()),
            rebalance_timeout_ms: 60_000,
            server_assignor: Some("range".into()),
            classic: None,
        };
        let classic = MemberSubscription {
            classic: Some(ClassicMember {
                session_timeout_ms: 10_000,
                protocols: ["range", "cooperative-sticky"]
                    .map(|name| MemberProtocol {
                        name: name.into(),
                        metadata: [1, 2, 3].into(),
                    })
                    .into(),
            }),
            ..subscription.clone()
        };
        let current = CurrentAssignment {
            member_epoch: 5,
            previous_epoch: 4,
            state: MemberState::UnrevokedPartitions,
            assigned: [
                (partition(one, 0), 3),
                (partition(one, 4), 5),
                (partition(two, 1), 2),
            ]
            .into(),
            pending_revocation: [(partition(two, 7), 1)].into(),
        };
        let target: Partitions = current.assigned.keys().copied().collect();
        let epoch = GroupEpoch {
            epoch: 6,
            metadata_hash: -9,
        };
        let target_epoch = TargetEpoch {
            epoch: 5,
            timestamp: TimestampMs::new(77),
        };
        let id = || "m".into();
        for record in [
            ConsumerRecord::Epoch(Some(epoch)),
            ConsumerRecord::Epoch(None),
            ConsumerRecord::TargetEpoch(Some(target_epoch)),
            ConsumerRecord::TargetEpoch(None),
            ConsumerRecord::Member(id(), Some(Arc::new(subscription))),
            ConsumerRecord::Member(id(), Some(Arc::new(classic))),
            ConsumerRecord::Member(id(), None),
            ConsumerRecord::Target(id(), Some(Arc::new(target))),
            ConsumerRecord::Target(id(), None),
            ConsumerRecord::Current(id(), Some(Arc::new(current))),
            ConsumerRecord::Current(id(), None),
        ] {
            let group_id = "g".into();
            let record = GroupRecord::Consumer { group_id, record };
            let RecordBytes { key, value } = encode(&record);
            assert!(
                record.bytes() >= key.len() + value.as_ref().map_or(0, Vec::len),
                "{record:?}"
            );
            assert_eq!(decode(Some(&key), value.as_deref()), Ok(Some(record)));
        }
    }
}
