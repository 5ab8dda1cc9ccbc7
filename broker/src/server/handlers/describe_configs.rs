//! DescribeConfigs: every configuration with its value, source, type and documentation.

use std::borrow::Cow;

use millstream_machine::cluster::config_resource::{ConfigResource, GROUP, TOPIC};
use millstream_machine::cluster::controller::Refusal;
use millstream_machine::cluster::topic_name;
use millstream_machine::config::client_metrics;
use millstream_machine::config::definition::ConfigType;
use millstream_machine::config::effective::{ConfigSource, DescribedConfig};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::types::BrokerId;

use super::admin;
use super::broker_logger::{self, BROKER_LOGGER, DYNAMIC_BROKER_LOGGER_CONFIG};
use crate::limits::CLIENT_METRICS_BYTES_MAX;
use crate::server::dispatch::Request;
use crate::shard::health::HEALTH;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeConfigsRequest::decode(reader, request.to.version)?;
    let described: Vec<_> = body
        .resources
        .iter()
        .map(|resource| describe(shard, resource))
        .collect();
    let results = body
        .resources
        .iter()
        .zip(&described)
        .map(|(resource, described)| {
            let (code, message, configs) = match described {
                // Not null: Kafka leaves the field at its default.
                Ok(described) => (ErrorCode::None, Some(""), described.results(&body)),
                Err(refusal) => (refusal.code, admin::message(refusal), Vec::new()),
            };
            DescribeConfigsResult {
                error_code: code as i16,
                error_message: message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                configs,
            }
        });
    shard.reply(
        request.to,
        &DescribeConfigsResponse {
            results: results.collect(),
            ..Default::default()
        },
    );
    Ok(())
}

/// What a resource is described by.
enum Described {
    Configs(Vec<DescribedConfig>),
    /// Loggers with their levels.
    Levels(Vec<(String, &'static str)>),
}

impl Described {
    fn results<'a>(&'a self, request: &DescribeConfigsRequest<'_>) -> Vec<DescribeConfigsResourceResult<'a>> {
        match self {
            Described::Configs(configs) => configs.iter().map(|config| result(config, request)).collect(),
            Described::Levels(levels) => levels.iter().map(level_result).collect(),
        }
    }
}

fn describe(shard: &Shard, resource: &DescribeConfigsResource<'_>) -> Result<Described, Refusal> {
    if resource.resource_type == BROKER_LOGGER {
        let names = resource.configuration_keys.as_deref();
        return broker_logger::describe(resource.resource_name, shard.options.node_id, names)
            .map(Described::Levels);
    }
    describe_configs(shard, resource).map(Described::Configs)
}

fn describe_configs(
    shard: &Shard,
    resource: &DescribeConfigsResource<'_>,
) -> Result<Vec<DescribedConfig>, Refusal> {
    let node = BrokerId::new(shard.options.node_id);
    let layers = shard.image.config_layers(node, &shard.options.settings);
    let names = resource.configuration_keys.as_deref();
    if resource.resource_type == TOPIC {
        topic_name::check(resource.resource_name).map_err(|message| Refusal {
            code: ErrorCode::InvalidTopicException,
            message,
        })?;
    }
    if resource.resource_type == GROUP && resource.resource_name.is_empty() {
        return Err(Refusal {
            code: ErrorCode::InvalidRequest,
            message: "Group name must not be empty".to_owned(),
        });
    }
    match ConfigResource::from_wire(resource.resource_type, resource.resource_name, node)? {
        ConfigResource::Topic(name) => match shard.image.topic_by_name(name) {
            Some(topic) => Ok(layers.describe_topic(&topic.configs, names)),
            None => Err(Refusal {
                code: ErrorCode::UnknownTopicOrPartition,
                message: String::new(),
            }),
        },
        ConfigResource::Broker(Some(_)) => {
            let mut described = layers.describe_broker(names);
            if names.is_some_and(|names| names.contains(&HEALTH)) {
                described.push(health(shard));
            }
            described.extend(client_metrics_told(shard, names));
            Ok(described)
        }
        ConfigResource::Broker(None) => Ok(layers.describe_cluster(names)),
        ConfigResource::ClientMetrics(name) => Ok(client_metrics::describe(
            shard.image.client_metrics().configs(name),
            names,
        )),
        ConfigResource::Group(group) => {
            Ok(layers.describe_group(shard.image.group_configs().of(group), names))
        }
    }
}

/// The shards that are not well, as a JSON list; empty where all are.
fn health(shard: &Shard) -> DescribedConfig {
    let unwell = serde_json::to_string(&shard.table.unwell()).expect("our own types serialise");
    told(
        HEALTH.into(),
        unwell,
        "The shards of this broker that are not well: which disk operation stalls, and since when.",
    )
}

/// What clients told of themselves, as far as it is asked for.
fn client_metrics_told<'a>(
    shard: &'a Shard,
    names: Option<&'a [&'a str]>,
) -> impl Iterator<Item = DescribedConfig> + 'a {
    let mut room = CLIENT_METRICS_BYTES_MAX;
    let names = names.into_iter().flatten();
    names.filter_map(move |name| {
        let value = shard.describe_client_metrics(name, &mut room)?;
        Some(told((*name).to_owned().into(), value, ""))
    })
}

/// A config that nobody can set, and that only who knows its name is told.
fn told(name: Cow<'static, str>, value: String, documentation: &'static str) -> DescribedConfig {
    DescribedConfig {
        name,
        value: Some(value),
        source: ConfigSource::Default,
        read_only: true,
        sensitive: false,
        kind: ConfigType::String,
        documentation,
        synonyms: Vec::new(),
    }
}

fn result<'a>(
    config: &'a DescribedConfig,
    request: &DescribeConfigsRequest<'_>,
) -> DescribeConfigsResourceResult<'a> {
    let synonyms = config
        .synonyms
        .iter()
        .filter(|_| request.include_synonyms)
        .map(|synonym| DescribeConfigsSynonym {
            name: &synonym.name,
            value: synonym.value.as_deref(),
            source: synonym.source as i8,
        });
    DescribeConfigsResourceResult {
        name: &config.name,
        value: config.value.as_deref(),
        read_only: config.read_only,
        config_source: config.source as i8,
        is_sensitive: config.sensitive,
        synonyms: synonyms.collect(),
        config_type: config.kind as i8,
        documentation: request.include_documentation.then_some(config.documentation),
    }
}

fn level_result<'a>((name, level): &'a (String, &'static str)) -> DescribeConfigsResourceResult<'a> {
    DescribeConfigsResourceResult {
        name,
        value: Some(level),
        read_only: false,
        config_source: DYNAMIC_BROKER_LOGGER_CONFIG,
        documentation: Some(""),
        ..Default::default()
    }
}
