//! ListGroups: all groups of all coordinators.

use millstream_machine::group::{GroupAnswer, ListRequest, ListedGroup as Listed};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use millstream_protocol::primitive::Reader;

use crate::coordinator::{Answered, asking};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = ListGroupsRequest::decode(reader, request.to.version)?;
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let list = ListRequest {
        states: owned(&body.states_filter),
        types: owned(&body.types_filter),
    };
    asking::list(shard, request.to, &list, answer);
    Ok(())
}

/// One coordinator that will soon tell its groups and does not yet makes the list useless.
fn answer(shard: &mut Shard, to: ReplyTo, answers: Vec<Answered>) {
    let mut error = ErrorCode::None;
    let mut groups: Vec<Listed> = Vec::new();
    for answered in answers {
        match answered {
            Ok(GroupAnswer::List(list)) if list.error == ErrorCode::None => groups.extend(list.groups),
            Ok(GroupAnswer::List(list)) => error = list.error,
            // There are no groups, or nobody can say: the log tells of a partition that cannot be read.
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => error = code,
            other => unreachable!("{other:?} answers no list"),
        }
    }
    if error != ErrorCode::None {
        groups.clear();
    }
    let groups = groups.iter().map(|group| ListedGroup {
        group_id: &group.group_id,
        protocol_type: &group.protocol_type,
        group_state: group.state.name(),
        group_type: group.group_type.name(),
    });
    let response = ListGroupsResponse {
        error_code: error as i16,
        groups: groups.collect(),
        ..ListGroupsResponse::default()
    };
    shard.reply(to, &response);
}
