//! How many connections there may be, and how long one may be silent: Kafka's settings, as they are now.
//!
//! Place: read anew when an image is installed, because all of them may be altered while the broker runs; the turn
//! asks for them at each accept and each sweep.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::config::definition::counts_of_addresses;
use millstream_machine::config::effective::ConfigLayers;
use millstream_machine::config::settings::BrokerSettings;
use millstream_protocol::types::BrokerId;

use crate::limits::{CONNECTIONS_PER_ADDRESS_MAX, IDLE_DEADLINE};

/// The limits of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of all shards together (`max.connections`); what descriptors allow may be less.
    pub total: usize,
    /// From one address over all shards (`max.connections.per.ip`).
    pub per_address: usize,
    /// From these addresses (`max.connections.per.ip.overrides`).
    pub overrides: BTreeMap<IpAddr, usize>,
    /// A connection without any request for so long is closed (`connections.max.idle.ms`); `None`: it may stay.
    pub idle: Option<Duration>,
}

impl ConnectionLimits {
    /// What an image and the settings of the start say together.
    pub fn of(image: &ClusterImage, node: BrokerId, settings: &BrokerSettings) -> Self {
        let layers = image.config_layers(node, settings);
        let count = |name| usize::try_from(layers.broker_number(name)).unwrap_or(0);
        let idle_ms = u64::try_from(layers.broker_number("connections.max.idle.ms"));
        Self {
            total: count("max.connections"),
            per_address: count("max.connections.per.ip").min(CONNECTIONS_PER_ADDRESS_MAX),
            overrides: overrides(&layers),
            idle: idle_ms.ok().map(Duration::from_millis),
        }
    }
}

impl ConnectionLimits {
    /// How many there may be from this address.
    pub fn of_address(&self, address: IpAddr) -> usize {
        let own = self.overrides.get(&address.to_canonical());
        own.copied().unwrap_or(self.per_address)
    }
}

/// What is no address, but a host's name, is passed over.
fn overrides(layers: &ConfigLayers<'_>) -> BTreeMap<IpAddr, usize> {
    let text = layers.broker_text("max.connections.per.ip.overrides");
    let counts = counts_of_addresses(&text).unwrap_or_default();
    let counts = counts.into_iter().filter_map(|(address, count)| {
        let address: IpAddr = address.parse().ok()?;
        let count = usize::try_from(count).unwrap_or(0);
        Some((address.to_canonical(), count.min(CONNECTIONS_PER_ADDRESS_MAX)))
    });
    counts.collect()
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: usize::MAX,
            per_address: CONNECTIONS_PER_ADDRESS_MAX,
            overrides: BTreeMap::new(),
            idle: Some(IDLE_DEADLINE),
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_machine::cluster::record::{ConfigChange, MetadataRecord};

    use super::*;

    #[test]
    fn the_start_sets_them_and_an_alteration_prevails() {
        let node = BrokerId::new(1);
        let mut settings = BrokerSettings::new();
        let image = ClusterImage::empty();
        let defaults = ConnectionLimits::of(&image, node, &settings);
        assert_eq!(defaults.idle, Some(IDLE_DEADLINE));
        assert_eq!(defaults.per_address, CONNECTIONS_PER_ADDRESS_MAX);

        for (name, value) in [
            ("max.connections", "7"),
            ("max.connections.per.ip", "3"),
            ("connections.max.idle.ms", "-1"),
        ] {
            settings.set(name, value).unwrap();
        }
        let started = ConnectionLimits::of(&image, node, &settings);
        assert_eq!((started.total, started.per_address, started.idle), (7, 3, None));
        let exceptions = "10.0.0.1:5,a.host:9, ::1:100000";
        settings
            .set("max.connections.per.ip.overrides", exceptions)
            .unwrap();
        let excepted = ConnectionLimits::of(&image, node, &settings);
        let of = |address: &str| excepted.of_address(address.parse().unwrap());
        assert_eq!([of("10.0.0.1"), of("::ffff:10.0.0.1"), of("10.0.0.2")], [5, 5, 3]);
        assert_eq!(of("::1"), CONNECTIONS_PER_ADDRESS_MAX);

        let altered = image.apply(&[MetadataRecord::BrokerConfigChanged {
            broker: None,
            changes: vec![ConfigChange {
                name: "max.connections".to_owned(),
                value: Some("9".to_owned()),
            }],
        }]);
        assert_eq!(ConnectionLimits::of(&altered, node, &settings).total, 9);
    }
}
