//! OffsetDelete: offsets that a group committed go, of topics that none of its members reads.

use millstream_machine::group::{DeleteOffsetsRequest, GroupAnswer, GroupRequest, TopicPartitions};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::{PartitionIndex, TopicId};

use super::groups::{NamedTopic, merge, resolve};
use crate::coordinator::asking;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = OffsetDeleteRequest::decode(reader, to.version)?;
    let mut asked: Vec<NamedTopic> = body
        .topics
        .iter()
        .map(|topic| {
            let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
            resolve(shard, (topic.name, TopicId::ZERO), indexes, false)
        })
        .collect();
    // Where there are none, the group is asked all the same: it may not exist.
    let topics = asked.iter().filter_map(known_partitions).collect();
    let delete = GroupRequest::DeleteOffsets(DeleteOffsetsRequest {
        group_id: body.group_id.to_owned(),
        topics,
    });
    asking::ask_one(shard, to, delete, move |shard, to, answered| {
        let error = match answered {
            Ok(GroupAnswer::DeleteOffsets(deleted)) => {
                merge(&mut asked, &deleted.topics);
                deleted.error
            }
            Err(code) => code,
            other => unreachable!("{other:?} answers no deletion of offsets"),
        };
        answer(shard, to, error, &asked);
    });
    Ok(())
}

fn known_partitions(topic: &NamedTopic) -> Option<TopicPartitions> {
    let known = topic
        .partitions
        .iter()
        .filter(|(_, error)| *error == ErrorCode::None);
    let partitions: Vec<PartitionIndex> = known.map(|(index, _)| PartitionIndex::new(*index)).collect();
    (!partitions.is_empty()).then(|| TopicPartitions {
        name: topic.name.clone(),
        topic_id: topic.id,
        partitions,
    })
}

fn answer(shard: &mut Shard, to: ReplyTo, error: ErrorCode, topics: &[NamedTopic]) {
    let topics = topics.iter().filter(|_| error == ErrorCode::None);
    let topics = topics.map(|topic| OffsetDeleteResponseTopic {
        name: &topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|(partition_index, error)| OffsetDeleteResponsePartition {
                partition_index: *partition_index,
                error_code: *error as i16,
            })
            .collect(),
    });
    let response = OffsetDeleteResponse {
        error_code: error as i16,
        topics: topics.collect(),
        ..OffsetDeleteResponse::default()
    };
    shard.reply(to, &response);
}
