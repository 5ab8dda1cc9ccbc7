//! DescribeQuorum: who keeps the cluster's metadata. It is this broker's controller alone, so that what it has written
//! is what there is.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use millstream_protocol::primitive::Reader;

use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeQuorumRequest::decode(reader, request.to.version)?;
    let Some(advertised) = shard.advertised(request.to.connection) else {
        return Ok(());
    };
    let asked = body.topics.iter().flat_map(|topic| {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        indexes.map(|index| (topic.topic_name, index))
    });
    if !asked.eq([(METADATA_TOPIC, 0)]) {
        shard.reply(request.to, &unknown(&body));
        return Ok(());
    }
    let node_id = shard.options.node_id;
    let metadata_end = i64::try_from(shard.image.records()).expect("fewer than 2^63 records");
    let now = shard.now.wall.get();
    let partition = PartitionData {
        leader_id: node_id,
        leader_epoch: QUORUM_EPOCH,
        high_watermark: metadata_end,
        current_voters: vec![ReplicaState {
            replica_id: node_id,
            log_end_offset: metadata_end,
            last_fetch_timestamp: now,
            last_caught_up_timestamp: now,
            ..ReplicaState::default()
        }],
        ..PartitionData::default()
    };
    let answer = DescribeQuorumResponse {
        error_message: Some(""),
        topics: vec![TopicData {
            topic_name: METADATA_TOPIC,
            partitions: vec![partition],
        }],
        nodes: vec![Node {
            node_id,
            listeners: vec![Listener {
                name: "PLAINTEXT",
                host: &advertised.host,
                port: advertised.port,
            }],
        }],
        ..DescribeQuorumResponse::default()
    };
    shard.reply(request.to, &answer);
    Ok(())
}

/// There is one such partition; whoever asks for anything else hears of each that it is not known.
fn unknown<'a>(body: &DescribeQuorumRequest<'a>) -> DescribeQuorumResponse<'a> {
    let topics = body.topics.iter().map(|topic| TopicData {
        topic_name: topic.topic_name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| PartitionData {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition as i16,
                error_message: Some("There is no such partition."),
                ..PartitionData::default()
            })
            .collect(),
    });
    DescribeQuorumResponse {
        topics: topics.collect(),
        ..DescribeQuorumResponse::default()
    }
}

/// The name that Kafka's tools have for the metadata.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// Nobody else was ever elected.
const QUORUM_EPOCH: i32 = 1;
