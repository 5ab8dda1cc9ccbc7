//! How many connections there may be, and how long one may be silent: Kafka's settings, as they are now.
//!
//! Place: read anew when an image is installed, because all of them may be altered while the broker runs; the turn
//! asks for them at each accept and each sweep.

use std::time::Duration;

use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::config::settings::BrokerSettings;
use millstream_protocol::types::BrokerId;

use crate::limits::{CONNECTIONS_PER_ADDRESS_MAX, IDLE_DEADLINE};

/// The limits of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Of all shards together (`max.connections`); what descriptors allow may be less.
    pub total: usize,
    /// From one address over all shards (`max.connections.per.ip`).
    pub per_address: usize,
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
            idle: idle_ms.ok().map(Duration::from_millis),
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: usize::MAX,
            per_address: CONNECTIONS_PER_ADDRESS_MAX,
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
