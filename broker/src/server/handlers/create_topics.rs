//! CreateTopics: decided by the controller; answered when every shard can use the new topics.

use millstream_machine::cluster::controller::Refusal;
use millstream_machine::cluster::create_topics::CreatedTopic;
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::create_topics::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::BrokerId;

use super::admin;
use crate::controller::command::{Action, Body, Outcome};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::messages::slice_of;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let rest = slice_of(request.frame, reader.clone().into_rest());
    let body = Body::new::<CreateTopicsRequest<'_>>(&rest, request.to.version, reader)?;
    let quota = shard.mutation_quota(request.to.connection, request.to.version >= STRICT_SINCE);
    let action = Action::CreateTopics(body.clone(), quota);
    admin::start(shard, request.to, action, move |shard, to, outcome| {
        answer(shard, to, &body, outcome);
    });
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, body: &Body, outcome: Outcome) {
    let request: CreateTopicsRequest<'_> = body.decode();
    let answers = match outcome {
        Outcome::Created(answers) => answers,
        _ => request.topics.iter().map(|_| Err(admin::unavailable())).collect(),
    };
    let image = shard.image.clone();
    let settings = shard.options.settings.clone();
    let layers = image.config_layers(BrokerId::new(shard.options.node_id), &settings);
    let described: Vec<_> = answers
        .iter()
        .map(|answer| {
            answer.as_ref().map_or_else(
                |_| Vec::new(),
                |topic| layers.describe_topic(&topic.configs, None),
            )
        })
        .collect();
    let topics =
        request
            .topics
            .iter()
            .zip(answers.iter().zip(&described))
            .map(|(topic, (answer, configs))| {
                let configs = configs.iter().map(|config| CreatableTopicConfigs {
                    name: &config.name,
                    value: config.value.as_deref(),
                    read_only: config.read_only,
                    config_source: config.source as i8,
                    is_sensitive: config.sensitive,
                });
                result(topic.name, answer, configs.collect())
            });
    let mut topics: Vec<_> = topics.collect();
    admin::once_each(&mut topics, |topic| topic.name);
    shard.reply(
        to,
        &CreateTopicsResponse {
            topics,
            ..CreateTopicsResponse::default()
        },
    );
}

fn result<'a>(
    name: &'a str,
    answer: &'a Result<CreatedTopic, Refusal>,
    configs: Vec<CreatableTopicConfigs<'a>>,
) -> CreatableTopicResult<'a> {
    match answer {
        Ok(topic) => CreatableTopicResult {
            name,
            topic_id: topic.id,
            error_code: ErrorCode::None as i16,
            num_partitions: topic.partitions as i32,
            replication_factor: topic.replication_factor,
            configs: Some(configs),
            ..CreatableTopicResult::default()
        },
        Err(refusal) => CreatableTopicResult {
            name,
            error_code: refusal.code as i16,
            error_message: admin::message(refusal),
            configs: Some(Vec::new()),
            ..CreatableTopicResult::default()
        },
    }
}

/// From this version on clients know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const STRICT_SINCE: i16 = 6;
