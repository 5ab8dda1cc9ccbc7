//! GetTelemetrySubscriptions: which of its metrics a client is to send, and how often (KIP-714).

use alloc::vec::Vec;

use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(GetTelemetrySubscriptions: GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse<'r>);

message! {
    pub struct GetTelemetrySubscriptionsRequest {
        /// Zero at the first time: the broker gives one.
        client_instance_id: TopicId [0..],
    }
}

message! {
    pub struct GetTelemetrySubscriptionsResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        client_instance_id: TopicId [0..],
        /// Changes with what is asked for.
        subscription_id: i32 [0..],
        /// By the ids that record batches have, the best first.
        accepted_compression_types: Vec<i8> [0..],
        push_interval_ms: i32 [0..],
        telemetry_max_bytes: i32 [0..],
        /// Whether counts are to be those since the last push, not since the start.
        delta_temporality: bool [0..],
        /// Prefixes of names; empty for none, a single empty one for all.
        requested_metrics: Vec<&'a str> [0..],
    }
}
