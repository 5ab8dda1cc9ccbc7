//! JoinGroup: answered when the group has its members together.

use millstream_machine::group::{GroupAnswer, GroupRequest, JoinAnswer, JoinRequest, Protocol};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};
use millstream_protocol::primitive::Reader;

use super::groups::{check_group_id, client};
use crate::coordinator::asking;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = JoinGroupRequest::decode(reader, to.version)?;
    if let Err(code) = check_group_id(body.group_id) {
        refuse(shard, to, code, body.member_id);
        return Ok(());
    }
    let member_id = body.member_id.to_owned();
    let join = join(shard, &request, &body);
    asking::ask_one(
        shard,
        to,
        GroupRequest::Join(join),
        move |shard, to, answered| match answered {
            Ok(GroupAnswer::Join(answered)) => answer(shard, to, &answered),
            Err(code) => refuse(shard, to, code, &member_id),
            other => unreachable!("{other:?} answers no join"),
        },
    );
    Ok(())
}

fn join(shard: &mut Shard, request: &Request<'_>, body: &JoinGroupRequest<'_>) -> JoinRequest {
    let version = request.to.version;
    let protocols = body.protocols.iter().map(|protocol| Protocol {
        name: protocol.name.to_owned(),
        metadata: protocol.metadata.into(),
    });
    JoinRequest {
        group_id: body.group_id.to_owned(),
        member_id: body.member_id.to_owned(),
        group_instance_id: body.group_instance_id.map(str::to_owned),
        protocol_type: body.protocol_type.to_owned(),
        protocols: protocols.collect(),
        session_timeout_ms: body.session_timeout_ms,
        rebalance_timeout_ms: (version >= REBALANCE_TIMEOUT_SINCE).then_some(body.rebalance_timeout_ms),
        reason: body.reason.map(str::to_owned),
        client: client(shard, request),
        requires_known_member_id: version >= KNOWN_MEMBER_ID_SINCE,
        supports_skipping_assignment: version >= SKIP_ASSIGNMENT_SINCE,
        draw: shard.draw_wide(),
    }
}

fn answer(shard: &mut Shard, to: ReplyTo, answer: &JoinAnswer) {
    let members = answer.members.iter().map(|member| JoinGroupResponseMember {
        member_id: &member.member_id,
        group_instance_id: member.group_instance_id.as_deref(),
        metadata: &member.metadata,
    });
    let response = JoinGroupResponse {
        error_code: answer.error as i16,
        generation_id: answer.generation_id,
        protocol_type: answer.protocol_type.as_deref(),
        protocol_name: protocol_name(to, answer.protocol_name.as_deref()),
        leader: &answer.leader,
        skip_assignment: answer.skip_assignment,
        member_id: &answer.member_id,
        members: members.collect(),
        ..JoinGroupResponse::default()
    };
    shard.reply(to, &response);
}

fn refuse(shard: &mut Shard, to: ReplyTo, code: ErrorCode, member_id: &str) {
    let response = JoinGroupResponse {
        error_code: code as i16,
        protocol_name: protocol_name(to, None),
        member_id,
        ..JoinGroupResponse::default()
    };
    shard.reply(to, &response);
}

fn protocol_name(to: ReplyTo, name: Option<&str>) -> Option<&str> {
    match to.version >= NULL_PROTOCOL_SINCE {
        true => name,
        false => name.or(Some("")),
    }
}

const REBALANCE_TIMEOUT_SINCE: i16 = 1;
/// From this version on a new member joins twice, the second time with the id that it was given (KIP-394).
const KNOWN_MEMBER_ID_SINCE: i16 = 4;
const NULL_PROTOCOL_SINCE: i16 = 7;
/// KIP-814.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;
