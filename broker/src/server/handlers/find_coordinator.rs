//! FindCoordinator: where groups are kept. The first who asks has the offsets topic made.
//!
//! There is one broker, so it is the coordinator of every group, and of transactions, of which there are none yet: who
//! wants to begin one is told so by InitProducerId, and who asks about one, that it is not known. Share groups have no
//! coordinator.

use millstream_machine::cluster::internal_topic::OFFSETS_TOPIC;
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use millstream_protocol::primitive::Reader;

use super::admin;
use crate::controller::command::Action;
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = FindCoordinatorRequest::decode(reader, to.version)?;
    let keys: Vec<String> = match to.version >= BATCHED_SINCE {
        true => body
            .coordinator_keys
            .iter()
            .map(|key| (*key).to_owned())
            .collect(),
        false => vec![body.key.to_owned()],
    };
    let key_type = body.key_type;
    if key_type == GROUP && shard.offsets_topic().is_none() && !keys.is_empty() {
        let quota = shard.own_mutation_quota();
        let create = Action::AutoCreate(vec![OFFSETS_TOPIC.to_owned()], quota);
        admin::start(shard, to, create, move |shard, to, _| {
            answer(shard, to, key_type, &keys);
        });
    } else {
        answer(shard, to, key_type, &keys);
    }
    Ok(())
}

fn answer(shard: &mut Shard, to: ReplyTo, key_type: i8, keys: &[String]) {
    let error = match key_type {
        GROUP if shard.offsets_topic().is_some() => ErrorCode::None,
        GROUP => ErrorCode::CoordinatorNotAvailable,
        TRANSACTION => ErrorCode::None,
        _ => ErrorCode::InvalidRequest,
    };
    let Some(advertised) = shard.advertised(to.connection) else {
        return;
    };
    let (node_id, host, port) = match error {
        ErrorCode::None => (
            shard.options.node_id,
            advertised.host.as_str(),
            advertised.port.into(),
        ),
        _ => (-1, "", -1),
    };
    let error_message = Some(message(to.version, key_type, error));
    let coordinator = |key| Coordinator {
        key,
        node_id,
        host,
        port,
        error_code: error as i16,
        error_message,
    };
    let response = FindCoordinatorResponse {
        error_code: error as i16,
        error_message,
        node_id,
        host,
        port,
        coordinators: keys.iter().map(|key| coordinator(key)).collect(),
        ..FindCoordinatorResponse::default()
    };
    shard.reply(to, &response);
}

/// What Kafka says beside the code, which clients log.
fn message(version: i16, key_type: i8, error: ErrorCode) -> &'static str {
    match error {
        // Later versions have nothing to say where the kind of coordinator is known.
        _ if version >= BATCHED_SINCE && (GROUP..=SHARE).contains(&key_type) => "",
        ErrorCode::None => "NONE",
        ErrorCode::CoordinatorNotAvailable => "The coordinator is not available.",
        _ => {
            "This most likely occurs because of a request being malformed by the client library or the message was \
             sent to an incompatible broker. See the broker logs for more details."
        }
    }
}

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
/// From this version on many keys are asked for at once.
const BATCHED_SINCE: i16 = 4;
