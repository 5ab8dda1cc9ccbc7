//! One side's part: what it was asked, case by case, and what it answered.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use millstream_protocol::api::ApiKey;
use millstream_protocol::message::Request;
use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_protocol::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use millstream_protocol::primitive::Writer;
use millstream_tests::wire::{Connection, Reply};
use serde_json::Value;

use super::debug;
use super::normal::Normal;

/// A broker that is asked, and all that it answered.
pub struct Talk {
    address: SocketAddr,
    connection: Connection,
    /// Those of clients that wait for answers while others are asked.
    others: BTreeMap<&'static str, Connection>,
    normal: Normal,
    pub steps: Vec<Step>,
    /// The same for both sides: some hours ago, in milliseconds.
    pub then: i64,
}

/// One question and its answer.
#[derive(Debug)]
pub struct Step {
    pub api: ApiKey,
    pub version: i16,
    pub case: String,
    /// Made comparable; a text where there was none.
    pub answer: Value,
}

impl Talk {
    pub fn new(address: SocketAddr, then: i64) -> Self {
        Self {
            address,
            connection: connect(address),
            others: BTreeMap::new(),
            normal: Normal::new(address),
            steps: Vec::new(),
            then,
        }
    }

    /// Asks, and writes down what comes. `None` where the broker closes the connection instead.
    pub fn ask<R>(&mut self, case: impl Display, request: &R, version: i16) -> Option<Reply>
    where
        R: Request,
        for<'r> R::Response<'r>: Debug,
    {
        let reply = self.connection.call(request, version);
        self.write_down::<R>(case, version, reply)
    }

    /// Asks over a connection of its own, whose name is `who`, and waits for nothing.
    pub fn send<R: Request>(&mut self, who: &'static str, request: &R, version: i16) {
        let address = self.address;
        let connection = self.others.entry(who).or_insert_with(|| connect(address));
        connection.send(request, version).expect("a request can be sent");
    }

    /// Waits for the answer to what was sent over that connection.
    pub fn hear<R>(&mut self, who: &'static str, case: impl Display, version: i16) -> Option<Reply>
    where
        R: Request,
        for<'r> R::Response<'r>: Debug,
    {
        let connection = self.others.get_mut(who).expect("somebody who has asked");
        let reply = connection.receive::<R>(version);
        self.write_down::<R>(case, version, reply)
    }

    fn write_down<R>(&mut self, case: impl Display, version: i16, reply: io::Result<Reply>) -> Option<Reply>
    where
        R: Request,
        for<'r> R::Response<'r>: Debug,
    {
        let answer = match &reply {
            Ok(reply) => debug::parse(&format!("{:?}", reply.read::<R>())),
            Err(error) => self.silence(error),
        };
        self.steps.push(Step {
            api: R::API,
            version,
            case: case.to_string(),
            answer: self.normal.of(answer),
        });
        reply.ok()
    }

    /// Asks in every version that has the request's fields.
    pub fn ask_in_all<R>(&mut self, case: impl Display, request: &R)
    where
        R: Request,
        for<'r> R::Response<'r>: Debug,
    {
        let spec = R::API.spec();
        for version in spec.min..=spec.max {
            if request.encode(&mut Writer::new(), version).is_ok() {
                self.ask(&case, request, version);
            }
        }
    }

    /// Asks what is no part of the comparison.
    pub fn aside<R: Request>(&mut self, request: &R, version: i16) -> Reply {
        self.connection.call(request, version).expect("an answer")
    }

    /// Creates a topic and waits until it can be read; no part of the comparison.
    pub fn topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        self.connection.create_topic(name, partitions, configs);
        let until = Instant::now() + PATIENCE;
        while (0..partitions).any(|partition| self.earliest(name, partition) != 0) {
            assert!(Instant::now() < until, "{name} does not come to life");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a resource's config is so, which Kafka answers before it can be seen; `None` is any but one that
    /// was altered. No part of the comparison.
    pub fn until_configured(&mut self, resource: (i8, &str), name: &str, value: Option<&str>) {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.0,
                resource_name: resource.1,
                configuration_keys: Some(vec![name]),
            }],
            ..DescribeConfigsRequest::default()
        };
        let until = Instant::now() + PATIENCE;
        loop {
            let reply = self.aside(&request, 4);
            let described = reply.read::<DescribeConfigsRequest<'_>>();
            let mut configs = described.results[0].configs.iter();
            let set = configs.find(|config| !NOT_ALTERED.contains(&config.config_source));
            let is_so = match value {
                Some(_) => set.is_some_and(|config| config.is_sensitive || config.value == value),
                None => set.is_none(),
            };
            if is_so {
                break;
            }
            assert!(
                Instant::now() < until,
                "{name} of {resource:?} does not become {value:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        // What else looks at it sees it a little later.
        std::thread::sleep(Duration::from_millis(100));
    }

    /// Bytes as they are, and whether anything comes back: the answer's frame, or how the connection ended.
    pub fn raw(&mut self, api: ApiKey, case: impl Display, frame: &[u8]) {
        let answer = self.connection.raw(frame);
        let answer = match answer {
            Ok(bytes) => Value::from(bytes),
            Err(error) => self.silence(&error),
        };
        self.steps.push(Step {
            api,
            version: i16::from_be_bytes([frame[6], frame[7]]),
            case: case.to_string(),
            answer,
        });
    }

    /// No answer came: the next question goes to a new connection.
    fn silence(&mut self, error: &io::Error) -> Value {
        self.connection = connect(self.address);
        Value::from(match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "does not answer",
            _ => "closes the connection",
        })
    }

    fn earliest(&mut self, name: &str, partition_index: i32) -> i16 {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name,
                partitions: vec![ListOffsetsPartition {
                    partition_index,
                    current_leader_epoch: -1,
                    timestamp: -2,
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let reply = self.aside(&request, 5);
        reply.read::<ListOffsetsRequest<'_>>().topics[0].partitions[0].error_code
    }
}

fn connect(address: SocketAddr) -> Connection {
    Connection::open(address).expect("a connection")
}

/// Sources of configs that nobody altered while the broker ran: its file, the default.
const NOT_ALTERED: [i8; 2] = [4, 5];
const PATIENCE: Duration = Duration::from_secs(30);
