//! Distinct records, each produced once: what a fetch reads.
//! Invariant: no two batches hold the same bytes, so that neither side is served by a small cache.

use std::error::Error;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use millstream_protocol::api::ApiKey;

use crate::client::admin::Admin;
use crate::client::connection::Request;
use crate::client::driver::{Load, Workload, drive};
use crate::recorder::Work;
use crate::scenario::quantity::Amount;
use crate::target::Target;
use crate::wire;

/// Create the topic, fill it unless something is in it, and return the end offset of every partition.
pub fn fill(
    target: Target,
    topic: &str,
    partitions: usize,
    bytes: u64,
    stop: &AtomicBool,
) -> Result<Vec<i64>, Box<dyn Error>> {
    let mut admin = Admin::connect(target.address)?;
    admin.create_topic(topic, partitions)?;
    let ends = admin.end_offsets(topic, partitions)?;
    if ends.iter().any(|&end| end > 0) {
        return Ok(ends);
    }
    let load = Load {
        address: target.address,
        connections: 2,
        in_flight: 4,
        rate: None,
        warmup: Duration::ZERO,
        measure: FILL_PATIENCE,
        server_pid: None,
    };
    let amount = Amount::Bytes(bytes);
    let mut workload = FillWorkload::new(topic, partitions, FILL_RECORDS, FILL_RECORD_BYTES, amount);
    drive(&load, &mut workload, stop)?;
    Ok(admin.end_offsets(topic, partitions)?)
}

/// Produces a given amount and then ends.
#[derive(Debug)]
pub struct FillWorkload {
    topic: String,
    partitions: usize,
    records_per_batch: usize,
    record_bytes: usize,
    batches_left: u64,
    seed: u64,
    batch: Work,
}

impl FillWorkload {
    /// At least this amount of whole batches, spread evenly over the partitions.
    pub fn new(
        topic: &str,
        partitions: usize,
        records_per_batch: usize,
        record_bytes: usize,
        amount: Amount,
    ) -> Self {
        let size = wire::batch(records_per_batch, record_bytes, 0).len() as u64;
        let batches = match amount {
            Amount::Bytes(bytes) => bytes.div_ceil(size),
            Amount::Records(records) => records.div_ceil(records_per_batch as u64),
        };
        FillWorkload {
            topic: topic.to_owned(),
            partitions,
            records_per_batch,
            record_bytes,
            batches_left: batches.next_multiple_of(partitions as u64),
            seed: 0,
            batch: Work {
                records: records_per_batch as u64,
                bytes: size,
            },
        }
    }
}

impl FillWorkload {
    /// Whether everything was sent.
    pub fn is_done(&self) -> bool {
        self.batches_left == 0
    }
}

impl Workload for FillWorkload {
    fn next(&mut self, _: usize, _: Instant) -> Option<Request> {
        self.batches_left = self.batches_left.checked_sub(1)?;
        self.seed += 1;
        let partition = (self.seed % self.partitions as u64) as i32;
        let batch = wire::batch(self.records_per_batch, self.record_bytes, self.seed);
        let body = wire::produce_body(&self.topic, &[(partition, &batch)], -1);
        Some(Request {
            api_key: ApiKey::Produce.code(),
            api_version: wire::PRODUCE_VERSION,
            body: body.into(),
        })
    }

    fn answer(&mut self, _: usize, payload: &[u8]) -> Result<Work, String> {
        wire::check_produce(payload, |_, _| ())?;
        Ok(self.batch)
    }
}

/// A hundred records of 1 KiB a batch: what a consumer commonly meets.
const FILL_RECORDS: usize = 100;
const FILL_RECORD_BYTES: usize = 1024;

const FILL_PATIENCE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_after_the_amount_with_as_much_in_each_partition() {
        let mut fill = FillWorkload::new("t", 4, 10, 100, Amount::Bytes(10_000));
        let bodies: Vec<_> = std::iter::from_fn(|| fill.next(0, Instant::now()))
            .map(|request| request.body)
            .collect();
        assert_eq!(bodies.len() % 4, 0);
        assert!(bodies.len() as u64 * fill.batch.bytes >= 10_000);
        let distinct: std::collections::BTreeSet<_> =
            bodies.iter().map(|body| &body[body.len() - 50..]).collect();
        assert_eq!(distinct.len(), bodies.len());
        assert!(fill.is_done());
    }

    #[test]
    fn an_amount_may_be_one_of_records() {
        let mut fill = FillWorkload::new("t", 3, 10, 100, Amount::Records(41));
        let batches = std::iter::from_fn(|| fill.next(0, Instant::now())).count();
        assert_eq!(batches, 6, "five batches, and as much in each partition");
    }
}
