//! The good client that must not notice anything.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::TimestampMs;
use millstream_tests::process::Broker;
use millstream_tests::wire::{Connection, PRODUCE, Served, produce};

/// Writes to a topic of its own and reads every record back.
pub struct Bystander {
    address: SocketAddr,
    old: Connection,
    /// The next offset of each partition.
    next: [i64; PARTITIONS as usize],
}

/// What a client achieved in some time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    requests: usize,
    median: Duration,
}

impl Bystander {
    pub fn new(broker: &Broker) -> Self {
        let mut old = Connection::open(broker.address()).expect("a connection");
        old.create_topic(TOPIC, PARTITIONS, &[]);
        Self {
            address: broker.address(),
            old,
            next: [0; PARTITIONS as usize],
        }
    }

    /// A record to every partition and back, on the old connection and on a new one.
    pub fn must_be_served(&mut self, after: &str) {
        let mut fresh = Connection::open(self.address).expect("a connection");
        for partition in 0..PARTITIONS {
            let value = format!("after {after}");
            let next = &mut self.next[partition as usize];
            for connection in [&mut self.old, &mut fresh] {
                assert_eq!(write(connection, TOPIC, partition, &value), (0, *next), "{after}");
                let expected = Served {
                    offset: *next,
                    value: value.clone().into_bytes(),
                };
                assert_eq!(
                    connection.read_all(TOPIC, partition, *next),
                    [expected],
                    "{after}"
                );
                *next += 1;
            }
        }
    }

    /// One record a request, one request at a time.
    pub fn pace(&mut self, span: Duration) -> Pace {
        let until = Instant::now() + span;
        let mut took = Vec::new();
        while Instant::now() < until {
            let started = Instant::now();
            let next = &mut self.next[0];
            assert_eq!(write(&mut self.old, TOPIC, 0, "tick"), (0, *next));
            *next += 1;
            took.push(started.elapsed());
        }
        took.sort_unstable();
        Pace {
            requests: took.len(),
            median: took[took.len() / 2],
        }
    }
}

impl Pace {
    /// Within what a machine that others use as well varies by.
    pub fn must_keep_up_with(self, calm: Pace) {
        println!("{self:?}, before {calm:?}");
        assert!(self.requests * 4 >= calm.requests, "{self:?}, before {calm:?}");
        assert!(
            self.median <= calm.median * 4 + Duration::from_millis(5),
            "{self:?}, before {calm:?}"
        );
    }
}

/// A batch of one record.
pub fn batch(value: &str) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time after 1970");
    builder.push(
        TimestampMs::new(now.as_millis() as i64),
        None,
        Some(value.as_bytes()),
        &[],
    );
    builder.build()
}

/// Writes one record; the code and the offset that are answered.
pub fn write(connection: &mut Connection, topic: &str, partition: i32, value: &str) -> (i16, i64) {
    send_batch(connection, topic, partition, &batch(value))
}

/// Writes a batch as it is.
pub fn send_batch(connection: &mut Connection, topic: &str, partition: i32, batch: &[u8]) -> (i16, i64) {
    let reply = connection
        .call(&produce(topic, partition, batch, -1), PRODUCE)
        .expect("a reply");
    let response = reply.read::<ProduceRequest<'_>>();
    let answer = &response.responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

const TOPIC: &str = "bystander";
const PARTITIONS: i32 = 4;
