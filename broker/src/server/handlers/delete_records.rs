//! DeleteRecords: moves the start of partitions; answered when the new start is durable, or when the request's
//! time is up.

use std::sync::Arc;

use millstream_protocol::error::DecodeError;
use millstream_protocol::message::Decode;
use millstream_protocol::message::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::time::Duration;

use super::query::{self, QueriedPartition, QueriedTopic};
use crate::partition::query::Query;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DeleteRecordsRequest::decode(reader, request.to.version)?;
    let deadline = shard.now.monotonic + Duration::from_millis(body.timeout_ms.max(0) as u64);
    let topics = body.topics.iter().map(|topic| QueriedTopic {
        name: Arc::from(topic.name),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| {
                let query = Query::DeleteRecords {
                    before: partition.offset,
                    deadline,
                };
                QueriedPartition::new(partition.partition_index, query)
            })
            .collect(),
    });
    query::ask(shard, request.to, topics.collect(), answer);
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, topics: &[QueriedTopic]) {
    let topics = topics.iter().map(|topic| DeleteRecordsTopicResult {
        name: &topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| DeleteRecordsPartitionResult {
                partition_index: partition.index,
                low_watermark: partition.answer.offset,
                error_code: partition.answer.error as i16,
            })
            .collect(),
    });
    shard.reply(
        to,
        &DeleteRecordsResponse {
            topics: topics.collect(),
            ..DeleteRecordsResponse::default()
        },
    );
}
