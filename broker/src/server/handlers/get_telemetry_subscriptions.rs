//! GetTelemetrySubscriptions: what a client is to tell of itself (KIP-714).

use millstream_machine::telemetry::ACCEPTED_COMPRESSIONS;
use millstream_protocol::error::DecodeError;
use millstream_protocol::message::Decode;
use millstream_protocol::message::get_telemetry_subscriptions::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};
use millstream_protocol::primitive::Reader;

use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = GetTelemetrySubscriptionsRequest::decode(reader, request.to.version)?;
    let asked = shard.ask_for_metrics(request.to.connection, request.client_id, body.client_instance_id);
    let answer = match &asked {
        Ok((instance, requested)) => GetTelemetrySubscriptionsResponse {
            client_instance_id: instance.get(),
            subscription_id: requested.subscription_id,
            accepted_compression_types: ACCEPTED_COMPRESSIONS.to_vec(),
            push_interval_ms: i32::try_from(requested.push_interval.as_millis()).unwrap_or(i32::MAX),
            telemetry_max_bytes: i32::try_from(shard.options.settings.number("telemetry.max.bytes"))
                .unwrap_or(i32::MAX),
            // What a client tells replaces what it told before, so it tells all since its start.
            delta_temporality: false,
            requested_metrics: requested.metrics.iter().map(String::as_str).collect(),
            ..GetTelemetrySubscriptionsResponse::default()
        },
        Err(error) => GetTelemetrySubscriptionsResponse {
            error_code: *error as i16,
            ..GetTelemetrySubscriptionsResponse::default()
        },
    };
    shard.reply(request.to, &answer);
    Ok(())
}
