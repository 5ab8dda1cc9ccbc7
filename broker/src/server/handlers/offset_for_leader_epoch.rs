//! OffsetForLeaderEpoch: where an epoch ends, so that a client can see whether its log and ours have parted (KIP-320).

use std::sync::Arc;

use millstream_protocol::error::DecodeError;
use millstream_protocol::message::Decode;
use millstream_protocol::message::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use millstream_protocol::primitive::Reader;

use super::query::{self, QueriedPartition, QueriedTopic};
use crate::partition::query::Query;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = OffsetForLeaderEpochRequest::decode(reader, request.to.version)?;
    let topics = body.topics.iter().map(|topic| QueriedTopic {
        name: Arc::from(topic.topic),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| {
                let query = Query::EpochEnd {
                    leader_epoch: partition.leader_epoch,
                    current_leader_epoch: partition.current_leader_epoch,
                };
                QueriedPartition::new(partition.partition, query)
            })
            .collect(),
    });
    query::ask(shard, request.to, topics.collect(), answer);
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, topics: &[QueriedTopic]) {
    let topics = topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: &topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| EpochEndOffset {
                error_code: partition.answer.error as i16,
                partition: partition.index,
                leader_epoch: partition.answer.leader_epoch,
                end_offset: partition.answer.offset,
            })
            .collect(),
    });
    let body = OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..Default::default()
    };
    shard.reply(to, &body);
}
