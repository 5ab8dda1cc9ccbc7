//! ConsumerGroupDescribe: the members of consumer groups (KIP-848), what they have and what they are to have.

use std::sync::Arc;

use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::group::{
    ConsumerDescribeAnswer, DescribedConsumer, GroupAnswer, GroupRequest, Partitions,
};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup, Member,
    TopicPartitions,
};
use millstream_protocol::primitive::Reader;

use super::authorized;
use super::groups::{self, by_topic};
use crate::coordinator::Answered;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = ConsumerGroupDescribeRequest::decode(reader, request.to.version)?;
    let tells_operations = body.include_authorized_operations;
    groups::describe(
        shard,
        request.to,
        &body.group_ids,
        GroupRequest::ConsumerDescribe,
        move |shard, to, groups| {
            answer(shard, to, tells_operations, groups);
        },
    );
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, tells_operations: bool, groups: &[(String, Answered)]) {
    let image = Arc::clone(&shard.image);
    let described = groups.iter().map(|(group_id, answered)| {
        let group = match answered {
            Ok(GroupAnswer::ConsumerDescribe(described)) => described_group(&image, described),
            Err(code) => DescribedGroup {
                error_code: *code as i16,
                group_id,
                ..DescribedGroup::default()
            },
            other => unreachable!("{other:?} answers no description"),
        };
        DescribedGroup {
            authorized_operations: authorized::of_group(tells_operations, group.error_code),
            ..group
        }
    });
    let response = ConsumerGroupDescribeResponse {
        groups: described.collect(),
        ..ConsumerGroupDescribeResponse::default()
    };
    shard.reply(to, &response);
}

fn described_group<'a>(image: &'a ClusterImage, group: &'a ConsumerDescribeAnswer) -> DescribedGroup<'a> {
    let is_known = group.error == ErrorCode::None;
    DescribedGroup {
        error_code: group.error as i16,
        error_message: group.error_message.as_deref(),
        group_id: &group.group_id,
        group_state: if is_known { group.state.name() } else { "" },
        group_epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        assignor_name: group.assignor,
        members: group.members.iter().map(|it| member(image, it)).collect(),
        ..DescribedGroup::default()
    }
}

fn member<'a>(image: &'a ClusterImage, member: &'a DescribedConsumer) -> Member<'a> {
    let subscription = &member.subscription;
    Member {
        member_id: &member.member_id,
        instance_id: subscription.instance_id.as_deref(),
        rack_id: subscription.rack_id.as_deref(),
        member_epoch: member.member_epoch,
        client_id: &subscription.client_id,
        client_host: &subscription.client_host,
        subscribed_topic_names: subscription.topic_names.iter().map(|name| &**name).collect(),
        // Not null: Kafka leaves the field at its default.
        subscribed_topic_regex: Some(subscription.topic_regex.as_deref().unwrap_or_default()),
        assignment: assignment(image, &member.assigned),
        target_assignment: assignment(image, &member.target),
        member_type: if subscription.classic.is_some() {
            CLASSIC
        } else {
            CONSUMER
        },
    }
}

/// Topics that are gone have no name to be shown by.
fn assignment<'a>(image: &'a ClusterImage, partitions: &Partitions) -> Assignment<'a> {
    let topics = by_topic(partitions).into_iter();
    let topics = topics.filter_map(|(topic_id, partitions)| {
        Some(TopicPartitions {
            topic_id,
            topic_name: &image.topic(topic_id)?.name,
            partitions,
        })
    });
    Assignment {
        topic_partitions: topics.collect(),
    }
}

/// A member that speaks the classic protocol.
const CLASSIC: i8 = 0;
/// A member that speaks the consumer protocol.
const CONSUMER: i8 = 1;
