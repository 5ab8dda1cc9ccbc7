//! Decisions about configurations: AlterConfigs replaces them all, IncrementalAlterConfigs changes them one
//! by one.
//!
//! Place: as [`super::controller`], whose decisions on topics use the checks here too.
//!
//! Invariants: what a resource is left with was accepted as a whole, by every definition and by the rules
//! between them. Only what really changes becomes a record.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::TopicId;

use super::config_resource::{BROKER, ConfigResource};
use super::config_rules::{
    check_broker_configs, check_client_metrics, check_group_configs, check_thread_counts, check_topic_configs,
};
use super::controller::{Controller, Decider, Decision, Refusal, duplicates, refuse};
use super::record::{ConfigChange, MetadataRecord};
use crate::config::broker::BROKER_CONFIGS;
use crate::config::definition::{ConfigDefinition, ConfigType, find, split_list};
use crate::config::effective::ConfigLayers;
use crate::config::map::ConfigMap;
use crate::config::topic::TOPIC_CONFIGS;

/// One resource of a request, as on the wire.
#[derive(Clone, Copy, Debug)]
pub struct AlterResource<'a> {
    /// 2 is a topic, 4 a broker, 16 a subscription to clients' metrics, 32 a group.
    pub resource_type: i8,
    /// A topic's, a subscription's or a group's name, a broker's id, or nothing for all brokers.
    pub resource_name: &'a str,
    pub changes: &'a [AlterConfig<'a>],
}

/// One configuration of a resource, as on the wire.
#[derive(Clone, Copy, Debug)]
pub struct AlterConfig<'a> {
    pub name: &'a str,
    /// 0 sets, 1 deletes, 2 appends, 3 subtracts.
    pub operation: i8,
    pub value: Option<&'a str>,
}

impl Controller<'_> {
    /// Decides on changes, each of one configuration. Every answer is the resource that it is for.
    pub fn incremental_alter_configs<'r>(
        &self,
        resources: &[AlterResource<'r>],
    ) -> Decision<ConfigResource<'r>> {
        self.alter(resources, |resource, before, default_of| {
            let mut after = before.clone();
            for change in resource.changes {
                apply_change(change, &mut after, default_of)?;
            }
            Ok(after)
        })
    }

    /// Decides on replacements: what a resource does not name it no longer has. Operations do not count.
    pub fn alter_configs<'r>(&self, resources: &[AlterResource<'r>]) -> Decision<ConfigResource<'r>> {
        self.alter(resources, |resource, _, _| {
            let set = |change: &AlterConfig<'_>| Some((change.name.to_string(), change.value?.to_string()));
            Ok(resource.changes.iter().filter_map(set).collect())
        })
    }

    fn alter<'r>(
        &self,
        resources: &[AlterResource<'r>],
        change: impl Fn(&AlterResource<'r>, &ConfigMap, FindDefinition) -> Result<ConfigMap, Refusal>,
    ) -> Decision<ConfigResource<'r>> {
        let duplicates = duplicates(resources.iter().map(|one| (one.resource_type, one.resource_name)));
        let mut decider = Decider::new(self);
        for resource in resources {
            let answer = if duplicates.contains(&(resource.resource_type, resource.resource_name)) {
                Err(refuse(
                    ErrorCode::InvalidRequest,
                    "Each resource must appear at most once.",
                ))
            } else {
                decider.controller().alter_one(resource, &change)
            };
            decider.push_all(answer);
        }
        decider.decision
    }

    fn alter_one<'r>(
        &self,
        resource: &AlterResource<'r>,
        change: impl Fn(&AlterResource<'r>, &ConfigMap, FindDefinition) -> Result<ConfigMap, Refusal>,
    ) -> Result<(ConfigResource<'r>, Option<MetadataRecord>), Refusal> {
        check_changes(resource)?;
        let altered = ConfigResource::from_wire(resource.resource_type, resource.resource_name, self.broker)?;
        let record = match altered {
            ConfigResource::Topic(name) => {
                let (id, before) = self.topic_configs(name)?;
                let after = change(resource, before, |name| find(TOPIC_CONFIGS, name))?;
                check_topic_configs(&after, self.limits)?;
                self.check_metadata_bytes(before.metadata_bytes(), after.metadata_bytes())?;
                let changes = differences(before, &after);
                (!changes.is_empty()).then_some(MetadataRecord::TopicConfigChanged { id, changes })
            }
            ConfigResource::Broker(broker) => {
                let before = match broker {
                    Some(broker) => self.image.broker_configs(broker),
                    None => self.image.cluster_configs(),
                };
                let after = change(resource, before, |name| find(BROKER_CONFIGS, name))?;
                check_broker_configs(&after, self.limits)?;
                let layers = self.image.config_layers(self.broker, self.settings);
                let then = match broker {
                    Some(_) => ConfigLayers {
                        broker: &after,
                        ..layers
                    },
                    None => ConfigLayers {
                        cluster: &after,
                        ..layers
                    },
                };
                check_thread_counts(&layers, &then)?;
                self.check_metadata_bytes(before.metadata_bytes(), after.metadata_bytes())?;
                let changes = differences(before, &after);
                (!changes.is_empty()).then_some(MetadataRecord::BrokerConfigChanged { broker, changes })
            }
            ConfigResource::ClientMetrics(name) => {
                let before = self.image.client_metrics().configs(name);
                // As in Kafka nothing can be appended to their lists.
                let after = change(resource, before, |_| None)?;
                check_client_metrics(&after, self.limits)?;
                self.check_client_metrics_room(before, &after)?;
                self.check_metadata_bytes(before.metadata_bytes_with(name), after.metadata_bytes_with(name))?;
                let (name, changes) = (name.to_string(), differences(before, &after));
                (!changes.is_empty()).then_some(MetadataRecord::ClientMetricsChanged { name, changes })
            }
            ConfigResource::Group(group) => {
                let before = self.image.group_configs().of(group);
                // None of them is a list.
                let after = change(resource, before, |_| None)?;
                let layers = self.image.config_layers(self.broker, self.settings);
                check_group_configs(&after, &layers, self.limits)?;
                self.check_metadata_bytes(
                    before.metadata_bytes_with(group),
                    after.metadata_bytes_with(group),
                )?;
                let (group, changes) = (group.to_string(), differences(before, &after));
                (!changes.is_empty()).then_some(MetadataRecord::GroupConfigChanged { group, changes })
            }
        };
        Ok((altered, record))
    }

    fn check_client_metrics_room(&self, before: &ConfigMap, after: &ConfigMap) -> Result<(), Refusal> {
        let max = self.limits.client_metrics_max;
        if !before.is_empty() || after.is_empty() || self.image.client_metrics().len() < max {
            return Ok(());
        }
        let message = format!("There may not be more than {max} subscriptions to clients' metrics.");
        Err(refuse(ErrorCode::PolicyViolation, message))
    }

    fn topic_configs(&self, name: &str) -> Result<(TopicId, &ConfigMap), Refusal> {
        let Some(topic) = self.image.topic_by_name(name) else {
            let message = format!("The topic '{name}' does not exist.");
            return Err(refuse(ErrorCode::UnknownTopicOrPartition, message));
        };
        Ok((topic.id, &topic.configs))
    }
}

type FindDefinition = fn(&str) -> Option<&'static ConfigDefinition>;

/// What is wrong with a resource's changes whatever the resource is.
fn check_changes(resource: &AlterResource<'_>) -> Result<(), Refusal> {
    let changes = resource.changes;
    let invalid = |message: String| refuse(ErrorCode::InvalidRequest, message);
    if !duplicates(changes.iter().map(|change| change.name)).is_empty() {
        return Err(invalid("Error due to duplicate config keys".to_string()));
    }
    let is_none = |change: &&AlterConfig<'_>| !(SET..=SUBTRACT).contains(&change.operation);
    if let Some(change) = changes.iter().find(is_none) {
        return Err(match resource.resource_type {
            BROKER => invalid(format!("Unknown operations type {}", change.operation)),
            _ => refuse(ErrorCode::UnknownServerError, String::new()),
        });
    }
    let is_null = |change: &&AlterConfig<'_>| change.value.is_none() && change.operation != DELETE;
    let nulls: Vec<_> = changes.iter().filter(is_null).map(|change| change.name).collect();
    if nulls.is_empty() {
        return Ok(());
    }
    Err(invalid(format!(
        "Null value not supported for : {}",
        nulls.join(",")
    )))
}

fn apply_change(
    change: &AlterConfig<'_>,
    configs: &mut ConfigMap,
    find: FindDefinition,
) -> Result<(), Refusal> {
    let value = change.value.unwrap_or_default();
    match change.operation {
        SET => configs.set(change.name.to_string(), value.to_string()),
        DELETE => configs.remove(change.name),
        operation => {
            let definition = find(change.name).filter(|definition| definition.kind == ConfigType::List);
            let Some(definition) = definition else {
                let verb = if operation == APPEND { "APPEND" } else { "SUBTRACT" };
                let message = format!(
                    "Can't {verb} to key {} because its type is not LIST.",
                    change.name
                );
                return Err(refuse(ErrorCode::InvalidConfig, message));
            };
            let default = definition.default.unwrap_or_default();
            let mut items = split_list(configs.get(change.name).unwrap_or(default));
            let changed = split_list(value);
            match operation {
                APPEND => items.extend(
                    changed
                        .into_iter()
                        .filter(|item| !items.contains(item))
                        .collect::<Vec<_>>(),
                ),
                _ => items.retain(|item| !changed.contains(item)),
            }
            configs.set(change.name.to_string(), items.join(","));
        }
    }
    Ok(())
}

fn differences(before: &ConfigMap, after: &ConfigMap) -> Vec<ConfigChange> {
    let removed = before
        .iter()
        .filter(|(name, _)| after.get(name).is_none())
        .map(|(name, _)| (name, None));
    let set = after
        .iter()
        .filter(|(name, value)| before.get(name) != Some(*value));
    removed
        .chain(set.map(|(name, value)| (name, Some(value))))
        .map(|(name, value)| ConfigChange {
            name: name.to_string(),
            value: value.map(ToString::to_string),
        })
        .collect()
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::config_resource::TOPIC;
    use crate::cluster::controller::testing::World;
    use crate::limits::CONFIG_ENTRY_BYTES;
    use crate::testing::topic_created;

    /// `a` with cleanup.policy=compact and retention.ms=5.
    fn world() -> World {
        let change = |name: &str, value: &str| ConfigChange {
            name: name.to_string(),
            value: Some(value.to_string()),
        };
        let changes = [change("cleanup.policy", "compact"), change("retention.ms", "5")].to_vec();
        let id = TopicId::new([1; 16]);
        World::new(&[
            topic_created(1, "a", 1),
            topic_created(2, "b", 1),
            MetadataRecord::TopicConfigChanged { id, changes },
        ])
    }

    type Answer = Result<(), (ErrorCode, String)>;

    /// The configurations of `a` after the changes, as `name=value` in order.
    fn decide(resources: &[AlterResource<'_>], incremental: bool) -> (String, Vec<Answer>) {
        let world = world();
        let controller = world.controller();
        let decision = match incremental {
            true => controller.incremental_alter_configs(resources),
            false => controller.alter_configs(resources),
        };
        let after = world.image.apply(&decision.records);
        let configs = after.topic_by_name("a").unwrap().configs.clone();
        let configs: Vec<_> = configs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let short = |answer: Result<_, Refusal>| {
            answer
                .map(|_| ())
                .map_err(|refusal| (refusal.code, refusal.message))
        };
        (
            configs.join(" "),
            decision.answers.into_iter().map(short).collect(),
        )
    }

    fn on_a<'a>(changes: &'a [AlterConfig<'a>]) -> AlterResource<'a> {
        AlterResource {
            resource_type: TOPIC,
            resource_name: "a",
            changes,
        }
    }

    fn change<'a>(operation: i8, name: &'a str, value: &'a str) -> AlterConfig<'a> {
        AlterConfig {
            name,
            operation,
            value: Some(value),
        }
    }

    #[track_caller]
    fn check(changes: &[AlterConfig<'_>], expect: Result<&str, (ErrorCode, &str)>) {
        let (configs, answers) = decide(&[on_a(changes)], true);
        let found = answers[0].as_ref().map(|()| configs.as_str());
        assert_eq!(found.map_err(|(code, message)| (*code, message.as_str())), expect);
        if expect.is_err() {
            assert_eq!(
                configs, "cleanup.policy=compact retention.ms=5",
                "a refusal changes nothing"
            );
        }
    }

    #[test]
    fn changes_are_made_one_by_one() {
        check(
            &[change(SET, "segment.ms", "7")],
            Ok("cleanup.policy=compact retention.ms=5 segment.ms=7"),
        );
        check(
            &[AlterConfig {
                value: None,
                ..change(DELETE, "retention.ms", "")
            }],
            Ok("cleanup.policy=compact"),
        );
        check(
            &[change(DELETE, "never.heard.of", "")],
            Ok("cleanup.policy=compact retention.ms=5"),
        );
        check(
            &[change(APPEND, "cleanup.policy", "delete")],
            Ok("cleanup.policy=compact,delete retention.ms=5"),
        );
        check(
            &[change(APPEND, "cleanup.policy", "compact")],
            Ok("cleanup.policy=compact retention.ms=5"),
        );
        check(
            &[change(SUBTRACT, "cleanup.policy", "compact,delete")],
            Ok("cleanup.policy= retention.ms=5"),
        );
        // What was never set starts from the default.
        let replicas = "cleanup.policy=compact leader.replication.throttled.replicas=0:1 retention.ms=5";
        check(
            &[change(APPEND, "leader.replication.throttled.replicas", "0:1")],
            Ok(replicas),
        );
    }

    #[test]
    fn changes_that_cannot_be_are_refused() {
        let config = |message| Err((ErrorCode::InvalidConfig, message));
        check(
            &[change(SET, "nope", "1")],
            config("Unknown topic config name: nope"),
        );
        check(
            &[change(APPEND, "nope", "1")],
            config("Can't APPEND to key nope because its type is not LIST."),
        );
        check(
            &[change(SET, "message.format.version", "2.0")],
            config("Unknown topic config name: message.format.version"),
        );
        let no_list = "Can't APPEND to key retention.ms because its type is not LIST.";
        check(&[change(APPEND, "retention.ms", "1")], config(no_list));
        let lags = "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)";
        check(
            &[
                change(SET, "min.compaction.lag.ms", "10"),
                change(SET, "max.compaction.lag.ms", "5"),
            ],
            config(lags),
        );
        let tiered = "Tiered Storage functionality is disabled in the broker. \
                      Topic cannot be configured with remote log storage.";
        check(&[change(SET, "remote.storage.enable", "true")], config(tiered));
        let (long, too_long) = (
            "x".repeat(32_768),
            "The configuration value cannot be added because it exceeds the \
                                                     maximum value size of 32767 bytes.",
        );
        check(&[change(SET, "cleanup.policy", &long)], config(too_long));
        let request = |message| Err((ErrorCode::InvalidRequest, message));
        let null = AlterConfig {
            value: None,
            ..change(SET, "segment.ms", "")
        };
        check(&[null], request("Null value not supported for : segment.ms"));
        check(
            &[change(4, "segment.ms", "1")],
            Err((ErrorCode::UnknownServerError, "")),
        );
        let twice = [change(SET, "segment.ms", "1"), change(DELETE, "segment.ms", "1")];
        check(&twice, request("Error due to duplicate config keys"));
    }

    /// Each resource of a request counts those before it, and what shrinks may always.
    #[test]
    fn all_configurations_together_are_bounded() {
        let mut world = world();
        let before = world.image.metadata_bytes();
        let blanks = " ".repeat(1_000);
        let (long, longer) = (format!("{blanks}5"), format!("{blanks}55"));
        let long_on = |operation, value| [change(operation, "segment.ms", value)];
        let (set, set_longer) = (long_on(SET, &long), long_on(SET, &longer));
        let on = |name: &'static str, changes| AlterResource {
            resource_name: name,
            ..on_a(changes)
        };
        let on_all_brokers = AlterResource {
            resource_type: BROKER,
            ..on("", &[])
        };
        world.limits.metadata_bytes_max = before + 10 + 1_001 + CONFIG_ENTRY_BYTES;
        let codes = |world: &World, resources: &[AlterResource<'_>], incremental: bool| {
            let decision = match incremental {
                true => world.controller().incremental_alter_configs(resources),
                false => world.controller().alter_configs(resources),
            };
            let answers = decision.answers.into_iter();
            answers
                .map(|answer| answer.err().map(|refusal| refusal.code))
                .collect::<Vec<_>>()
        };
        let full = Some(ErrorCode::PolicyViolation);
        assert_eq!(codes(&world, &[on("b", &set), on("a", &set)], true), [None, full]);
        assert_eq!(codes(&world, &[on("b", &set_longer)], true), [full]);
        assert_eq!(codes(&world, &[on("b", &set_longer)], false), [full]);
        assert_eq!(
            codes(&world, &[on("a", &set), on("b", &set)], false),
            [None, full],
            "what is replaced makes room, but not for as much"
        );
        let rate = [change(SET, "message.max.bytes", &longer)];
        let for_brokers = AlterResource {
            changes: &rate,
            ..on_all_brokers
        };
        assert_eq!(codes(&world, &[for_brokers], true), [full]);
        world.limits.metadata_bytes_max = 0;
        let shorter = [
            change(SET, "retention.ms", "4"),
            change(DELETE, "cleanup.policy", ""),
        ];
        assert_eq!(codes(&world, &[on_a(&shorter)], true), [None]);
    }

    #[test]
    fn what_does_not_change_is_no_record() {
        let same = [change(SET, "retention.ms", "5")];
        assert_eq!(
            world()
                .controller()
                .incremental_alter_configs(&[on_a(&same)])
                .records,
            []
        );
    }

    #[test]
    fn replacing_takes_back_what_is_not_named() {
        let (configs, answers) = decide(&[on_a(&[change(SET, "segment.ms", "7")])], false);
        assert_eq!((configs.as_str(), answers), ("segment.ms=7", [Ok(())].to_vec()));
        let (configs, _) = decide(&[on_a(&[])], false);
        assert_eq!(configs, "");
    }

    #[test]
    fn resources_must_exist_and_appear_once() {
        let one = [change(SET, "segment.ms", "7")];
        let resource = |resource_type, resource_name| AlterResource {
            resource_type,
            resource_name,
            changes: &one,
        };
        let refused = |resources: &[AlterResource<'_>]| {
            let (_, answers) = decide(resources, true);
            answers.into_iter().map(Result::unwrap_err).collect::<Vec<_>>()
        };
        let invalid = |message: &str| (ErrorCode::InvalidRequest, message.to_string());
        assert_eq!(
            refused(&[
                resource(TOPIC, "z"),
                resource(TOPIC, ""),
                resource(64, "g"),
                resource(BROKER, "x")
            ]),
            [
                (
                    ErrorCode::UnknownTopicOrPartition,
                    "The topic 'z' does not exist.".to_string()
                ),
                invalid("Default topic resources are not allowed."),
                invalid("Unknown resource type 64"),
                invalid("Node id must be an integer, but it is: x"),
            ]
        );
        assert_eq!(
            refused(&[resource(BROKER, "2")]),
            [invalid("Unexpected broker id, expected 1, but received 2")]
        );
        let twice = invalid("Each resource must appear at most once.");
        assert_eq!(
            refused(&[resource(TOPIC, "a"), resource(TOPIC, "a")]),
            [twice.clone(), twice]
        );
    }

    #[test]
    fn brokers_take_what_can_change_while_they_run() {
        let on_broker = |name, value| {
            let changes = [change(SET, name, value)];
            let resource = AlterResource {
                resource_type: BROKER,
                resource_name: "",
                changes: &changes,
            };
            decide(&[resource], true).1.remove(0)
        };
        assert_eq!(on_broker("message.max.bytes", "5"), Ok(()));
        assert_eq!(on_broker("leader.replication.throttled.rate", "5"), Ok(()));
        let invalid = |message: &str| Err((ErrorCode::InvalidRequest, message.to_string()));
        assert_eq!(
            on_broker("node.id", "5"),
            invalid("Cannot update these configs dynamically: [node.id]")
        );
        assert_eq!(on_broker("nope", "5"), Ok(()), "as Kafka takes it");
        assert_eq!(
            on_broker("ssl.protocol", "TLSv1.3"),
            invalid("Cannot update these configs dynamically: [ssl.protocol]")
        );
        let threads = |value| on_broker("num.io.threads", value).is_ok();
        assert_eq!(
            ["3", "4", "16", "17", "x"].map(threads),
            [false, true, true, false, false]
        );
        let per_address = |value| on_broker("max.connections.per.ip.overrides", value).is_ok();
        assert_eq!(
            ["10.0.0.7:5,::1:6", "", "10.0.0.7"].map(per_address),
            [true, true, false]
        );
        let negative = "Invalid value -5 for configuration message.max.bytes: Value must be at least 0";
        assert_eq!(on_broker("message.max.bytes", "-5"), invalid(negative));
    }
}
