//! Half a megabyte a batch: what a byte costs.

use crate::scenario::produce_pair::{Judge, ProduceScenario};
use crate::workload::produce::ProduceShape;

pub const SCENARIO: ProduceScenario = ProduceScenario {
    name: "large-batches",
    title: "1 KiB records, 500 a batch, 8 connections, 8 partitions",
    shape: ProduceShape {
        partitions: 8,
        record_bytes: 1024,
        records_per_batch: 500,
        partitions_per_request: 1,
        acks: -1,
    },
    connections: 8,
    in_flight: 5,
    rate: None,
    judge: Judge::Throughput { share_min: 0.60 },
};
