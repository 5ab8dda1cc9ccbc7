//! DescribeProducers: the producers that partitions remember.

use std::sync::Arc;

use millstream_log::KnownProducer;
use millstream_protocol::error::DecodeError;
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use millstream_protocol::primitive::Reader;

use super::query::{self, QueriedPartition, QueriedTopic};
use crate::partition::query::Query;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeProducersRequest::decode(reader, request.to.version)?;
    let topics: Vec<_> = body
        .topics
        .iter()
        .map(|topic| {
            let indexes = topic.partition_indexes.iter().copied();
            QueriedTopic {
                name: Arc::from(topic.name),
                partitions: indexes
                    .map(|index| QueriedPartition::new(index, Query::Producers))
                    .collect(),
            }
        })
        .collect();
    query::ask(shard, request.to, topics, answer);
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, topics: &[QueriedTopic]) {
    let topics = topics.iter().map(|topic| {
        let is_known = shard.topic_by_name(&topic.name).is_some();
        let partition = |partition: &QueriedPartition| PartitionResponse {
            partition_index: partition.index,
            error_code: partition.answer.error as i16,
            error_message: (!is_known).then_some("There is no such topic."),
            active_producers: partition.answer.producers.iter().map(producer).collect(),
        };
        TopicResponse {
            name: &topic.name,
            partitions: topic.partitions.iter().map(partition).collect(),
        }
    });
    let answer = DescribeProducersResponse {
        topics: topics.collect(),
        ..DescribeProducersResponse::default()
    };
    shard.reply(to, &answer);
}

fn producer(known: &KnownProducer) -> ProducerState {
    ProducerState {
        producer_id: known.id.get(),
        producer_epoch: known.epoch.get().into(),
        last_sequence: known.last_sequence.map_or(-1, |sequence| sequence.get()),
        last_timestamp: known.last_timestamp.map_or(-1, |timestamp| timestamp.get()),
        coordinator_epoch: -1,
        current_txn_start_offset: known.transaction.map_or(-1, |offset| offset.get()),
    }
}
