//! DescribeGroups: the members of groups and what they work on.

use millstream_machine::group::{DescribeAnswer, GroupAnswer, GroupRequest, GroupState};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use millstream_protocol::primitive::Reader;

use super::{authorized, groups};
use crate::coordinator::Answered;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeGroupsRequest::decode(reader, request.to.version)?;
    let tells_operations = body.include_authorized_operations;
    groups::describe(
        shard,
        request.to,
        &body.groups,
        GroupRequest::Describe,
        move |shard, to, groups| {
            answer(shard, to, tells_operations, groups);
        },
    );
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, tells_operations: bool, groups: &[(String, Answered)]) {
    let described = groups.iter().map(|(group_id, answered)| {
        let group = match answered {
            Ok(GroupAnswer::Describe(described)) => described_group(to.version, group_id, described),
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
    let response = DescribeGroupsResponse {
        groups: described.collect(),
        ..DescribeGroupsResponse::default()
    };
    shard.reply(to, &response);
}

fn described_group<'a>(version: i16, group_id: &'a str, group: &'a DescribeAnswer) -> DescribedGroup<'a> {
    let members = group.members.iter().map(|member| DescribedGroupMember {
        member_id: &member.member_id,
        group_instance_id: member.group_instance_id.as_deref(),
        client_id: &member.client_id,
        client_host: &member.client_host,
        member_metadata: &member.metadata,
        member_assignment: &member.assignment,
    });
    let error = match group.error {
        // Before, a group that does not exist was one that is dead.
        ErrorCode::GroupIdNotFound if version < NOT_FOUND_SINCE => ErrorCode::None,
        error => error,
    };
    DescribedGroup {
        error_code: error as i16,
        error_message: group.error_message.as_deref(),
        group_id,
        group_state: group.state.map_or("", GroupState::name),
        protocol_type: &group.protocol_type,
        protocol_data: &group.protocol,
        members: members.collect(),
        ..DescribedGroup::default()
    }
}

/// KIP-1043.
const NOT_FOUND_SINCE: i16 = 6;
