//! ElectLeaders: every partition is led by its only replica, so that no election is ever needed.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult, TopicPartitions,
};
use millstream_protocol::primitive::Reader;

use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = ElectLeadersRequest::decode(reader, request.to.version)?;
    let image = shard.image.clone();
    let is_known = (PREFERRED..=UNCLEAN).contains(&body.election_type);
    let partitions = |asked: &TopicPartitions<'_>| match image.topic_by_name(asked.topic) {
        Some(topic) => topic.partitions as i32,
        None => 0,
    };
    let replica_election_results: Vec<_> = match &body.topic_partitions {
        Some(topics) if is_known => topics
            .iter()
            .map(|asked| results(asked, |index| of_one(index, partitions(asked))))
            .collect(),
        Some(topics) => topics.iter().map(|asked| results(asked, of_no_kind)).collect(),
        // Of all partitions those alone are told that there was an election for.
        None if is_known => image
            .topics()
            .map(|topic| ReplicaElectionResult {
                topic: &topic.name,
                partition_result: Vec::new(),
            })
            .collect(),
        None => Vec::new(),
    };
    let error = match is_known {
        true => ErrorCode::None,
        false => ErrorCode::InvalidRequest,
    };
    let answer = ElectLeadersResponse {
        error_code: error as i16,
        replica_election_results,
        ..ElectLeadersResponse::default()
    };
    shard.reply(request.to, &answer);
    Ok(())
}

fn results<'a>(
    asked: &TopicPartitions<'a>,
    of: impl Fn(i32) -> (ErrorCode, &'static str),
) -> ReplicaElectionResult<'a> {
    let results = asked.partitions.iter().map(|partition_id| {
        let (error, message) = of(*partition_id);
        PartitionResult {
            partition_id: *partition_id,
            error_code: error as i16,
            error_message: Some(message),
        }
    });
    ReplicaElectionResult {
        topic: asked.topic,
        partition_result: results.collect(),
    }
}

fn of_one(partition_id: i32, partitions: i32) -> (ErrorCode, &'static str) {
    match (0..partitions).contains(&partition_id) {
        true => (
            ErrorCode::ElectionNotNeeded,
            "The partition has its leader already.",
        ),
        false => (ErrorCode::UnknownTopicOrPartition, "There is no such partition."),
    }
}

fn of_no_kind(_: i32) -> (ErrorCode, &'static str) {
    (ErrorCode::InvalidRequest, "There is no such kind of election.")
}

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
