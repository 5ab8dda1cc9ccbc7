//! OffsetCommit: how far a group has come.
//! Invariant: one answer for each partition of the request, in its order; nothing of topics without any, as from Kafka.

use millstream_machine::group::{CommitPartition, CommitRequest, CommitTopic, GroupAnswer, GroupRequest};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::{LeaderEpoch, PartitionIndex};

use super::groups::{NamedTopic, merge, resolve};
use crate::coordinator::asking;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = OffsetCommitRequest::decode(reader, to.version)?;
    let mut asked = Vec::with_capacity(body.topics.len());
    let mut known = Vec::new();
    for topic in body.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let named = resolve(
            shard,
            (topic.name, topic.topic_id),
            indexes,
            to.version >= TOPIC_IDS_SINCE,
        );
        known.extend(commit_topic(&named, topic));
        asked.push(named);
    }
    if known.is_empty() {
        answer(shard, to, &asked);
        return Ok(());
    }
    let commit = commit(to.version, &body, known);
    asking::ask_one(
        shard,
        to,
        GroupRequest::CommitOffsets(commit),
        move |shard, to, answered| {
            match answered {
                Ok(GroupAnswer::CommitOffsets(topics)) => merge(&mut asked, &topics),
                Err(code) => asked.iter_mut().for_each(|topic| topic.refuse_known(code)),
                other => unreachable!("{other:?} answers no commit"),
            }
            answer(shard, to, &asked);
        },
    );
    Ok(())
}

fn commit(version: i16, body: &OffsetCommitRequest<'_>, topics: Vec<CommitTopic>) -> CommitRequest {
    CommitRequest {
        group_id: body.group_id.to_owned(),
        member_id: body.member_id.to_owned(),
        group_instance_id: body.group_instance_id.map(str::to_owned),
        generation_id: body.generation_id_or_member_epoch,
        retention_ms: (body.retention_time_ms != BROKERS_RETENTION).then_some(body.retention_time_ms),
        understands_new_errors: version >= NEW_ERRORS_SINCE,
        topics,
    }
}

/// What of a topic can be committed: partitions that there are.
fn commit_topic(named: &NamedTopic, topic: &OffsetCommitRequestTopic<'_>) -> Option<CommitTopic> {
    let places = named.partitions.iter().zip(&topic.partitions);
    let partitions: Vec<CommitPartition> = places
        .filter(|((_, error), _)| *error == ErrorCode::None)
        .map(|(_, partition)| commit_partition(partition))
        .collect();
    (!partitions.is_empty()).then(|| CommitTopic {
        name: named.name.clone(),
        topic_id: named.id,
        partitions,
    })
}

fn commit_partition(partition: &OffsetCommitRequestPartition<'_>) -> CommitPartition {
    CommitPartition {
        partition: PartitionIndex::new(partition.partition_index),
        offset: partition.committed_offset,
        leader_epoch: LeaderEpoch::checked(partition.committed_leader_epoch),
        metadata: partition.committed_metadata.unwrap_or_default().to_owned(),
    }
}

fn answer(shard: &mut Shard, to: ReplyTo, topics: &[NamedTopic]) {
    let topics = topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: &topic.name,
        topic_id: topic.id,
        partitions: topic
            .partitions
            .iter()
            .map(|(partition_index, error)| OffsetCommitResponsePartition {
                partition_index: *partition_index,
                error_code: *error as i16,
            })
            .collect(),
    });
    let response = OffsetCommitResponse {
        topics: topics.collect(),
        ..OffsetCommitResponse::default()
    };
    shard.reply(to, &response);
}

/// The wire's word for "as long as the broker keeps offsets".
const BROKERS_RETENTION: i64 = -1;
/// From this version on clients know GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH.
const NEW_ERRORS_SINCE: i16 = 9;
/// From this version on topics are named by their id.
const TOPIC_IDS_SINCE: i16 = 10;
