//! DeleteTopics: decided by the controller; answered when no shard serves the topics any more.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::delete_topics::{
    DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::TopicId;

use super::admin;
use crate::controller::command::{Action, Body, Outcome};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::messages::slice_of;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let rest = slice_of(request.frame, reader.clone().into_rest());
    let body = Body::new::<DeleteTopicsRequest<'_>>(&rest, request.to.version, reader)?;
    let quota = shard.mutation_quota(request.to.connection, request.to.version >= STRICT_SINCE);
    let action = Action::DeleteTopics(body.clone(), quota);
    admin::start(shard, request.to, action, move |shard, to, outcome| {
        answer(shard, to, &body, outcome);
    });
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, body: &Body, outcome: Outcome) {
    let request: DeleteTopicsRequest<'_> = body.decode();
    let image = shard.image.clone();
    // One of the two lists is empty, by version.
    let by_name = request
        .topic_names
        .iter()
        .map(|name| (Some(*name), TopicId::ZERO));
    let by_either = request.topics.iter().map(|topic| (topic.name, topic.topic_id));
    let asked: Vec<_> = by_name.chain(by_either).collect();
    let answers = match outcome {
        Outcome::Deleted(answers) => answers,
        _ => asked.iter().map(|_| Err(admin::unavailable())).collect(),
    };
    let responses = asked
        .iter()
        .zip(&answers)
        .map(|((name, id), answer)| match answer {
            Ok((id, name)) => DeletableTopicResult {
                name: Some(name),
                topic_id: *id,
                error_code: ErrorCode::None as i16,
                error_message: None,
            },
            // It was found, and would have been deleted.
            Err(refusal) if refusal.code == ErrorCode::ThrottlingQuotaExceeded => {
                let found = match name {
                    Some(name) => image.topic_by_name(name),
                    None => image.topic(*id),
                };
                DeletableTopicResult {
                    name: found.map(|topic| &*topic.name).or(*name),
                    topic_id: found.map_or(*id, |topic| topic.id),
                    error_code: refusal.code as i16,
                    error_message: None,
                }
            }
            Err(refusal) => DeletableTopicResult {
                name: *name,
                topic_id: *id,
                error_code: refusal.code as i16,
                error_message: admin::message(refusal),
            },
        });
    shard.reply(
        to,
        &DeleteTopicsResponse {
            responses: responses.collect(),
            ..Default::default()
        },
    );
}

/// From this version on clients know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const STRICT_SINCE: i16 = 5;
