//! One record a request, one request in flight: what a request costs when it cannot be shared.

use crate::scenario::produce_pair::{Judge, ProduceScenario};
use crate::workload::produce::ProduceShape;

pub const SCENARIO: ProduceScenario = ProduceScenario {
    name: "single-record",
    title: "one 1 KiB record a request, 8 connections, one in flight each, one partition",
    shape: ProduceShape {
        partitions: 1,
        record_bytes: 1024,
        records_per_batch: 1,
        partitions_per_request: 1,
        acks: -1,
    },
    connections: 8,
    in_flight: 1,
    rate: None,
    judge: Judge::Throughput { share_min: 0.40 },
};
