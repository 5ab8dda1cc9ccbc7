//! What a fetch is answered.

use millstream_machine::fetch_session::{Answer, SessionId, Ticket, TopicKey};
use millstream_machine::quota::window::PutOff;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::Records;
use millstream_protocol::message::fetch::{
    EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use millstream_protocol::types::Offset;

use super::{FetchCall, FetchTarget, TOPIC_IDS_SINCE};
use crate::partition::fetch::FetchAnswer;
use crate::server::reply::ReplyTo;
use crate::shard::state::Shard;

/// Answers with what the last round has given.
pub fn respond(shard: &mut Shard, call: FetchCall) {
    let FetchCall {
        to,
        targets,
        mut answers,
        room: bytes_max,
        session,
        committed,
        spent,
        ..
    } = call;
    if let Some(connection) = shard.connections.get_mut(to.connection) {
        connection.waiting_call = None;
    }
    let bytes = trim(&targets, &mut answers, bytes_max);
    let time = shard.charge_request(to, spent);
    let PutOff { wait, is_put_off } = shard.charge_fetch(to, bytes, time);
    let throttle_time_ms = shard.mute(to.connection, wait);
    if is_put_off {
        put_off(shard, to, session, throttle_time_ms);
        return;
    }
    let mut responses: Vec<FetchableTopicResponse<'_>> = Vec::new();
    let mut records = Vec::new();
    let mut current: Option<&TopicKey> = None;
    for (place, target) in targets.iter().enumerate() {
        let answer = match target.piece {
            Ok(_) => answers[place].take(),
            Err(error) => Some(FetchAnswer::error(place, error)),
        };
        // A round that was given up has no answer for some.
        let mut answer = answer.unwrap_or_else(|| FetchAnswer::error(place, ErrorCode::None));
        let told = |ticket| {
            shard
                .sessions
                .answer(ticket, target.number, session_answer(&answer))
        };
        if !session.is_none_or(told) {
            continue;
        }
        if current != Some(&target.topic) {
            current = Some(&target.topic);
            responses.push(match &target.topic {
                TopicKey::Name(name) => FetchableTopicResponse {
                    topic: name,
                    ..Default::default()
                },
                TopicKey::Id(id) => FetchableTopicResponse {
                    topic_id: *id,
                    ..Default::default()
                },
            });
        }
        let topic = responses.last_mut().expect("one was pushed");
        topic.partitions.push(partition_data(target, &answer, committed));
        records.append(&mut answer.records);
    }
    let session_id = session.map_or(0, |ticket| ticket.id().get());
    let body = FetchResponse {
        throttle_time_ms,
        session_id,
        responses,
        ..FetchResponse::default()
    };
    shard.reply_as_it_is(to, &body, records);
}

/// Takes back what is more than the client wants: owners share out the limits without knowing of each other. The bytes
/// that are left.
fn trim(targets: &[FetchTarget], answers: &mut [Option<FetchAnswer>], bytes_max: usize) -> usize {
    let mut bytes = 0;
    for (target, answer) in targets.iter().zip(answers) {
        let (Ok(piece), Some(answer)) = (target.piece, answer) else {
            continue;
        };
        if bytes > 0 && answer.bytes > piece.bytes_max().min(bytes_max.saturating_sub(bytes)) {
            (answer.records, answer.bytes) = (Vec::new(), 0);
        }
        bytes += answer.bytes;
    }
    bytes
}

/// Answers who has to wait, without anything: what he asked for comes when he asks again.
fn put_off(shard: &mut Shard, to: ReplyTo, session: Option<Ticket>, throttle_time_ms: i32) {
    let session = session.and_then(|ticket| shard.sessions.put_off(ticket));
    let answer = FetchResponse {
        throttle_time_ms,
        session_id: session.map_or(0, SessionId::get),
        ..FetchResponse::default()
    };
    shard.reply_as_it_is(to, &answer, Vec::new());
}

fn session_answer(answer: &FetchAnswer) -> Answer {
    Answer {
        high_watermark: Offset::checked(answer.high_watermark).unwrap_or(Offset::ZERO),
        log_start: Offset::checked(answer.log_start).unwrap_or(Offset::ZERO),
        has_records: answer.bytes > 0,
        has_error: answer.error != ErrorCode::None || answer.diverging.is_some(),
    }
}

fn partition_data(target: &FetchTarget, answer: &FetchAnswer, committed: bool) -> PartitionData<'static> {
    let diverging_epoch = answer
        .diverging
        .map_or_else(EpochEndOffset::default, |diverging| EpochEndOffset {
            epoch: diverging.epoch.get(),
            end_offset: diverging.end_offset.get(),
        });
    PartitionData {
        partition_index: target.index,
        error_code: answer.error as i16,
        high_watermark: answer.high_watermark,
        last_stable_offset: answer.last_stable_offset,
        log_start_offset: answer.log_start,
        diverging_epoch,
        // Null from a log that was read uncommitted or could not be read.
        aborted_transactions: (target.piece.is_err() || committed && answer.error == ErrorCode::None)
            .then(Vec::new),
        records: Records::Splice(answer.bytes),
        ..PartitionData::default()
    }
}

/// Answers a request that no partition can be read for.
pub fn refuse_all(shard: &mut Shard, to: ReplyTo, body: &FetchRequest<'_>) {
    let error_code = ErrorCode::UnknownServerError as i16;
    let partition = |partition: &FetchPartition| PartitionData {
        partition_index: partition.partition,
        error_code,
        high_watermark: -1,
        aborted_transactions: Some(Vec::new()),
        records: Records::Bytes(&[]),
        ..PartitionData::default()
    };
    let topics = body.topics.iter().filter(|_| to.version < TOPIC_IDS_SINCE);
    let responses = topics.map(|topic| FetchableTopicResponse {
        topic: topic.topic,
        partitions: topic.partitions.iter().map(partition).collect(),
        ..FetchableTopicResponse::default()
    });
    let answer = FetchResponse {
        error_code,
        session_id: body.session_id,
        responses: responses.collect(),
        ..FetchResponse::default()
    };
    shard.reply(to, &answer);
}
