//! AlterConfigs: replaces what resources have configured; decided by the controller.

use millstream_protocol::error::DecodeError;
use millstream_protocol::message::alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
use millstream_protocol::primitive::Reader;

use super::admin;
use crate::controller::command::{Action, Body, Outcome};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::messages::slice_of;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let rest = slice_of(request.frame, reader.clone().into_rest());
    let body = Body::new::<AlterConfigsRequest<'_>>(&rest, request.to.version, reader)?;
    let action = Action::AlterConfigs(body.clone());
    admin::start(shard, request.to, action, move |shard, to, outcome| {
        answer(shard, to, &body, outcome);
    });
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, body: &Body, outcome: Outcome) {
    let request: AlterConfigsRequest<'_> = body.decode();
    let answers = admin::alterations(outcome, request.resources.len());
    let resources = request.resources.iter();
    let named = resources.map(|resource| (resource.resource_type, resource.resource_name));
    let response = AlterConfigsResponse {
        responses: admin::altered(named, &answers),
        ..Default::default()
    };
    shard.reply(to, &response);
}
