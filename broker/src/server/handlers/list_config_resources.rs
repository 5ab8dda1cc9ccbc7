//! ListConfigResources: what has configs that can be described.

use millstream_machine::cluster::config_resource::{BROKER, CLIENT_METRICS, GROUP, TOPIC};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use millstream_protocol::primitive::Reader;

use super::broker_logger::BROKER_LOGGER;
use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let version = request.to.version;
    let body = ListConfigResourcesRequest::decode(reader, version)?;
    let image = shard.image.clone();
    let node = shard.options.node_id.to_string();
    let mut answer = ListConfigResourcesResponse::default();
    let asked = |kind| match version < TYPES_SINCE {
        true => kind == CLIENT_METRICS,
        false => body.resource_types.is_empty() || body.resource_types.contains(&kind),
    };
    let known = |kind: &i8| TYPES.contains(kind);
    if !body.resource_types.iter().all(known) {
        answer.error_code = ErrorCode::UnsupportedVersion as i16;
        shard.reply(request.to, &answer);
        return Ok(());
    }
    if asked(GROUP) {
        let groups = image.group_configs().iter();
        let groups = groups.map(|(group, _)| resource(group, GROUP));
        answer.config_resources.extend(groups);
    }
    if asked(CLIENT_METRICS) {
        let subscriptions = image.client_metrics().iter();
        let subscriptions = subscriptions.map(|(name, _)| resource(name, CLIENT_METRICS));
        answer.config_resources.extend(subscriptions);
    }
    for kind in [BROKER_LOGGER, BROKER] {
        if asked(kind) {
            answer.config_resources.push(resource(&node, kind));
        }
    }
    if asked(TOPIC) {
        let topics = image.topics().map(|topic| resource(&topic.name, TOPIC));
        answer.config_resources.extend(topics);
    }
    shard.reply(request.to, &answer);
    Ok(())
}

fn resource(resource_name: &str, resource_type: i8) -> ConfigResource<'_> {
    ConfigResource {
        resource_name,
        resource_type,
    }
}

/// Before, nothing but subscriptions to clients' metrics was asked for.
const TYPES_SINCE: i16 = 1;
const TYPES: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
