//! OffsetFetch: what groups have committed, one group before version 8, any number from then on.

use millstream_machine::group::{
    FetchAnswer, FetchRequest, FetchedPartition, GroupAnswer, GroupRequest, TopicPartitions,
};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TopicId};

use crate::coordinator::{Answered, asking};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

/// One group of a request.
#[derive(Debug)]
struct AskedGroup {
    group_id: String,
    member_id: Option<String>,
    member_epoch: i32,
    /// `None` for all that it has committed.
    topics: Option<Vec<TopicPartitions>>,
    /// Topics that were asked for by an id that nobody knows.
    unknown: Vec<TopicPartitions>,
}

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = OffsetFetchRequest::decode(reader, to.version)?;
    let groups = asked_groups(shard, to.version, &body);
    let fetch = |group: &AskedGroup| {
        GroupRequest::FetchOffsets(FetchRequest {
            group_id: group.group_id.clone(),
            member_id: group.member_id.clone(),
            member_epoch: group.member_epoch,
            require_stable: body.require_stable,
            topics: group.topics.clone(),
        })
    };
    let requests = groups.iter().map(fetch).collect();
    asking::ask(shard, to, requests, move |shard, to, answers| {
        match to.version >= BATCHED_SINCE {
            true => answer_groups(shard, to, &groups, &answers),
            false => answer_one(shard, to, &groups, &answers),
        }
    });
    Ok(())
}

fn asked_groups(shard: &Shard, version: i16, body: &OffsetFetchRequest<'_>) -> Vec<AskedGroup> {
    if version < BATCHED_SINCE {
        let topics = body.topics.as_ref().map(|topics| {
            let topics = topics.iter();
            topics
                .map(|topic| by_name(shard, topic.name, &topic.partition_indexes))
                .collect()
        });
        return vec![AskedGroup {
            group_id: body.group_id.to_owned(),
            member_id: None,
            member_epoch: -1,
            topics,
            unknown: Vec::new(),
        }];
    }
    let group = |group: &millstream_protocol::message::offset_fetch::OffsetFetchRequestGroup<'_>| {
        let mut unknown = Vec::new();
        let topics = group.topics.as_ref().map(|topics| {
            let mut known = Vec::with_capacity(topics.len());
            for topic in topics {
                if version < TOPIC_IDS_SINCE {
                    known.push(by_name(shard, topic.name, &topic.partition_indexes));
                    continue;
                }
                let found = shard.topic_by_id(topic.topic_id);
                let name = found.as_ref().map_or("", |found| &found.name);
                let asked = topic_partitions(name, topic.topic_id, &topic.partition_indexes);
                match found {
                    Some(_) => known.push(asked),
                    None => unknown.push(asked),
                }
            }
            known
        });
        AskedGroup {
            group_id: group.group_id.to_owned(),
            member_id: group.member_id.map(str::to_owned),
            member_epoch: group.member_epoch,
            topics,
            unknown,
        }
    };
    body.groups.iter().map(group).collect()
}

fn by_name(shard: &Shard, name: &str, indexes: &[i32]) -> TopicPartitions {
    let id = shard.topic_by_name(name).map_or(TopicId::ZERO, |topic| topic.id);
    topic_partitions(name, id, indexes)
}

fn topic_partitions(name: &str, topic_id: TopicId, indexes: &[i32]) -> TopicPartitions {
    TopicPartitions {
        name: name.to_owned(),
        topic_id,
        partitions: indexes.iter().copied().map(PartitionIndex::new).collect(),
    }
}

fn answer_groups(shard: &mut Shard, to: ReplyTo, groups: &[AskedGroup], answers: &[Answered]) {
    let by_id = to.version >= TOPIC_IDS_SINCE;
    let image = shard.image.clone();
    let answered = groups.iter().zip(answers).map(|(group, answered)| {
        let answer = match fetched(answered) {
            Ok(answer) => answer,
            Err(code) => {
                return OffsetFetchResponseGroup {
                    group_id: &group.group_id,
                    error_code: code as i16,
                    ..OffsetFetchResponseGroup::default()
                };
            }
        };
        let topics = answer.topics.iter().filter_map(|topic| {
            // What was committed under a name that no topic has any more has no id to be told by.
            let topic_id = image.topic_by_name(&topic.name).map(|topic| topic.id);
            (!by_id || topic_id.is_some()).then(|| OffsetFetchResponseTopics {
                name: &topic.name,
                topic_id: topic_id.unwrap_or(TopicId::ZERO),
                partitions: topic.partitions.iter().map(partition).collect(),
            })
        });
        let unknown = group.unknown.iter().map(|topic| OffsetFetchResponseTopics {
            name: &topic.name,
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(unknown_partition).collect(),
        });
        OffsetFetchResponseGroup {
            group_id: &group.group_id,
            topics: topics.chain(unknown).collect(),
            error_code: ErrorCode::None as i16,
        }
    });
    let response = OffsetFetchResponse {
        groups: answered.collect(),
        ..OffsetFetchResponse::default()
    };
    shard.reply(to, &response);
}

fn answer_one(shard: &mut Shard, to: ReplyTo, groups: &[AskedGroup], answers: &[Answered]) {
    let [group] = groups else {
        unreachable!("one group before version 8")
    };
    let response = match answers.iter().map(fetched).next() {
        Some(Ok(answer)) => OffsetFetchResponse {
            topics: answer
                .topics
                .iter()
                .map(|topic| OffsetFetchResponseTopic {
                    name: &topic.name,
                    partitions: topic.partitions.iter().map(|it| single(&partition(it))).collect(),
                })
                .collect(),
            ..OffsetFetchResponse::default()
        },
        Some(Err(code)) if to.version >= GROUP_ERROR_SINCE => OffsetFetchResponse {
            error_code: code as i16,
            ..OffsetFetchResponse::default()
        },
        Some(Err(code)) => OffsetFetchResponse {
            topics: refused_topics(group, code),
            ..OffsetFetchResponse::default()
        },
        None => unreachable!("every question has an answer"),
    };
    shard.reply(to, &response);
}

/// What a group answered; its own error comes out as one.
fn fetched(answered: &Answered) -> Result<&FetchAnswer, ErrorCode> {
    match answered {
        Ok(GroupAnswer::FetchOffsets(answer)) if answer.error == ErrorCode::None => Ok(answer),
        Ok(GroupAnswer::FetchOffsets(answer)) => Err(answer.error),
        Err(code) => Err(*code),
        other => unreachable!("{other:?} answers no fetch of offsets"),
    }
}

/// The group's error at every partition, where the response has no other place for it.
fn refused_topics(group: &AskedGroup, code: ErrorCode) -> Vec<OffsetFetchResponseTopic<'_>> {
    let topics = group
        .topics
        .iter()
        .flatten()
        .map(|topic| OffsetFetchResponseTopic {
            name: &topic.name,
            partitions: topic
                .partitions
                .iter()
                .map(|index| single(&nothing(*index, code)))
                .collect(),
        });
    topics.collect()
}

fn partition(fetched: &FetchedPartition) -> OffsetFetchResponsePartitions<'_> {
    let nothing = nothing(fetched.partition, fetched.error);
    match &fetched.committed {
        Some(committed) => OffsetFetchResponsePartitions {
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch.map_or(-1, LeaderEpoch::get),
            metadata: Some(&committed.metadata),
            ..nothing
        },
        None => nothing,
    }
}

fn unknown_partition(index: &PartitionIndex) -> OffsetFetchResponsePartitions<'static> {
    nothing(*index, ErrorCode::UnknownTopicId)
}

fn nothing(index: PartitionIndex, error: ErrorCode) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: index.get(),
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(""),
        error_code: error as i16,
    }
}

/// The same in the form of versions before 8.
fn single<'a>(partition: &OffsetFetchResponsePartitions<'a>) -> OffsetFetchResponsePartition<'a> {
    OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    }
}

const GROUP_ERROR_SINCE: i16 = 2;
/// From this version on offsets of many groups are asked for at once.
const BATCHED_SINCE: i16 = 8;
/// From this version on topics are named by their id.
const TOPIC_IDS_SINCE: i16 = 10;
