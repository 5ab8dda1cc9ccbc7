//! The cluster as one client sees it: which brokers there are, which leads what, and a connection to each.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::MetadataRequest;
use millstream_protocol::message::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use millstream_protocol::types::TopicId;

use super::RETRY_PAUSE;
use super::connection::Connection;
use super::error::ClientError;

/// Knows the brokers it was given and those that they name.
#[derive(Debug)]
pub struct Cluster {
    /// The connection that metadata is asked on.
    seed: Connection,
    /// As they were given.
    bootstrap: Vec<String>,
    nodes: BTreeMap<i32, Node>,
    connections: BTreeMap<i32, Connection>,
    topics: BTreeMap<String, Topic>,
    pub cluster_id: Option<String>,
    pub controller_id: Option<i32>,
    timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: i32,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub id: TopicId,
    pub internal: bool,
    /// By index, from 0 without gaps.
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub index: i32,
    pub leader: Option<i32>,
    pub leader_epoch: Option<i32>,
    pub replicas: Vec<i32>,
    pub in_sync: Vec<i32>,
}

impl Cluster {
    /// Connects to the first of `brokers` (`HOST:PORT`) that answers. `timeout` holds for each connection
    /// attempt and each request.
    pub fn connect(brokers: &[String], timeout: Duration) -> Result<Cluster, ClientError> {
        let mut cluster = Cluster {
            seed: open_any(brokers, timeout)?,
            bootstrap: brokers.to_vec(),
            nodes: BTreeMap::new(),
            connections: BTreeMap::new(),
            topics: BTreeMap::new(),
            cluster_id: None,
            controller_id: None,
            timeout,
        };
        cluster.ask(Some(Vec::new()), false)?;
        Ok(cluster)
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// For what any broker answers.
    pub fn any(&mut self) -> &mut Connection {
        &mut self.seed
    }

    /// Every topic, sorted by name.
    pub fn all_topics(&mut self) -> Result<Vec<Topic>, ClientError> {
        self.ask(None, false)?;
        Ok(self.topics.values().cloned().collect())
    }

    /// One topic as it is now. `create`: the broker may create it, if its configuration allows that.
    pub fn topic(&mut self, name: &str, create: bool) -> Result<Topic, ClientError> {
        let mut patience = RETRIES;
        loop {
            let wanted = MetadataRequestTopic {
                name: Some(name),
                ..MetadataRequestTopic::default()
            };
            match self.ask(Some(vec![wanted]), create) {
                Ok(()) => break,
                // A topic that is just being created has no leader yet.
                Err(error) if error.is_retriable() && create && patience > 0 => {
                    patience -= 1;
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(ClientError::Refused { code, .. })
                    if code == ErrorCode::UnknownTopicOrPartition.code() =>
                {
                    return Err(ClientError::UnknownTopic {
                        topic: name.to_owned(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        self.topics
            .get(name)
            .cloned()
            .ok_or_else(|| ClientError::UnknownTopic {
                topic: name.to_owned(),
            })
    }

    /// The leader's id, from what is known; [`Self::topic`] brings it up to date.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<i32, ClientError> {
        let known = self.topics.get(topic).ok_or_else(|| ClientError::UnknownTopic {
            topic: topic.to_owned(),
        })?;
        let found = usize::try_from(partition)
            .ok()
            .and_then(|index| known.partitions.get(index));
        let found = found.ok_or_else(|| ClientError::UnknownPartition {
            topic: topic.to_owned(),
            partition,
            count: known.partitions.len(),
        })?;
        found.leader.ok_or_else(|| ClientError::NoLeader {
            topic: topic.to_owned(),
            partition,
        })
    }

    /// A connection to a broker by its id.
    pub fn connection(&mut self, node: i32) -> Result<&mut Connection, ClientError> {
        if !self.connections.contains_key(&node) {
            let known = self.nodes.get(&node).ok_or_else(|| ClientError::NotKafka {
                broker: self.seed.broker().to_owned(),
                what: format!("it names a leader {node} without an address"),
            })?;
            let connection = Connection::open(&known.address(), self.timeout)?;
            self.connections.insert(node, connection);
        }
        Ok(self.connections.get_mut(&node).expect("it was just put there"))
    }

    /// A connection to a partition's leader.
    pub fn leader_connection(&mut self, topic: &str, partition: i32) -> Result<&mut Connection, ClientError> {
        let leader = self.leader(topic, partition)?;
        self.connection(leader)
    }

    /// Forgets a connection that broke.
    pub fn drop_connection(&mut self, node: i32) {
        self.connections.remove(&node);
    }

    /// Asks for topics (`None` is all) and remembers the answer.
    fn ask(
        &mut self,
        topics: Option<Vec<MetadataRequestTopic<'_>>>,
        create: bool,
    ) -> Result<(), ClientError> {
        let all = topics.is_none();
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: create,
            ..MetadataRequest::default()
        };
        let reply = match self.seed.call(&request) {
            Err(ClientError::Broken { .. }) => {
                // Its broker went away: another may be there, or the same one again.
                self.reopen_seed()?;
                self.seed.call(&request)?
            }
            other => other?,
        };
        let response = reply.read()?;
        if response.error_code != 0 {
            return Err(ClientError::refused(
                "the cluster's metadata",
                response.error_code,
                None,
            ));
        }
        self.nodes = response
            .brokers
            .iter()
            .filter_map(Node::from_wire)
            .map(|node| (node.id, node))
            .collect();
        self.cluster_id = response.cluster_id.map(str::to_owned);
        self.controller_id = (response.controller_id >= 0).then_some(response.controller_id);
        if all {
            self.topics.clear();
        }
        for topic in &response.topics {
            let name = topic.name.unwrap_or_default();
            if topic.error_code != 0 {
                return Err(ClientError::refused(
                    format!("the topic `{name}`"),
                    topic.error_code,
                    None,
                ));
            }
            self.topics.insert(name.to_owned(), Topic::from_wire(topic));
        }
        Ok(())
    }
}

impl Cluster {
    fn reopen_seed(&mut self) -> Result<(), ClientError> {
        let mut brokers = self.bootstrap.clone();
        let known = self
            .nodes
            .values()
            .map(Node::address)
            .filter(|address| !self.bootstrap.contains(address));
        brokers.extend(known);
        self.seed = open_any(&brokers, self.timeout)?;
        Ok(())
    }
}

/// The first that answers.
fn open_any(brokers: &[String], timeout: Duration) -> Result<Connection, ClientError> {
    let mut tried = Vec::new();
    for broker in brokers {
        match Connection::open(broker, timeout) {
            Ok(connection) => return Ok(connection),
            Err(ClientError::NoBroker { tried: reasons }) => tried.extend(reasons),
            Err(error) if brokers.len() == 1 => return Err(error),
            Err(error) => tried.push((broker.clone(), std::io::Error::other(error.to_string()))),
        }
    }
    Err(ClientError::NoBroker { tried })
}

impl Node {
    /// HOST:PORT, an IPv6 address in brackets.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn from_wire(
        broker: &millstream_protocol::message::metadata::MetadataResponseBroker<'_>,
    ) -> Option<Node> {
        Some(Node {
            id: broker.node_id,
            host: broker.host.to_owned(),
            port: u16::try_from(broker.port).ok()?,
            rack: broker.rack.map(str::to_owned),
        })
    }
}

impl Topic {
    fn from_wire(topic: &MetadataResponseTopic<'_>) -> Topic {
        let known = |id: i32| (id >= 0).then_some(id);
        let mut partitions: Vec<Partition> = topic
            .partitions
            .iter()
            .map(|partition| Partition {
                index: partition.partition_index,
                leader: known(partition.leader_id),
                leader_epoch: known(partition.leader_epoch),
                replicas: partition.replica_nodes.clone(),
                in_sync: partition.isr_nodes.clone(),
            })
            .collect();
        partitions.sort_unstable_by_key(|partition| partition.index);
        let name = topic.name.unwrap_or_default().to_owned();
        Topic {
            name,
            id: topic.topic_id,
            internal: topic.is_internal,
            partitions,
        }
    }
}

const RETRIES: u32 = 20;
