//! IncrementalAlterConfigs: changes configurations one by one. Topics' and brokers' are decided by the controller, the
//! levels of this process's log here.

use millstream_machine::cluster::controller::Refusal;
use millstream_protocol::error::DecodeError;
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use millstream_protocol::primitive::Reader;

use super::admin;
use super::broker_logger::{self, BROKER_LOGGER};
use crate::controller::command::{Action, Body, Outcome};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::messages::slice_of;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let rest = slice_of(request.frame, reader.clone().into_rest());
    let body = Body::new::<IncrementalAlterConfigsRequest<'_>>(&rest, request.to.version, reader)?;
    let action = Action::IncrementalAlterConfigs(body.clone());
    admin::start(shard, request.to, action, move |shard, to, outcome| {
        answer(shard, to, &body, outcome);
    });
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, body: &Body, outcome: Outcome) {
    let request: IncrementalAlterConfigsRequest<'_> = body.decode();
    let mut answers = admin::alterations(outcome, request.resources.len());
    for (at, resource) in request.resources.iter().enumerate() {
        if resource.resource_type == BROKER_LOGGER && is_alone(&request.resources, resource) {
            answers[at] = alter_levels(shard, resource, request.validate_only);
        }
    }
    let resources = request.resources.iter();
    let named = resources.map(|resource| (resource.resource_type, resource.resource_name));
    let response = IncrementalAlterConfigsResponse {
        responses: admin::altered(named, &answers),
        ..Default::default()
    };
    shard.reply(to, &response);
}

/// The controller has refused a resource that is named twice, of whatever type it is.
fn is_alone(all: &[AlterConfigsResource<'_>], one: &AlterConfigsResource<'_>) -> bool {
    let same = |other: &&AlterConfigsResource<'_>| {
        (other.resource_type, other.resource_name) == (one.resource_type, one.resource_name)
    };
    all.iter().filter(same).count() == 1
}

fn alter_levels(
    shard: &Shard,
    resource: &AlterConfigsResource<'_>,
    validate_only: bool,
) -> Result<(), Refusal> {
    let changes: Vec<_> = resource
        .configs
        .iter()
        .map(|config| (config.name, config.config_operation, config.value))
        .collect();
    broker_logger::alter(
        resource.resource_name,
        shard.options.node_id,
        &changes,
        validate_only,
    )
}
