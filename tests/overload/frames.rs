//! Bytes that are no requests, and requests that are too much.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream_fuzz::golden;
use millstream_fuzz::messages::Direction;
use millstream_fuzz::random::Random;
use millstream_protocol::api::spec;
use millstream_protocol::header::RequestHeader;
use millstream_protocol::message::Request;
use millstream_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use millstream_protocol::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use millstream_protocol::primitive::Writer;
use millstream_protocol::types::CorrelationId;

use super::crowd;

pub fn arbitrary_bytes(address: SocketAddr, stop: &AtomicBool) {
    crowd::in_parallel(THREADS, |number| {
        let mut random = Random::new(1 + number as u64);
        while !stop.load(Ordering::Relaxed) {
            let length = random.below(100_000);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
            if random.below(2) == 0 && bytes.len() > 4 {
                // A length that is good, so that more of it is looked at.
                let body = (bytes.len() as i32 - 4).to_be_bytes();
                bytes[..4].copy_from_slice(&body);
            }
            send_and_close(address, &bytes);
        }
    });
}

/// Requests that Kafka's classes wrote, of which some four bytes claim to be the largest count.
pub fn empty_counts(address: SocketAddr, stop: &AtomicBool) {
    let frames: Vec<Vec<u8>> = golden::load()
        .into_iter()
        .filter(|line| line.direction == Direction::Request)
        .map(|line| {
            let mut w = Writer::new();
            let header = RequestHeader {
                api_key: line.spec.key.code(),
                api_version: line.version,
                correlation_id: CorrelationId::new(7),
                client_id: None,
            };
            header.encode(&mut w, line.spec).expect("a header");
            [w.bytes(), &line.bytes].concat()
        })
        .collect();
    crowd::in_parallel(THREADS, |number| {
        let mut random = Random::new(1 + number as u64);
        while !stop.load(Ordering::Relaxed) {
            let mut frame = frames[random.below(frames.len())].clone();
            let at = 8 + random.below(frame.len() - 8);
            let end = frame.len().min(at + 4);
            frame[at..end].fill(if random.below(2) == 0 { 0x7f } else { 0xff });
            send_and_close(address, &framed(&frame));
        }
    });
}

/// Requests as large as they may be, of the smallest elements, all of them there.
pub fn full_counts(address: SocketAddr, stop: &AtomicBool) {
    let frames = [fetch(), list_offsets(), metadata(), produce()];
    crowd::in_parallel(THREADS, |number| {
        while !stop.load(Ordering::Relaxed) {
            let Ok(mut stream) = TcpStream::connect(address) else {
                continue;
            };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            if stream.write_all(&frames[number % frames.len()]).is_ok() {
                let _ = stream.read(&mut [0; 1]);
            }
        }
    });
}

fn fetch() -> Vec<u8> {
    let partition = FetchPartition {
        partition_max_bytes: 1,
        ..FetchPartition::default()
    };
    request(
        &FetchRequest {
            topics: vec![FetchTopic {
                topic: "nowhere",
                partitions: vec![partition; LARGE / 16],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        },
        4,
    )
}

fn list_offsets() -> Vec<u8> {
    request(
        &ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: "nowhere",
                partitions: vec![ListOffsetsPartition::default(); LARGE / 12],
            }],
            ..ListOffsetsRequest::default()
        },
        1,
    )
}

fn metadata() -> Vec<u8> {
    let topic = MetadataRequestTopic {
        name: Some("?"),
        ..MetadataRequestTopic::default()
    };
    request(
        &MetadataRequest {
            topics: Some(vec![topic; LARGE / 3]),
            ..MetadataRequest::default()
        },
        4,
    )
}

fn produce() -> Vec<u8> {
    let partition = PartitionProduceData {
        index: 0,
        records: None,
    };
    request(
        &ProduceRequest {
            acks: -1,
            timeout_ms: 1_000,
            topic_data: vec![TopicProduceData {
                name: "nowhere",
                partition_data: vec![partition; LARGE / 8],
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        },
        3,
    )
}

/// The whole frame of a request.
pub fn request<R: Request>(body: &R, version: i16) -> Vec<u8> {
    let spec = spec(R::API as i16).expect("an API of the table");
    let mut w = Writer::new();
    let mark = w.begin_frame();
    let header = RequestHeader {
        api_key: R::API as i16,
        api_version: version,
        correlation_id: CorrelationId::new(1),
        client_id: None,
    };
    header.encode(&mut w, spec).expect("a header fits");
    body.encode(&mut w, version)
        .expect("a request that can be written");
    w.end_frame(mark).expect("a frame fits");
    w.bytes().to_vec()
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes(), body].concat()
}

/// The broker may close before it has read all.
fn send_and_close(address: SocketAddr, bytes: &[u8]) {
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.write_all(bytes);
    }
}

const THREADS: usize = 4;
/// Bytes of a frame that the least memory still lets in.
const LARGE: usize = 20 << 20;
