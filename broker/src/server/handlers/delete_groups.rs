//! DeleteGroups: groups without members go, with all that they committed.

use std::collections::BTreeSet;

use millstream_machine::group::{DeleteRequest, GroupAnswer, GroupRequest};
use millstream_protocol::error::DecodeError;
use millstream_protocol::message::Decode;
use millstream_protocol::message::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use millstream_protocol::primitive::Reader;

use crate::coordinator::{Answered, asking};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DeleteGroupsRequest::decode(reader, request.to.version)?;
    // Each is answered once, however often it is named.
    let mut seen = BTreeSet::new();
    let names = body.groups_names.iter().filter(|name| seen.insert(**name));
    let groups: Vec<String> = names.map(|name| (*name).to_owned()).collect();
    let delete = |group_id: &String| {
        GroupRequest::Delete(DeleteRequest {
            group_id: group_id.clone(),
        })
    };
    let requests = groups.iter().map(delete).collect();
    asking::ask(shard, request.to, requests, move |shard, to, answers| {
        answer(shard, to, &groups, &answers);
    });
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, groups: &[String], answers: &[Answered]) {
    let results = groups.iter().zip(answers).map(|(group_id, answered)| {
        let error = match answered {
            Ok(GroupAnswer::Delete(error)) | Err(error) => *error,
            other => unreachable!("{other:?} answers no deletion"),
        };
        DeletableGroupResult {
            group_id,
            error_code: error as i16,
        }
    });
    let response = DeleteGroupsResponse {
        results: results.collect(),
        ..DeleteGroupsResponse::default()
    };
    shard.reply(to, &response);
}
