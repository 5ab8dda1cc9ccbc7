//! One record a batch over a thousand partitions: what a partition costs when requests are small.

use crate::scenario::produce_pair::{Judge, ProduceScenario};
use crate::workload::produce::ProduceShape;

pub const SCENARIO: ProduceScenario = ProduceScenario {
    name: "many-partitions",
    title: "one 1 KiB record a batch, 1,000 partitions, 8 connections, 16 in flight each",
    shape: ProduceShape {
        partitions: 1000,
        record_bytes: 1024,
        records_per_batch: 1,
        partitions_per_request: 1,
        acks: -1,
    },
    connections: 8,
    in_flight: 16,
    rate: None,
    judge: Judge::Throughput { share_min: 0.25 },
};
