//! Kafka's names for what this broker runs with, so that DescribeConfigs tells it.
//!
//! Place: after the addresses are bound. Here these settings are keys of their own (`listen`, `data_dir`, …), and
//! nothing reads them under Kafka's names but tools.

use std::net::SocketAddr;

use millstream_machine::config::settings::BrokerSettings;

use super::config::{BrokerConfig, HostPort};

/// `settings` with the addresses, the directory and the node id added.
pub fn describe(mut settings: BrokerSettings, config: &BrokerConfig, bound: &[SocketAddr]) -> BrokerSettings {
    let listening = bound.iter().map(|address| HostPort {
        host: address.ip().to_string(),
        port: address.port(),
    });
    set(&mut settings, "listeners", &endpoints(listening));
    let mut advertised: Vec<HostPort> = Vec::new();
    for address in bound.iter().filter_map(|bound| config.advertised_for(*bound)) {
        if !advertised.contains(&address) {
            advertised.push(address);
        }
    }
    // Who listens everywhere and was given no name is told to each client as the client reached it: no list says that.
    if !advertised.is_empty() {
        set(
            &mut settings,
            "advertised.listeners",
            &endpoints(advertised.into_iter()),
        );
    }
    let folder = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    for name in ["log.dir", "log.dirs"] {
        set(&mut settings, name, &folder.to_string_lossy());
    }
    for name in ["broker.id", "node.id"] {
        set(&mut settings, name, &config.node_id.to_string());
    }
    settings
}

fn set(settings: &mut BrokerSettings, name: &str, value: &str) {
    settings.set(name, value).expect("a value of that setting's kind");
}

fn endpoints(addresses: impl Iterator<Item = HostPort>) -> String {
    let endpoints: Vec<String> = addresses
        .map(|address| format!("PLAINTEXT://{address}"))
        .collect();
    endpoints.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(listeners: &[&str], advertised: Option<(&str, u16)>) -> BrokerSettings {
        let bound: Vec<SocketAddr> = listeners.iter().map(|text| text.parse().unwrap()).collect();
        let config = BrokerConfig {
            data_dir: "/data/of mine".into(),
            advertised: advertised.map(|(host, port)| HostPort {
                host: host.to_owned(),
                port,
            }),
            node_id: 7,
            ..BrokerConfig::default()
        };
        describe(BrokerSettings::new(), &config, &bound)
    }

    #[test]
    fn the_running_configuration_has_kafkas_names() {
        let settings = described(&["127.0.0.1:1", "[::1]:2"], None);
        let both = "PLAINTEXT://127.0.0.1:1,PLAINTEXT://[::1]:2";
        for (name, value) in [
            ("listeners", both),
            ("advertised.listeners", both),
            ("log.dir", "/data/of mine"),
            ("log.dirs", "/data/of mine"),
            ("broker.id", "7"),
            ("node.id", "7"),
        ] {
            assert_eq!(settings.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn one_name_for_all_listeners_is_listed_once() {
        let settings = described(&["0.0.0.0:1", "127.0.0.1:1"], Some(("b.example", 3)));
        assert_eq!(
            settings.get("advertised.listeners"),
            Some("PLAINTEXT://b.example:3")
        );
        assert_eq!(described(&["0.0.0.0:1"], None).get("advertised.listeners"), None);
    }
}
