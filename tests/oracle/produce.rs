//! Produce: what is stored, what is refused, and sequences.

use millstream_protocol::message::init_producer_id::InitProducerIdRequest;
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::record::crc;
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId};
use millstream_tests::wire::produce;

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    talk.topic("written", 1, &[("retention.ms", "-1")]);
    talk.topic("keyed", 1, &[("cleanup.policy", "compact")]);
    talk.topic("small", 1, &[("max.message.bytes", "60")]);
    talk.topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]);
    batches(talk);
    places(talk);
    by_id(talk);
    sequences(talk);
    producer_ids(talk);
}

fn batches(talk: &mut Talk) {
    let good = batch(talk.then).build();
    talk.ask_in_all("a batch", &produce("written", 0, &good, -1));
    talk.ask_in_all("stamped by the broker", &produce("stamped", 0, &good, 1));
    let cases: [(&str, &str, Vec<u8>); 16] = [
        ("a wrong checksum", "written", changed(&good, 17, &[good[17] ^ 1])),
        ("format 1", "written", changed(&good, 16, &[1])),
        ("format 3", "written", changed(&good, 16, &[3])),
        ("another last offset", "written", signed(&good, 23, &[0, 0, 0, 5])),
        ("another count", "written", signed(&good, 57, &[0, 0, 0, 3])),
        ("no records", "written", Vec::new()),
        ("two batches", "written", [&good[..], &good].concat()),
        ("cut short", "written", good[..good.len() - 3].to_vec()),
        ("base offset 7", "written", changed(&good, 7, &[7])),
        ("a control batch", "written", batch(talk.then).control().build()),
        ("an unknown compression", "written", signed(&good, 22, &[7])),
        (
            "a time in the future",
            "written",
            batch(talk.then + 10 * HOUR).build(),
        ),
        ("without a time", "written", batch(-1).build()),
        ("a negative time", "written", batch(-5).build()),
        ("no key where keys are needed", "keyed", good.clone()),
        ("too large", "small", good.clone()),
    ];
    for (case, topic, bytes) in cases {
        for version in [3, 7, 8, 9, 11, 12] {
            talk.ask(case, &produce(topic, 0, &bytes, -1), version);
        }
    }
}

fn places(talk: &mut Talk) {
    let good = batch(talk.then).build();
    for (name, partition, acks) in [
        ("written", 0, 2),
        ("written", 0, -2),
        ("written", 44, -1),
        ("written", -1, -1),
        ("unknown", 0, -1),
        ("no topic!", 0, -1),
        ("", 0, -1),
    ] {
        for version in [3, 9, 12] {
            let case = format!("to {name} {partition}, acks {acks}");
            talk.ask(case, &produce(name, partition, &good, acks), version);
        }
    }
    talk.ask_in_all(
        "nothing",
        &ProduceRequest {
            acks: -1,
            timeout_ms: 1000,
            ..ProduceRequest::default()
        },
    );
    talk.topic("transactional", 1, &[]);
    let mut transactional = produce("transactional", 0, &good, -1);
    transactional.transactional_id = Some("nobody");
    for version in [3, 9, 12, 13] {
        talk.ask("with a transaction's id", &transactional, version);
    }
    let id = producer(talk);
    let stamped = batch(talk.then)
        .producer(ProducerId::new(id), ProducerEpoch::new(0), Sequence::new(0))
        .transactional()
        .build();
    let mut opened = produce("transactional", 0, &stamped, -1);
    talk.ask("a transaction's, without its id", &opened, 9);
    opened.transactional_id = Some("nobody");
    talk.ask("a transaction's, with its id", &opened, 9);
}

fn by_id(talk: &mut Talk) {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("written"),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let reply = talk.aside(&request, 12);
    let id = reply.read::<MetadataRequest<'_>>().topics[0].topic_id;
    let good = batch(talk.then).build();
    for (case, id, partition) in [
        ("by id", id, 0),
        ("by id, a partition too many", id, 1),
        ("by an unknown id", TopicId::new([7; 16]), 0),
        ("by no id", TopicId::ZERO, 0),
    ] {
        let mut request = produce("", partition, &good, -1);
        request.topic_data[0].topic_id = id;
        talk.ask(case, &request, 13);
    }
}

fn sequences(talk: &mut Talk) {
    talk.topic("numbered", 3, &[]);
    let producers: Vec<i64> = (0..3).map(|_| producer(talk)).collect();
    for (case, partition, producer, epoch, sequence, count) in [
        ("the first", 0, producers[0], 0, 0, 1),
        ("the next", 0, producers[0], 0, 1, 1),
        ("a duplicate", 0, producers[0], 0, 1, 1),
        ("an older duplicate", 0, producers[0], 0, 0, 1),
        ("a gap", 0, producers[0], 0, 5, 1),
        ("a new epoch in its middle", 0, producers[0], 1, 3, 1),
        ("a new epoch", 0, producers[0], 1, 0, 1),
        ("the old epoch", 0, producers[0], 0, 2, 1),
        ("a new producer in its middle", 1, producers[1], 0, 7, 1),
        ("a producer id that nobody gave", 1, 987_654, 0, 0, 1),
        ("three records", 2, producers[2], 0, 0, 3),
        ("overlapping them", 2, producers[2], 0, 1, 3),
        ("fewer of them", 2, producers[2], 0, 0, 2),
        ("after them", 2, producers[2], 0, 3, 1),
    ] {
        let mut batch = batch(talk.then);
        for _ in 1..count {
            batch = batch.record(TimestampMs::new(talk.then), None, Some(b"value"), &[]);
        }
        let stamped = batch.producer(
            ProducerId::new(producer),
            ProducerEpoch::new(epoch),
            Sequence::new(sequence),
        );
        talk.ask(
            format!("sequences: {case}"),
            &produce("numbered", partition, &stamped.build(), -1),
            9,
        );
    }
}

fn producer_ids(talk: &mut Talk) {
    for (case, transactional_id, producer_id, producer_epoch) in [
        ("new", None, -1, -1),
        ("one that is given", None, 7, 3),
        ("half of one", None, 7, -1),
        ("an empty transaction", Some(""), -1, -1),
    ] {
        let request = InitProducerIdRequest {
            transactional_id,
            transaction_timeout_ms: 60_000,
            producer_id,
            producer_epoch,
        };
        talk.ask_in_all(case, &request);
    }
}

fn producer(talk: &mut Talk) -> i64 {
    let reply = talk.aside(&InitProducerIdRequest::default(), 4);
    reply.read::<InitProducerIdRequest<'_>>().producer_id
}

/// Of one record.
fn batch(time: i64) -> BatchBuilder {
    BatchBuilder::new().record(TimestampMs::new(time), None, Some(b"value"), &[])
}

fn changed(batch: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = batch.to_vec();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    changed
}

/// As [`changed`], with the checksum made right again.
fn signed(batch: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let changed = changed(batch, at, bytes);
    let sum = crc::crc32c(&changed[21..]);
    self::changed(&changed, 17, &sum.to_be_bytes())
}

const HOUR: i64 = 3_600_000;
