//! The client that behaves: one record written and read back at a time, each timed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use millstream_protocol::message::fetch::FetchRequest;
use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::TimestampMs;
use millstream_tests::wire::{Connection, FETCH, PRODUCE, fetch, produce};

pub struct Bystander {
    connection: Connection,
    batch: Vec<u8>,
    next: i64,
}

/// What it found in some time.
pub struct Latencies {
    pub produce: Sorted,
    pub fetch: Sorted,
}

/// Durations in order; at least one.
pub struct Sorted(Vec<Duration>);

impl Bystander {
    pub fn new(address: SocketAddr) -> Self {
        let mut connection = Connection::open(address).expect("a connection");
        connection.create_topic(TOPIC, 1, &[]);
        Self {
            connection,
            batch: batch(&[0x61; 100]),
            next: 0,
        }
    }

    /// Writes and reads for so long; panics where anything but its own next record comes.
    pub fn observe(&mut self, span: Duration) -> Latencies {
        let until = Instant::now() + span;
        let (mut produced, mut fetched) = (Vec::new(), Vec::new());
        while Instant::now() < until || produced.is_empty() {
            let started = Instant::now();
            let reply = self
                .connection
                .call(&produce(TOPIC, 0, &self.batch, -1), PRODUCE)
                .expect("an answer");
            produced.push(started.elapsed());
            let response = reply.read::<ProduceRequest<'_>>();
            let answer = &response.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.base_offset), (0, self.next));
            fetched.push(self.read_back());
            self.next += 1;
        }
        Latencies {
            produce: Sorted::of(produced),
            fetch: Sorted::of(fetched),
        }
    }

    fn read_back(&mut self) -> Duration {
        let request = FetchRequest {
            max_wait_ms: 30_000,
            ..fetch(TOPIC, 0, self.next)
        };
        let started = Instant::now();
        let reply = self.connection.call(&request, FETCH).expect("an answer");
        let took = started.elapsed();
        let response = reply.read::<FetchRequest<'_>>();
        let data = &response.responses[0].partitions[0];
        assert_eq!((data.error_code, data.high_watermark), (0, self.next + 1));
        took
    }
}

impl Sorted {
    fn of(mut spans: Vec<Duration>) -> Self {
        spans.sort_unstable();
        Self(spans)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    /// 99 of a hundred are faster.
    pub fn late(&self) -> Duration {
        self.0[self.0.len() * 99 / 100]
    }
}

/// A batch of one record with this value.
pub fn batch(value: &[u8]) -> Vec<u8> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time after 1970");
    BatchBuilder::new()
        .record(TimestampMs::new(now.as_millis() as i64), None, Some(value), &[])
        .build()
}

const TOPIC: &str = "bystander";
