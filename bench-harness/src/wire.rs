//! The few Kafka messages that a load needs, as bytes.
//! Invariant: a request's body starts right after the correlation id, and so does an answer's payload.

use std::time::SystemTime;

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::{DecodeError, EncodeError, ErrorCode};
use millstream_protocol::header::{RequestHeader, encode_response_header};
use millstream_protocol::message::fetch::{FetchPartition, FetchTopic};
use millstream_protocol::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use millstream_protocol::message::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData, TopicProduceResponse,
};
use millstream_protocol::message::{
    Decode, Encode, FetchRequest, OffsetCommitRequest, ProduceRequest, ProduceResponse, Records, Request,
};
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::record::error::BatchError;
use millstream_protocol::types::{CorrelationId, TimestampMs};

/// The versions that the load speaks: old enough for every broker, and without compact lengths to decode.
pub const PRODUCE_VERSION: i16 = 7;
pub const FETCH_VERSION: i16 = 11;
pub const OFFSET_COMMIT_VERSION: i16 = 7;

/// A batch of `records` records of this moment, without keys, with values of `record_bytes` bytes that differ
/// for each `seed`.
pub fn batch(records: usize, record_bytes: usize, seed: u64) -> Vec<u8> {
    // Any old time would do but for retention, which would delete what has just been produced.
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    batch_at(
        TimestampMs::new(now.as_millis() as i64),
        records,
        record_bytes,
        seed,
    )
}

fn batch_at(timestamp: TimestampMs, records: usize, record_bytes: usize, seed: u64) -> Vec<u8> {
    let mut noise = Noise::new(seed);
    let mut value = vec![0; record_bytes];
    let mut builder = BatchBuilder::new();
    for _ in 0..records {
        noise.fill(&mut value);
        builder.push(timestamp, None, Some(&value), &[]);
    }
    builder.build()
}

/// All of a request but length, key, version and correlation id.
pub fn body<R: Request>(request: &R, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new();
    let header = RequestHeader {
        api_key: R::API.code(),
        api_version: version,
        correlation_id: CorrelationId::new(0),
        client_id: Some(CLIENT_ID),
    };
    header.encode(&mut writer, R::API.spec())?;
    request.encode(&mut writer, version)?;
    Ok(writer.bytes()[BEFORE_BODY..].to_vec())
}

/// An answer from its payload, whole.
pub fn answer<'a, R: Request>(payload: &'a [u8], version: i16) -> Result<R::Response<'a>, DecodeError> {
    let mut reader = Reader::new(payload);
    if R::API != ApiKey::ApiVersions && R::API.spec().is_flexible(version) {
        reader.skip_tagged_fields()?;
    }
    let response = R::Response::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(response)
}

/// A Produce request for one topic, one batch for each partition named.
pub fn produce_body(topic: &str, batches: &[(i32, &[u8])], acks: i16) -> Vec<u8> {
    let partition = |&(index, records)| PartitionProduceData {
        index,
        records: Some(records),
    };
    let request = ProduceRequest {
        acks,
        timeout_ms: REQUEST_TIMEOUT_MS,
        topic_data: vec![TopicProduceData {
            name: topic,
            partition_data: batches.iter().map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    body(&request, PRODUCE_VERSION).expect("a request of our own fits the protocol")
}

/// Visit every partition of a Produce answer with its base offset. An error of any partition is an error of
/// all.
pub fn check_produce(payload: &[u8], mut visit: impl FnMut(i32, i64)) -> Result<(), String> {
    let response =
        answer::<ProduceRequest<'_>>(payload, PRODUCE_VERSION).map_err(|error| error.to_string())?;
    for partition in response
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
    {
        check_code("Produce", partition.index, partition.error_code)?;
        visit(partition.index, partition.base_offset);
    }
    Ok(())
}

/// A Fetch request outside any session: partition and offset each.
pub fn fetch_body(topic: &str, wanted: &[(i32, i64)], partition_bytes: i32) -> Vec<u8> {
    let partition = |&(partition, fetch_offset)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: partition_bytes,
        ..Default::default()
    };
    let request = FetchRequest {
        max_wait_ms: FETCH_WAIT_MS,
        min_bytes: 1,
        max_bytes: i32::MAX,
        topics: vec![FetchTopic {
            topic,
            partitions: wanted.iter().map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    body(&request, FETCH_VERSION).expect("a request of our own fits the protocol")
}

/// Visit the records of every partition of a Fetch answer.
pub fn check_fetch(
    payload: &[u8],
    mut visit: impl FnMut(i32, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let response = answer::<FetchRequest<'_>>(payload, FETCH_VERSION).map_err(|error| error.to_string())?;
    check_code("Fetch", -1, response.error_code)?;
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        check_code("Fetch", partition.partition_index, partition.error_code)?;
        if let Records::Bytes(bytes) = partition.records {
            visit(partition.partition_index, bytes)?;
        }
    }
    Ok(())
}

/// An OffsetCommit of the partitions below `partitions`, all at one offset, by nobody who is a member.
pub fn commit_body(group: &str, topic: &str, partitions: i32, offset: i64) -> Vec<u8> {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: group,
        topics: vec![OffsetCommitRequestTopic {
            name: topic,
            partitions: (0..partitions).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    body(&request, OFFSET_COMMIT_VERSION).expect("a request of our own fits the protocol")
}

/// How many offsets an OffsetCommit answer says were committed. An error of any of them is an error of all.
pub fn check_commit(payload: &[u8]) -> Result<i32, String> {
    let response = answer::<OffsetCommitRequest<'_>>(payload, OFFSET_COMMIT_VERSION)
        .map_err(|error| error.to_string())?;
    let mut committed = 0;
    for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
        check_code("OffsetCommit", partition.partition_index, partition.error_code)?;
        committed += 1;
    }
    Ok(committed)
}

/// Visit every whole batch after checking its CRC. A last batch that was cut short by a size limit is left
/// out.
pub fn check_batches(mut bytes: &[u8], mut visit: impl FnMut(&BatchView<'_>)) -> Result<(), String> {
    while !bytes.is_empty() {
        let (batch, rest) = match BatchView::parse(bytes) {
            Ok(parsed) => parsed,
            Err(BatchError::Truncated) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        batch
            .verify_crc()
            .map_err(|error| format!("batch at offset {}: {error}", batch.base_offset().get()))?;
        visit(&batch);
        bytes = rest;
    }
    Ok(())
}

/// Serve one Produce request (a frame without its length): visit the records of every partition, append the
/// answer's frame.
pub fn serve_produce(
    frame: &[u8],
    answers: &mut Vec<u8>,
    mut visit: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).map_err(|error| error.to_string())?;
    if header.api_key != ApiKey::Produce.code() {
        return Err(format!(
            "a bare loop serves Produce alone, not request {}",
            header.api_key
        ));
    }
    let request =
        ProduceRequest::decode(&mut reader, header.api_version).map_err(|error| error.to_string())?;
    for partition in request.topic_data.iter().flat_map(|topic| &topic.partition_data) {
        visit(partition.records.unwrap_or_default())?;
    }
    let partition = |data: &PartitionProduceData<'_>| PartitionProduceResponse {
        index: data.index,
        ..Default::default()
    };
    let topic = |data: &TopicProduceData<'_>| data.partition_data.iter().map(partition).collect::<Vec<_>>();
    let response = ProduceResponse {
        responses: (request.topic_data.iter())
            .map(|data| TopicProduceResponse {
                name: data.name,
                partition_responses: topic(data),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    append_frame(answers, &header, &response).map_err(|error| error.to_string())
}

/// An error code of the wire as a sentence, where it is one.
pub fn check_code(what: &str, partition: i32, code: i16) -> Result<(), String> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Ok(()),
        Some(error) => Err(format!("{what}, partition {partition}: {}", error.name())),
        None => Err(format!("{what}, partition {partition}: error {code}")),
    }
}

/// Cheap bytes that do not repeat (SplitMix64).
#[derive(Debug)]
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give shifted copies of one stream.
        Noise(mix(seed))
    }

    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&mix(self.0).to_le_bytes()[..chunk.len()]);
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn append_frame(
    out: &mut Vec<u8>,
    header: &RequestHeader<'_>,
    response: &ProduceResponse<'_>,
) -> Result<(), EncodeError> {
    let mut writer = Writer::new();
    let mark = writer.begin_frame();
    encode_response_header(
        &mut writer,
        ApiKey::Produce.spec(),
        header.api_version,
        header.correlation_id,
    );
    response.encode(&mut writer, header.api_version)?;
    writer.end_frame(mark)?;
    out.extend_from_slice(writer.bytes());
    Ok(())
}

/// Api key, version and correlation id, which the connection writes for each sending.
const BEFORE_BODY: usize = 8;

const CLIENT_ID: &str = "millstream-bench";
const REQUEST_TIMEOUT_MS: i32 = 30_000;
const FETCH_WAIT_MS: i32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame<R: Request>(version: i16, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend_from_slice(&R::API.code().to_be_bytes());
        frame.extend_from_slice(&version.to_be_bytes());
        frame.extend_from_slice(&77i32.to_be_bytes());
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn a_produce_request_reads_back_as_what_was_asked_for() {
        let batches = [batch(3, 100, 1), batch(3, 100, 2)];
        let body = produce_body("t", &[(4, &batches[0]), (9, &batches[1])], -1);
        let frame = frame::<ProduceRequest<'_>>(PRODUCE_VERSION, &body);
        let mut reader = Reader::new(&frame);
        let header = RequestHeader::decode(&mut reader).unwrap();
        assert_eq!(
            (header.correlation_id.get(), header.client_id),
            (77, Some(CLIENT_ID))
        );
        let request = ProduceRequest::decode(&mut reader, PRODUCE_VERSION).unwrap();
        reader.finish().unwrap();
        let topic = &request.topic_data[0];
        assert_eq!((request.acks, topic.name), (-1, "t"));
        let read: Vec<_> = topic
            .partition_data
            .iter()
            .map(|data| (data.index, data.records.unwrap()))
            .collect();
        assert_eq!(read, [(4, &batches[0][..]), (9, &batches[1][..])]);
    }

    #[test]
    fn batches_have_their_records_a_right_crc_and_differ_by_seed() {
        let batch = |seed| batch_at(TimestampMs::new(1), 10, 1024, seed);
        let one = batch(1);
        let mut seen = Vec::new();
        check_batches(&one, |view| {
            seen.push((view.record_count(), view.records().unwrap().count()))
        })
        .unwrap();
        assert_eq!(seen, [(10, 10)]);
        assert_ne!(one, batch(2));
        assert_eq!(one, batch(1));
        let mut torn = one.clone();
        *torn.last_mut().unwrap() ^= 1;
        assert!(check_batches(&torn, |_| ()).is_err());
    }

    #[test]
    fn what_the_bare_loop_answers_satisfies_the_client() {
        let batch = batch(1, 10, 1);
        let body = produce_body("topic", &[(0, &batch), (5, &batch)], 1);
        let mut answers = Vec::new();
        let mut visited = 0;
        let request = frame::<ProduceRequest<'_>>(PRODUCE_VERSION, &body);
        serve_produce(&request, &mut answers, |records| {
            assert_eq!(records, batch);
            visited += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(visited, 2);
        assert_eq!(answers[..4], (answers.len() as i32 - 4).to_be_bytes());
        assert_eq!(answers[4..8], 77i32.to_be_bytes());
        let mut partitions = Vec::new();
        check_produce(&answers[8..], |index, _| partitions.push(index)).unwrap();
        assert_eq!(partitions, [0, 5]);
    }

    #[test]
    fn a_refused_partition_is_an_error_with_its_name() {
        let refused = PartitionProduceResponse {
            index: 3,
            error_code: 6,
            ..Default::default()
        };
        let response = ProduceResponse {
            responses: vec![TopicProduceResponse {
                partition_responses: vec![refused],
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut writer = Writer::new();
        response.encode(&mut writer, PRODUCE_VERSION).unwrap();
        let error = check_produce(writer.bytes(), |_, _| ()).unwrap_err();
        assert!(
            error.contains("partition 3") && error.contains("NOT_LEADER_OR_FOLLOWER"),
            "{error}"
        );
    }

    #[test]
    fn a_fetch_request_reads_back_as_what_was_asked_for() {
        let body = fetch_body("t", &[(2, 1000), (3, 0)], 1 << 20);
        let frame = frame::<FetchRequest<'_>>(FETCH_VERSION, &body);
        let mut reader = Reader::new(&frame);
        RequestHeader::decode(&mut reader).unwrap();
        let request = FetchRequest::decode(&mut reader, FETCH_VERSION).unwrap();
        reader.finish().unwrap();
        assert_eq!(
            (request.replica_id, request.session_id, request.session_epoch),
            (-1, 0, -1)
        );
        let wanted: Vec<_> = request.topics[0]
            .partitions
            .iter()
            .map(|p| (p.partition, p.fetch_offset))
            .collect();
        assert_eq!(wanted, [(2, 1000), (3, 0)]);
    }
}
