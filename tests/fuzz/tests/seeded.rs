//! The fuzz targets' checks over seeded mutations of sound input, so that every test run tries some.

use millstream_fuzz::golden::{self, Golden};
use millstream_fuzz::messages::Direction;
use millstream_fuzz::random::Random;
use millstream_protocol::api::ApiKey;
use millstream_protocol::message::{Encode, ProduceRequest};
use millstream_protocol::primitive::Writer;
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::record::crc::crc32c;
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

#[test]
fn messages_hold_under_mutation() {
    let mut random = Random::new(1);
    for golden in golden::load() {
        let Golden {
            spec,
            direction,
            version,
            bytes,
            ..
        } = golden;
        let check = match direction {
            Direction::Request => millstream_fuzz::requests,
            Direction::Response => millstream_fuzz::responses,
        };
        let input = millstream_fuzz::input(spec, version, &bytes);
        check(&input);
        for _ in 0..40 {
            check(&random.mutate(&input));
        }
    }
}

#[test]
fn counts_that_claim_all_there_is_take_no_more_than_the_table_says() {
    let mut random = Random::new(4);
    for golden in golden::load().into_iter().filter(|golden| golden.shape == "full") {
        let check = match golden.direction {
            Direction::Request => millstream_fuzz::requests,
            Direction::Response => millstream_fuzz::responses,
        };
        for at in (0..golden.bytes.len()).step_by(3) {
            let body = random.claims(&golden.bytes[..at], golden.spec.is_flexible(golden.version));
            check(&millstream_fuzz::input(golden.spec, golden.version, &body));
        }
    }
}

#[test]
fn data_hold_under_mutation() {
    let mut random = Random::new(6);
    for golden in golden::data() {
        millstream_fuzz::data(&golden.bytes);
        for _ in 0..400 {
            millstream_fuzz::data(&random.mutate(&golden.bytes));
        }
        for at in (2..golden.bytes.len()).step_by(3) {
            for flexible in [false, true] {
                millstream_fuzz::data(&random.claims(&golden.bytes[..at], flexible));
            }
        }
    }
}

#[test]
fn nested_counts_do_not_add_up() {
    // As many topics as three bytes each allow; the first one claims as many partitions as six bytes each
    // allow.
    let filling = 30_000;
    let mut w = Writer::new();
    ProduceRequest::default().encode(&mut w, 9).expect("version 9");
    let (mut body, _) = w.into_parts();
    body.truncate(body.len() - 2);
    let mut w = Writer::new();
    w.uvarint(filling / 3 - 3);
    w.uvarint(1);
    w.uvarint(filling / 6);
    body.extend_from_slice(w.bytes());
    body.resize(body.len() + filling as usize, 1);
    millstream_fuzz::requests(&millstream_fuzz::input(ApiKey::Produce.spec(), 9, &body));
}

#[test]
fn noise_does_no_harm() {
    let mut random = Random::new(2);
    for round in 0..4_000 {
        let noise: Vec<u8> = (0..random.below(200)).map(|_| random.byte(round)).collect();
        millstream_fuzz::requests(&noise);
        millstream_fuzz::responses(&noise);
        millstream_fuzz::batches(&noise);
    }
}

#[test]
fn batches_hold_under_mutation() {
    let mut several = Vec::new();
    for sequence in 0..3 {
        let producer = (ProducerId::new(1), ProducerEpoch::new(0), Sequence::new(sequence));
        let builder = BatchBuilder::new().producer(producer.0, producer.1, producer.2);
        several.extend(
            builder
                .record(TimestampMs::new(5), Some(b"key"), Some(&[7; 100]), &[])
                .build(),
        );
    }
    let mut seeds = vec![several];
    seeds.extend(golden::batches().into_iter().map(|batch| batch.bytes));
    let mut random = Random::new(3);
    for seed in seeds {
        for _ in 0..2_000 {
            let mut bytes = random.mutate(&seed);
            millstream_fuzz::batches(&bytes);
            // Behind a right CRC: records that lie.
            if let Ok(size) = BatchView::parse(&bytes).map(|(batch, _)| batch.size()) {
                let crc = crc32c(&bytes[21..size]);
                bytes[17..21].copy_from_slice(&crc.to_be_bytes());
                millstream_fuzz::batches(&bytes);
            }
        }
    }
}

#[test]
fn formats_hold_under_mutation() {
    let mut random = Random::new(5);
    for seed in millstream_fuzz::format_seeds() {
        millstream_fuzz::formats(&seed);
        for _ in 0..4_000 {
            millstream_fuzz::formats(&random.mutate(&seed));
        }
    }
}

#[test]
fn what_the_fuzzers_found_still_holds() {
    let checked = |target, check: fn(&[u8])| {
        let inputs = millstream_fuzz::corpus::load(target).unwrap();
        assert!(!inputs.is_empty(), "nothing is kept for {target}");
        inputs.iter().for_each(|input| check(input));
    };
    checked("requests", millstream_fuzz::requests);
    checked("responses", millstream_fuzz::responses);
    checked("batches", millstream_fuzz::batches);
    checked("formats", millstream_fuzz::formats);
}
