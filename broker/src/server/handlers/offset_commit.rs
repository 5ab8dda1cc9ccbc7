//! OffsetCommit: how far a group has come.
//! Invariants, as from Kafka: one answer for each partition of the request; nothing of topics without any; partitions
//! that there are not come first, and the others of their topic go with them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use millstream_machine::group::{CommitPartition, CommitRequest, CommitTopic, GroupAnswer, GroupRequest};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TopicId};

use super::groups::{NamedTopic, merge, resolve};
use crate::coordinator::asking;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = OffsetCommitRequest::decode(reader, to.version)?;
    let mut asked = Vec::with_capacity(body.topics.len());
    let mut lacking = Merged::default();
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
        let (there, not_there) = split(named);
        not_there.into_iter().for_each(|topic| lacking.add(topic));
        asked.extend(there);
    }
    if known.is_empty() {
        answer(shard, to, &lacking.topics);
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
            if lacking.topics.is_empty() {
                answer(shard, to, &asked);
                return;
            }
            asked.into_iter().for_each(|topic| lacking.add(topic));
            answer(shard, to, &lacking.topics);
        },
    );
    Ok(())
}

/// A topic's partitions that there are, and those that there are not.
fn split(named: NamedTopic) -> (Option<NamedTopic>, Option<NamedTopic>) {
    let part = |partitions: Vec<(i32, ErrorCode)>| {
        (!partitions.is_empty()).then(|| NamedTopic {
            name: named.name.clone(),
            id: named.id,
            partitions,
        })
    };
    let partitions = named.partitions.iter().copied();
    let (there, not_there) = partitions.partition(|(_, error)| *error == ErrorCode::None);
    (part(there), part(not_there))
}

/// Topics, each once.
#[derive(Default)]
struct Merged {
    topics: Vec<NamedTopic>,
    places: BTreeMap<(String, TopicId), usize>,
}

impl Merged {
    /// Adds a topic, to what there is of it already.
    fn add(&mut self, topic: NamedTopic) {
        match self.places.entry((topic.name.clone(), topic.id)) {
            Entry::Occupied(place) => self.topics[*place.get()].partitions.extend(topic.partitions),
            Entry::Vacant(place) => {
                place.insert(self.topics.len());
                self.topics.push(topic);
            }
        }
    }
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
