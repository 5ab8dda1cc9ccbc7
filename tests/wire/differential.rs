//! Our messages and batches against those of the `kafka-protocol` crate, field by field and byte by byte, over
//! what nobody chose: generated ones, and golden bytes mutated at random.
//!
//! The crate sees only what we encode, as it takes whatever memory a count on the wire asks for.

mod batches;
mod debug;

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message};
use millstream_fuzz::every_api;
use millstream_fuzz::golden;
use millstream_fuzz::messages::Direction;
use millstream_fuzz::random::Random;
use millstream_protocol::api::{API_TABLE, ApiKey};
use millstream_protocol::message as ours;
use millstream_protocol::message::generate::{Generate, Source};
use millstream_protocol::message::{Decode, Encode};
use millstream_protocol::primitive::{Reader, Writer};
use serde_json::Value;

const MUTATIONS: usize = 400;
const GENERATED: usize = 200;

/// What we serve and the crate does not know: API, direction, the first such version.
const UNKNOWN_TO_THE_CRATE: &[(ApiKey, Direction, i16)] = &[
    (ApiKey::ListOffsets, Direction::Request, 11),
    (ApiKey::ListOffsets, Direction::Response, 11),
    (ApiKey::OffsetCommit, Direction::Request, 10),
    (ApiKey::OffsetFetch, Direction::Request, 10),
    (ApiKey::DescribeLogDirs, Direction::Request, 5),
    (ApiKey::DescribeLogDirs, Direction::Response, 5),
];

/// Fields of versions that the crate does not know.
const FIELDS_UNKNOWN_TO_THE_CRATE: &[&str] = &["is_cordoned"];

/// Fields that the crate has from a version on that we do not serve.
const UNKNOWN_TO_US: &[&str] = &[
    "enable_2_pc",
    "keep_prepared_txn",
    "ongoing_txn_producer_epoch",
    "ongoing_txn_producer_id",
];

#[test]
fn generated_messages_are_the_same_in_both() {
    let mut chance = Chance(Random::new(17));
    let mut unknown = BTreeSet::new();
    for spec in API_TABLE {
        for direction in [Direction::Request, Direction::Response] {
            for version in spec.min..=spec.max {
                let compared = (0..GENERATED)
                    .filter(|_| compare_generated(spec.key, direction, version, &mut chance))
                    .count();
                if compared == 0 {
                    unknown.insert((spec.key as i16, direction, version));
                }
            }
        }
    }
    let expected: BTreeSet<_> = UNKNOWN_TO_THE_CRATE
        .iter()
        .flat_map(|&(key, direction, from)| {
            (from..=key.spec().max).map(move |version| (key as i16, direction, version))
        })
        .collect();
    assert_eq!(unknown, expected, "versions without a second opinion");
}

#[test]
fn mutated_messages_are_the_same_in_both() {
    let mut random = Random::new(11);
    let (mut compared, mut skipped) = (0, 0);
    for golden in golden::load() {
        let (key, direction, version) = (golden.spec.key, golden.direction, golden.version);
        for round in 0..MUTATIONS {
            let body = if round == 0 {
                golden.bytes.clone()
            } else {
                random.mutate(&golden.bytes)
            };
            let Some(ours) = millstream_fuzz::recode(golden.spec, direction, version, &body) else {
                continue;
            };
            match recode_theirs(key, direction, version, &ours) {
                Some(theirs) => {
                    compared += 1;
                    assert_eq!(theirs.bytes, ours, "{} {direction:?} {version}", golden.spec.name);
                }
                None => skipped += 1,
            }
        }
    }
    assert!(
        compared > 10_000,
        "only {compared} messages were compared, {skipped} skipped"
    );
    assert!(
        skipped < compared / 10,
        "{skipped} messages are of versions that the crate lacks"
    );
}

/// Generates a message, lets the crate read what we write and us read what it writes: the same fields there, the
/// same bytes, and here the message again. `false` for a version that the crate does not have.
fn compare_generated(key: ApiKey, direction: Direction, version: i16, chance: &mut Chance) -> bool {
    macro_rules! of_type {
        ($message:ident) => {{
            let message = ours::$message::generate(chance, version);
            let name = format!("{} {version}: {message:?}", stringify!($message));
            let written = encode(&message, version);
            let Some(theirs) = recode_theirs(key, direction, version, &written) else {
                return false;
            };
            assert_same(
                &name,
                &debug::parse(&format!("{message:?}")),
                &debug::parse(&theirs.message),
            );
            assert_eq!(theirs.bytes, written, "{name}");
            let mut reader = Reader::new(&theirs.bytes);
            assert_eq!(
                ours::$message::decode(&mut reader, version),
                Ok(message),
                "{name}"
            );
            assert_eq!(reader.remaining(), 0, "{name}");
        }};
    }
    macro_rules! dispatch {
        ($($api:ident: $request:ident, $response:ident;)*) => {
            match (key, direction) {
                $(
                    (ApiKey::$api, Direction::Request) => of_type!($request),
                    (ApiKey::$api, Direction::Response) => of_type!($response),
                )*
            }
        };
    }
    every_api!(dispatch);
    true
}

fn encode(message: &impl Encode, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    message
        .encode(&mut w, version)
        .expect("what is generated can be written");
    w.into_parts().0
}

/// What the crate read, as `{:?}` prints it, and wrote again.
struct Theirs {
    message: String,
    bytes: Vec<u8>,
}

/// What the crate makes of a message; `None` for a version that it does not have.
fn recode_theirs(key: ApiKey, direction: Direction, version: i16, bytes: &[u8]) -> Option<Theirs> {
    macro_rules! dispatch {
        ($($api:ident: $request:ident, $response:ident;)*) => {
            match (key, direction) {
                $(
                    (ApiKey::$api, Direction::Request) => recode::<theirs::$request>(version, bytes),
                    (ApiKey::$api, Direction::Response) => recode::<theirs::$response>(version, bytes),
                )*
            }
        };
    }
    every_api!(dispatch)
}

fn recode<M: Decodable + Encodable + Message + Debug>(version: i16, bytes: &[u8]) -> Option<Theirs> {
    if version < M::VERSIONS.min || version > M::VERSIONS.max {
        return None;
    }
    let mut rest = Bytes::copy_from_slice(bytes);
    let message = M::decode(&mut rest, version).expect("the crate reads what we write");
    assert!(rest.is_empty(), "the crate leaves {} bytes", rest.len());
    let mut encoded = BytesMut::new();
    message
        .encode(&mut encoded, version)
        .expect("the crate writes what it read");
    Some(Theirs {
        message: format!("{message:?}"),
        bytes: encoded.to_vec(),
    })
}

/// The same fields with the same values. A field that the version lacks is at its default: there null and empty
/// are the same, and what is on the wire is compared as bytes.
fn assert_same(name: &str, ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(mine), Value::Object(others)) => {
            let known = others.keys().filter(|field| !UNKNOWN_TO_US.contains(&&field[..]));
            let compared = || {
                let lacking = |field: &str| FIELDS_UNKNOWN_TO_THE_CRATE.contains(&field);
                mine.iter().filter(move |(field, _)| !lacking(field))
            };
            let names = compared().map(|(field, _)| field);
            assert!(names.eq(known), "{name}: {ours} against {theirs}");
            for (field, mine) in compared() {
                assert_same(&format!("{name}: {field}"), mine, &others[field]);
            }
        }
        (Value::Array(mine), Value::Array(others)) => {
            assert_eq!(mine.len(), others.len(), "{name}");
            mine.iter()
                .zip(others)
                .for_each(|(mine, other)| assert_same(name, mine, other));
        }
        (Value::Null, Value::String(text)) | (Value::String(text), Value::Null) => {
            assert_eq!(text, "", "{name}")
        }
        (Value::Null, Value::Array(elements)) | (Value::Array(elements), Value::Null) => {
            assert!(elements.is_empty(), "{name}");
        }
        _ => assert_eq!(ours, theirs, "{name}"),
    }
}

/// Values of any size, the ends of each type among them, and every length around those where a compact length
/// takes another byte.
struct Chance(Random);

impl Source<'static> for Chance {
    fn number(&mut self) -> u64 {
        match self.0.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 0x7fff_ffff_7fff_7f7f,
            3 => self.0.number() & 0x7f,
            _ => self.0.number(),
        }
    }

    fn text(&mut self) -> &'static str {
        let len = self.len();
        &TEXT[..TEXT.floor_char_boundary(len)]
    }

    fn bytes(&mut self) -> &'static [u8] {
        let len = self.len();
        &BYTES[..len]
    }

    fn count(&mut self) -> usize {
        self.0.below(4)
    }

    fn null(&mut self) -> bool {
        self.0.below(4) == 0
    }
}

impl Chance {
    fn len(&mut self) -> usize {
        match self.0.below(16) {
            0 => 125 + self.0.below(5),
            1 => 0,
            _ => self.0.below(20),
        }
    }
}

const TEXT: &str = "aZ_\u{e9}0-\u{65e5}.\u{1d11e}, and then as many letters as a length of two bytes needs: \
    abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz";

const BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at as u8).wrapping_mul(37);
        at += 1;
    }
    bytes
};
