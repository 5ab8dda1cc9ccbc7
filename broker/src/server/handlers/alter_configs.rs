//! AlterConfigs: replaces what resources have configured; decided by the controller.

use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
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
    let body = Body::new::<AlterConfigsRequest<'_>>(&rest, request.to.version)?;
    admin::start(
        shard,
        request.to,
        Action::AlterConfigs(body.clone()),
        move |shard, to, outcome| {
            answer(shard, to, &body, outcome);
        },
    );
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, body: &Body, outcome: Outcome) {
    let request: AlterConfigsRequest<'_> = body.decode();
    let answers = match outcome {
        Outcome::Altered(answers) => answers,
        _ => request
            .resources
            .iter()
            .map(|_| Err(admin::unavailable()))
            .collect(),
    };
    let responses =
        request
            .resources
            .iter()
            .zip(&answers)
            .map(|(resource, answer)| AlterConfigsResourceResponse {
                error_code: answer
                    .as_ref()
                    .err()
                    .map_or(ErrorCode::None, |refusal| refusal.code) as i16,
                error_message: answer.as_ref().err().and_then(admin::message),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
            });
    shard.reply(
        to,
        &AlterConfigsResponse {
            responses: responses.collect(),
            ..Default::default()
        },
    );
}
