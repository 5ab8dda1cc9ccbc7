//! The client against a broker that is told what to say: versions, leaders, retries, and everything that can
//! go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::fetch::{FetchableTopicResponse, PartitionData};
use millstream_protocol::message::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use millstream_protocol::message::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use millstream_protocol::message::produce::{PartitionProduceResponse, TopicProduceResponse};
use millstream_protocol::message::{
    Decode, FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse,
    MetadataResponse, ProduceRequest, ProduceResponse, Records,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::scripted::{Answer, Asked, ScriptedBroker, body};
use super::{Acks, ClientError, Cluster, Consumer, Position, Producer};

const TIMEOUT: Duration = Duration::from_millis(300);

fn metadata(address: std::net::SocketAddr, asked: &Asked) -> Answer {
    let host = address.ip().to_string();
    let partition = MetadataResponsePartition {
        leader_id: 7,
        ..MetadataResponsePartition::default()
    };
    let topic = MetadataResponseTopic {
        name: Some("t"),
        partitions: vec![partition],
        ..MetadataResponseTopic::default()
    };
    let broker = MetadataResponseBroker {
        node_id: 7,
        host: &host,
        port: address.port().into(),
        ..MetadataResponseBroker::default()
    };
    let response = MetadataResponse {
        brokers: vec![broker],
        cluster_id: Some("c"),
        controller_id: 7,
        topics: vec![topic],
        ..MetadataResponse::default()
    };
    body(&response, asked.version)
}

fn produced(asked: &Asked, error_code: i16, base_offset: i64) -> Answer {
    let partition = PartitionProduceResponse {
        error_code,
        base_offset,
        ..Default::default()
    };
    let topic = TopicProduceResponse {
        name: "t",
        partition_responses: vec![partition],
        ..Default::default()
    };
    body(
        &ProduceResponse {
            responses: vec![topic],
            ..ProduceResponse::default()
        },
        asked.version,
    )
}

fn batch(base: i64, value: &str) -> Vec<u8> {
    let at = TimestampMs::new(1);
    BatchBuilder::new()
        .base_offset(Offset::new(base))
        .record(at, None, Some(value.as_bytes()), &[])
        .build()
}

/// Every broker serves one connection at a time: the seed's, so the leader must be a broker of its own.
fn with_leader(
    versions_max: i16,
    answer: impl FnMut(std::net::SocketAddr, &Asked) -> Answer + Send + 'static,
) -> (ScriptedBroker, ScriptedBroker) {
    let leader = ScriptedBroker::start(versions_max, answer);
    let address = leader.address;
    let seed = ScriptedBroker::start(versions_max, move |_, asked| {
        assert_eq!(
            asked.api,
            ApiKey::Metadata.code(),
            "the seed is asked for metadata only"
        );
        metadata(address, asked)
    });
    (seed, leader)
}

#[test]
fn the_highest_common_version_is_spoken() {
    let (seed, leader) = with_leader(5, |_, asked| {
        assert_eq!(asked.version, 5);
        produced(asked, 0, 42)
    });
    let mut cluster = Cluster::connect(&[seed.broker()], TIMEOUT).unwrap();
    assert_eq!(
        (cluster.cluster_id.as_deref(), cluster.controller_id),
        (Some("c"), Some(7))
    );
    cluster.topic("t", false).unwrap();
    let placed = Producer::new(&mut cluster, "t", Acks::Leader)
        .unwrap()
        .send(0, &batch(0, "x"))
        .unwrap();
    assert_eq!(placed.base_offset, Some(42));
    drop((cluster, leader));
}

#[test]
fn a_leader_that_moved_is_asked_for_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let seen = tries.clone();
    let (seed, leader) = with_leader(i16::MAX, move |_, asked| {
        match seen.fetch_add(1, Ordering::Relaxed) {
            0 => produced(asked, ErrorCode::NotLeaderOrFollower.code(), -1),
            _ => produced(asked, 0, 1),
        }
    });
    let mut cluster = Cluster::connect(&[seed.broker()], TIMEOUT).unwrap();
    cluster.topic("t", false).unwrap();
    let placed = Producer::new(&mut cluster, "t", Acks::Leader)
        .unwrap()
        .send(0, &batch(0, "x"))
        .unwrap();
    assert_eq!((placed.base_offset, tries.load(Ordering::Relaxed)), (Some(1), 2));
    drop((cluster, leader));
}

#[test]
fn a_refusal_is_not_tried_again() {
    let (seed, leader) = with_leader(i16::MAX, |_, asked| {
        produced(asked, ErrorCode::MessageTooLarge.code(), -1)
    });
    let mut cluster = Cluster::connect(&[seed.broker()], TIMEOUT).unwrap();
    cluster.topic("t", false).unwrap();
    let error = Producer::new(&mut cluster, "t", Acks::Leader)
        .unwrap()
        .send(0, &batch(0, "x"))
        .unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge));
    assert!(error.to_string().contains("max.message.bytes"), "{error}");
    drop((cluster, leader));
}

/// What was sent on a connection that broke is sent again, and is the same batch to the broker.
#[test]
fn an_idempotent_batch_is_sent_again_as_it_was() {
    let sent: Arc<std::sync::Mutex<Vec<Vec<u8>>>> = Arc::default();
    let seen = sent.clone();
    let leader = ScriptedBroker::start(i16::MAX, move |_, asked| {
        let mut request = Reader::new(&asked.body);
        let request = ProduceRequest::decode(&mut request, asked.version).unwrap();
        let records = request.topic_data[0].partition_data[0].records.unwrap().to_vec();
        let mut sent = seen.lock().unwrap();
        sent.push(records);
        match sent.len() {
            1 => Answer::Close,
            2 => produced(asked, ErrorCode::NotLeaderOrFollower.code(), -1),
            3 => produced(asked, 0, 40),
            _ => produced(asked, 0, 42),
        }
    });
    let address = leader.address;
    let seed = ScriptedBroker::start(i16::MAX, move |_, asked| {
        if asked.api == ApiKey::InitProducerId.code() {
            let response = InitProducerIdResponse {
                producer_id: 77,
                producer_epoch: 3,
                ..InitProducerIdResponse::default()
            };
            return body(&response, asked.version);
        }
        metadata(address, asked)
    });
    let mut cluster = Cluster::connect(&[seed.broker()], Duration::from_secs(5)).unwrap();
    cluster.topic("t", false).unwrap();
    let mut producer = Producer::new(&mut cluster, "t", Acks::All).unwrap();
    assert_eq!(producer.send(0, &batch(0, "x")).unwrap().base_offset, Some(40));
    assert_eq!(producer.send(0, &batch(0, "y")).unwrap().base_offset, Some(42));
    drop((cluster, leader));
    let sent = sent.lock().unwrap();
    assert!(sent[0] == sent[1] && sent[1] == sent[2] && sent.len() == 4);
    let (first, _) = BatchView::parse(&sent[0]).unwrap();
    let (second, _) = BatchView::parse(&sent[3]).unwrap();
    for (view, sequence) in [(first, 0), (second, 1)] {
        view.verify_crc().unwrap();
        let producer = (view.producer_id(), view.producer_epoch(), view.base_sequence());
        let expected = (
            Some(ProducerId::new(77)),
            Some(ProducerEpoch::new(3)),
            Some(Sequence::new(sequence)),
        );
        assert_eq!(producer, expected);
    }
}

/// Offsets 5 to 7, one batch a fetch.
fn a_log_of_three(asked: &Asked) -> Answer {
    if asked.api == ApiKey::ListOffsets.code() {
        let request = ListOffsetsRequest::decode(&mut Reader::new(&asked.body), asked.version).unwrap();
        let offset = if request.topics[0].partitions[0].timestamp == -2 {
            5
        } else {
            8
        };
        let partition = ListOffsetsPartitionResponse {
            offset,
            ..ListOffsetsPartitionResponse::default()
        };
        let topic = ListOffsetsTopicResponse {
            name: "t",
            partitions: vec![partition],
        };
        return body(
            &ListOffsetsResponse {
                topics: vec![topic],
                ..Default::default()
            },
            asked.version,
        );
    }
    let request = FetchRequest::decode(&mut Reader::new(&asked.body), asked.version).unwrap();
    let from = request.topics[0].partitions[0].fetch_offset;
    let records = batch(from, &format!("v{from}"));
    let partition = PartitionData {
        records: Records::Bytes(&records),
        ..PartitionData::default()
    };
    let topic = FetchableTopicResponse {
        topic: "t",
        partitions: vec![partition],
        ..Default::default()
    };
    body(
        &FetchResponse {
            responses: vec![topic],
            ..FetchResponse::default()
        },
        asked.version,
    )
}

fn consume(from: Position, wanted: usize) -> Vec<(i64, String)> {
    let (seed, leader) = with_leader(i16::MAX, |_, asked| a_log_of_three(asked));
    let mut cluster = Cluster::connect(&[seed.broker()], TIMEOUT).unwrap();
    cluster.topic("t", false).unwrap();
    let mut found = Vec::new();
    let mut consumer = Consumer::new(&mut cluster, "t", &[0], from).unwrap();
    while !consumer.at_end() && found.len() < wanted {
        let poll = consumer.poll(Duration::ZERO, |record| {
            found.push((record.offset, String::from_utf8(record.value.unwrap()).unwrap()));
            found.len() < wanted
        });
        poll.unwrap();
    }
    drop((cluster, leader));
    found
}

#[test]
fn reading_begins_where_it_is_told_and_ends_at_the_end() {
    let records = |offsets: &[i64]| -> Vec<(i64, String)> {
        offsets
            .iter()
            .map(|offset| (*offset, format!("v{offset}")))
            .collect()
    };
    assert_eq!(consume(Position::Beginning, 99), records(&[5, 6, 7]));
    assert_eq!(consume(Position::Offset(6), 99), records(&[6, 7]));
    assert_eq!(consume(Position::Last(1), 99), records(&[7]));
    assert_eq!(consume(Position::Last(99), 99), records(&[5, 6, 7]));
    assert_eq!(consume(Position::End, 99), records(&[]));
    assert_eq!(consume(Position::Beginning, 2), records(&[5, 6]));
}

#[test]
fn a_reader_outlives_a_broken_connection() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let seen = fetches.clone();
    let (seed, leader) = with_leader(i16::MAX, move |_, asked| {
        if asked.api == ApiKey::Fetch.code() && seen.fetch_add(1, Ordering::Relaxed) == 1 {
            return Answer::Close;
        }
        a_log_of_three(asked)
    });
    let mut cluster = Cluster::connect(&[seed.broker()], TIMEOUT).unwrap();
    cluster.topic("t", false).unwrap();
    let mut offsets = Vec::new();
    let mut consumer = Consumer::new(&mut cluster, "t", &[0], Position::Beginning).unwrap();
    while !consumer.at_end() {
        let poll = consumer.poll(Duration::ZERO, |record| {
            offsets.push(record.offset);
            true
        });
        poll.unwrap();
    }
    assert_eq!(offsets, [5, 6, 7]);
    assert_eq!(fetches.load(Ordering::Relaxed), 4);
    drop((cluster, leader));
}

#[test]
fn metadata_is_asked_of_a_broker_that_came_back() {
    let asked_times = Arc::new(AtomicUsize::new(0));
    let seen = asked_times.clone();
    let seed = ScriptedBroker::start(i16::MAX, move |address, asked| {
        match seen.fetch_add(1, Ordering::Relaxed) {
            1 => Answer::Close,
            _ => metadata(address, asked),
        }
    });
    let mut cluster = Cluster::connect(&[seed.broker()], TIMEOUT).unwrap();
    assert_eq!(cluster.topic("t", false).unwrap().partitions.len(), 1);
    assert_eq!(asked_times.load(Ordering::Relaxed), 3);
    drop(cluster);
}

#[test]
fn an_offset_that_is_gone_is_the_start_and_one_to_come_is_an_error() {
    assert_eq!(consume(Position::Offset(0), 1), [(5, "v5".to_owned())]);
    let (seed, leader) = with_leader(i16::MAX, |_, asked| a_log_of_three(asked));
    let mut cluster = Cluster::connect(&[seed.broker()], TIMEOUT).unwrap();
    cluster.topic("t", false).unwrap();
    let error = Consumer::new(&mut cluster, "t", &[0], Position::Offset(9)).unwrap_err();
    assert!(error.to_string().contains("ends at 8"), "{error}");
    drop((cluster, leader));
}

#[test]
fn nobody_there_is_told_with_the_reason() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = Cluster::connect(&[free.to_string()], TIMEOUT).unwrap_err();
    let shown = error.to_string();
    assert!(matches!(error, ClientError::NoBroker { .. }), "{shown}");
    assert!(
        shown.contains(&free.to_string()) && shown.contains("--brokers"),
        "{shown}"
    );
}

#[test]
fn the_next_broker_of_the_list_is_tried() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (seed, leader) = with_leader(i16::MAX, |_, asked| produced(asked, 0, 0));
    let cluster = Cluster::connect(&[free.to_string(), seed.broker()], TIMEOUT).unwrap();
    drop((cluster, leader));
}

/// One way of answering a row, and what the error must say.
#[test]
fn answers_that_are_none_end_in_time_with_an_error() {
    let check = |answer: fn(&Asked) -> Answer, part: &str| {
        let broker = ScriptedBroker::start(i16::MAX, move |_, asked| answer(asked));
        let begun = Instant::now();
        let shown = Cluster::connect(&[broker.broker()], TIMEOUT)
            .unwrap_err()
            .to_string();
        assert!(shown.contains(part), "{shown}");
        assert!(begun.elapsed() < TIMEOUT * 10, "{shown}");
    };
    check(|_| Answer::Silence, "did not answer Metadata in time");
    check(|_| Answer::Close, "closed the connection");
    check(
        |_| Answer::Raw(vec![0xFF, 0xFF, 0xFF, 0xFF]),
        "does not answer like a Kafka broker",
    );
    check(
        |_| Answer::Raw(vec![0x7F, 0xFF, 0xFF, 0xFF]),
        "does not answer like a Kafka broker",
    );
    check(
        |_| Answer::Raw(b"\0\0\0\x05HTTP/".to_vec()),
        "another request's number",
    );
    check(|_| Answer::Body(vec![1, 2, 3]), "does not read");
    // Half a reply, and then nothing.
    check(
        |_| Answer::Raw(vec![0, 0, 1, 0, 0]),
        "did not answer Metadata in time",
    );
}
