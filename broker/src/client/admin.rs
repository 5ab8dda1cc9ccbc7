//! What administrators ask of a cluster, each request with one topic, so that a refusal is one error.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millstream_protocol::message::create_partitions::CreatePartitionsTopic;
use millstream_protocol::message::create_topics::{CreatableTopic, CreatableTopicConfig};
use millstream_protocol::message::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use millstream_protocol::message::delete_topics::DeleteTopicState;
use millstream_protocol::message::describe_configs::DescribeConfigsResource;
use millstream_protocol::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use millstream_protocol::message::list_offsets::{
    EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsTopic,
};
use millstream_protocol::message::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListOffsetsRequest,
};

use serde::de::DeserializeOwned;

use super::cluster::Cluster;
use super::connection::Connection;
use super::error::ClientError;
use crate::shard::client_metrics::{CLIENT_METRICS, ClientMetrics, MeasuredClient};
use crate::shard::health::{HEALTH, ShardHealth};

/// A topic that is to be created.
#[derive(Debug, Default)]
pub struct NewTopic<'a> {
    pub name: &'a str,
    /// `None` leaves it to the broker.
    pub partitions: Option<i32>,
    pub replication_factor: Option<i16>,
    pub configs: &'a [(String, String)],
    /// Only check whether it could be.
    pub dry_run: bool,
}

/// One config of whoever has some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` where it has no value, or a secret one.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub read_only: bool,
    pub sensitive: bool,
    pub documentation: Option<String>,
}

/// Where a config's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    Topic,
    DynamicBroker,
    DynamicCluster,
    Static,
    Default,
    ClientMetrics,
    Group,
    Other(i8),
}

/// What has configs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigOwner<'a> {
    Topic(&'a str),
    Broker(i32),
    AllBrokers,
    /// A subscription to clients' metrics.
    ClientMetrics(&'a str),
    Group(&'a str),
}

/// A partition's readable range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset that is there, inclusive.
    pub start: i64,
    /// Exclusive.
    pub end: i64,
}

impl Cluster {
    pub fn create_topic(&mut self, topic: &NewTopic<'_>) -> Result<(), ClientError> {
        let configs = topic.configs.iter().map(|(name, value)| CreatableTopicConfig {
            name,
            value: Some(value),
        });
        let creatable = CreatableTopic {
            name: topic.name,
            num_partitions: topic.partitions.unwrap_or(-1),
            replication_factor: topic.replication_factor.unwrap_or(-1),
            assignments: Vec::new(),
            configs: configs.collect(),
        };
        let request = CreateTopicsRequest {
            topics: vec![creatable],
            timeout_ms: millis(self.timeout()),
            validate_only: topic.dry_run,
        };
        let reply = self.any().call(&request)?;
        let response = reply.read()?;
        let answers = response
            .topics
            .iter()
            .map(|topic| (topic.error_code, topic.error_message));
        all_done(format!("creating the topic `{}`", topic.name), answers)
    }

    pub fn delete_topic(&mut self, name: &str) -> Result<(), ClientError> {
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some(name),
                ..DeleteTopicState::default()
            }],
            topic_names: vec![name],
            timeout_ms: millis(self.timeout()),
        };
        let reply = self.any().call(&request)?;
        let response = reply.read()?;
        let answers = response
            .responses
            .iter()
            .map(|topic| (topic.error_code, topic.error_message));
        all_done(format!("deleting the topic `{name}`"), answers)
    }

    /// `count` is how many there shall be in all.
    pub fn grow_topic(&mut self, name: &str, count: i32, dry_run: bool) -> Result<(), ClientError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name,
                count,
                assignments: None,
            }],
            timeout_ms: millis(self.timeout()),
            validate_only: dry_run,
        };
        let reply = self.any().call(&request)?;
        let response = reply.read()?;
        let answers = response
            .results
            .iter()
            .map(|topic| (topic.error_code, topic.error_message));
        all_done(format!("adding partitions to `{name}`"), answers)
    }

    /// `None` as a value goes back to the default.
    pub fn alter_configs(
        &mut self,
        owner: ConfigOwner<'_>,
        changes: &[(String, Option<String>)],
        dry_run: bool,
    ) -> Result<(), ClientError> {
        let configs = changes.iter().map(|(name, value)| AlterableConfig {
            name,
            config_operation: i8::from(value.is_none()),
            value: value.as_deref(),
        });
        let (resource_type, resource_name) = owner.to_wire();
        let resource = AlterConfigsResource {
            resource_type,
            resource_name: &resource_name,
            configs: configs.collect(),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource],
            validate_only: dry_run,
        };
        let reply = self.of(owner)?.call(&request)?;
        let response = reply.read()?;
        let answers = response
            .responses
            .iter()
            .map(|resource| (resource.error_code, resource.error_message));
        all_done(format!("changing the configs of {owner}"), answers)
    }

    /// By name.
    pub fn configs(&mut self, owner: ConfigOwner<'_>) -> Result<Vec<ConfigEntry>, ClientError> {
        let (resource_type, resource_name) = owner.to_wire();
        let resource = DescribeConfigsResource {
            resource_type,
            resource_name: &resource_name,
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: false,
            include_documentation: true,
        };
        let reply = self.of(owner)?.call(&request)?;
        let response = reply.read()?;
        let answers = response
            .results
            .iter()
            .map(|result| (result.error_code, result.error_message));
        all_done(format!("reading the configs of {owner}"), answers)?;
        let configs = response.results.iter().flat_map(|result| &result.configs);
        let mut entries: Vec<ConfigEntry> = configs
            .map(|config| ConfigEntry {
                name: config.name.to_owned(),
                value: config.value.map(str::to_owned),
                source: ConfigSource::from_wire(config.config_source),
                read_only: config.read_only,
                sensitive: config.is_sensitive,
                documentation: config.documentation.map(str::to_owned),
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Who answers for configs: a broker for its own, anybody for the others.
    fn of(&mut self, owner: ConfigOwner<'_>) -> Result<&mut Connection, ClientError> {
        match owner {
            ConfigOwner::Broker(id) => self.connection(id),
            _ => Ok(self.any()),
        }
    }

    /// The shards of a broker that are not well; `None` of one that is not Millstream's.
    pub fn health(&mut self, broker: i32) -> Result<Option<Vec<ShardHealth>>, ClientError> {
        self.told(broker, HEALTH)
    }

    /// The clients that a broker knows to push metrics; none of one that is not Millstream's.
    pub fn measured_clients(&mut self, broker: i32) -> Result<Vec<MeasuredClient>, ClientError> {
        Ok(self.told(broker, CLIENT_METRICS)?.unwrap_or_default())
    }

    /// What a client told a broker last.
    pub fn client_metrics(
        &mut self,
        broker: i32,
        client_instance_id: &str,
    ) -> Result<Option<ClientMetrics>, ClientError> {
        self.told(broker, &format!("{CLIENT_METRICS}.{client_instance_id}"))
    }

    /// What a broker of Millstream's tells under a config's name that only it knows.
    fn told<T: DeserializeOwned>(&mut self, broker: i32, name: &str) -> Result<Option<T>, ClientError> {
        let resource = DescribeConfigsResource {
            resource_type: RESOURCE_BROKER,
            resource_name: &broker.to_string(),
            configuration_keys: Some(vec![name]),
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: false,
            include_documentation: false,
        };
        let reply = self.connection(broker)?.call(&request)?;
        let response = reply.read()?;
        let mut configs = response.results.iter().flat_map(|result| &result.configs);
        let told = configs.find(|config| config.name == name);
        let told = told.and_then(|config| config.value);
        Ok(told.and_then(|told| serde_json::from_str(told).ok()))
    }

    /// Moves the start of partitions to the given offsets; gives the starts as they are then.
    pub fn delete_records(
        &mut self,
        topic: &str,
        before: &BTreeMap<i32, i64>,
    ) -> Result<BTreeMap<i32, i64>, ClientError> {
        let mut starts = BTreeMap::new();
        for (&partition, &offset) in before {
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic {
                    name: topic,
                    partitions: vec![DeleteRecordsPartition {
                        partition_index: partition,
                        offset,
                    }],
                }],
                timeout_ms: millis(self.timeout()),
            };
            let reply = self.leader_connection(topic, partition)?.call(&request)?;
            let response = reply.read()?;
            let answered = response.topics.iter().flat_map(|topic| &topic.partitions);
            for answer in answered {
                if answer.error_code != 0 {
                    let what = format!("trimming {topic}-{partition} before {offset}");
                    return Err(ClientError::refused(what, answer.error_code, None));
                }
                starts.insert(answer.partition_index, answer.low_watermark);
            }
        }
        Ok(starts)
    }

    /// The end is the high watermark.
    pub fn watermarks(
        &mut self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, Watermarks>, ClientError> {
        let starts = self.list_offsets(topic, partitions, EARLIEST_TIMESTAMP)?;
        let ends = self.list_offsets(topic, partitions, LATEST_TIMESTAMP)?;
        let both = starts.into_iter().filter_map(|(partition, start)| {
            let marks = Watermarks {
                start: start?,
                end: ends.get(&partition).copied().flatten()?,
            };
            Some((partition, marks))
        });
        Ok(both.collect())
    }

    /// The offset of the first record of at least this time; `None` where there is none.
    pub fn offsets_at(
        &mut self,
        topic: &str,
        partitions: &[i32],
        millis: i64,
    ) -> Result<BTreeMap<i32, Option<i64>>, ClientError> {
        self.list_offsets(topic, partitions, millis.max(0))
    }

    fn list_offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        timestamp: i64,
    ) -> Result<BTreeMap<i32, Option<i64>>, ClientError> {
        let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for &partition_index in partitions {
            let leader = self.leader(topic, partition_index)?;
            let wanted = ListOffsetsPartition {
                partition_index,
                current_leader_epoch: -1,
                timestamp,
            };
            by_leader.entry(leader).or_default().push(wanted);
        }
        let mut found = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let request = ListOffsetsRequest {
                replica_id: -1,
                isolation_level: 0,
                topics: vec![ListOffsetsTopic {
                    name: topic,
                    partitions,
                }],
                timeout_ms: millis(self.timeout()),
            };
            let reply = self.connection(leader)?.call(&request)?;
            let response = reply.read()?;
            for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
                if answer.error_code != 0 {
                    let what = format!("the offsets of {topic}-{}", answer.partition_index);
                    return Err(ClientError::refused(what, answer.error_code, None));
                }
                found.insert(
                    answer.partition_index,
                    (answer.offset >= 0).then_some(answer.offset),
                );
            }
        }
        Ok(found)
    }
}

impl ConfigOwner<'_> {
    fn to_wire(self) -> (i8, String) {
        match self {
            ConfigOwner::Topic(name) => (RESOURCE_TOPIC, name.to_owned()),
            ConfigOwner::Broker(id) => (RESOURCE_BROKER, id.to_string()),
            ConfigOwner::AllBrokers => (RESOURCE_BROKER, String::new()),
            ConfigOwner::ClientMetrics(name) => (RESOURCE_CLIENT_METRICS, name.to_owned()),
            ConfigOwner::Group(name) => (RESOURCE_GROUP, name.to_owned()),
        }
    }
}

impl fmt::Display for ConfigOwner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigOwner::Topic(name) => write!(f, "the topic `{name}`"),
            ConfigOwner::Broker(id) => write!(f, "the broker {id}"),
            ConfigOwner::AllBrokers => f.write_str("all brokers"),
            ConfigOwner::ClientMetrics(name) => write!(f, "the subscription `{name}`"),
            ConfigOwner::Group(name) => write!(f, "the group `{name}`"),
        }
    }
}

impl ConfigSource {
    pub fn name(self) -> &'static str {
        match self {
            ConfigSource::Topic => "topic",
            ConfigSource::DynamicBroker => "broker",
            ConfigSource::DynamicCluster => "cluster",
            ConfigSource::Static => "file",
            ConfigSource::Default => "default",
            ConfigSource::ClientMetrics => "subscription",
            ConfigSource::Group => "group",
            ConfigSource::Other(_) => "other",
        }
    }

    fn from_wire(source: i8) -> ConfigSource {
        match source {
            1 => ConfigSource::Topic,
            2 => ConfigSource::DynamicBroker,
            3 => ConfigSource::DynamicCluster,
            4 => ConfigSource::Static,
            5 => ConfigSource::Default,
            7 => ConfigSource::ClientMetrics,
            8 => ConfigSource::Group,
            other => ConfigSource::Other(other),
        }
    }
}

/// The first answer that is an error.
pub(super) fn all_done<'a>(
    what: String,
    answers: impl Iterator<Item = (i16, Option<&'a str>)>,
) -> Result<(), ClientError> {
    for (code, message) in answers {
        if code != 0 {
            return Err(ClientError::refused(what, code, message));
        }
    }
    Ok(())
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// DescribeConfigs' number for topics.
const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_BROKER: i8 = 4;
const RESOURCE_CLIENT_METRICS: i8 = 16;
const RESOURCE_GROUP: i8 = 32;
