//! The configurations of a subscription to clients' metrics (KIP-714), which is a config resource of its own.
//!
//! Place: the controller checks what is altered against them, DescribeConfigs reports them,
//! [`crate::telemetry::subscriptions`] acts on them.
//!
//! Invariants: sorted by name. Names, types and defaults are Kafka's 4.3.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::definition::{ConfigDefinition, ConfigValue, Validator::*, configs, find};
use super::effective::{ConfigSource, ConfigSynonym, DescribedConfig, asked_for, described};
use super::map::ConfigMap;

configs! {
    /// Sorted by name.
    CLIENT_METRICS_CONFIGS;

    /// How often clients send the metrics, in milliseconds: 100 to 3600000. Of several subscriptions the shortest
    /// counts, and 300000 where that is longer.
    "interval.ms": Int = "300000", Anything, acted_on;

    /// Of which clients: selectors like `client_id=orders-.*`, all of which must match as a whole. There are
    /// client_instance_id, client_id, client_software_name, client_software_version, client_source_address and
    /// client_source_port. None selects every client.
    "match": List = "", Items, acted_on;

    /// Which metrics: prefixes of their names, or * for all.
    "metrics": List = "", Items, acted_on;
}

/// How often, where nobody said anything, in milliseconds; and how seldom at most.
pub const INTERVAL_MS_DEFAULT: u32 = 300_000;
/// What may be said, in milliseconds, inclusive.
pub const INTERVAL_MS_MIN: u32 = 100;
/// See [`INTERVAL_MS_MIN`].
pub const INTERVAL_MS_MAX: u32 = 3_600_000;

/// Every configuration of a subscription with `own` values, or those of `names` that exist. As in Kafka, a default is
/// no synonym here.
pub fn describe(own: &ConfigMap, names: Option<&[&str]>) -> Vec<DescribedConfig> {
    let describe_one = |definition: &ConfigDefinition| {
        let Some(value) = own.get(definition.name) else {
            let default = definition.default.map(str::to_owned);
            return described(definition, default, ConfigSource::Default, false, Vec::new());
        };
        let synonym = ConfigSynonym {
            name: definition.name.into(),
            value: Some(definition.canonical(value)),
            source: ConfigSource::DynamicClientMetrics,
        };
        described(
            definition,
            synonym.value.clone(),
            synonym.source,
            false,
            [synonym].to_vec(),
        )
    };
    asked_for(CLIENT_METRICS_CONFIGS, names)
        .map(describe_one)
        .collect()
}

/// The items of a list of a subscription, `None` where it is not set or does not read.
pub fn items(own: &ConfigMap, name: &str) -> Option<Vec<String>> {
    match find(CLIENT_METRICS_CONFIGS, name)?.parse(own.get(name)?) {
        Ok(ConfigValue::List(items)) => Some(items),
        _ => None,
    }
}

/// The interval that a subscription says, in milliseconds.
pub fn interval_ms(own: &ConfigMap) -> Option<u32> {
    let text = own.get("interval.ms")?;
    match find(CLIENT_METRICS_CONFIGS, "interval.ms")?.parse(text) {
        Ok(ConfigValue::Number(number)) => u32::try_from(number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_table_is_sorted_and_defaults_read() {
        assert!(CLIENT_METRICS_CONFIGS.is_sorted_by(|one, next| one.name < next.name));
        for definition in CLIENT_METRICS_CONFIGS {
            let default = definition.default.unwrap();
            assert_eq!(definition.parse(default).unwrap().to_text(), default);
        }
        let default = INTERVAL_MS_DEFAULT.to_string();
        assert_eq!(
            find(CLIENT_METRICS_CONFIGS, "interval.ms").unwrap().default,
            Some(default.as_str())
        );
    }

    #[test]
    fn what_is_set_is_described_and_what_is_not_by_its_default() {
        let own = [("interval.ms".to_string(), " 500 ".to_string())]
            .into_iter()
            .collect();
        let all = describe(&own, None);
        assert_eq!(all.len(), 3);
        let interval = &all[0];
        assert_eq!(interval.value.as_deref(), Some("500"));
        assert_eq!(interval.source as i8, 7);
        assert_eq!((interval.synonyms.len(), all[1].synonyms.len()), (1, 0));
        assert_eq!(
            (all[1].value.as_deref(), all[1].source),
            (Some(""), ConfigSource::Default)
        );
        assert_eq!(describe(&own, Some(&["match", "nope"])).len(), 1);
    }
}
