//! The step from what was written to what the broker starts with: names are looked up.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::address::Address;
use super::effective::Config;
use crate::startup::{BrokerConfig, DEFAULT_NODE_ID, HostPort};

impl Config {
    /// Looks names up; may wait for the resolver.
    pub fn to_broker_config(&self) -> Result<BrokerConfig, ResolveError> {
        let mut listeners: Vec<SocketAddr> = Vec::new();
        for address in &self.listen.value {
            for found in look_up(address)? {
                // `localhost` has two addresses, and one address can be written in two ways.
                if found.port() == 0 || !listeners.contains(&found) {
                    listeners.push(found);
                }
            }
        }
        let advertised = self.advertise.as_ref().map(|set| HostPort {
            host: set.value.host.clone(),
            port: set.value.port.unwrap_or(listeners[0].port()),
        });
        if advertised.as_ref().is_some_and(|advertised| advertised.port == 0) {
            return Err(ResolveError::NoPortToAdvertise);
        }
        let node_id = NODE_ID
            .iter()
            .find_map(|name| self.broker.get(*name)?.value.parse().ok())
            .filter(|id| *id >= 0)
            .unwrap_or(DEFAULT_NODE_ID);
        Ok(BrokerConfig {
            data_dir: self.data_dir.value.clone(),
            listeners,
            advertised,
            cores: self.cores.value.clone(),
            node_id,
            memory_bytes: self.memory.as_ref().map(|set| set.value),
            free_space_bytes_min: self.free_space_min.value,
            settings: self
                .broker
                .iter()
                .map(|(name, set)| (name.clone(), set.value.clone()))
                .collect(),
        })
    }
}

impl Config {
    /// Where the tools look for a broker: what is named for them, else the broker that this configuration
    /// starts.
    pub fn broker_addresses(&self) -> Vec<String> {
        let reachable = |address: &Address| {
            let host = match address.host.as_str() {
                "0.0.0.0" => "127.0.0.1",
                "::" => "::1",
                host => host,
            };
            Address {
                host: host.to_owned(),
                port: Some(address.port_or_default()),
            }
            .to_string()
        };
        match &self.client_brokers {
            Some(set) => set.value.iter().map(reachable).collect(),
            None => self.listen.value.iter().map(reachable).collect(),
        }
    }
}

/// Why a listener has no address, or clients could be told none.
#[derive(Debug)]
pub enum ResolveError {
    Unknown {
        address: Address,
        cause: Option<io::Error>,
    },
    NoPortToAdvertise,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::Unknown {
                address,
                cause: Some(cause),
            } => {
                write!(f, "no address is known for {address}: {cause}")
            }
            ResolveError::Unknown { address, cause: None } => write!(f, "no address is known for {address}"),
            ResolveError::NoPortToAdvertise => f.write_str(
                "the listener takes any free port, so --advertise must name the port that clients use",
            ),
        }
    }
}

impl std::error::Error for ResolveError {}

fn look_up(address: &Address) -> Result<Vec<SocketAddr>, ResolveError> {
    let fail = |cause| ResolveError::Unknown {
        address: address.clone(),
        cause,
    };
    let found: Vec<SocketAddr> = (address.host.as_str(), address.port_or_default())
        .to_socket_addrs()
        .map_err(|error| fail(Some(error)))?
        .collect();
    if found.is_empty() {
        Err(fail(None))
    } else {
        Ok(found)
    }
}

/// Kafka's names of the node id, the one that prevails first.
const NODE_ID: [&str; 2] = ["node.id", "broker.id"];

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::super::source::{Raw, Sources};
    use super::*;

    fn resolve(flags: &[(Key, &str)], settings: &[&str]) -> Result<BrokerConfig, ResolveError> {
        let flags = flags
            .iter()
            .map(|(key, value)| (*key, Raw::Text((*value).to_owned())))
            .collect();
        let broker_flags = settings.iter().map(|pair| (*pair).to_owned()).collect();
        Config::load(&Sources {
            flags,
            broker_flags,
            ..Sources::default()
        })
        .unwrap()
        .to_broker_config()
    }

    #[test]
    fn listeners_are_looked_up_and_none_stands_twice() {
        let config = resolve(&[(Key::Listen, "127.0.0.1:9093,[::1]:9093,[0:0::1]:9093")], &[]).unwrap();
        assert_eq!(
            config.listeners,
            ["127.0.0.1:9093".parse().unwrap(), "[::1]:9093".parse().unwrap()]
        );
        assert_eq!((config.advertised, config.node_id), (None, 1));
        let two_free_ports = resolve(&[(Key::Listen, "127.0.0.1:0, [::1]:0")], &["node.id=7"]).unwrap();
        assert_eq!((two_free_ports.listeners.len(), two_free_ports.node_id), (2, 7));
        assert_eq!(resolve(&[], &["broker.id=3"]).unwrap().node_id, 3);
        assert_eq!(resolve(&[], &["broker.id=3", "node.id=4"]).unwrap().node_id, 4);
    }

    #[test]
    fn an_advertised_host_without_a_port_takes_the_first_listeners() {
        let flags = [(Key::Listen, "0.0.0.0:19092"), (Key::Advertise, "b.example")];
        let advertised = resolve(&flags, &[]).unwrap().advertised.unwrap();
        assert_eq!(
            advertised,
            HostPort {
                host: "b.example".to_owned(),
                port: 19092
            }
        );
        let any_port = [(Key::Listen, "0.0.0.0:0"), (Key::Advertise, "b.example")];
        assert!(matches!(
            resolve(&any_port, &[]),
            Err(ResolveError::NoPortToAdvertise)
        ));
    }

    #[test]
    fn tools_find_the_broker_that_is_named_or_configured() {
        let addresses = |flags: &[(Key, &str)]| {
            let flags = flags
                .iter()
                .map(|(key, value)| (*key, Raw::Text((*value).to_owned())))
                .collect();
            Config::load(&Sources {
                flags,
                ..Sources::default()
            })
            .unwrap()
            .broker_addresses()
        };
        assert_eq!(addresses(&[]), ["127.0.0.1:9092"]);
        assert_eq!(
            addresses(&[(Key::Listen, "0.0.0.0:1,[::]:2")]),
            ["127.0.0.1:1", "[::1]:2"]
        );
        let named = [(Key::Listen, "0.0.0.0:1"), (Key::ClientBrokers, "a,b:2")];
        assert_eq!(addresses(&named), ["a:9092", "b:2"]);
    }

    #[test]
    fn a_name_nobody_knows_is_an_error_that_names_it() {
        let error = resolve(&[(Key::Listen, "no-such-host.invalid:1")], &[]).unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid:1"));
    }
}
