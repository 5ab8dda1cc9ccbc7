//! Versions that are not served: answered where the client can read the answer, else the connection closes.

use millstream_machine::partition::produce::Acks;
use millstream_protocol::api::ApiKey;
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::header::RequestHeader;
use millstream_protocol::message::Decode;
use millstream_protocol::message::api_versions::{ApiVersion, ApiVersionsResponse};
use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::primitive::Reader;
use millstream_ring::Slice;

use super::produce;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, to: ReplyTo, frame: &Slice) -> Result<(), DecodeError> {
    match to.spec.key {
        // Produce 0 to 2: old librdkafka looks for them in the claimed range. It never sends them; others may.
        ApiKey::Produce if to.spec.claims(to.version) => {
            let mut reader = Reader::new(frame);
            RequestHeader::decode(&mut reader)?;
            let body = ProduceRequest::decode(&mut reader, to.version)?;
            let acks = Acks::from_wire(body.acks).unwrap_or(Acks::All);
            produce::refuse_all(shard, to, acks, &body, ErrorCode::UnsupportedVersion);
        }
        // KIP-511: the oldest body, with this API alone, so that any client can read it and try again.
        ApiKey::ApiVersions => {
            let range = ApiVersion {
                api_key: to.spec.key.code(),
                min_version: to.spec.advertised_min,
                max_version: to.spec.max,
            };
            let body = ApiVersionsResponse {
                error_code: ErrorCode::UnsupportedVersion as i16,
                api_keys: vec![range],
                ..ApiVersionsResponse::default()
            };
            shard.reply(ReplyTo { version: 0, ..to }, &body);
        }
        _ => {
            if let Some(connection) = shard.connections.get(to.connection) {
                let peer = connection.peer;
                let (name, min, max) = (to.spec.name, to.spec.min, to.spec.max);
                shard.complain(format_args!(
                    "closing {peer}: {name} version {} is not served, only {min} to {max}",
                    to.version
                ));
            }
            shard.finish_silently(to, true);
        }
    }
    Ok(())
}
