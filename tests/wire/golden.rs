//! Our messages against Kafka's own: bytes that its Java classes wrote (see `generator`) decode to the values
//! that they were written from and encode to the same bytes, in every version and both directions.

mod data;
mod debug;
mod defaults;

use std::collections::BTreeSet;
use std::fmt::Debug;

use millstream_compress::Body;
use millstream_fuzz::golden::{self, Golden};
use millstream_fuzz::messages::{Direction, Visitor, with_message};
use millstream_protocol::api::{API_TABLE, ApiSpec};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::header::{RequestHeader, decode_response_header, encode_response_header};
use millstream_protocol::message::{Decode, Encode};
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::record::record::Header;
use millstream_protocol::types::{
    CorrelationId, LeaderEpoch, ProducerEpoch, ProducerId, Sequence, TimestampMs,
};
use serde_json::Value;

use defaults::Defaults;

const SHAPES: [&str; 4] = ["full", "nulls", "hollow", "defaults"];

#[test]
fn every_message_is_what_kafka_makes_of_it() {
    let goldens = golden::load();
    let hollow = goldens.iter().filter(|golden| golden.shape == "hollow");
    let defaults = Defaults::of(hollow.map(|golden| {
        let root = format!("{} {:?}", golden.spec.name, golden.direction);
        (root, &golden.json[..])
    }));
    for Golden {
        spec,
        direction,
        version,
        shape,
        bytes,
        json,
    } in goldens
    {
        let name = format!("{} {direction:?} {version} {shape}", spec.name);
        let seen = with_message(spec.key, direction, &bytes, version, Recode { name: &name });
        assert_eq!(seen.bytes, bytes, "{name}");
        let kafkas: Value = serde_json::from_str(&json).expect("the generator writes JSON");
        let root = format!("{} {direction:?}", spec.name);
        defaults.assert_same(&name, &root, &debug::parse(&seen.message), &kafkas);
        defaults.assert_all(&name, &root, &debug::parse(&seen.default));
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
fn every_header_is_what_kafka_makes_of_it() {
    let lines = golden::table::<4>(golden::HEADERS);
    let versions: usize = API_TABLE.iter().map(|spec| (spec.min..=spec.max).count()).sum();
    assert_eq!(lines.len(), versions);
    for [name, version, request, response] in lines {
        let spec = API_TABLE
            .iter()
            .find(|spec| spec.name == name)
            .expect("an API of the table");
        let api_version = version.parse().expect("a version");
        let correlation_id = CorrelationId::new(0x0102_0304);
        let api_key = spec.key.code();
        let header = RequestHeader {
            api_key,
            api_version,
            correlation_id,
            client_id: Some("client"),
        };
        let mut w = Writer::new();
        header.encode(&mut w, spec).expect("a header");
        assert_eq!(w.bytes(), golden::from_hex(&request), "{name} {version}");
        assert_eq!(RequestHeader::decode(&mut Reader::new(w.bytes())), Ok(header));
        let mut w = Writer::new();
        encode_response_header(&mut w, spec, api_version, correlation_id);
        assert_eq!(w.bytes(), golden::from_hex(&response), "{name} {version}");
        let mut r = Reader::new(w.bytes());
        assert_eq!(
            decode_response_header(&mut r, spec, api_version),
            Ok(correlation_id)
        );
        assert_eq!(r.remaining(), 0, "{name} {version}");
    }
}

#[test]
fn error_codes_are_kafkas() {
    let mut lines = golden::table::<3>(golden::ERRORS);
    lines.sort_by_key(|[code, ..]| code.parse::<i16>().expect("a code"));
    let ours = |error: &ErrorCode| {
        [
            error.code().to_string(),
            error.name().to_owned(),
            error.is_retriable().to_string(),
        ]
    };
    assert_eq!(ErrorCode::ALL.iter().map(ours).collect::<Vec<_>>(), lines);
}

#[test]
fn the_documentation_lists_the_api_table() {
    let page = include_str!("../../docs/protocol.md");
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let listed: Vec<Vec<String>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
        .map(cells)
        .collect();
    let row = |spec: &ApiSpec| {
        vec![
            spec.key.code().to_string(),
            spec.name.to_owned(),
            format!("{}-{}", spec.min, spec.max),
        ]
    };
    assert_eq!(listed, API_TABLE.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn kafkas_batches_are_read_in_every_compression() {
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
        check_records(&Body::of(&batch, 1 << 20).expect("Kafka's compression"));
    }
}

fn check_records(body: &Body<'_>) {
    let framing = body.check_framing().expect("Kafka's records");
    assert!(framing.has_null_key && framing.timestamp_delta_max == Some(99));
    for (number, record) in body.records().map(|record| record.expect("a record")).enumerate() {
        let key = (number != 0).then(|| format!("key-{number}"));
        let value = (number != 1).then(|| format!("value-{number}").repeat(20));
        assert_eq!(record.key, key.as_deref().map(str::as_bytes));
        assert_eq!(record.value, value.as_deref().map(str::as_bytes));
        let headers: Vec<_> = record.headers().collect();
        let header = format!("header-{number}");
        assert_eq!(
            headers,
            [Header {
                key: &header,
                value: Some(&[number as u8])
            }]
        );
    }
}

struct Recode<'n> {
    name: &'n str,
}

/// The message and its type's own default as `{:?}` prints them, and the message's bytes.
struct Recoded {
    message: String,
    default: String,
    bytes: Vec<u8>,
}

impl Visitor for Recode<'_> {
    type Output = Recoded;

    fn visit<'a, M: Decode<'a> + Encode + Debug + Default>(self, bytes: &'a [u8], version: i16) -> Recoded {
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
        let (bytes, _) = w.into_parts();
        Recoded {
            message: format!("{message:?}"),
            default: format!("{:?}", M::default()),
            bytes,
        }
    }
}
