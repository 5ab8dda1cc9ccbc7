//! What configurations a topic, a broker that runs, a subscription to clients' metrics or a group may have.
//!
//! Place: asked by the decisions on new topics and on alterations.

use alloc::format;
use alloc::string::{String, ToString};

use millstream_protocol::error::ErrorCode;

use super::controller::{Refusal, refuse};
use crate::config::broker::{BROKER_CONFIGS, THREAD_COUNTS, is_dynamic};
use crate::config::client_metrics::{
    CLIENT_METRICS_CONFIGS, INTERVAL_MS_MAX, INTERVAL_MS_MIN, interval_ms, items,
};
use crate::config::definition::{ConfigValue, find};
use crate::config::effective::ConfigLayers;
use crate::config::group::{BOUNDS, GROUP_CONFIGS, LONGER, number};
use crate::config::lacking::LACKING_CONFIGS;
use crate::config::map::ConfigMap;
use crate::config::topic::TOPIC_CONFIGS;
use crate::limits::ClusterLimits;
use crate::telemetry::selector::Selector;

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

/// Whether these may be set for brokers that run. As in Kafka names that nobody knows are kept, for nobody; the command
/// line refuses them, so that a misspelt one does not go unnoticed.
pub(super) fn check_broker_configs(configs: &ConfigMap, limits: &ClusterLimits) -> Result<(), Refusal> {
    let invalid = |message: String| refuse(ErrorCode::InvalidRequest, message);
    check_sizes(configs, limits)?;
    for (name, value) in configs.iter() {
        let fixed = || invalid(format!("Cannot update these configs dynamically: [{name}]"));
        let Some(definition) = find(BROKER_CONFIGS, name) else {
            match find(LACKING_CONFIGS, name) {
                Some(_) => return Err(fixed()),
                None => continue,
            }
        };
        if !is_dynamic(name) {
            return Err(fixed());
        }
        definition.parse(value).map_err(|error| invalid(error.message))?;
    }
    Ok(())
}

/// Whether the pools of threads change no more than by half.
pub(super) fn check_thread_counts(
    before: &ConfigLayers<'_>,
    after: &ConfigLayers<'_>,
) -> Result<(), Refusal> {
    for name in THREAD_COUNTS {
        let (old, new) = (before.broker_number(name), after.broker_number(name));
        let problem = if new == old {
            continue;
        } else if new < 1 {
            "value should be at least 1".to_string()
        } else if new < old / 2 {
            format!("value should be at least half the current value {old}")
        } else if new > old * 2 {
            format!("value should not be greater than double the current value {old}")
        } else {
            continue;
        };
        let message = format!("Dynamic thread count update validation failed for {name}={new}: {problem}");
        return Err(refuse(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// Whether a subscription to clients' metrics may have just these.
pub(super) fn check_client_metrics(configs: &ConfigMap, limits: &ClusterLimits) -> Result<(), Refusal> {
    let invalid = |message: String| refuse(ErrorCode::InvalidConfig, message);
    check_sizes(configs, limits)?;
    for (name, value) in configs.iter() {
        let unknown = || format!("Unknown client metrics configuration: {name}");
        let definition =
            find(CLIENT_METRICS_CONFIGS, name).ok_or_else(|| refuse(ErrorCode::InvalidRequest, unknown()))?;
        definition.parse(value).map_err(|error| invalid(error.message))?;
    }
    if let Some(text) = configs.get("interval.ms")
        && !interval_ms(configs).is_some_and(|ms| (INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&ms))
    {
        let message = format!(
            "Invalid value {text} for interval.ms, interval must be between {INTERVAL_MS_MIN} and {INTERVAL_MS_MAX} \
             (1 hour)"
        );
        return Err(refuse(ErrorCode::InvalidRequest, message));
    }
    let selectors = items(configs, "match").unwrap_or_default();
    let mut selectors = selectors.iter().map(|selector| Selector::parse(selector));
    selectors.try_for_each(|selector| selector.map(drop).map_err(invalid))
}

/// Whether a group may have just these, under a broker with `layers`.
pub(super) fn check_group_configs(
    configs: &ConfigMap,
    layers: &ConfigLayers<'_>,
    limits: &ClusterLimits,
) -> Result<(), Refusal> {
    let invalid = |message: String| refuse(ErrorCode::InvalidConfig, message);
    check_sizes(configs, limits)?;
    let is_unknown = |(name, _): &(&str, &str)| find(GROUP_CONFIGS, name).is_none();
    if let Some((name, _)) = configs.iter().find(is_unknown) {
        return Err(invalid(format!("Unknown group config name: {name}")));
    }
    for (name, value) in configs.iter() {
        let definition = find(GROUP_CONFIGS, name).expect("looked up above");
        definition.parse(value).map_err(|error| invalid(error.message))?;
    }
    for bounds in BOUNDS {
        let Some(value) = number(configs, bounds.name) else {
            continue;
        };
        let problem = if let Some(min) = bounds.min.filter(|min| value < layers.broker_number(min)) {
            format!("{} must be greater than or equal to {min}", bounds.name)
        } else if let Some(max) = bounds.max.filter(|max| value > layers.broker_number(max)) {
            format!("{} must be less than or equal to {max}", bounds.name)
        } else {
            continue;
        };
        return Err(invalid(problem));
    }
    for (longer, shorter) in LONGER {
        let set = [longer, shorter].iter().any(|name| configs.get(name).is_some());
        if set && layers.group_number(configs, longer) <= layers.group_number(configs, shorter) {
            return Err(invalid(format!("{longer} must be greater than {shorter}")));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    use crate::cluster::alter_configs::{AlterConfig, AlterResource};
    use crate::cluster::config_resource::{CLIENT_METRICS, GROUP};
    use crate::cluster::controller::testing::World;

    /// What is answered to a change of the subscription `name`, and what it has then, as `name=value` in order.
    fn alter(world: &mut World, name: &str, changes: &[(&str, i8, &str)]) -> Result<String, ErrorCode> {
        alter_resource(world, CLIENT_METRICS, name, changes).map_err(|refusal| refusal.code)?;
        Ok(shown(world.image.client_metrics().configs(name)))
    }

    /// The same of the group `name`, with the words of a refusal.
    fn alter_group(
        world: &mut World,
        name: &str,
        changes: &[(&str, i8, &str)],
    ) -> Result<String, (ErrorCode, String)> {
        alter_resource(world, GROUP, name, changes).map_err(|refusal| (refusal.code, refusal.message))?;
        Ok(shown(world.image.group_configs().of(name)))
    }

    fn shown(configs: &ConfigMap) -> String {
        let shown: Vec<_> = configs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        shown.join(" ")
    }

    fn alter_resource(
        world: &mut World,
        resource_type: i8,
        name: &str,
        changes: &[(&str, i8, &str)],
    ) -> Result<(), Refusal> {
        let changes = changes.iter().map(|(name, operation, value)| AlterConfig {
            name,
            operation: *operation,
            value: Some(value),
        });
        let changes: Vec<_> = changes.collect();
        let resource = AlterResource {
            resource_type,
            resource_name: name,
            changes: &changes,
        };
        let mut decision = world.controller().incremental_alter_configs(&[resource]);
        world.image = world.image.apply(&decision.records);
        decision.answers.remove(0).map(drop)
    }

    #[test]
    fn subscriptions_to_metrics_come_and_go() {
        let mut world = World::new(&[]);
        let set = [
            ("metrics", 0, "a.,b."),
            ("interval.ms", 0, "100"),
            ("match", 0, "client_id=x"),
        ];
        let all = "interval.ms=100 match=client_id=x metrics=a.,b.";
        assert_eq!(alter(&mut world, "s", &set), Ok(all.to_string()));
        let changed = alter(&mut world, "s", &[("metrics", 0, "c."), ("match", 1, "")]);
        assert_eq!(changed, Ok("interval.ms=100 metrics=c.".to_string()));
        let appended = alter(&mut world, "s", &[("metrics", 2, "d.")]);
        assert_eq!(appended, Err(ErrorCode::InvalidConfig), "as Kafka");
        let before = world.image.metadata_bytes();
        assert_eq!(
            alter(&mut world, "s", &[("metrics", 1, ""), ("interval.ms", 1, "")]),
            Ok(String::new())
        );
        assert!(world.image.client_metrics().is_empty());
        assert!(world.image.metadata_bytes() < before);
    }

    #[test]
    fn what_no_subscription_can_have_is_refused() {
        let (request, config) = (ErrorCode::InvalidRequest, ErrorCode::InvalidConfig);
        for (name, value, expect) in [
            ("retention.ms", "1", request),
            ("interval.ms", "99", request),
            ("interval.ms", "3600001", request),
            ("interval.ms", "-100", request),
            ("interval.ms", "soon", config),
            ("match", "client_id", config),
            ("match", "client_id=(", config),
            ("match", "user=x", config),
            ("metrics", "a,,b", config),
        ] {
            let mut world = World::new(&[]);
            assert_eq!(
                alter(&mut world, "s", &[(name, 0, value)]),
                Err(expect),
                "{name}={value}"
            );
        }
        assert_eq!(
            alter(&mut World::new(&[]), "", &[("metrics", 0, "a")]),
            Err(request)
        );
        for ms in ["100", "3600000"] {
            assert!(alter(&mut World::new(&[]), "s", &[("interval.ms", 0, ms)]).is_ok());
        }
    }

    #[test]
    fn there_are_only_so_many_subscriptions() {
        let mut world = World::new(&[]);
        world.limits.client_metrics_max = 2;
        let set = [("metrics", 0, "a")];
        for name in ["s", "t"] {
            assert!(alter(&mut world, name, &set).is_ok());
        }
        assert_eq!(alter(&mut world, "u", &set), Err(ErrorCode::PolicyViolation));
        assert!(alter(&mut world, "t", &[("metrics", 0, "b")]).is_ok());
        assert!(alter(&mut world, "t", &[("metrics", 1, "")]).is_ok());
        assert!(alter(&mut world, "u", &set).is_ok());
        world.limits.metadata_bytes_max = world.image.metadata_bytes() + 10;
        assert_eq!(
            alter(&mut world, "u", &[("metrics", 0, "a-longer-one")]),
            Err(ErrorCode::PolicyViolation)
        );
    }

    #[test]
    fn configurations_of_groups_come_and_go() {
        let mut world = World::new(&[]);
        let none = world.image.metadata_bytes();
        let set = [
            ("consumer.session.timeout.ms", 0, "50000"),
            ("share.auto.offset.reset", 0, "by_duration:PT1H"),
        ];
        let all = "consumer.session.timeout.ms=50000 share.auto.offset.reset=by_duration:PT1H";
        assert_eq!(alter_group(&mut world, "g", &set), Ok(all.to_string()));
        assert!(world.image.metadata_bytes() > none + all.len() as u64);
        world.limits.metadata_bytes_max = world.image.metadata_bytes() + 10;
        let full = alter_group(&mut world, "h", &set[..1]).unwrap_err();
        assert_eq!(full.0, ErrorCode::PolicyViolation);
        let back = set.map(|(name, _, _)| (name, 1, ""));
        assert_eq!(alter_group(&mut world, "g", &back), Ok(String::new()));
        assert!(world.image.group_configs().is_empty());
        assert_eq!(world.image.metadata_bytes(), none);
        assert!(alter_group(&mut world, "h", &set[..1]).is_ok());
    }

    /// The words are Kafka's.
    #[test]
    fn what_no_group_can_have_is_refused() {
        let refused = |changes: &[(&str, i8, &str)]| {
            let mut world = World::new(&[]);
            let settings = [
                ("group.consumer.max.session.timeout.ms", "90000"),
                ("group.consumer.heartbeat.interval.ms", "7000"),
            ];
            for (name, value) in settings {
                world.settings.set(name, value).unwrap();
            }
            let answer = alter_group(&mut world, "g", changes);
            answer.map_err(|(code, message)| {
                assert_eq!(code, ErrorCode::InvalidConfig);
                message
            })
        };
        for (name, value, words) in [
            ("retention.ms", "1", "Unknown group config name: retention.ms"),
            (
                "consumer.session.timeout.ms",
                "44999",
                "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
            ),
            (
                "consumer.session.timeout.ms",
                "90001",
                "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms",
            ),
            (
                "consumer.session.timeout.ms",
                "0",
                "Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1",
            ),
            (
                "streams.num.standby.replicas",
                "3",
                "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas",
            ),
            (
                "share.auto.offset.reset",
                "none",
                "Invalid value none for configuration share.auto.offset.reset: Invalid value `none` for configuration \
                 share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format \
                 'by_duration:<PnDTnHnMn.nS>'.",
            ),
        ] {
            assert_eq!(
                refused(&[(name, 0, value)]),
                Err(words.to_string()),
                "{name}={value}"
            );
        }
        for (name, value) in [
            ("consumer.session.timeout.ms", "90000"),
            ("share.isolation.level", "read_committed"),
        ] {
            assert!(refused(&[(name, 0, value)]).is_ok(), "{name}={value}");
        }
        let mut world = World::new(&[]);
        for (name, value) in [
            ("group.consumer.min.session.timeout.ms", "7000"),
            ("group.consumer.heartbeat.interval.ms", "7000"),
        ] {
            world.settings.set(name, value).unwrap();
        }
        let as_short = alter_group(&mut world, "g", &[("consumer.session.timeout.ms", 0, "7000")]);
        let words = "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms";
        assert_eq!(as_short, Err((ErrorCode::InvalidConfig, words.to_string())));
        let both = [
            ("consumer.session.timeout.ms", 0, "7000"),
            ("consumer.heartbeat.interval.ms", 0, "6999"),
        ];
        assert!(alter_group(&mut world, "g", &both).is_ok());
        let nobody = alter_group(&mut world, "", &both).unwrap_err();
        assert_eq!(nobody.0, ErrorCode::InvalidRequest);
    }
}
