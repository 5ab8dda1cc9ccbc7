//! A topic's configuration as numbers, for those who act on it.
//!
//! Place: the shell resolves it when the topic's image or the broker's configurations change, and hands its
//! parts to the log, to [`crate::partition::produce`] and to the acknowledgements.

use alloc::string::String;

use millstream_protocol::record::batch::TimestampType;

use super::definition::{ConfigDefinition, ConfigValue, find};
use super::effective::{ConfigLayers, ConfigSource};
use super::map::ConfigMap;
use super::topic::TOPIC_CONFIGS;

/// Every limit is inclusive. Made by [`ConfigLayers::topic_config`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    pub segment_bytes: u32,
    pub segment_ms: u64,
    /// `None` where no segment is deleted for its age: no limit, or a policy that does not delete.
    pub retention_ms: Option<u64>,
    /// Bytes of a partition; `None` where no segment is deleted for the partition's size.
    pub retention_bytes: Option<u64>,
    /// Whether keys are kept to their last record: records without a key are refused.
    pub compact: bool,
    /// Bytes of a batch as it is sent.
    pub max_message_bytes: u32,
    /// Records that may be acknowledged before they are flushed, plus one: 1 is none.
    pub flush_messages: u64,
    /// The longest time that an acknowledged record stays unflushed; `None` is no limit.
    pub flush_ms: Option<u64>,
    pub timestamp_type: TimestampType,
    pub timestamp_before_max_ms: u64,
    pub timestamp_after_max_ms: u64,
    pub min_insync_replicas: u32,
}

impl TopicConfig {
    /// Whether records may be acknowledged and read before they are flushed.
    pub fn relaxes_flushing(&self) -> bool {
        self.flush_messages > 1
    }
}

impl ConfigLayers<'_> {
    /// Resolves a topic with `own` values. A value that does not read, which only another version can have
    /// written, counts as not set.
    pub fn topic_config(&self, own: &ConfigMap) -> TopicConfig {
        let resolver = Resolver { layers: self, own };
        let (policies, _) = resolver.value("cleanup.policy");
        let ConfigValue::List(policies) = policies else {
            unreachable!("cleanup.policy is a list")
        };
        let has_policy = |name: &str| policies.iter().any(|policy| policy == name);
        let limit = |name| {
            if has_policy("delete") {
                u64::try_from(resolver.number(name)).ok()
            } else {
                None
            }
        };
        let flush_ms = Some(resolver.natural("flush.ms")).filter(|&ms| ms < i64::MAX as u64);
        TopicConfig {
            segment_bytes: resolver.natural_32("segment.bytes"),
            segment_ms: resolver.natural("segment.ms"),
            retention_ms: limit("retention.ms"),
            retention_bytes: limit("retention.bytes"),
            compact: has_policy("compact"),
            max_message_bytes: resolver.natural_32("max.message.bytes"),
            flush_messages: resolver.flush_messages(flush_ms),
            flush_ms,
            timestamp_type: resolver.timestamp_type(),
            timestamp_before_max_ms: resolver.natural("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: resolver.natural("message.timestamp.after.max.ms"),
            min_insync_replicas: resolver.natural_32("min.insync.replicas"),
        }
    }
}

struct Resolver<'a> {
    layers: &'a ConfigLayers<'a>,
    own: &'a ConfigMap,
}

impl Resolver<'_> {
    fn value(&self, name: &str) -> (ConfigValue, ConfigSource) {
        let definition = find(TOPIC_CONFIGS, name).expect("a topic configuration");
        let read = |(text, source): (String, ConfigSource)| Some((definition.parse(&text).ok()?, source));
        self.layers
            .topic_value(definition, self.own)
            .and_then(read)
            .unwrap_or_else(|| (default_of(definition), ConfigSource::Default))
    }

    fn number(&self, name: &str) -> i64 {
        match self.value(name) {
            (ConfigValue::Number(number), _) => number,
            (other, _) => unreachable!("{name} is a number and not {other:?}"),
        }
    }

    fn natural(&self, name: &str) -> u64 {
        u64::try_from(self.number(name)).expect("its validator keeps it at 0 or more")
    }

    fn natural_32(&self, name: &str) -> u32 {
        u32::try_from(self.number(name)).expect("an INT that its validator keeps at 0 or more")
    }

    /// Asking for `flush.ms` alone would mean nothing if the default of `flush.messages` went on flushing
    /// every record.
    fn flush_messages(&self, flush_ms: Option<u64>) -> u64 {
        match self.value("flush.messages") {
            (_, ConfigSource::Default) if flush_ms.is_some() => u64::MAX,
            _ => self.natural("flush.messages"),
        }
    }

    fn timestamp_type(&self) -> TimestampType {
        match self.value("message.timestamp.type") {
            (ConfigValue::Text(text), _) if text == "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        }
    }
}

fn default_of(definition: &ConfigDefinition) -> ConfigValue {
    let default = definition
        .default
        .expect("every topic configuration has a default");
    definition.parse(default).expect("defaults read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::effective::NOTHING_SET;
    use crate::config::settings::BrokerSettings;
    use std::string::ToString;

    fn resolve(settings: &[(&str, &str)], own: &[(&str, &str)]) -> TopicConfig {
        let mut broker = BrokerSettings::new();
        for (name, value) in settings {
            broker.set(name, value).unwrap();
        }
        let own = own
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        ConfigLayers {
            broker: &NOTHING_SET,
            cluster: &NOTHING_SET,
            settings: &broker,
        }
        .topic_config(&own)
    }

    #[test]
    fn by_default_everything_is_flushed_and_kept_for_a_week() {
        let expect = TopicConfig {
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            compact: false,
            max_message_bytes: 1_048_588,
            flush_messages: 1,
            flush_ms: None,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX as u64,
            timestamp_after_max_ms: 3_600_000,
            min_insync_replicas: 1,
        };
        assert_eq!(resolve(&[], &[]), expect);
        assert!(!expect.relaxes_flushing());
    }

    #[test]
    fn only_a_policy_that_deletes_has_retention() {
        let kept = resolve(&[], &[("cleanup.policy", "compact"), ("retention.bytes", "10")]);
        assert_eq!(
            (kept.compact, kept.retention_ms, kept.retention_bytes),
            (true, None, None)
        );
        let both = resolve(
            &[],
            &[("cleanup.policy", "compact,delete"), ("retention.ms", "10")],
        );
        assert_eq!((both.compact, both.retention_ms), (true, Some(10)));
        assert_eq!(resolve(&[], &[("retention.ms", "-1")]).retention_ms, None);
    }

    #[test]
    fn flushing_is_relaxed_only_where_somebody_said_so() {
        let flushing = |settings, own| {
            let config = resolve(settings, own);
            (config.flush_messages, config.flush_ms, config.relaxes_flushing())
        };
        assert_eq!(flushing(&[], &[("flush.messages", "10")]), (10, None, true));
        assert_eq!(
            flushing(&[], &[("flush.ms", "1000")]),
            (u64::MAX, Some(1000), true)
        );
        assert_eq!(
            flushing(&[("log.flush.interval.ms", "5")], &[]),
            (u64::MAX, Some(5), true)
        );
        assert_eq!(
            flushing(&[], &[("flush.ms", "1000"), ("flush.messages", "1")]),
            (1, Some(1000), false)
        );
    }

    #[test]
    fn values_that_do_not_read_count_as_not_set() {
        assert_eq!(resolve(&[], &[("segment.bytes", "many")]), resolve(&[], &[]));
    }
}
