//! PushTelemetry: what a client tells of itself (KIP-714).

use millstream_machine::telemetry::{ClientInstanceId, Push};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::push_telemetry::{PushTelemetryRequest, PushTelemetryResponse};
use millstream_protocol::primitive::Reader;

use crate::server::dispatch::Request;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = PushTelemetryRequest::decode(reader, request.to.version)?;
    let push = Push {
        subscription_id: body.subscription_id,
        terminating: body.terminating,
        compression: body.compression_type,
        bytes: body.metrics.len(),
        bytes_max: usize::try_from(shard.options.settings.number("telemetry.max.bytes")).unwrap_or(0),
    };
    let instance = ClientInstanceId::new(body.client_instance_id);
    let taken = shard.take_metrics(
        request.to.connection,
        request.client_id,
        instance,
        &push,
        body.metrics,
    );
    let answer = PushTelemetryResponse {
        error_code: taken.err().unwrap_or(ErrorCode::None) as i16,
        ..PushTelemetryResponse::default()
    };
    shard.reply(request.to, &answer);
    Ok(())
}
