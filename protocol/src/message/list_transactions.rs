//! ListTransactions: the transactional ids that this broker coordinates (KIP-664).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(ListTransactions: ListTransactionsRequest<'a>, ListTransactionsResponse<'r>);

message! {
    pub struct ListTransactionsRequest<'a> {
        /// Empty for all.
        state_filters: Vec<&'a str> [0..],
        /// Empty for all.
        producer_id_filters: Vec<i64> [0..],
        /// Only those that run longer than so many milliseconds; below 0 for all.
        duration_filter: i64 [1..] default(-1),
        /// Only those that this regular expression matches; null or empty for all.
        transactional_id_pattern: Option<&'a str> [2..],
    }
}

message! {
    pub struct ListTransactionsResponse<'a> {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        /// Those asked for that no transaction can be in.
        unknown_state_filters: Vec<&'a str> [0..],
        transaction_states: Vec<TransactionState<'a>> [0..],
    }
}

message! {
    pub struct TransactionState<'a> {
        transactional_id: &'a str [0..],
        producer_id: i64 [0..],
        transaction_state: &'a str [0..],
    }
}
