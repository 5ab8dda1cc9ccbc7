//! ConsumerGroupHeartbeat: a member of a consumer group (KIP-848) joins, lives, moves and leaves.

use millstream_machine::group::{
    ConsumerHeartbeatAnswer, ConsumerHeartbeatRequest, GroupAnswer, GroupRequest, Partitions,
};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::PartitionIndex;

use super::groups::{by_topic, client};
use crate::coordinator::asking;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = ConsumerGroupHeartbeatRequest::decode(reader, request.to.version)?;
    let heartbeat = heartbeat(shard, &request, &body);
    let heartbeat = GroupRequest::ConsumerHeartbeat(heartbeat);
    asking::ask_one(
        shard,
        request.to,
        heartbeat,
        |shard, to, answered| match answered {
            Ok(GroupAnswer::ConsumerHeartbeat(answered)) => answer(shard, to, &answered),
            Err(code) => refuse(shard, to, code),
            other => unreachable!("{other:?} answers no heartbeat"),
        },
    );
    Ok(())
}

fn heartbeat(
    shard: &mut Shard,
    request: &Request<'_>,
    body: &ConsumerGroupHeartbeatRequest<'_>,
) -> ConsumerHeartbeatRequest {
    let names = body.subscribed_topic_names.as_ref();
    ConsumerHeartbeatRequest {
        group_id: body.group_id.to_owned(),
        member_id: body.member_id.to_owned(),
        member_epoch: body.member_epoch,
        instance_id: body.instance_id.map(str::to_owned),
        rack_id: body.rack_id.map(str::to_owned),
        rebalance_timeout_ms: body.rebalance_timeout_ms,
        subscribed_topic_names: names.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        subscribed_topic_regex: body.subscribed_topic_regex.map(str::to_owned),
        server_assignor: body.server_assignor.map(str::to_owned),
        topic_partitions: body.topic_partitions.as_deref().map(partitions),
        client: client(shard, request),
        needs_member_id: request.to.version >= OWN_MEMBER_ID_SINCE,
        draw: shard.draw_wide(),
    }
}

fn partitions(topics: &[TopicPartitions]) -> Partitions {
    let partitions = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic_id, *index)));
    partitions
        .map(|(topic, index)| (topic, PartitionIndex::new(index)))
        .collect()
}

fn answer(shard: &mut Shard, to: ReplyTo, answer: &ConsumerHeartbeatAnswer) {
    let response = ConsumerGroupHeartbeatResponse {
        error_code: answer.error as i16,
        error_message: answer.error_message.as_deref(),
        member_id: answer.member_id.as_deref(),
        member_epoch: answer.member_epoch,
        heartbeat_interval_ms: answer.heartbeat_interval_ms,
        assignment: answer.assignment.as_ref().map(assignment),
        ..ConsumerGroupHeartbeatResponse::default()
    };
    shard.reply(to, &response);
}

fn assignment(assigned: &Partitions) -> Assignment {
    let topics = by_topic(assigned).into_iter();
    Assignment {
        topic_partitions: topics
            .map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions })
            .collect(),
    }
}

fn refuse(shard: &mut Shard, to: ReplyTo, code: ErrorCode) {
    let response = ConsumerGroupHeartbeatResponse {
        error_code: code as i16,
        ..ConsumerGroupHeartbeatResponse::default()
    };
    shard.reply(to, &response);
}

/// Members make their ids themselves (KIP-1082).
const OWN_MEMBER_ID_SINCE: i16 = 1;
