//! InitProducerId: an id for an idempotent or transactional producer.

use super::schema::{exchange, message};

exchange!(InitProducerId: InitProducerIdRequest<'a>, InitProducerIdResponse);

message! {
    pub struct InitProducerIdRequest<'a> {
        /// Null for a producer that is only idempotent.
        transactional_id: Option<&'a str> [0..],
        transaction_timeout_ms: i32 [0..],
        /// The id to be bumped; -1 for a new one.
        producer_id: i64 [3..] default(-1),
        /// The epoch that goes with it; -1 for a new id.
        producer_epoch: i16 [3..] default(-1),
    }
}

message! {
    pub struct InitProducerIdResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        producer_id: i64 [0..] default(-1),
        producer_epoch: i16 [0..],
    }
}
