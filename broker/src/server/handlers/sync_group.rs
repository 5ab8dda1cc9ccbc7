//! SyncGroup: what each member is to work on, as the group's leader says.

use std::sync::Arc;

use millstream_machine::group::{GroupAnswer, GroupRequest, MemberAssignment, SyncAnswer, SyncRequest};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::sync_group::{SyncGroupRequest, SyncGroupResponse};
use millstream_protocol::primitive::Reader;

use super::groups::check_group_id;
use crate::coordinator::asking;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = SyncGroupRequest::decode(reader, to.version)?;
    if let Err(code) = check(to.version, &body) {
        answer(shard, to, &refusal(code));
        return Ok(());
    }
    let assignments = body.assignments.iter().map(|given| MemberAssignment {
        member_id: given.member_id.to_owned(),
        assignment: given.assignment.into(),
    });
    let sync = GroupRequest::Sync(SyncRequest {
        group_id: body.group_id.to_owned(),
        generation_id: body.generation_id,
        member_id: body.member_id.to_owned(),
        group_instance_id: body.group_instance_id.map(str::to_owned),
        protocol_type: body.protocol_type.map(str::to_owned),
        protocol_name: body.protocol_name.map(str::to_owned),
        assignments: assignments.collect(),
    });
    asking::ask_one(shard, to, sync, |shard, to, answered| match answered {
        Ok(GroupAnswer::Sync(answered)) => answer(shard, to, &answered),
        Err(code) => answer(shard, to, &refusal(code)),
        other => unreachable!("{other:?} answers no sync"),
    });
    Ok(())
}

fn check(version: i16, body: &SyncGroupRequest<'_>) -> Result<(), ErrorCode> {
    let names_protocol = body.protocol_type.is_some() && body.protocol_name.is_some();
    match version >= PROTOCOL_SINCE && !names_protocol {
        true => Err(ErrorCode::InconsistentGroupProtocol),
        false => check_group_id(body.group_id),
    }
}

fn refusal(error: ErrorCode) -> SyncAnswer {
    SyncAnswer {
        error,
        protocol_type: None,
        protocol_name: None,
        assignment: Arc::new([]),
    }
}

fn answer(shard: &mut Shard, to: ReplyTo, answer: &SyncAnswer) {
    let response = SyncGroupResponse {
        error_code: answer.error as i16,
        protocol_type: answer.protocol_type.as_deref(),
        protocol_name: answer.protocol_name.as_deref(),
        assignment: &answer.assignment,
        ..SyncGroupResponse::default()
    };
    shard.reply(to, &response);
}

/// From this version on the member says which protocol it means (KIP-559).
const PROTOCOL_SINCE: i16 = 5;
