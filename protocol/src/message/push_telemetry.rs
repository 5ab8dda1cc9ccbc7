//! PushTelemetry: a client's metrics, as OpenTelemetry's bytes (KIP-714).

use super::schema::{exchange, message};
use crate::types::TopicId;

exchange!(PushTelemetry: PushTelemetryRequest<'a>, PushTelemetryResponse);

message! {
    pub struct PushTelemetryRequest<'a> {
        client_instance_id: TopicId [0..],
        subscription_id: i32 [0..],
        /// It is the last time.
        terminating: bool [0..],
        /// By the id that record batches have.
        compression_type: i8 [0..],
        /// OpenTelemetry's `MetricsData`, compressed.
        metrics: &'a [u8] [0..],
    }
}

message! {
    pub struct PushTelemetryResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
    }
}
