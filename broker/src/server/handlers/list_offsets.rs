//! ListOffsets: the offset that belongs to a timestamp, special ones included.

use std::sync::Arc;

use millstream_protocol::error::DecodeError;
use millstream_protocol::message::Decode;
use millstream_protocol::message::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use millstream_protocol::primitive::Reader;

use super::query::{self, QueriedPartition, QueriedTopic};
use crate::partition::query::Query;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let version = request.to.version;
    let body = ListOffsetsRequest::decode(reader, version)?;
    let committed = body.isolation_level == READ_COMMITTED;
    let topics = body.topics.iter().map(|topic| QueriedTopic {
        name: Arc::from(topic.name),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| {
                let query = Query::Offset {
                    timestamp: partition.timestamp,
                    current_leader_epoch: partition.current_leader_epoch,
                    committed,
                    version,
                };
                QueriedPartition::new(partition.partition_index, query)
            })
            .collect(),
    });
    query::ask(shard, request.to, topics.collect(), answer);
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, topics: &[QueriedTopic]) {
    let topics = topics.iter().map(|topic| ListOffsetsTopicResponse {
        name: &topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| ListOffsetsPartitionResponse {
                partition_index: partition.index,
                error_code: partition.answer.error as i16,
                timestamp: partition.answer.timestamp,
                offset: partition.answer.offset,
                leader_epoch: partition.answer.leader_epoch,
            })
            .collect(),
    });
    shard.reply(
        to,
        &ListOffsetsResponse {
            topics: topics.collect(),
            ..ListOffsetsResponse::default()
        },
    );
}

const READ_COMMITTED: i8 = 1;
