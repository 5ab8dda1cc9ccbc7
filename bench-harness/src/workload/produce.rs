//! Produce requests, built before the run and sent over and over; those that carry a sequence or the moment of their
//! sending are stamped copies.
//! Invariants: requests of one connection visit all partitions in turn; connections start at different
//! places.

use std::sync::Arc;
use std::time::Instant;

use millstream_protocol::api::ApiKey;

use crate::client::connection::Request;
use crate::client::driver::Workload;
use crate::recorder::Work;
use crate::wire;
use crate::workload::idempotent::{self, BatchPlace, Producers};
use crate::workload::send_time::SendClock;

/// What each Produce request carries.
#[derive(Clone, Copy, Debug)]
pub struct ProduceShape {
    pub partitions: usize,
    /// Bytes of each record's value; the records have no key.
    pub record_bytes: usize,
    pub records_per_batch: usize,
    /// Partitions that one request writes to, one batch each; it divides `partitions`.
    pub partitions_per_request: usize,
    pub acks: i16,
}

/// Prebuilt requests for one topic.
#[derive(Debug)]
pub struct ProduceWorkload {
    requests: Vec<Prebuilt>,
    next: Vec<usize>,
    work: Work,
    producers: Option<Producers>,
    clock: Option<SendClock>,
}

#[derive(Debug)]
struct Prebuilt {
    body: Arc<[u8]>,
    batches: Vec<BatchPlace>,
}

impl ProduceWorkload {
    /// Every request is built here; none is built while the load runs.
    pub fn new(topic: &str, shape: ProduceShape, connections: usize) -> Self {
        assert!(shape.partitions_per_request > 0 && shape.partitions >= shape.partitions_per_request);
        // A few distinct batches shared by all partitions keep the client's own memory out of the
        // measurement.
        let batches: Vec<Vec<u8>> = (0..DISTINCT_BATCHES)
            .map(|seed| wire::batch(shape.records_per_batch, shape.record_bytes, seed as u64))
            .collect();
        let requests: Vec<Prebuilt> = (0..shape.partitions / shape.partitions_per_request)
            .map(|group| {
                let first = group * shape.partitions_per_request;
                let partitions: Vec<(i32, &[u8])> = (first..first + shape.partitions_per_request)
                    .map(|partition| (partition as i32, &batches[partition % DISTINCT_BATCHES][..]))
                    .collect();
                let body = wire::produce_body(topic, &partitions, shape.acks);
                Prebuilt {
                    batches: idempotent::places(&body, &partitions),
                    body: body.into(),
                }
            })
            .collect();
        let next = (0..connections)
            .map(|connection| connection * requests.len() / connections)
            .collect();
        let work = Work {
            records: (shape.records_per_batch * shape.partitions_per_request) as u64,
            bytes: (batches[0].len() * shape.partitions_per_request) as u64,
        };
        ProduceWorkload {
            requests,
            next,
            work,
            producers: None,
            clock: None,
        }
    }

    /// Lets each connection write as an idempotent producer of its own. Their requests are copies, so the client
    /// does more for each.
    pub fn set_producers(&mut self, producers: Producers) {
        assert_eq!(producers.len(), self.next.len(), "a producer for each connection");
        self.producers = Some(producers);
    }

    /// Lets each batch say when it was meant to be sent. Their requests are copies, too.
    pub fn set_clock(&mut self, clock: SendClock) {
        self.clock = Some(clock);
    }

    /// Work of one request.
    pub fn work(&self) -> Work {
        self.work
    }
}

impl ProduceWorkload {
    fn body(&mut self, turn: usize, connection: usize, due: Instant) -> Arc<[u8]> {
        let Prebuilt { body, batches } = &self.requests[turn];
        if self.producers.is_none() && self.clock.is_none() {
            return body.clone();
        }
        let mut body: Arc<[u8]> = body[..].into();
        let bytes = Arc::get_mut(&mut body).expect("nobody else has the copy yet");
        for place in batches {
            let batch = &mut bytes[place.range()];
            let records_crc = match &self.clock {
                Some(clock) => clock.stamp(batch, due),
                None => place.records_crc,
            };
            if let Some(producers) = &mut self.producers {
                producers.stamp(connection, batch, place, records_crc);
            }
        }
        body
    }
}

impl Workload for ProduceWorkload {
    fn next(&mut self, connection: usize, due: Instant) -> Option<Request> {
        let turn = self.next[connection];
        self.next[connection] = (turn + 1) % self.requests.len();
        Some(Request {
            api_key: ApiKey::Produce.code(),
            api_version: wire::PRODUCE_VERSION,
            body: self.body(turn, connection, due),
        })
    }

    fn answer(&mut self, _: usize, payload: &[u8]) -> Result<Work, String> {
        wire::check_produce(payload, |_, _| ())?;
        Ok(self.work)
    }
}

/// Batches that differ in content; all have the same size.
const DISTINCT_BATCHES: usize = 8;
