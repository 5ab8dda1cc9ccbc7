//! Produce: sequences, batches that are refused, topic ids, and the versions that nobody serves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use millstream_protocol::record::batch::HEADER_LEN;
use millstream_protocol::record::crc;
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence, TopicId};
use millstream_tests::wire::produce;

use super::{Asked, batch, new_producer, now, put, send, topic_id};

#[test]
fn sequences() {
    let mut asked = Asked::new("sequences");
    let topic = asked.topic("numbered", 3, &[]);
    let mut connection = asked.connect();
    let producer = new_producer(&mut connection);
    // Epoch, sequence; error, base offset.
    for (case, epoch, sequence, kafka) in [
        ("the first", 0, 0, (0, 0)),
        ("the next", 0, 1, (0, 1)),
        ("and the next", 0, 2, (0, 2)),
        ("a duplicate", 0, 1, (0, 1)),
        ("an older duplicate", 0, 0, (0, 0)),
        ("a gap", 0, 5, (45, -1)),
        ("the fourth", 0, 3, (0, 3)),
        ("the fifth", 0, 4, (0, 4)),
        ("the sixth", 0, 5, (0, 5)),
        ("a duplicate out of the last five", 0, 0, (45, -1)),
        ("a duplicate of the last", 0, 5, (0, 5)),
        ("a new epoch in its middle", 1, 3, (45, -1)),
        ("a new epoch", 1, 0, (0, 6)),
        ("the old epoch", 0, 6, (47, -1)),
        ("the new epoch goes on", 1, 1, (0, 7)),
    ] {
        let bytes = numbered(1, producer, epoch, sequence);
        let found = put(&mut connection, &topic, 0, &bytes);
        asked.check(case, found, kafka);
    }
    let of_three = new_producer(&mut connection);
    // Partition, producer, sequence, records; error, base offset.
    for (case, partition, producer, sequence, records, kafka) in [
        (
            "a new producer in its middle",
            1,
            new_producer(&mut connection),
            7,
            1,
            (0, 0),
        ),
        ("a producer id that nobody gave", 1, 987_654, 0, 1, (0, 1)),
        ("three records", 2, of_three, 0, 3, (0, 0)),
        ("overlapping them", 2, of_three, 1, 3, (45, -1)),
        ("fewer of them", 2, of_three, 0, 2, (45, -1)),
        ("after them", 2, of_three, 3, 1, (0, 3)),
    ] {
        let bytes = numbered(records, producer, 0, sequence);
        let found = put(&mut connection, &topic, partition, &bytes);
        asked.check(case, found, kafka);
    }
    asked.finish();
}

#[test]
fn batches() {
    let mut asked = Asked::new("batches");
    let topic = asked.topic("written", 1, &[]);
    let keyed = asked.topic("keyed", 1, &[("cleanup.policy", "compact")]);
    let small = asked.topic("small", 1, &[("max.message.bytes", "60")]);
    let mut connection = asked.connect();
    let good = batch(&[now()]).build();
    let future = batch(&[now() + 3 * 3_600_000]).build();
    let cases: [(&str, &str, Vec<u8>, i16); 19] = [
        ("good", &topic, good.clone(), 0),
        ("without a time", &topic, batch(&[-1]).build(), 0),
        ("a wrong checksum", &topic, changed(&good, 17, &[good[17] ^ 1]), 2),
        ("format 1", &topic, changed(&good, 16, &[1]), 87),
        ("format 3", &topic, changed(&good, 16, &[3]), 2),
        ("format -1", &topic, changed(&good, 16, &[0xff]), 2),
        (
            "another last offset",
            &topic,
            signed(&good, 23, &[0, 0, 0, 5]),
            87,
        ),
        ("another count", &topic, signed(&good, 57, &[0, 0, 0, 3]), 87),
        ("no records", &topic, Vec::new(), 87),
        ("two batches", &topic, [&good[..], &good].concat(), 87),
        ("cut short", &topic, good[..good.len() - 3].to_vec(), 87),
        ("base offset 7", &topic, changed(&good, 7, &[7]), 87),
        ("a control batch", &topic, batch(&[now()]).control().build(), 87),
        ("a transaction's, without its id", &topic, transactional(), 53),
        ("an unknown compression", &topic, signed(&good, 22, &[7]), -1),
        ("a time in the future", &topic, future, 32),
        ("a negative time", &topic, batch(&[-5]).build(), 0),
        ("no key where keys are needed", &keyed, good.clone(), 87),
        ("too large", &small, good.clone(), 10),
    ];
    for (case, topic, bytes, kafka) in cases {
        let found = put(&mut connection, topic, 0, &bytes);
        asked.check(case, found.0, kafka);
    }
    asked.check("what was stored", put(&mut connection, &topic, 0, &good), (0, 3));
    for (name, partition, acks, kafka) in [
        (&*topic, 0, 2, 21),
        (&topic, 0, -2, 21),
        (&topic, 44, -1, 3),
        ("unknown", 0, -1, 3),
        ("no topic!", 0, -1, 3),
    ] {
        let found = send(&mut connection, &produce(name, partition, &good, acks), 8).0;
        asked.check((name, partition, acks), found, kafka);
    }
    asked.finish();
}

#[test]
fn topic_ids() {
    let mut asked = Asked::new("ids");
    let topic = asked.topic("identified", 1, &[]);
    let mut connection = asked.connect();
    let bytes = batch(&[now()]).build();
    for (case, id, partition, kafka) in [
        ("its id", topic_id(&mut connection, &topic), 0, (0, 0)),
        (
            "a partition too many",
            topic_id(&mut connection, &topic),
            1,
            (3, -1),
        ),
        ("an unknown id", TopicId::new([7; 16]), 0, (100, -1)),
        ("the zero id", TopicId::ZERO, 0, (100, -1)),
    ] {
        let mut request = produce("", partition, &bytes, -1);
        request.topic_data[0].topic_id = id;
        let found = send(&mut connection, &request, 13);
        asked.check(case, found, kafka);
    }
    asked.finish();
}

/// Kafka 4.3.1 claims these versions as well, and closes the connection of whoever uses them.
#[test]
fn produce_0_to_2_is_refused_in_its_own_form() {
    let asked = Asked::new("old");
    if !asked.is_ours() {
        return;
    }
    let topic = asked.topic("t", 1, &[]);
    let mut stream = TcpStream::connect(asked.address).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout can be set");
    let name = [&(topic.len() as u16).to_be_bytes()[..], topic.as_bytes()].concat();
    for version in 0..=2 {
        stream
            .write_all(&old_request(version, -1, &name))
            .expect("a request");
        let (append_time, throttle): (&[u8], &[u8]) = match version {
            0 => (&[], &[]),
            1 => (&[], &[0; 4]),
            _ => (&[0xff; 8], &[0; 4]),
        };
        let partition = |index: u8| {
            let fixed = [
                0, 0, 0, index, 0, 35, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ];
            [&fixed[..], append_time].concat()
        };
        let body = [
            &[0, 0, 0, version, 0, 0, 0, 1][..],
            &name,
            &[0, 0, 0, 2],
            &partition(0),
            &partition(9),
            throttle,
        ]
        .concat();
        let expected = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
        let mut found = vec![0; expected.len()];
        stream.read_exact(&mut found).expect("an answer");
        assert_eq!(found, expected, "version {version}");
    }
    // Nobody waits for an answer: the end of the connection is one.
    stream.write_all(&old_request(1, 0, &name)).expect("a request");
    assert_eq!(stream.read(&mut [0]).expect("its end"), 0);

    let mut connection = asked.connect();
    let stored = connection.read_all(&topic, 0, 0);
    assert_eq!(stored, Vec::new(), "nothing was stored");
}

/// A Produce request as it was before record batches: two partitions, of which the second is not there. The version
/// is its correlation id.
fn old_request(version: u8, acks: i16, name: &[u8]) -> Vec<u8> {
    let frame = [
        &[0, 0, 0, version, 0, 0, 0, version, 0xff, 0xff][..],
        &acks.to_be_bytes(),
        &[0, 0, 0x03, 0xe8, 0, 0, 0, 1],
        name,
        &[0, 0, 0, 2],
        &[0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4, 5],
        &[0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff],
    ]
    .concat();
    [&(frame.len() as u32).to_be_bytes()[..], &frame].concat()
}

fn numbered(records: usize, producer: i64, epoch: i16, sequence: i32) -> Vec<u8> {
    let (id, epoch) = (ProducerId::new(producer), ProducerEpoch::new(epoch));
    let batch = batch(&vec![now(); records]);
    batch.producer(id, epoch, Sequence::new(sequence)).build()
}

fn transactional() -> Vec<u8> {
    let (id, epoch) = (ProducerId::new(987_655), ProducerEpoch::new(0));
    let batch = batch(&[now()]).producer(id, epoch, Sequence::new(0));
    batch.transactional().build()
}

fn changed(batch: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = batch.to_vec();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    changed
}

/// As [`changed`], with the checksum made right again.
fn signed(batch: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    assert!(at < HEADER_LEN, "records are not changed here");
    let changed = changed(batch, at, bytes);
    let sum = crc::crc32c(&changed[CRC_COVERS_FROM..]);
    self::changed(&changed, CRC_AT, &sum.to_be_bytes())
}

const CRC_AT: usize = 17;
const CRC_COVERS_FROM: usize = 21;
