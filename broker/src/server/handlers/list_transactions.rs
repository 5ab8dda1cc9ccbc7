//! ListTransactions: there are none yet.

use millstream_machine::group;
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use millstream_protocol::primitive::Reader;

use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = ListTransactionsRequest::decode(reader, request.to.version)?;
    let pattern = body
        .transactional_id_pattern
        .filter(|pattern| !pattern.is_empty());
    if pattern.is_some_and(|pattern| group::check_pattern(pattern).is_err()) {
        let answer = ListTransactionsResponse {
            error_code: ErrorCode::InvalidRegularExpression as i16,
            ..ListTransactionsResponse::default()
        };
        shard.reply(request.to, &answer);
        return Ok(());
    }
    let states = body.state_filters.iter().copied();
    let answer = ListTransactionsResponse {
        unknown_state_filters: states.filter(|state| !STATES.contains(state)).collect(),
        ..ListTransactionsResponse::default()
    };
    shard.reply(request.to, &answer);
    Ok(())
}

/// What a transaction can be in.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];
