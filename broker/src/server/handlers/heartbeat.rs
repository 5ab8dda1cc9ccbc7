//! Heartbeat: a member lives.

use millstream_machine::group::{GroupAnswer, GroupRequest, HeartbeatRequest};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::heartbeat::{HeartbeatRequest as Body, HeartbeatResponse};
use millstream_protocol::primitive::Reader;

use super::groups::check_group_id;
use crate::coordinator::asking;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = Body::decode(reader, to.version)?;
    if let Err(code) = check_group_id(body.group_id) {
        answer(shard, to, code);
        return Ok(());
    }
    let heartbeat = GroupRequest::Heartbeat(HeartbeatRequest {
        group_id: body.group_id.to_owned(),
        generation_id: body.generation_id,
        member_id: body.member_id.to_owned(),
        group_instance_id: body.group_instance_id.map(str::to_owned),
    });
    asking::ask_one(shard, to, heartbeat, |shard, to, answered| {
        let code = match answered {
            Ok(GroupAnswer::Heartbeat(code)) => code,
            // The sessions of all members begin anew with the coordinator: nobody is out yet.
            Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
            Err(code) => code,
            other => unreachable!("{other:?} answers no heartbeat"),
        };
        answer(shard, to, code);
    });
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, code: ErrorCode) {
    let response = HeartbeatResponse {
        error_code: code as i16,
        ..HeartbeatResponse::default()
    };
    shard.reply(to, &response);
}
