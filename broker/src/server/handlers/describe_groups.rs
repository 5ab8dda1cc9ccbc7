//! DescribeGroups: the members of groups and what they work on.

use millstream_machine::group::{DescribeAnswer, DescribeRequest, GroupAnswer, GroupRequest, GroupState};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use millstream_protocol::primitive::Reader;

use super::authorized;
use crate::coordinator::{Answered, asking};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeGroupsRequest::decode(reader, request.to.version)?;
    let groups: Vec<String> = body.groups.iter().map(|group| (*group).to_owned()).collect();
    let describe = |group_id: &String| {
        GroupRequest::Describe(DescribeRequest {
            group_id: group_id.clone(),
        })
    };
    let requests = groups.iter().map(describe).collect();
    let operations = body.include_authorized_operations.then_some(authorized::GROUP);
    asking::ask(shard, request.to, requests, move |shard, to, answers| {
        answer(shard, to, operations, &groups, &answers);
    });
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, operations: Option<i32>, groups: &[String], answers: &[Answered]) {
    let described = groups.iter().zip(answers).map(|(group_id, answered)| {
        let group = match answered {
            Ok(GroupAnswer::Describe(described)) => described_group(to.version, group_id, described),
            Err(code) => DescribedGroup {
                error_code: *code as i16,
                group_id,
                ..DescribedGroup::default()
            },
            other => unreachable!("{other:?} answers no description"),
        };
        let is_known = group.error_code == ErrorCode::None as i16;
        DescribedGroup {
            authorized_operations: operations.filter(|_| is_known).unwrap_or(authorized::NOT_ASKED),
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
