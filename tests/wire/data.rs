//! What carries its version, against Kafka's own bytes: the records of `__consumer_offsets`, and what consumers
//! put into the fields that only they understand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use millstream_fuzz::every_datum;
use millstream_fuzz::golden::{self, GoldenData};
use millstream_protocol::message::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use millstream_protocol::message::data::Data;
use millstream_protocol::primitive::Writer;
use millstream_protocol::record::offsets::*;
use serde_json::Value;

use super::debug;
use super::defaults::Defaults;

#[test]
fn every_datum_is_what_kafka_makes_of_it() {
    let data = golden::data();
    let hollow = data.iter().filter(|datum| datum.shape == "hollow");
    let defaults = Defaults::of(hollow.map(|datum| (datum.name.clone(), &datum.json[..])));
    for datum in data.iter().filter(|datum| !is_key(datum)) {
        let name = format!("{} {} {}", datum.name, datum.version, datum.shape);
        let seen = recode(datum);
        assert_eq!(seen.bytes, datum.bytes, "{name}");
        let kafkas: Value = serde_json::from_str(&datum.json).expect("the generator writes JSON");
        defaults.assert_same(&name, &datum.name, &debug::parse(&seen.message), &kafkas);
        defaults.assert_all(&name, &datum.name, &debug::parse(&seen.default));
    }
}

#[test]
fn the_golden_data_are_of_all_versions_in_all_shapes() {
    let mut wanted = BTreeSet::new();
    for (name, versions) in known() {
        for version in versions {
            wanted.extend(super::SHAPES.map(|shape| (name.to_owned(), version, shape.to_owned())));
        }
    }
    let data = golden::data().into_iter().filter(|datum| !is_key(datum));
    let there: BTreeSet<_> = data.map(|it| (it.name, it.version, it.shape)).collect();
    assert_eq!(there, wanted);
}

#[test]
fn every_record_has_kafkas_key_and_the_version_that_kafka_writes() {
    let data = golden::data();
    let keys: Vec<_> = data.iter().filter(|datum| is_key(datum)).collect();
    assert_eq!(keys.len(), KINDS, "one key for each kind of record");
    for key in keys {
        let kind = key.name.strip_suffix("Key").expect("a key");
        let values: BTreeMap<_, _> = data
            .iter()
            .filter(|datum| datum.name == format!("{kind}Value") && datum.shape == "full")
            .map(|datum| (datum.version, &datum.bytes))
            .collect();
        // The expiry that the full value has chooses the version that has one.
        let written = match kind {
            "OffsetCommit" => 4,
            "GroupMetadata" => 3,
            _ => 0,
        };
        let record = OffsetsRecord::decode(&key.bytes, Some(values[&written]));
        let record = record.expect("a record").expect("of a kind that is read");
        let printed = format!("{record:?}");
        let fields = printed
            .strip_prefix(&format!("{kind}({kind}Key {{ "))
            .expect("the key's kind");
        let ours = debug::parse(&format!(
            "Key {{ {}",
            &fields[..=fields.find('}').expect("the key's end")]
        ));
        let kafkas: Value = serde_json::from_str(&key.json).expect("the generator writes JSON");
        assert_eq!(ours, kafkas, "{kind}");

        let (mut again, mut value) = (Writer::new(), Writer::new());
        record.encode_key(&mut again).expect("a key");
        assert_eq!(again.bytes(), key.bytes, "{kind}");
        assert_eq!(record.encode_value(&mut value), Ok(true));
        assert_eq!(value.bytes(), values[&written], "{kind}");
    }
}

const KINDS: usize = 10;

fn is_key(datum: &GoldenData) -> bool {
    datum.name.ends_with("Key")
}

/// The message and its type's own default as `{:?}` prints them, and the message's bytes.
struct Recoded {
    message: String,
    default: String,
    bytes: Vec<u8>,
}

macro_rules! types {
    ($($name:ident)*) => {
        /// All types that carry their version, with the versions.
        fn known() -> Vec<(&'static str, std::ops::RangeInclusive<i16>)> {
            vec![$((stringify!($name), $name::VERSIONS),)*]
        }

        fn recode(datum: &GoldenData) -> Recoded {
            match &datum.name[..] {
                $(stringify!($name) => recode_as::<$name>(datum),)*
                other => panic!("no type is called {other}"),
            }
        }
    };
}

every_datum!(types);

fn recode_as<'a, T: Data<'a> + Debug + Default>(datum: &'a GoldenData) -> Recoded {
    let name = format!("{} {} {}", datum.name, datum.version, datum.shape);
    let message = T::decode(&datum.bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    for end in 0..datum.bytes.len() {
        assert!(
            T::decode(&datum.bytes[..end]).is_err(),
            "{name} decodes without its end"
        );
    }
    let mut w = Writer::new();
    message
        .encode(&mut w, datum.version)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    Recoded {
        message: format!("{message:?}"),
        default: format!("{:?}", T::default()),
        bytes: w.into_parts().0,
    }
}
