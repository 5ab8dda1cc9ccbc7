//! What has configurations, as requests name it.
//!
//! Place: [`super::alter_configs`] decides on these, the shell describes and lists them.

use alloc::format;
use alloc::string::{String, ToString};

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::BrokerId;

use super::controller::{Refusal, refuse};

/// One thing that has configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource<'a> {
    Topic(&'a str),
    /// `None` is all brokers.
    Broker(Option<BrokerId>),
    /// A subscription to clients' metrics, by its name.
    ClientMetrics(&'a str),
    Group(&'a str),
}

impl<'a> ConfigResource<'a> {
    /// Reads a resource as DescribeConfigs and both kinds of alteration name it; `broker` is the one there
    /// is.
    pub fn from_wire(resource_type: i8, name: &'a str, broker: BrokerId) -> Result<Self, Refusal> {
        let invalid = |message: String| refuse(ErrorCode::InvalidRequest, message);
        match (resource_type, name) {
            (TOPIC, "") => Err(invalid("Default topic resources are not allowed.".to_string())),
            (TOPIC, name) => Ok(ConfigResource::Topic(name)),
            (BROKER, "") => Ok(ConfigResource::Broker(None)),
            (BROKER, name) => match name.parse::<i32>() {
                Ok(id) if id == broker.get() => Ok(ConfigResource::Broker(Some(broker))),
                Ok(id) => Err(invalid(format!(
                    "Unexpected broker id, expected {broker}, but received {id}"
                ))),
                Err(_) => Err(invalid(format!("Node id must be an integer, but it is: {name}"))),
            },
            (CLIENT_METRICS, "") => Err(invalid(
                "Client metrics subscription name must not be empty".to_string(),
            )),
            (GROUP, "") => Err(invalid("Default group resources are not allowed.".to_string())),
            (GROUP, name) => Ok(ConfigResource::Group(name)),
            (CLIENT_METRICS, name) => Ok(ConfigResource::ClientMetrics(name)),
            _ => Err(invalid(format!("Unknown resource type {resource_type}"))),
        }
    }
}

/// The resource types, as on the wire.
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;
