//! What is asked of clients' metrics: subscriptions by name, each with its configurations, and what they come to for
//! one client.
//!
//! Place: part of the cluster's image; the controller decides on them as on other configurations.
//!
//! Invariant: there is no subscription without a configuration.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::time::Duration;
use rpds::RedBlackTreeMapSync;

use super::selector::{Client, Selector};
use crate::config::client_metrics::{INTERVAL_MS_DEFAULT, interval_ms, items};
use crate::config::effective::NOTHING_SET;
use crate::config::map::ConfigMap;

/// All of them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    by_name: RedBlackTreeMapSync<Arc<str>, Arc<ConfigMap>>,
    /// The number of the metadata record that changed them last.
    changed: u64,
}

/// What one client is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// Prefixes of names in order, or a `*` alone for all; empty for none.
    pub metrics: Vec<String>,
    pub push_interval: Duration,
    /// Another one whenever the client is asked for something else.
    pub subscription_id: i32,
}

impl Subscriptions {
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn len(&self) -> usize {
        self.by_name.size()
    }

    /// In order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &ConfigMap)> {
        self.by_name
            .iter()
            .map(|(name, configs)| (name.as_ref(), configs.as_ref()))
    }

    /// What a subscription has configured: nothing where there is none of that name.
    pub fn configs(&self, name: &str) -> &ConfigMap {
        self.by_name.get(name).map_or(&NOTHING_SET, Arc::as_ref)
    }

    /// Puts a subscription in the place of the one of that name; one without configurations goes. `record` is the
    /// number of the record that says so.
    pub fn set(&mut self, name: &str, configs: ConfigMap, record: u64) {
        self.changed = record;
        match configs.is_empty() {
            true => {
                self.by_name.remove_mut(name);
            }
            false => self.by_name.insert_mut(name.into(), Arc::new(configs)),
        }
    }

    /// Larger after every change.
    pub fn version(&self) -> u64 {
        self.changed
    }

    /// Bytes of names and configurations, and of the places that they take.
    pub fn metadata_bytes(&self) -> u64 {
        let each = self
            .iter()
            .map(|(name, configs)| configs.metadata_bytes_with(name));
        each.sum()
    }

    /// What a client is asked for: everything that any subscription asks that selects it, as often as the most eager of
    /// them says, but not less often than by default.
    pub fn of_client(&self, client: &Client<'_>) -> Requested {
        let mut metrics = BTreeSet::new();
        let mut interval = INTERVAL_MS_DEFAULT;
        for (_, configs) in self.iter() {
            let selectors = items(configs, "match").unwrap_or_default();
            let mut selectors = selectors.iter();
            if selectors.all(|one| Selector::parse(one).is_ok_and(|selector| selector.matches(client))) {
                metrics.extend(items(configs, "metrics").unwrap_or_default());
                interval = interval.min(interval_ms(configs).unwrap_or(INTERVAL_MS_DEFAULT));
            }
        }
        if metrics.contains(ALL) {
            metrics = [ALL.to_string()].into();
        }
        let metrics: Vec<String> = metrics.into_iter().collect();
        Requested {
            subscription_id: subscription_id(&metrics, interval, client),
            metrics,
            push_interval: Duration::from_millis(interval.into()),
        }
    }
}

/// FNV-1a over what is asked of whom: a client that comes to another broker, or after a restart, finds the same.
fn subscription_id(metrics: &[String], interval: u32, client: &Client<'_>) -> i32 {
    let names = metrics.iter().flat_map(|name| name.bytes().chain([0xff]));
    let bytes = client.instance.get().get().into_iter();
    let all = bytes.chain(interval.to_be_bytes()).chain(names);
    let hash = all.fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.cast_signed()
}

/// What stands for all metrics.
const ALL: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing::{client, subscriptions};

    fn found(subscribed: &Subscriptions, name: &str) -> (String, u64) {
        let requested = subscribed.of_client(&client(1, name));
        (requested.metrics.join(" "), requested.push_interval.as_millis())
    }

    #[test]
    fn a_client_is_asked_for_all_that_selects_it() {
        let subscribed = subscriptions(&[
            ("everybody", &[("metrics", "a.,b."), ("interval.ms", "60000")]),
            ("some", &[("metrics", "b.,c."), ("match", "client_id=x.*")]),
            ("fast", &[("interval.ms", "100"), ("match", "client_id=xy")]),
            (
                "slow",
                &[
                    ("interval.ms", "3600000"),
                    ("metrics", "d."),
                    ("match", "client_id=z"),
                ],
            ),
            (
                "all",
                &[
                    ("metrics", "a.,*"),
                    ("match", "client_id=all,client_source_port=1"),
                ],
            ),
            (
                "not all",
                &[("metrics", "*"), ("match", "client_id=all,client_source_port=2")],
            ),
        ]);
        assert_eq!(found(&subscribed, "w"), ("a. b.".to_string(), 60_000));
        assert_eq!(found(&subscribed, "xx"), ("a. b. c.".to_string(), 60_000));
        assert_eq!(found(&subscribed, "xy"), ("a. b. c.".to_string(), 100));
        assert_eq!(found(&subscribed, "all"), ("*".to_string(), 60_000));
        let slow = subscriptions(&[("slow", &[("interval.ms", "3600000"), ("metrics", "d.")])]);
        assert_eq!(
            found(&slow, "z"),
            ("d.".to_string(), 300_000),
            "as Kafka: never beyond the default"
        );
        assert_eq!(found(&Subscriptions::default(), "w"), (String::new(), 300_000));
    }

    #[test]
    fn the_id_changes_with_what_is_asked_and_of_whom() {
        let id = |configs: &[(&str, &str)], instance| {
            let subscribed = subscriptions(&[("s", configs)]);
            subscribed.of_client(&client(instance, "c")).subscription_id
        };
        let one = id(&[("metrics", "a,b")], 1);
        assert_eq!(one, id(&[("metrics", "b,a"), ("interval.ms", "300000")], 1));
        let others = [
            id(&[("metrics", "a,b")], 2),
            id(&[("metrics", "ab")], 1),
            id(&[("metrics", "a")], 1),
            id(&[("metrics", "a,b"), ("interval.ms", "100")], 1),
            id(&[("metrics", "a,b"), ("match", "client_id=d")], 1),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(*other, one, "{at}");
        }
    }

    #[test]
    fn one_without_configurations_is_none() {
        let mut subscribed = subscriptions(&[("s", &[("metrics", "a")])]);
        let before = subscribed.version();
        assert!(subscribed.metadata_bytes() > 0);
        subscribed.set("s", ConfigMap::new(), before + 1);
        assert!(subscribed.is_empty() && subscribed.version() > before);
        assert_eq!(subscribed.metadata_bytes(), 0);
        assert!(subscribed.configs("s").is_empty());
    }
}
