//! AlterClientQuotas: sets how much clients may ask for, and takes it back. The controller decides.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityData, EntryResult,
};
use millstream_protocol::primitive::Reader;

use super::admin;
use crate::controller::command::{Action, Body, Outcome};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::messages::slice_of;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let rest = slice_of(request.frame, reader.clone().into_rest());
    let body = Body::new::<AlterClientQuotasRequest<'_>>(&rest, request.to.version, reader)?;
    let action = Action::AlterClientQuotas(body.clone());
    admin::start(shard, request.to, action, move |shard, to, outcome| {
        answer(shard, to, &body, outcome);
    });
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, body: &Body, outcome: Outcome) {
    let request: AlterClientQuotasRequest<'_> = body.decode();
    let answers = admin::alterations(outcome, request.entries.len());
    let entries = request.entries.iter().zip(&answers).map(|(entry, answer)| {
        let refusal = answer.as_ref().err();
        let parts = entry.entity.iter().map(|part| EntityData {
            entity_type: part.entity_type,
            entity_name: part.entity_name,
        });
        EntryResult {
            error_code: refusal.map_or(ErrorCode::None, |refusal| refusal.code) as i16,
            error_message: refusal.and_then(admin::message),
            entity: parts.collect(),
        }
    });
    let response = AlterClientQuotasResponse {
        entries: entries.collect(),
        ..AlterClientQuotasResponse::default()
    };
    shard.reply(to, &response);
}
