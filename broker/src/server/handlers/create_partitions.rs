//! CreatePartitions: decided by the controller; answered when every shard can use the new partitions.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use millstream_protocol::primitive::Reader;

use super::admin;
use crate::controller::command::{Action, Body, Outcome};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::messages::slice_of;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let rest = slice_of(request.frame, reader.clone().into_rest());
    let body = Body::new::<CreatePartitionsRequest<'_>>(&rest, request.to.version, reader)?;
    let quota = shard.mutation_quota(request.to.connection, request.to.version >= STRICT_SINCE);
    let action = Action::CreatePartitions(body.clone(), quota);
    admin::start(shard, request.to, action, move |shard, to, outcome| {
        answer(shard, to, &body, outcome);
    });
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, body: &Body, outcome: Outcome) {
    let request: CreatePartitionsRequest<'_> = body.decode();
    let answers = match outcome {
        Outcome::Grown(answers) => answers,
        _ => request.topics.iter().map(|_| Err(admin::unavailable())).collect(),
    };
    let results = request
        .topics
        .iter()
        .zip(&answers)
        .map(|(topic, answer)| CreatePartitionsTopicResult {
            name: topic.name,
            error_code: answer
                .as_ref()
                .err()
                .map_or(ErrorCode::None, |refusal| refusal.code) as i16,
            error_message: answer.as_ref().err().and_then(admin::message),
        });
    let mut results: Vec<_> = results.collect();
    admin::once_each(&mut results, |result| result.name);
    shard.reply(
        to,
        &CreatePartitionsResponse {
            results,
            ..Default::default()
        },
    );
}

/// From this version on clients know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const STRICT_SINCE: i16 = 3;
