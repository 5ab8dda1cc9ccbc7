//! A steady 50 MB/s, far below what the machine can do: what an acknowledgement costs in time.

use crate::scenario::produce_pair::{Judge, ProduceScenario};
use crate::workload::produce::ProduceShape;

pub const SCENARIO: ProduceScenario = ProduceScenario {
    name: "steady-rate",
    title: "1 KiB records, 100 a batch, 50 MB/s, open loop",
    shape: ProduceShape {
        partitions: 8,
        record_bytes: 1024,
        records_per_batch: 100,
        partitions_per_request: 1,
        acks: -1,
    },
    connections: 8,
    in_flight: 5,
    rate: Some(50e6),
    judge: Judge::Latency {
        p50_max: 2.0,
        p99_max: 3.0,
    },
};
