//! Answers of the real process, case by case, held to what Kafka 4.3.1 answered to the same requests.
//!
//! The expected values are constants. With MILLSTREAM_TESTS_ADDRESS=HOST:PORT the same cases go to the broker there
//! instead: that is how they were found, and how they are compared with another Kafka. What only our broker answers
//! is left out then.

mod admin;
mod groups;
mod reads;
mod writes;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millstream_protocol::message::init_producer_id::InitProducerIdRequest;
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::{TimestampMs, TopicId};
use millstream_tests::process::Broker;
use millstream_tests::wire::{Connection, produce};

/// Who is asked, and where the answers differed.
struct Asked {
    /// `None` for a broker that somebody else started.
    broker: Option<Broker>,
    address: SocketAddr,
    /// Told apart from the topics of other tests and other runs.
    suffix: String,
    differences: Vec<String>,
}

impl Asked {
    fn new(test: &str) -> Self {
        let other = std::env::var("MILLSTREAM_TESTS_ADDRESS").ok();
        let other: Option<SocketAddr> = other.map(|text| text.parse().expect("HOST:PORT"));
        let broker = other
            .is_none()
            .then(|| Broker::start(&["--cores", "1", "--set", NO_DELAY]));
        Self {
            address: other.unwrap_or_else(|| broker.as_ref().expect("started").address()),
            broker,
            suffix: format!("{test}-{}", std::process::id()),
            differences: Vec::new(),
        }
    }

    fn is_ours(&self) -> bool {
        self.broker.is_some()
    }

    fn connect(&self) -> Connection {
        Connection::open(self.address).expect("a connection")
    }

    /// Creates a topic and returns its full name.
    fn topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
        let name = format!("{name}-{}", self.suffix);
        self.connect().create_topic(&name, partitions, configs);
        if !self.is_ours() {
            // Kafka answers before the topic's leader knows of it.
            std::thread::sleep(Duration::from_secs(1));
        }
        name
    }

    fn check<T: PartialEq + Debug>(&mut self, case: impl Debug, found: T, kafka: T) {
        if found != kafka {
            self.differences
                .push(format!("{case:?}: {found:?}, Kafka {kafka:?}"));
        }
    }

    fn finish(self) {
        assert!(self.differences.is_empty(), "\n{}", self.differences.join("\n"));
    }
}

/// Produces one batch; the error and the base offset.
fn put(connection: &mut Connection, topic: &str, partition: i32, batch: &[u8]) -> (i16, i64) {
    send(connection, &produce(topic, partition, batch, -1), 8)
}

fn send(connection: &mut Connection, request: &ProduceRequest<'_>, version: i16) -> (i16, i64) {
    let reply = connection.call(request, version).expect("a reply");
    let response = reply.read::<ProduceRequest<'_>>();
    let partition = &response.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

/// A batch of records with these times.
fn batch(times: &[i64]) -> BatchBuilder {
    times.iter().fold(BatchBuilder::new(), |batch, time| {
        batch.record(TimestampMs::new(*time), None, Some(b"value"), &[])
    })
}

fn topic_id(connection: &mut Connection, name: &str) -> TopicId {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let reply = connection.call(&request, 12).expect("a reply");
    reply.read::<MetadataRequest<'_>>().topics[0].topic_id
}

/// A producer id with epoch 0.
fn new_producer(connection: &mut Connection) -> i64 {
    let request = InitProducerIdRequest::default();
    loop {
        let reply = connection.call(&request, 4).expect("a reply");
        let answer = reply.read::<InitProducerIdRequest<'_>>();
        if answer.error_code == 0 {
            return answer.producer_id;
        }
        // A broker that just started has no block of ids yet.
        assert_eq!(answer.error_code, COORDINATOR_LOAD_IN_PROGRESS);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("before the end of time")
}

/// Groups need not wait for members that do not come.
const NO_DELAY: &str = "group.initial.rebalance.delay.ms=0";
const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
