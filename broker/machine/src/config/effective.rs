//! Which value of a configuration counts, and where it comes from.
//!
//! Place: DescribeConfigs and CreateTopics report these; the shell resolves a
//! [`TopicConfig`](super::topic_config::TopicConfig) when a topic's image changes.
//!
//! Invariants: nearer prevails: the topic's own value, then the broker's own dynamic one, then the one for
//! all brokers, then the setting at the start, then the default. Within one of these, a synonym listed
//! earlier prevails.

use alloc::borrow::{Cow, ToOwned};
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::broker::{BROKER_CONFIGS, is_dynamic};
use super::definition::{ConfigDefinition, ConfigType, ConfigValue, Synonym, find};
use super::lacking::LACKING_CONFIGS;
use super::map::ConfigMap;
use super::settings::BrokerSettings;
use super::topic::TOPIC_CONFIGS;

/// Where a value comes from; the numbers are those of DescribeConfigs' `config_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    DynamicTopic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    DynamicClientMetrics = 7,
    DynamicGroup = 8,
}

/// Everything below a topic's own values, nearest first.
#[derive(Clone, Copy, Debug)]
pub struct ConfigLayers<'a> {
    /// Altered while running, for this broker.
    pub broker: &'a ConfigMap,
    /// Altered while running, for all brokers.
    pub cluster: &'a ConfigMap,
    pub settings: &'a BrokerSettings,
}

/// One line of DescribeConfigs' answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConfig {
    pub name: Cow<'static, str>,
    /// Canonical; `None` where there is none, or where it is sensitive.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub read_only: bool,
    pub sensitive: bool,
    pub kind: ConfigType,
    pub documentation: &'static str,
    /// Every value that was looked at, the one that counts first.
    pub synonyms: Vec<ConfigSynonym>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    pub name: Cow<'static, str>,
    pub value: Option<String>,
    pub source: ConfigSource,
}

impl<'a> ConfigLayers<'a> {
    /// The value that counts for a topic with `own` values; `None` where there is none at all.
    pub fn topic_value(
        &self,
        definition: &ConfigDefinition,
        own: &ConfigMap,
    ) -> Option<(String, ConfigSource)> {
        if let Some(value) = own.get(definition.name) {
            return Some((definition.canonical(value), ConfigSource::DynamicTopic));
        }
        let Some((synonym, value, source)) = self.values(definition.synonyms).next() else {
            return definition
                .default
                .map(|default| (default.to_owned(), ConfigSource::Default));
        };
        let value = scaled(value, synonym.scale);
        // Of brokers Kafka takes any negative time, which is no limit.
        if definition.name == "retention.ms" && value.trim().starts_with('-') {
            return Some(("-1".to_owned(), source));
        }
        Some((definition.canonical(&value), source))
    }

    /// The number that counts for a configuration of the broker. Panics where `name` is none, is no number or has
    /// no value at all.
    #[track_caller]
    pub fn broker_number(&self, name: &'static str) -> i64 {
        let definition = find_of_broker(name).expect("a broker configuration");
        let itself = [Synonym { name, scale: 1 }];
        let (_, text, _) = self.values(&itself).next().expect("a value, if only the default");
        match definition.parse(text) {
            Ok(ConfigValue::Number(number)) => number,
            other => panic!("{name} is no number: {other:?}"),
        }
    }

    /// The text that counts for a configuration of the broker that has a default. Panics where `name` has none.
    #[track_caller]
    pub fn broker_text(&self, name: &'static str) -> String {
        let definition = find(BROKER_CONFIGS, name).expect("a broker configuration");
        let itself = [Synonym { name, scale: 1 }];
        let (_, text, _) = self.values(&itself).next().expect("a value, if only the default");
        definition.canonical(text)
    }

    /// Every configuration of a topic, or those of `names` that exist; no names are all names, as Kafka has it.
    pub fn describe_topic(&self, own: &ConfigMap, names: Option<&[&str]>) -> Vec<DescribedConfig> {
        asked_for(TOPIC_CONFIGS, names)
            .map(|definition| self.describe_one_of_topic(definition, own))
            .collect()
    }

    /// Every configuration of this broker, or those of `names` that exist.
    pub fn describe_broker(&self, names: Option<&[&str]>) -> Vec<DescribedConfig> {
        let ours = asked_for(BROKER_CONFIGS, names).map(|definition| self.describe_one_of_broker(definition));
        ours.chain(asked_for(LACKING_CONFIGS, names).map(describe_lacking))
            .chain(self.describe_unknown(names))
            .collect()
    }

    /// What is set for all brokers, as a describe of the broker without a name answers.
    pub fn describe_cluster(&self, names: Option<&[&str]>) -> Vec<DescribedConfig> {
        let is_set = |definition: &&ConfigDefinition| self.cluster.get(definition.name).is_some();
        asked_for(BROKER_CONFIGS, names)
            .filter(is_set)
            .map(|one| self.describe_one_of_cluster(one))
            .chain(self.only_cluster().describe_unknown(names))
            .collect()
    }

    /// What was set under names that nobody knows: as in Kafka their values are kept to themselves.
    fn describe_unknown(&self, names: Option<&[&str]>) -> Vec<DescribedConfig> {
        let layers = [
            (self.broker, ConfigSource::DynamicBroker),
            (self.cluster, ConfigSource::DynamicDefaultBroker),
        ];
        let set = layers.iter().flat_map(|(layer, _)| layer.iter());
        let unknown = set.map(|(name, _)| name).filter(|name| {
            find(BROKER_CONFIGS, name).is_none()
                && names.is_none_or(|names| names.is_empty() || names.contains(name))
        });
        let unknown: BTreeSet<&str> = unknown.collect();
        let describe_one = |name: &str| {
            let name: Cow<'static, str> = name.to_owned().into();
            let set = layers.iter().filter(|(layer, _)| layer.get(&name).is_some());
            let synonyms = set.map(|&(_, source)| ConfigSynonym {
                name: name.clone(),
                value: None,
                source,
            });
            let synonyms: Vec<_> = synonyms.collect();
            DescribedConfig {
                name,
                value: None,
                source: synonyms[0].source,
                read_only: true,
                sensitive: true,
                kind: ConfigType::Unknown,
                documentation: "",
                synonyms,
            }
        };
        unknown.into_iter().map(describe_one).collect()
    }

    fn only_cluster(&self) -> Self {
        Self {
            broker: &NOTHING_SET,
            ..*self
        }
    }

    /// Only what was set for all brokers shows, among the synonyms too.
    fn describe_one_of_cluster(&self, definition: &ConfigDefinition) -> DescribedConfig {
        let mut described = self.only_cluster().describe_one_of_broker(definition);
        described
            .synonyms
            .retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
        // As it was given.
        described.value = described
            .synonyms
            .first()
            .and_then(|synonym| synonym.value.clone());
        described
    }

    fn describe_one_of_topic(&self, definition: &ConfigDefinition, own: &ConfigMap) -> DescribedConfig {
        let (value, source) = match self.topic_value(definition, own) {
            Some((value, source)) => (Some(value), source),
            None => (None, ConfigSource::Default),
        };
        let own_value = own.get(definition.name).map(|value| ConfigSynonym {
            name: definition.name.into(),
            value: Some(definition.canonical(value)),
            source: ConfigSource::DynamicTopic,
        });
        let mut synonyms = self.synonyms(definition.synonyms);
        if let Some(first) = definition.synonyms.first() {
            hide_before(first.name, &mut synonyms);
        }
        let synonyms = own_value.into_iter().chain(synonyms).collect();
        described(definition, value, source, false, synonyms)
    }

    fn describe_one_of_broker(&self, definition: &ConfigDefinition) -> DescribedConfig {
        let itself = [Synonym {
            name: definition.name,
            scale: 1,
        }];
        let names = if definition.synonyms.is_empty() {
            &itself
        } else {
            definition.synonyms
        };
        let mut synonyms = self.synonyms(names);
        // The value is that of the name asked for; a stronger synonym shows among the synonyms only.
        let own = synonyms.iter().find(|synonym| synonym.name == definition.name);
        let (value, source) = match own {
            Some(own) => (
                own.value.as_deref().map(|text| definition.canonical(text)),
                own.source,
            ),
            None => (
                None,
                synonyms
                    .first()
                    .map_or(ConfigSource::Default, |first| first.source),
            ),
        };
        hide_before(definition.name, &mut synonyms);
        described(definition, value, source, !is_dynamic(definition.name), synonyms)
    }

    pub(super) fn synonyms(&self, names: &[Synonym]) -> Vec<ConfigSynonym> {
        let read = |(synonym, value, source): (&Synonym, &str, ConfigSource)| {
            let definition = find_of_broker(synonym.name).expect("a synonym is a broker configuration");
            let shown = || match source {
                // As it was given.
                ConfigSource::DynamicBroker | ConfigSource::DynamicDefaultBroker => value.to_owned(),
                _ => definition.canonical(value),
            };
            ConfigSynonym {
                name: definition.name.into(),
                value: (!definition.is_sensitive()).then(shown),
                source,
            }
        };
        self.values(names).map(read).collect()
    }

    /// Every value that any of `names` has in any layer, the one that counts first.
    fn values<'n>(&self, names: &'n [Synonym]) -> impl Iterator<Item = (&'n Synonym, &'a str, ConfigSource)>
    where
        'a: 'n,
    {
        let Self {
            broker,
            cluster,
            settings,
        } = *self;
        let of = |source: ConfigSource, get: fn(ConfigLayers<'a>, &str) -> Option<&'a str>| {
            let layers = ConfigLayers {
                broker,
                cluster,
                settings,
            };
            names
                .iter()
                .filter_map(move |synonym| Some((synonym, get(layers, synonym.name)?, source)))
        };
        of(ConfigSource::DynamicBroker, |layers, name| {
            layers.broker.get(name)
        })
        .chain(of(ConfigSource::DynamicDefaultBroker, |layers, name| {
            layers.cluster.get(name)
        }))
        .chain(of(ConfigSource::StaticBroker, |layers, name| {
            layers.settings.get(name)
        }))
        .chain(of(ConfigSource::Default, |_, name| find_of_broker(name)?.default))
    }
}

/// Those that are only reported included.
fn find_of_broker(name: &str) -> Option<&'static ConfigDefinition> {
    find(BROKER_CONFIGS, name).or_else(|| find(LACKING_CONFIGS, name))
}

/// Leaves out what comes before the first value under this name, and all where there is none: as Kafka does.
fn hide_before(name: &str, synonyms: &mut Vec<ConfigSynonym>) {
    let shown = synonyms.iter().position(|synonym| synonym.name == name);
    synonyms.drain(..shown.unwrap_or(synonyms.len()));
}

pub(super) fn asked_for(
    table: &'static [ConfigDefinition],
    names: Option<&[&str]>,
) -> impl Iterator<Item = &'static ConfigDefinition> {
    table.iter().filter(move |definition| {
        names.is_none_or(|names| names.is_empty() || names.contains(&definition.name))
    })
}

fn describe_lacking(definition: &ConfigDefinition) -> DescribedConfig {
    let value = definition.default.map(str::to_owned);
    let synonym = definition.default.map(|default| ConfigSynonym {
        name: definition.name.into(),
        value: Some(default.to_owned()),
        source: ConfigSource::Default,
    });
    described(
        definition,
        value,
        ConfigSource::Default,
        true,
        synonym.into_iter().collect(),
    )
}

pub(super) fn described(
    definition: &ConfigDefinition,
    value: Option<String>,
    source: ConfigSource,
    read_only: bool,
    synonyms: Vec<ConfigSynonym>,
) -> DescribedConfig {
    let sensitive = definition.is_sensitive();
    DescribedConfig {
        name: definition.name.into(),
        value: value.filter(|_| !sensitive),
        source,
        read_only,
        sensitive,
        kind: definition.kind,
        documentation: definition.documentation,
        synonyms,
    }
}

/// `text` times `scale`; a negative number means "no limit" in every unit.
fn scaled(text: &str, scale: i64) -> String {
    match text.parse::<i64>() {
        Ok(number) if number >= 0 && scale != 1 => number.saturating_mul(scale).to_string(),
        _ => text.to_owned(),
    }
}

/// A layer in which nobody set anything.
pub static NOTHING_SET: ConfigMap = ConfigMap::new();

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn map(pairs: &[(&str, &str)]) -> ConfigMap {
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    fn settings(pairs: &[(&str, &str)]) -> BrokerSettings {
        let mut settings = BrokerSettings::new();
        for (name, value) in pairs {
            settings.set(name, value).unwrap();
        }
        settings
    }

    /// `value source / name=value source, …` of one topic configuration.
    #[track_caller]
    fn check(layers: ConfigLayers<'_>, own: &ConfigMap, name: &str, expect: &str) {
        let [one] = &layers.describe_topic(own, Some(&[name]))[..] else {
            panic!("one line for {name}")
        };
        let synonyms: Vec<_> = one
            .synonyms
            .iter()
            .map(|one| {
                format!(
                    "{}={} {:?}",
                    one.name,
                    one.value.as_deref().unwrap_or("null"),
                    one.source
                )
            })
            .collect();
        let found = format!(
            "{} {:?} / {}",
            one.value.as_deref().unwrap_or("null"),
            one.source,
            synonyms.join(", ")
        );
        assert_eq!(found, expect);
    }

    #[test]
    fn nearer_values_prevail() {
        let broker = map(&[("log.segment.bytes", "3000000")]);
        let cluster = map(&[("log.segment.bytes", "4000000"), ("log.retention.ms", "77")]);
        let settings = settings(&[("log.segment.bytes", "5000000"), ("log.retention.minutes", "2")]);
        let layers = ConfigLayers {
            broker: &broker,
            cluster: &cluster,
            settings: &settings,
        };
        let own = map(&[("segment.bytes", " 2000000 ")]);
        check(
            layers,
            &own,
            "segment.bytes",
            "2000000 DynamicTopic / segment.bytes=2000000 DynamicTopic, log.segment.bytes=3000000 DynamicBroker, \
             log.segment.bytes=4000000 DynamicDefaultBroker, log.segment.bytes=5000000 StaticBroker, \
             log.segment.bytes=1073741824 Default",
        );
        check(
            layers,
            &own,
            "retention.ms",
            "77 DynamicDefaultBroker / log.retention.ms=77 DynamicDefaultBroker, \
             log.retention.minutes=2 StaticBroker, log.retention.hours=168 Default",
        );
    }

    #[test]
    fn other_units_are_converted() {
        let two_minutes = settings(&[("log.retention.minutes", "2"), ("log.retention.hours", "9")]);
        let layers = ConfigLayers {
            broker: &NOTHING_SET,
            cluster: &NOTHING_SET,
            settings: &two_minutes,
        };
        check(layers, &NOTHING_SET, "retention.ms", "120000 StaticBroker / ");
        let exact = settings(&[("log.retention.ms", "7"), ("log.retention.hours", "9")]);
        check(
            ConfigLayers {
                settings: &exact,
                ..layers
            },
            &NOTHING_SET,
            "retention.ms",
            "7 StaticBroker / log.retention.ms=7 StaticBroker, log.retention.hours=9 StaticBroker, \
             log.retention.hours=168 Default",
        );
        let for_ever = settings(&[("log.retention.hours", "-1")]);
        let layers = ConfigLayers {
            settings: &for_ever,
            ..layers
        };
        check(layers, &NOTHING_SET, "retention.ms", "-1 StaticBroker / ");
    }

    #[test]
    fn defaults_are_reported_as_such() {
        let none = BrokerSettings::new();
        let layers = ConfigLayers {
            broker: &NOTHING_SET,
            cluster: &NOTHING_SET,
            settings: &none,
        };
        check(
            layers,
            &NOTHING_SET,
            "flush.messages",
            "1 Default / log.flush.interval.messages=1 Default",
        );
        check(layers, &NOTHING_SET, "remote.storage.enable", "false Default / ");
        assert_eq!(
            layers.describe_topic(&NOTHING_SET, None).len(),
            TOPIC_CONFIGS.len()
        );
        assert_eq!(layers.describe_topic(&NOTHING_SET, Some(&["nope"])), []);
        for one in layers.describe_topic(&NOTHING_SET, None) {
            let definition = find(TOPIC_CONFIGS, &one.name).unwrap();
            assert_eq!(one.value.as_deref(), definition.default, "{}", one.name);
            assert_eq!(one.source, ConfigSource::Default, "{}", one.name);
        }
    }

    #[test]
    fn what_nobody_knows_is_shown_without_its_value() {
        let cluster = map(&[("no.such", "1"), ("message.max.bytes", " 5 ")]);
        let broker = map(&[("no.such", "2"), ("other", "3")]);
        let none = BrokerSettings::new();
        let layers = ConfigLayers {
            broker: &broker,
            cluster: &cluster,
            settings: &none,
        };
        let [one] = &layers.describe_broker(Some(&["no.such"]))[..] else {
            panic!("one line")
        };
        assert_eq!(
            (one.value.as_deref(), one.sensitive, one.kind as i8),
            (None, true, 0)
        );
        let sources: Vec<_> = one.synonyms.iter().map(|synonym| synonym.source as i8).collect();
        assert_eq!((one.source as i8, sources), (2, [2, 3].to_vec()));
        let all: Vec<_> = layers.describe_cluster(None);
        let shown: Vec<_> = all
            .iter()
            .map(|one| (one.name.as_ref(), one.value.as_deref()))
            .collect();
        assert_eq!(shown, [("message.max.bytes", Some(" 5 ")), ("no.such", None)]);
        let number = layers.describe_broker(Some(&["message.max.bytes"]));
        assert_eq!(number[0].value.as_deref(), Some("5"), "what it comes to");
    }

    #[test]
    fn brokers_say_what_can_be_altered() {
        let cluster = map(&[("message.max.bytes", "5")]);
        let broker = map(&[("message.max.bytes", "6")]);
        let settings = settings(&[("node.id", "3")]);
        let layers = ConfigLayers {
            broker: &broker,
            cluster: &cluster,
            settings: &settings,
        };
        let lines = layers.describe_broker(Some(&["message.max.bytes", "node.id"]));
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (lines[0].value.as_deref(), lines[0].read_only),
            (Some("6"), false)
        );
        assert_eq!((lines[1].value.as_deref(), lines[1].read_only), (Some("3"), true));
        assert_eq!(
            layers.describe_broker(None).len(),
            BROKER_CONFIGS.len() + LACKING_CONFIGS.len()
        );
        let [line] = &layers.describe_cluster(None)[..] else {
            panic!("one value is set for all brokers")
        };
        assert_eq!(
            (line.name.as_ref(), line.value.as_deref()),
            ("message.max.bytes", Some("5"))
        );
        assert_eq!(line.source, ConfigSource::DynamicDefaultBroker);
        let names: Vec<_> = line
            .synonyms
            .iter()
            .map(|synonym| (synonym.name.as_ref(), synonym.source))
            .collect();
        assert_eq!(names, [("message.max.bytes", ConfigSource::DynamicDefaultBroker)]);
    }
}
