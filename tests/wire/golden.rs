//! Our messages against Kafka's own: bytes that its Java classes wrote (see `generator`) decode to the values
//! that they were written from and encode to the same bytes, in every version and both directions.

mod debug;

use std::collections::BTreeSet;
use std::fmt::Debug;

use millstream_fuzz::golden::{self, Golden};
use millstream_fuzz::messages::{Direction, Visitor, with_message};
use millstream_protocol::api::API_TABLE;
use millstream_protocol::message::{Decode, Encode};
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::types::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use serde_json::Value;

const SHAPES: [&str; 4] = ["full", "nulls", "hollow", "defaults"];

#[test]
fn every_message_is_what_kafka_makes_of_it() {
    for Golden {
        spec,
        direction,
        version,
        shape,
        bytes,
        json,
    } in golden::load()
    {
        let name = format!("{} {direction:?} {version} {shape}", spec.name);
        let seen = with_message(spec.key, direction, &bytes, version, Recode { name: &name });
        assert_eq!(seen.bytes, bytes, "{name}");
        let ours = debug::parse(&seen.debug);
        let kafkas: Value = serde_json::from_str(&json).expect("the generator writes JSON");
        assert_same(&name, &ours, &kafkas);
    }
}

#[test]
fn the_golden_set_is_the_api_table() {
    let mut wanted = BTreeSet::new();
    for spec in API_TABLE {
        for version in spec.min..=spec.max {
            for direction in [Direction::Request, Direction::Response] {
                wanted.extend(SHAPES.map(|shape| (spec.key, version, direction, shape.to_owned())));
            }
        }
    }
    let there: BTreeSet<_> = golden::load()
        .into_iter()
        .map(|it| (it.spec.key, it.version, it.direction, it.shape))
        .collect();
    assert_eq!(there, wanted);
    let mut names: Vec<_> = API_TABLE.iter().map(golden::name_of).collect();
    names.sort();
    assert_eq!(
        golden::names(),
        names,
        "no file is left of an API that the table lacks"
    );
}

#[test]
fn kafkas_batches_are_read() {
    for golden::GoldenBatch { codec, bytes } in golden::batches() {
        let (batch, rest) = BatchView::parse(&bytes).expect("a batch");
        assert!(rest.is_empty());
        batch.verify_crc().expect("Kafka's checksum");
        assert_eq!(
            batch.attributes().compression().map(|codec| codec.name()),
            Ok(&codec[..])
        );
        assert_eq!(batch.base_offset().get(), 42);
        assert_eq!(batch.partition_leader_epoch(), Some(LeaderEpoch::new(5)));
        assert_eq!((batch.record_count(), batch.last_offset_delta()), (100, 99));
        assert_eq!(batch.base_timestamp(), Some(TimestampMs::new(1_700_000_000_000)));
        assert_eq!(batch.max_timestamp(), Some(TimestampMs::new(1_700_000_000_099)));
        let producer = batch.summary().producer.expect("an idempotent producer");
        assert_eq!(
            (producer.id, producer.epoch),
            (ProducerId::new(7), ProducerEpoch::new(3))
        );
        assert_eq!(
            (producer.base_sequence, producer.last_sequence),
            (Sequence::new(11), Sequence::new(110))
        );
    }
}

struct Recode<'n> {
    name: &'n str,
}

struct Recoded {
    debug: String,
    bytes: Vec<u8>,
}

impl Visitor for Recode<'_> {
    type Output = Recoded;

    fn visit<'a, M: Decode<'a> + Encode + Debug>(self, bytes: &'a [u8], version: i16) -> Recoded {
        let mut r = Reader::new(bytes);
        let message = M::decode(&mut r, version).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(r.remaining(), 0, "{}", self.name);
        for end in 0..bytes.len() {
            let cut = M::decode(&mut Reader::new(&bytes[..end]), version);
            assert!(
                cut.is_err(),
                "{} decodes without its last {} bytes",
                self.name,
                bytes.len() - end
            );
        }
        let mut w = Writer::new();
        message
            .encode(&mut w, version)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        Recoded {
            debug: format!("{message:?}"),
            bytes: w.into_parts().0,
        }
    }
}

/// Every field that Kafka has in this version must have its value; fields that the version lacks are only
/// ours.
fn assert_same(path: &str, ours: &Value, kafkas: &Value) {
    match (ours, kafkas) {
        (Value::Object(ours), Value::Object(kafkas)) => {
            for (field, value) in kafkas {
                let path = format!("{path}.{field}");
                assert_same(
                    &path,
                    ours.get(field).unwrap_or_else(|| panic!("{path} is missing")),
                    value,
                );
            }
        }
        (Value::Array(ours), Value::Array(kafkas)) => {
            assert_eq!(ours.len(), kafkas.len(), "{path}");
            ours.iter()
                .zip(kafkas)
                .for_each(|(ours, kafkas)| assert_same(path, ours, kafkas));
        }
        (Value::Array(bytes), Value::String(hex)) => {
            let bytes: Vec<u8> = bytes
                .iter()
                .map(|byte| byte.as_u64().expect("a byte") as u8)
                .collect();
            assert_eq!(bytes, golden::from_hex(hex), "{path}");
        }
        _ => assert_eq!(ours, kafkas, "{path}"),
    }
}
