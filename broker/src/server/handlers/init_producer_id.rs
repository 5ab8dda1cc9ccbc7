//! InitProducerId: an id for an idempotent producer, out of the shard's block.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use millstream_protocol::primitive::Reader;

use super::admin;
use crate::controller::command::{Action, Outcome};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = InitProducerIdRequest::decode(reader, request.to.version)?;
    if let Some(transactional_id) = body.transactional_id {
        // There are no transactions yet: a code that no client retries.
        let error = match transactional_id {
            "" => ErrorCode::InvalidRequest,
            _ => ErrorCode::TransactionalIdAuthorizationFailed,
        };
        refuse(shard, request.to, error);
        return Ok(());
    }
    if (body.producer_id == -1) != (body.producer_epoch == -1) {
        refuse(shard, request.to, ErrorCode::InvalidRequest);
        return Ok(());
    }
    match shard.producer_ids.next() {
        Some(id) => give(shard, request.to, id),
        None => admin::start(
            shard,
            request.to,
            Action::ProducerIds,
            |shard, to, outcome| match outcome {
                Outcome::ProducerIds { first, count } => {
                    // Several requests may have asked: the rest of the last block stays.
                    shard.producer_ids = first.get()..first.get() + i64::from(count);
                    let id = shard.producer_ids.next().expect("a block is not empty");
                    give(shard, to, id);
                }
                _ => refuse(shard, to, ErrorCode::CoordinatorNotAvailable),
            },
        ),
    }
    Ok(())
}

fn give(shard: &mut Shard, to: ReplyTo, producer_id: i64) {
    shard.reply(
        to,
        &InitProducerIdResponse {
            producer_id,
            ..InitProducerIdResponse::default()
        },
    );
}

fn refuse(shard: &mut Shard, to: ReplyTo, error: ErrorCode) {
    let answer = InitProducerIdResponse {
        error_code: error as i16,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    };
    shard.reply(to, &answer);
}
