//! LeaveGroup: members go, one before version 3, any number from then on.

use millstream_machine::group::{GroupAnswer, GroupRequest, LeaveAnswer, LeaveRequest, LeavingMember};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use millstream_protocol::primitive::Reader;

use super::groups::check_group_id;
use crate::coordinator::asking;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = LeaveGroupRequest::decode(reader, to.version)?;
    if let Err(code) = check_group_id(body.group_id) {
        answer(shard, to, &refusal(code));
        return Ok(());
    }
    let leave = GroupRequest::Leave(LeaveRequest {
        group_id: body.group_id.to_owned(),
        members: members(to.version, &body),
    });
    asking::ask_one(shard, to, leave, |shard, to, answered| match answered {
        Ok(GroupAnswer::Leave(answered)) => answer(shard, to, &answered),
        Err(code) => answer(shard, to, &refusal(code)),
        other => unreachable!("{other:?} answers no leave"),
    });
    Ok(())
}

fn members(version: i16, body: &LeaveGroupRequest<'_>) -> Vec<LeavingMember> {
    if version < BATCHED_SINCE {
        return vec![LeavingMember {
            member_id: body.member_id.to_owned(),
            ..LeavingMember::default()
        }];
    }
    let members = body.members.iter().map(|member| LeavingMember {
        member_id: member.member_id.to_owned(),
        group_instance_id: member.group_instance_id.map(str::to_owned),
        reason: member.reason.map(str::to_owned),
    });
    members.collect()
}

fn refusal(error: ErrorCode) -> LeaveAnswer {
    LeaveAnswer {
        error,
        members: Vec::new(),
    }
}

fn answer(shard: &mut Shard, to: ReplyTo, answer: &LeaveAnswer) {
    let of_member = answer.members.first().map(|member| member.error);
    let error = match (answer.error, of_member) {
        (ErrorCode::None, Some(of_member)) if to.version < BATCHED_SINCE => of_member,
        (error, _) => error,
    };
    let members = answer.members.iter().map(|member| MemberResponse {
        member_id: &member.member_id,
        group_instance_id: member.group_instance_id.as_deref(),
        error_code: member.error as i16,
    });
    let response = LeaveGroupResponse {
        error_code: error as i16,
        members: members.collect(),
        ..LeaveGroupResponse::default()
    };
    shard.reply(to, &response);
}

const BATCHED_SINCE: i16 = 3;
