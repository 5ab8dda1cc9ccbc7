//! DescribeLogDirs: the data directory, and how much of it partitions take.

use std::sync::Arc;

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use millstream_protocol::primitive::Reader;

use super::query::{self, QueriedPartition, QueriedTopic};
use crate::partition::query::Query;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeLogDirsRequest::decode(reader, request.to.version)?;
    let question = |index| QueriedPartition::new(index, Query::Size);
    let topics: Vec<_> = match &body.topics {
        Some(topics) => topics
            .iter()
            .map(|topic| QueriedTopic {
                name: Arc::from(topic.topic),
                partitions: topic.partitions.iter().copied().map(question).collect(),
            })
            .collect(),
        None => shard
            .image
            .topics()
            .map(|topic| QueriedTopic {
                name: topic.name.clone(),
                partitions: (0..topic.partitions as i32).map(question).collect(),
            })
            .collect(),
    };
    query::ask(shard, request.to, topics, answer);
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, topics: &[QueriedTopic]) {
    let topics = topics.iter().map(|topic| DescribeLogDirsTopic {
        name: &topic.name,
        partitions: topic.partitions.iter().filter_map(partition).collect(),
    });
    let settings = shard.options.settings.clone();
    let disk = shard.partitions.logs.disk_space();
    let bytes = |bytes: Option<u64>| bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1);
    let result = DescribeLogDirsResult {
        log_dir: settings.get("log.dirs").unwrap_or_default(),
        topics: topics.filter(|topic| !topic.partitions.is_empty()).collect(),
        total_bytes: bytes(disk.map(|disk| disk.total)),
        usable_bytes: bytes(disk.map(|disk| disk.free)),
        ..DescribeLogDirsResult::default()
    };
    let answer = DescribeLogDirsResponse {
        results: vec![result],
        ..DescribeLogDirsResponse::default()
    };
    shard.reply(to, &answer);
}

/// Of what does not exist nothing is said.
fn partition(partition: &QueriedPartition) -> Option<DescribeLogDirsPartition> {
    (partition.answer.error == ErrorCode::None).then(|| DescribeLogDirsPartition {
        partition_index: partition.index,
        partition_size: partition.answer.bytes,
        ..DescribeLogDirsPartition::default()
    })
}
