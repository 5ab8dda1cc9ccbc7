//! Produce and Fetch as a test says them: values in, values out.

use std::time::Duration;

use millstream_protocol::api::ApiKey;
use millstream_protocol::message::Records;
use millstream_protocol::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use millstream_protocol::message::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use millstream_protocol::record::batch::Batches;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::TimestampMs;

use super::{Client, SimBroker, decoded};

/// The versions that tests speak.
pub const PRODUCE: i16 = 9;
pub const FETCH: i16 = 11;

pub fn batch(values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.push(
            TimestampMs::new(1_700_000_000_000),
            None,
            Some(value.as_bytes()),
            &[],
        );
    }
    builder.build()
}

pub fn produce<'a>(topic: &'a str, batches: &'a [(i32, Vec<u8>)], acks: i16) -> ProduceRequest<'a> {
    let partition_data = batches
        .iter()
        .map(|(index, records)| PartitionProduceData {
            index: *index,
            records: Some(records),
        })
        .collect();
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic,
            partition_data,
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn fetch<'a>(topic: &'a str, from: &[(i32, i64)], wait: Duration, bytes_min: i32) -> FetchRequest<'a> {
    let partitions = from
        .iter()
        .map(|(partition, fetch_offset)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        })
        .collect();
    FetchRequest {
        max_wait_ms: wait.as_millis() as i32,
        min_bytes: bytes_min,
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic,
            partitions,
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Produces and gives the base offset or error of each partition.
#[track_caller]
pub fn produced(
    client: &mut Client,
    broker: &mut SimBroker,
    body: &ProduceRequest<'_>,
) -> Vec<(i32, i16, i64)> {
    client.call(broker, ApiKey::Produce, PRODUCE, body, |r| {
        offsets(&decoded::<ProduceResponse<'_>>(r, PRODUCE))
    })
}

pub fn offsets(answer: &ProduceResponse<'_>) -> Vec<(i32, i16, i64)> {
    let partitions = answer
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    partitions
        .map(|partition| (partition.index, partition.error_code, partition.base_offset))
        .collect()
}

/// The values of a fetch response by partition, and its errors.
pub fn values(answer: &FetchResponse<'_>) -> Vec<(i32, i16, Vec<String>)> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| {
            let bytes = match partition.records {
                Records::Bytes(bytes) => bytes,
                _ => &[],
            };
            let mut found = Vec::new();
            for batch in Batches::new(bytes) {
                let batch = batch.unwrap();
                batch.verify_crc().unwrap();
                for record in batch.records().unwrap() {
                    found.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
                }
            }
            (partition.partition_index, partition.error_code, found)
        })
        .collect()
}

#[track_caller]
pub fn fetched(
    client: &mut Client,
    broker: &mut SimBroker,
    body: &FetchRequest<'_>,
) -> Vec<(i32, i16, Vec<String>)> {
    client.call(broker, ApiKey::Fetch, FETCH, body, |r| {
        values(&decoded::<FetchResponse<'_>>(r, FETCH))
    })
}
