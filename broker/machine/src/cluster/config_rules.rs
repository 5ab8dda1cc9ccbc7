//! What configurations a topic, or a broker that runs, may have.
//!
//! Place: asked by the decisions on new topics and on alterations.

use alloc::format;
use alloc::string::{String, ToString};

use millstream_protocol::error::ErrorCode;

use super::controller::{Refusal, refuse};
use crate::config::broker::{BROKER_CONFIGS, is_dynamic};
use crate::config::definition::{ConfigValue, find};
use crate::config::lacking::LACKING_CONFIGS;
use crate::config::map::ConfigMap;
use crate::config::topic::TOPIC_CONFIGS;
use crate::limits::ClusterLimits;

/// Whether a topic may have just these configurations of its own.
pub(super) fn check_topic_configs(configs: &ConfigMap, limits: &ClusterLimits) -> Result<(), Refusal> {
    let invalid = |message: String| refuse(ErrorCode::InvalidConfig, message);
    check_sizes(configs, limits)?;
    if let Some((name, _)) = configs
        .iter()
        .find(|(name, _)| find(TOPIC_CONFIGS, name).is_none())
    {
        return Err(invalid(format!("Unknown topic config name: {name}")));
    }
    let number = |name| match find(TOPIC_CONFIGS, name)?.parse(configs.get(name)?) {
        Ok(ConfigValue::Number(number)) => Some(number),
        _ => None,
    };
    for (name, value) in configs.iter() {
        let definition = find(TOPIC_CONFIGS, name).expect("looked up above");
        let value = definition.parse(value).map_err(|error| invalid(error.message))?;
        if name == "remote.storage.enable" && value == ConfigValue::Boolean(true) {
            let message = "Tiered Storage functionality is disabled in the broker. \
                           Topic cannot be configured with remote log storage.";
            return Err(invalid(message.to_string()));
        }
    }
    let (min, max) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"));
    match (min, max) {
        (Some(min), Some(max)) if min > max => Err(invalid(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        ))),
        _ => Ok(()),
    }
}

/// Whether these may be set for brokers that run. Kafka takes names that it does not know; here they are
/// refused, so that a misspelt one does not go unnoticed.
pub(super) fn check_broker_configs(configs: &ConfigMap, limits: &ClusterLimits) -> Result<(), Refusal> {
    let invalid = |message: String| refuse(ErrorCode::InvalidRequest, message);
    check_sizes(configs, limits)?;
    for (name, value) in configs.iter() {
        let fixed = || invalid(format!("Cannot update these configs dynamically: [{name}]"));
        let definition = find(BROKER_CONFIGS, name).ok_or_else(|| match find(LACKING_CONFIGS, name) {
            Some(_) => fixed(),
            None => invalid(format!("Unknown broker config name: {name}")),
        })?;
        if !is_dynamic(name) {
            return Err(fixed());
        }
        definition.parse(value).map_err(|error| invalid(error.message))?;
    }
    Ok(())
}

fn check_sizes(configs: &ConfigMap, limits: &ClusterLimits) -> Result<(), Refusal> {
    let max = limits.config_value_bytes_max;
    if configs.iter().all(|(_, value)| value.len() <= max) {
        return Ok(());
    }
    let message = format!(
        "The configuration value cannot be added because it exceeds the maximum value size of {max} bytes."
    );
    Err(refuse(ErrorCode::InvalidConfig, message))
}
