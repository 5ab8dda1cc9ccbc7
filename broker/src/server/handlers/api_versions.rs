//! ApiVersions: the table, as it stands.

use millstream_protocol::api::API_TABLE;
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use millstream_protocol::primitive::Reader;
use millstream_protocol::time::Duration;

use super::features;
use crate::server::dispatch::{self, Request};
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let body = ApiVersionsRequest::decode(reader, request.to.version)?;
    let named = request.to.version < NAMES_SINCE
        || is_name(body.client_software_name) && is_name(body.client_software_version);
    if named && request.to.version >= NAMES_SINCE {
        let (name, version) = (body.client_software_name, body.client_software_version);
        shard.note_software(request.to.connection, name, version);
    }
    let error = if named {
        ErrorCode::None
    } else {
        ErrorCode::InvalidRequest
    };
    let served = API_TABLE.iter().filter(|spec| dispatch::handler(spec).is_some());
    let api_keys = served.map(|spec| ApiVersion {
        api_key: spec.key.code(),
        min_version: spec.advertised_min,
        max_version: spec.max,
    });
    let wait = shard.charge_request(request.to, Duration::ZERO);
    let mut answer = ApiVersionsResponse {
        error_code: error as i16,
        throttle_time_ms: shard.mute(request.to.connection, wait),
        ..ApiVersionsResponse::default()
    };
    if named {
        answer.api_keys = api_keys.collect();
        answer.supported_features = features::supported(request.to.version);
        answer.finalized_features = features::finalized();
        answer.finalized_features_epoch = features::FEATURES_EPOCH;
    }
    shard.reply_as_it_is(request.to, &answer, Vec::new());
    Ok(())
}

/// KIP-511: letters, digits, `-` and `.`, beginning and ending with a letter or digit.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'.';
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric)) && bytes.iter().all(inner)
}

const NAMES_SINCE: i16 = 3;

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn software_names_are_those_of_kip_511() {
        for good in [
            "librdkafka",
            "2.11.0",
            "a",
            "apache-kafka-java",
            "v1.9.2-2-g-dirty",
        ] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "ä", "a/b", "."] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
