//! AlterPartitionReassignments: a partition may be put where it is, on this broker, and nowhere else; and nothing is
//! under way that could be stopped.

use millstream_machine::cluster::controller::{Refusal, check_replicas};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::BrokerId;

use super::admin;
use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = AlterPartitionReassignmentsRequest::decode(reader, request.to.version)?;
    let decided: Vec<Vec<_>> = body
        .topics
        .iter()
        .map(|topic| {
            let partitions = topic.partitions.iter();
            let decide = |partition| decide(shard, topic.name, partition);
            partitions.map(decide).collect()
        })
        .collect();
    let responses = body.topics.iter().zip(&decided).map(|(topic, decided)| {
        let partitions = topic.partitions.iter().zip(decided);
        let partitions = partitions.map(|(partition, decided)| {
            let refusal = decided.as_ref().err();
            ReassignablePartitionResponse {
                partition_index: partition.partition_index,
                error_code: refusal.map_or(ErrorCode::None, |refusal| refusal.code) as i16,
                error_message: refusal.and_then(admin::message),
            }
        });
        ReassignableTopicResponse {
            name: topic.name,
            partitions: partitions.collect(),
        }
    });
    let answer = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: body.allow_replication_factor_change,
        responses: responses.collect(),
        ..AlterPartitionReassignmentsResponse::default()
    };
    shard.reply(request.to, &answer);
    Ok(())
}

fn decide(shard: &Shard, topic: &str, partition: &ReassignablePartition) -> Result<(), Refusal> {
    let refuse = |code, message: &str| {
        Err(Refusal {
            code,
            message: message.into(),
        })
    };
    let Some(found) = shard.topic_by_name(topic) else {
        let message = "Unable to find a topic with the given name.";
        return refuse(ErrorCode::UnknownTopicOrPartition, message);
    };
    if !(0..found.partitions).contains(&partition.partition_index) {
        let message = format!("Unable to find partition {topic}:{}.", partition.partition_index);
        return refuse(ErrorCode::UnknownTopicOrPartition, &message);
    }
    match &partition.replicas {
        Some(replicas) => check_replicas(BrokerId::new(shard.options.node_id), replicas),
        None => refuse(ErrorCode::NoReassignmentInProgress, ""),
    }
}
