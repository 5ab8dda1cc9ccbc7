//! DescribeTransactions: the state of transactional ids that this broker coordinates (KIP-664).

use alloc::vec::Vec;

use super::schema::{exchange, message};

exchange!(DescribeTransactions: DescribeTransactionsRequest<'a>, DescribeTransactionsResponse<'r>);

message! {
    pub struct DescribeTransactionsRequest<'a> {
        transactional_ids: Vec<&'a str> [0..],
    }
}

message! {
    pub struct DescribeTransactionsResponse<'a> {
        throttle_time_ms: i32 [0..],
        transaction_states: Vec<TransactionState<'a>> [0..],
    }
}

message! {
    pub struct TransactionState<'a> {
        error_code: i16 [0..],
        transactional_id: &'a str [0..],
        transaction_state: &'a str [0..],
        transaction_timeout_ms: i32 [0..],
        transaction_start_time_ms: i64 [0..],
        producer_id: i64 [0..],
        producer_epoch: i16 [0..],
        /// The partitions of the transaction that is under way.
        topics: Vec<TopicData<'a>> [0..],
    }
}

message! {
    pub struct TopicData<'a> {
        topic: &'a str [0..],
        partitions: Vec<i32> [0..],
    }
}
