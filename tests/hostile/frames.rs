//! Single frames that no honest client sends.

use std::time::Duration;

use millstream_compress::compress;
use millstream_fuzz::golden;
use millstream_fuzz::messages::Direction;
use millstream_fuzz::random::Random;
use millstream_protocol::header::RequestHeader;
use millstream_protocol::message::api_versions::ApiVersionsRequest;
use millstream_protocol::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use millstream_protocol::primitive::Writer;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::record::codec::Codec;
use millstream_protocol::types::{CorrelationId, TimestampMs};
use millstream_tests::wire::Connection;

use super::Scene;
use super::bystander::{batch, send_batch};
use super::connections::{closed_after, end_of, framed};

pub fn impossible_lengths(scene: &mut Scene) {
    for length in [0, -1, i32::MIN, i32::MAX, 101 << 20] {
        assert!(
            closed_after(scene.broker.address(), &length.to_be_bytes()),
            "{length} is no length of a request"
        );
    }
    scene.broker.must_have_said("a request of -1 bytes was announced");
    scene.broker.must_have_said("socket.request.max.bytes");
}

/// A declared length takes no memory before its bytes are there, and a hundred of them starve nobody.
pub fn announced_and_not_sent(scene: &mut Scene) {
    let before = scene.broker.resident_bytes();
    let mut holders: Vec<Connection> = Vec::new();
    for _ in 0..100 {
        let mut connection = Connection::open(scene.broker.address()).expect("a connection");
        connection
            .send_raw(&(20i32 << 20).to_be_bytes())
            .expect("four bytes");
        connection.send_raw(&[0; 100]).expect("a hundred bytes");
        holders.push(connection);
    }
    scene
        .bystander
        .must_be_served("announcements that are still open");
    let taken = scene.broker.resident_bytes().saturating_sub(before);
    assert!(taken < 32 << 20, "{} MiB for bytes that never came", taken >> 20);
}

pub fn other_protocols(scene: &mut Scene) {
    // The log takes five such lines a second and shard.
    std::thread::sleep(Duration::from_secs(1));
    let hello = [
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x55,
    ];
    let requests: [(&[u8], &str); 3] = [
        (&hello, "this is a TLS handshake"),
        (
            b"GET /metrics HTTP/1.1\r\nHost: broker:9092\r\n\r\n",
            "this is an HTTP request",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "this is an SSH client"),
    ];
    for (bytes, line) in requests {
        assert!(closed_after(scene.broker.address(), bytes), "{line}");
        scene.broker.must_have_said(line);
    }
}

pub fn garbage(scene: &mut Scene) {
    let mut random = Random::new(SEED);
    for _ in 0..300 {
        let length = random.below(5_000);
        let bytes: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
        end_of(scene.broker.address(), &bytes);
    }
}

pub fn unknown_apis_and_versions(scene: &mut Scene) {
    let address = scene.broker.address();
    for (key, version) in [(999, 0), (-1, 0), (1, 99), (3, -1), (4, 0)] {
        assert!(
            closed_after(address, &framed(&head(key, version))),
            "API {key} version {version}"
        );
    }
    // KIP-511: a client that asks for too new a version learns the ones there are.
    let mut connection = Connection::open(address).expect("a connection");
    connection.send_raw(&framed(&head(18, 99))).expect("a request");
    let reply = connection.receive::<ApiVersionsRequest<'_>>(0).expect("a reply");
    let response = reply.read::<ApiVersionsRequest<'_>>();
    assert_eq!((response.error_code, response.api_keys[0].api_key), (35, 18));
}

/// Nothing of them is stored, and the connection goes on.
pub fn damaged_batches(scene: &mut Scene) {
    let mut connection = Connection::open(scene.broker.address()).expect("a connection");
    connection.create_topic("damaged", 1, &[]);
    let good = batch("good");
    let damaged = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let cases = [
        ("a record's byte", damaged(good.len() - 3, 0xff), CORRUPT_MESSAGE),
        ("the checksum", damaged(17, good[17] ^ 1), CORRUPT_MESSAGE),
        // As in Kafka there is no batch at all where there is no whole one.
        ("the length", damaged(11, good[11] ^ 0x40), INVALID_RECORD),
        ("cut short", good[..good.len() - 1].to_vec(), INVALID_RECORD),
        ("half a header", good[..40].to_vec(), INVALID_RECORD),
    ];
    for (name, bytes, code) in cases {
        let answered = send_batch(&mut connection, "damaged", 0, &bytes);
        assert_eq!(answered, (code, -1), "{name}");
    }
    assert_eq!(send_batch(&mut connection, "damaged", 0, &good), (0, 0));
    assert_eq!(connection.read_all("damaged", 0, 0).len(), 1);
}

/// They are stored as they are: nobody inflates them on the way. A look-up by time has to, up to its limit.
pub fn inflating_batches(scene: &mut Scene) {
    let mut connection = Connection::open(scene.broker.address()).expect("a connection");
    connection.create_topic("inflating", 1, &[("retention.ms", "-1")]);
    let zeros = vec![0; 1 << 20];
    let mut builder = BatchBuilder::new();
    for at in 1..=160 {
        builder.push(TimestampMs::new(at), None, Some(&zeros), &[]);
    }
    let bomb = builder.build_with(Codec::Zstd, |body| compress(Codec::Zstd, body));
    assert!(
        bomb.len() < 1 << 20,
        "{} bytes are no bomb of 160 MiB",
        bomb.len()
    );
    assert_eq!(send_batch(&mut connection, "inflating", 0, &bomb), (0, 0));
    for _ in 0..20 {
        let partitions = vec![ListOffsetsPartition {
            partition_index: 0,
            timestamp: 150,
            ..ListOffsetsPartition::default()
        }];
        let request = ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: "inflating",
                partitions,
            }],
            ..ListOffsetsRequest::default()
        };
        let reply = connection.call(&request, 7).expect("a reply");
        let response = reply.read::<ListOffsetsRequest<'_>>();
        assert_ne!(response.topics[0].partitions[0].error_code, 0);
    }
    let resident = scene.broker.peak_resident_bytes();
    assert!(
        resident < super::MEMORY + super::SLACK,
        "{} MiB at most",
        resident >> 20
    );
}

/// Requests that Kafka's own classes wrote, each changed a little.
pub fn mutated_requests(scene: &mut Scene) {
    let mut random = Random::new(SEED);
    let mut frames: Vec<Vec<u8>> = golden::load()
        .into_iter()
        .filter(|line| line.direction == Direction::Request)
        .map(|line| {
            let mut w = Writer::new();
            let header = RequestHeader {
                api_key: line.spec.key.code(),
                api_version: line.version,
                correlation_id: CorrelationId::new(7),
                client_id: Some("mutant"),
            };
            header.encode(&mut w, line.spec).expect("a header");
            [w.bytes(), &line.bytes].concat()
        })
        .collect();
    frames.push(head(18, 3));
    for _ in 0..MUTANTS / MUTANTS_PER_CONNECTION {
        let mut bytes = Vec::new();
        for _ in 0..MUTANTS_PER_CONNECTION {
            let frame = &frames[random.below(frames.len())];
            // The length is true, so that the body is what is looked at.
            bytes.extend(framed(&random.mutate(frame)));
        }
        end_of(scene.broker.address(), &bytes);
    }
}

/// The start of a request as every version before the flexible ones has it, without a client's name.
fn head(key: i16, version: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(7i32.to_be_bytes());
    bytes.extend((-1i16).to_be_bytes());
    bytes
}

const CORRUPT_MESSAGE: i16 = 2;
const INVALID_RECORD: i16 = 87;
const SEED: u64 = 20_261_121;
const MUTANTS: usize = 4_000;
const MUTANTS_PER_CONNECTION: usize = 4;
