//! Small records in full batches: what a record costs when nothing else is scarce.

use crate::scenario::produce_pair::{Judge, ProduceScenario};
use crate::workload::produce::ProduceShape;

pub const SCENARIO: ProduceScenario = ProduceScenario {
    name: "small-records",
    title: "100-byte records, 1000 a batch, 8 connections, 8 partitions",
    shape: ProduceShape {
        partitions: 8,
        record_bytes: 100,
        records_per_batch: 1000,
        partitions_per_request: 1,
        acks: -1,
    },
    connections: 8,
    in_flight: 5,
    rate: None,
    judge: Judge::Throughput { share_min: 0.40 },
};
