//! The configurations of a group, which is a config resource of its own.
//!
//! Place: the controller checks what is altered against them, DescribeConfigs reports them, coordinators take from them
//! what their own group is to be told ([`crate::group::GroupSettings::of_group`]).
//!
//! Invariants: sorted by name. Names, types, defaults and bounds are Kafka's 4.3. What begins with `share.` or
//! `streams.` is for kinds of groups that are not here.

use alloc::vec::Vec;

use super::definition::{ConfigDefinition, ConfigValue, Validator::*, configs, find};
use super::effective::{ConfigLayers, ConfigSource, ConfigSynonym, DescribedConfig, asked_for, described};
use super::map::ConfigMap;

configs! {
    /// Sorted by name.
    GROUP_CONFIGS;

    /// The shortest time between two assignments of the group, in milliseconds.
    "consumer.assignment.interval.ms": Int = "1000", AtLeast(0), acted_on,
        ["group.consumer.assignment.interval.ms" * 1];

    /// How often members are told to be heard of, in milliseconds.
    "consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), acted_on,
        ["group.consumer.heartbeat.interval.ms" * 1];

    /// How long a member may be silent, in milliseconds.
    "consumer.session.timeout.ms": Int = "45000", AtLeast(1), acted_on,
        ["group.consumer.session.timeout.ms" * 1];

    /// The shortest time between two assignments of a share group, in milliseconds.
    "share.assignment.interval.ms": Int = "1000", AtLeast(0), accepted,
        ["group.share.assignment.interval.ms" * 1];

    /// Where a share group begins: earliest, latest, or by_duration: and how long ago, like PT1H.
    "share.auto.offset.reset": String = "latest", ResetStrategy, accepted;

    /// How often a record is delivered to a share group.
    "share.delivery.count.limit": Int = "5", AtLeast(2), accepted,
        ["group.share.delivery.count.limit" * 1];

    /// How often members of a share group are told to be heard of, in milliseconds.
    "share.heartbeat.interval.ms": Int = "5000", AtLeast(1), accepted,
        ["group.share.heartbeat.interval.ms" * 1];

    /// Which records of transactions a share group reads.
    "share.isolation.level": String = "read_uncommitted", OneOf(ISOLATION_LEVELS), accepted;

    /// How many records of a partition a share group may hold.
    "share.partition.max.record.locks": Int = "2000", AtLeast(100), accepted,
        ["group.share.partition.max.record.locks" * 1];

    /// How long a member of a share group may hold a record, in milliseconds.
    "share.record.lock.duration.ms": Int = "30000", AtLeast(1000), accepted,
        ["group.share.record.lock.duration.ms" * 1];

    /// Whether a member of a share group may hold a record for longer.
    "share.renew.acknowledge.enable": Boolean = "true", Anything, accepted;

    /// How long a member of a share group may be silent, in milliseconds.
    "share.session.timeout.ms": Int = "45000", AtLeast(1), accepted,
        ["group.share.session.timeout.ms" * 1];

    /// The shortest time between two assignments of a streams group, in milliseconds.
    "streams.assignment.interval.ms": Int = "1000", AtLeast(0), accepted,
        ["group.streams.assignment.interval.ms" * 1];

    /// How often members of a streams group are told to be heard of, in milliseconds.
    "streams.heartbeat.interval.ms": Int = "5000", AtLeast(1), accepted,
        ["group.streams.heartbeat.interval.ms" * 1];

    /// How long a new streams group waits for more members, in milliseconds.
    "streams.initial.rebalance.delay.ms": Int = "3000", AtLeast(0), accepted,
        ["group.streams.initial.rebalance.delay.ms" * 1];

    /// Standby replicas of each task of a streams group.
    "streams.num.standby.replicas": Int = "0", AtLeast(0), accepted,
        ["group.streams.num.standby.replicas" * 1];

    /// How long a member of a streams group may be silent, in milliseconds.
    "streams.session.timeout.ms": Int = "45000", AtLeast(1), accepted,
        ["group.streams.session.timeout.ms" * 1];
}

/// Between which configurations of the broker one of a group may lie, inclusive.
pub struct Bounds {
    pub name: &'static str,
    pub min: Option<&'static str>,
    pub max: Option<&'static str>,
}

/// In the order in which Kafka looks.
pub const BOUNDS: &[Bounds] = &[
    Bounds {
        name: "consumer.heartbeat.interval.ms",
        min: Some("group.consumer.min.heartbeat.interval.ms"),
        max: Some("group.consumer.max.heartbeat.interval.ms"),
    },
    Bounds {
        name: "consumer.session.timeout.ms",
        min: Some("group.consumer.min.session.timeout.ms"),
        max: Some("group.consumer.max.session.timeout.ms"),
    },
    Bounds {
        name: "consumer.assignment.interval.ms",
        min: Some("group.consumer.min.assignment.interval.ms"),
        max: Some("group.consumer.max.assignment.interval.ms"),
    },
    Bounds {
        name: "share.heartbeat.interval.ms",
        min: Some("group.share.min.heartbeat.interval.ms"),
        max: Some("group.share.max.heartbeat.interval.ms"),
    },
    Bounds {
        name: "share.session.timeout.ms",
        min: Some("group.share.min.session.timeout.ms"),
        max: Some("group.share.max.session.timeout.ms"),
    },
    Bounds {
        name: "share.record.lock.duration.ms",
        min: Some("group.share.min.record.lock.duration.ms"),
        max: Some("group.share.max.record.lock.duration.ms"),
    },
    Bounds {
        name: "share.delivery.count.limit",
        min: Some("group.share.min.delivery.count.limit"),
        max: Some("group.share.max.delivery.count.limit"),
    },
    Bounds {
        name: "share.partition.max.record.locks",
        min: Some("group.share.min.partition.max.record.locks"),
        max: Some("group.share.max.partition.max.record.locks"),
    },
    Bounds {
        name: "share.assignment.interval.ms",
        min: Some("group.share.min.assignment.interval.ms"),
        max: Some("group.share.max.assignment.interval.ms"),
    },
    Bounds {
        name: "streams.heartbeat.interval.ms",
        min: Some("group.streams.min.heartbeat.interval.ms"),
        max: Some("group.streams.max.heartbeat.interval.ms"),
    },
    Bounds {
        name: "streams.session.timeout.ms",
        min: Some("group.streams.min.session.timeout.ms"),
        max: Some("group.streams.max.session.timeout.ms"),
    },
    Bounds {
        name: "streams.num.standby.replicas",
        min: None,
        max: Some("group.streams.max.standby.replicas"),
    },
    Bounds {
        name: "streams.assignment.interval.ms",
        min: Some("group.streams.min.assignment.interval.ms"),
        max: Some("group.streams.max.assignment.interval.ms"),
    },
];

/// Each first one must be longer than its second one.
pub const LONGER: [(&str, &str); 3] = [
    ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"),
    ("share.session.timeout.ms", "share.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", "streams.heartbeat.interval.ms"),
];

impl ConfigLayers<'_> {
    /// Every configuration of a group with `own` values, or those of `names` that exist.
    pub fn describe_group(&self, own: &ConfigMap, names: Option<&[&str]>) -> Vec<DescribedConfig> {
        asked_for(GROUP_CONFIGS, names)
            .map(|definition| self.describe_one_of_group(definition, own))
            .collect()
    }

    fn describe_one_of_group(&self, definition: &ConfigDefinition, own: &ConfigMap) -> DescribedConfig {
        let synonym = |text: &str, source| ConfigSynonym {
            name: definition.name.into(),
            value: Some(definition.canonical(text)),
            source,
        };
        let own = own.get(definition.name);
        let mut synonyms: Vec<_> = own
            .into_iter()
            .map(|text| synonym(text, ConfigSource::DynamicGroup))
            .collect();
        match definition.synonyms {
            [] => synonyms.extend(
                definition
                    .default
                    .map(|text| synonym(text, ConfigSource::Default)),
            ),
            names => synonyms.extend(self.synonyms(names)),
        }
        let first = &synonyms[0];
        let (value, source) = (first.value.as_deref(), first.source);
        let value = value.map(|text| definition.canonical(text));
        described(definition, value, source, false, synonyms)
    }

    /// The number that counts for a group with `own` values. Panics where `name` is none.
    #[track_caller]
    pub fn group_number(&self, own: &ConfigMap, name: &str) -> i64 {
        number(own, name).unwrap_or_else(|| {
            let definition = find(GROUP_CONFIGS, name).expect("a group's configuration");
            self.broker_number(definition.synonyms[0].name)
        })
    }
}

/// The number that a group itself has for `name`, `None` where it is not set or does not read.
pub fn number(own: &ConfigMap, name: &str) -> Option<i64> {
    match find(GROUP_CONFIGS, name)?.parse(own.get(name)?) {
        Ok(ConfigValue::Number(number)) => Some(number),
        _ => None,
    }
}

const ISOLATION_LEVELS: &[&str] = &["read_committed", "read_uncommitted"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::effective::NOTHING_SET;
    use crate::config::settings::BrokerSettings;
    use std::string::ToString;

    fn own(pairs: &[(&str, &str)]) -> ConfigMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        pairs.collect()
    }

    fn layers(settings: &BrokerSettings) -> ConfigLayers<'_> {
        ConfigLayers {
            broker: &NOTHING_SET,
            cluster: &NOTHING_SET,
            settings,
        }
    }

    #[test]
    fn the_table_is_sorted_and_agrees_with_the_brokers() {
        assert!(GROUP_CONFIGS.is_sorted_by(|one, next| one.name < next.name));
        let settings = BrokerSettings::new();
        let layers = layers(&settings);
        for one in layers.describe_group(&NOTHING_SET, None) {
            let definition = find(GROUP_CONFIGS, &one.name).unwrap();
            assert_eq!(one.value.as_deref(), definition.default, "{}", one.name);
            assert_eq!((one.source, one.synonyms.len()), (ConfigSource::Default, 1));
        }
        for bounds in BOUNDS {
            let default = layers.group_number(&NOTHING_SET, bounds.name);
            assert!(bounds.min.is_none_or(|min| layers.broker_number(min) <= default));
            assert!(bounds.max.is_none_or(|max| layers.broker_number(max) >= default));
        }
    }

    #[test]
    fn a_groups_own_value_comes_before_the_brokers() {
        let mut settings = BrokerSettings::new();
        settings
            .set("group.consumer.session.timeout.ms", "50000")
            .unwrap();
        let layers = layers(&settings);
        let name = "consumer.session.timeout.ms";
        let described = |own: &ConfigMap| layers.describe_group(own, Some(&[name, "nope"])).remove(0);
        let inherited = described(&NOTHING_SET);
        assert_eq!(
            (inherited.value.as_deref(), inherited.source),
            (Some("50000"), ConfigSource::StaticBroker)
        );
        let set = described(&own(&[(name, " 55000 ")]));
        assert_eq!((set.value.as_deref(), set.source as i8), (Some("55000"), 8));
        let sources: Vec<_> = set.synonyms.iter().map(|synonym| synonym.source as i8).collect();
        assert_eq!(sources, [8, 4, 5]);
    }
}
