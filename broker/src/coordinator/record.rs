//! Records of groups as the machine knows them and as they lie in the log, which is as Kafka's lie there.

use std::sync::Arc;

use millstream_machine::group::{CommittedOffset, GroupMember, GroupMetadata, GroupRecord};
use millstream_protocol::error::DecodeError;
use millstream_protocol::primitive::Writer;
use millstream_protocol::record::offsets::group_metadata::MemberMetadata;
use millstream_protocol::record::offsets::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, OffsetsRecord,
};
use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TimestampMs};

use super::consumer_record;

/// A record's bytes; without a value it takes back what the last one with its key said.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordBytes {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

impl RecordBytes {
    /// No less than what it takes in a batch.
    pub fn size(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len) + FRAMING_BYTES_MAX
    }
}

/// What a record of the log says to the machine; nothing where it is of a kind that the machine does not keep.
pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<GroupRecord>, DecodeError> {
    let Some(key) = key else { return Ok(None) };
    Ok(match OffsetsRecord::decode(key, value)? {
        Some(OffsetsRecord::OffsetCommit(key, value)) => Some(GroupRecord::Offset {
            group_id: key.group.into(),
            topic: key.topic.into(),
            partition: PartitionIndex::new(key.partition),
            value: value.map(|value| committed(&value)),
        }),
        Some(OffsetsRecord::GroupMetadata(key, value)) => Some(GroupRecord::Group {
            group_id: key.group.into(),
            value: value.map(|value| Arc::new(metadata(&value))),
        }),
        Some(other) => consumer_record::decode(other),
        None => None,
    })
}

/// Panics on texts longer than a record may have: they came in by requests, whose texts are no longer.
pub fn encode(record: &GroupRecord) -> RecordBytes {
    match record {
        GroupRecord::Offset {
            group_id,
            topic,
            partition,
            value,
        } => {
            let key = OffsetCommitKey {
                group: group_id,
                topic,
                partition: partition.get(),
            };
            bytes(&OffsetsRecord::OffsetCommit(
                key,
                value.as_ref().map(committed_value),
            ))
        }
        GroupRecord::Group { group_id, value } => {
            let key = GroupMetadataKey { group: group_id };
            bytes(&OffsetsRecord::GroupMetadata(
                key,
                value.as_deref().map(metadata_value),
            ))
        }
        GroupRecord::Consumer { group_id, record } => consumer_record::encode(group_id, record, bytes),
    }
}

fn bytes(record: &OffsetsRecord<'_>) -> RecordBytes {
    let (mut key, mut value) = (Writer::new(), Writer::new());
    record.encode_key(&mut key).expect("texts of a request");
    let has_value = record.encode_value(&mut value).expect("texts of a request");
    RecordBytes {
        key: key.into_parts().0,
        value: has_value.then(|| value.into_parts().0),
    }
}

fn committed(value: &OffsetCommitValue<'_>) -> CommittedOffset {
    CommittedOffset {
        offset: value.offset,
        leader_epoch: LeaderEpoch::checked(value.leader_epoch),
        metadata: value.metadata.into(),
        commit_timestamp: TimestampMs::new(value.commit_timestamp),
        expire_timestamp: TimestampMs::from_wire(value.expire_timestamp),
        topic_id: value.topic_id,
    }
}

fn committed_value(committed: &CommittedOffset) -> OffsetCommitValue<'_> {
    OffsetCommitValue {
        offset: committed.offset,
        leader_epoch: committed.leader_epoch.map_or(-1, LeaderEpoch::get),
        metadata: &committed.metadata,
        commit_timestamp: committed.commit_timestamp.get(),
        expire_timestamp: TimestampMs::to_wire(committed.expire_timestamp),
        topic_id: committed.topic_id,
    }
}

fn metadata(value: &GroupMetadataValue<'_>) -> GroupMetadata {
    let member = |member: &MemberMetadata<'_>| GroupMember {
        member_id: member.member_id.into(),
        group_instance_id: member.group_instance_id.map(Into::into),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        rebalance_timeout_ms: match member.rebalance_timeout {
            -1 => member.session_timeout,
            timeout => timeout,
        },
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription.into(),
        assignment: member.assignment.into(),
    };
    GroupMetadata {
        protocol_type: value.protocol_type.into(),
        generation: value.generation,
        protocol: value.protocol.map(Into::into),
        leader: value.leader.map(Into::into),
        current_state_timestamp: TimestampMs::from_wire(value.current_state_timestamp),
        members: value.members.iter().map(member).collect(),
    }
}

fn metadata_value(group: &GroupMetadata) -> GroupMetadataValue<'_> {
    GroupMetadataValue {
        protocol_type: &group.protocol_type,
        generation: group.generation,
        protocol: group.protocol.as_deref(),
        leader: group.leader.as_deref(),
        current_state_timestamp: TimestampMs::to_wire(group.current_state_timestamp),
        members: group.members.iter().map(member_value).collect(),
    }
}

fn member_value(member: &GroupMember) -> MemberMetadata<'_> {
    MemberMetadata {
        member_id: &member.member_id,
        group_instance_id: member.group_instance_id.as_deref(),
        client_id: &member.client_id,
        client_host: &member.client_host,
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: &member.subscription,
        assignment: &member.assignment,
    }
}

/// Attributes, lengths, deltas and the count of headers.
const FRAMING_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_protocol::types::TopicId;

    #[test]
    fn records_survive_their_bytes() {
        let member = GroupMember {
            member_id: "m-1".into(),
            group_instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            subscription: [1, 2].into(),
            assignment: [3].into(),
        };
        let group = GroupMetadata {
            protocol_type: "consumer".into(),
            generation: 4,
            protocol: Some("range".into()),
            leader: Some("m-1".into()),
            current_state_timestamp: Some(TimestampMs::new(5)),
            members: [member].into(),
        };
        let offset = CommittedOffset {
            offset: 7,
            leader_epoch: Some(LeaderEpoch::new(2)),
            metadata: "where".into(),
            commit_timestamp: TimestampMs::new(9),
            expire_timestamp: None,
            topic_id: TopicId::new([7; 16]),
        };
        let of_offset = |value| GroupRecord::Offset {
            group_id: "g".into(),
            topic: "t".into(),
            partition: PartitionIndex::new(3),
            value,
        };
        let of_group = |value| GroupRecord::Group {
            group_id: "g".into(),
            value,
        };
        for record in [
            of_offset(Some(offset)),
            of_offset(None),
            of_group(Some(Arc::new(group))),
            of_group(None),
        ] {
            let RecordBytes { key, value } = encode(&record);
            assert_eq!(decode(Some(&key), value.as_deref()), Ok(Some(record)));
        }
    }

    #[test]
    fn what_is_no_record_of_a_classic_group_is_passed_over() {
        assert_eq!(decode(None, None), Ok(None));
        assert_eq!(decode(Some(&[0, 200]), Some(b"later")), Ok(None));
    }
}
