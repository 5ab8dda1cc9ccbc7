//! DescribeTransactions: there are none yet.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TransactionState,
};
use millstream_protocol::primitive::Reader;

use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = DescribeTransactionsRequest::decode(reader, request.to.version)?;
    let states = body
        .transactional_ids
        .iter()
        .map(|transactional_id| TransactionState {
            error_code: error(transactional_id) as i16,
            transactional_id,
            ..TransactionState::default()
        });
    let answer = DescribeTransactionsResponse {
        transaction_states: states.collect(),
        ..DescribeTransactionsResponse::default()
    };
    shard.reply(request.to, &answer);
    Ok(())
}

fn error(transactional_id: &str) -> ErrorCode {
    match transactional_id.is_empty() {
        true => ErrorCode::InvalidRequest,
        false => ErrorCode::TransactionalIdNotFound,
    }
}
