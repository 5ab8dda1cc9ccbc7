//! What must hold for any bytes: the checks that fuzz targets and plain tests share.
//!
//! A check panics where its property fails. Each takes the bytes as they come; the first two of a message's
//! pick the API, by its key or else by its place in the table, and the version, so that no mutation is wasted.

pub mod corpus;
pub mod golden;
pub mod memory;
pub mod messages;
pub mod random;

mod batches;
#[cfg(any(test, fuzzing))]
mod boot;
mod data;
mod formats;
#[cfg_attr(
    not(any(test, fuzzing)),
    expect(dead_code, reason = "some are needed where a start is fuzzed")
)]
mod seal;

pub use batches::batches;
#[cfg(fuzzing)]
pub use boot::{Ended, boot};
pub use data::data;
pub use formats::{format_seeds, formats};

use millstream_protocol::api::{self, API_TABLE, ApiSpec};
use millstream_protocol::header::{RequestHeader, decode_response_header};
use millstream_protocol::message::{Decode, Encode};
use millstream_protocol::primitive::{Reader, Writer};
use std::fmt::Debug;

use messages::{Direction, Visitor, with_message};

/// Decodes a request of any API and version, with a header and without.
pub fn requests(bytes: &[u8]) {
    let (header, used) = memory::measure(|| RequestHeader::decode(&mut Reader::new(bytes)));
    assert_eq!(used, 0, "a header takes no memory");
    if let Ok(header) = header {
        let spec = millstream_protocol::api::spec(header.api_key).expect("the header's key is in the table");
        let mut w = Writer::new();
        header.encode(&mut w, spec).expect("what was read can be written");
        let again = RequestHeader::decode(&mut Reader::new(w.bytes()));
        assert_eq!(again, Ok(header));
    }
    message(Direction::Request, bytes);
}

/// Decodes a response of any API and version.
pub fn responses(bytes: &[u8]) {
    for spec in API_TABLE {
        let _ = decode_response_header(&mut Reader::new(bytes), spec, spec.max);
    }
    message(Direction::Response, bytes);
}

/// The bytes that make a check look at `body` as a message of this API and version.
pub fn input(spec: &ApiSpec, version: i16, body: &[u8]) -> Vec<u8> {
    let mut input = vec![spec.key.code() as u8, (version - spec.min) as u8];
    input.extend_from_slice(body);
    input
}

/// What a message's bytes become when they are decoded and encoded; `None` if they do not decode. Holds the
/// memory taken against the table's promise.
pub fn recode(spec: &'static ApiSpec, direction: Direction, version: i16, body: &[u8]) -> Option<Vec<u8>> {
    with_message(spec.key, direction, body, version, Recode { spec })
}

fn message(direction: Direction, bytes: &[u8]) {
    let [api, version, body @ ..] = bytes else { return };
    let spec = api::spec(i16::from(*api)).unwrap_or(&API_TABLE[usize::from(*api) % API_TABLE.len()]);
    let version = spec.min + i16::from(*version) % (spec.max - spec.min + 1);
    if let Some(encoded) = recode(spec, direction, version, body) {
        assert_eq!(
            recode(spec, direction, version, &encoded),
            Some(encoded),
            "{} {version}",
            spec.name
        );
    }
}

struct Recode {
    spec: &'static ApiSpec,
}

impl Visitor for Recode {
    type Output = Option<Vec<u8>>;

    fn visit<'a, M: Decode<'a> + Encode + Debug + Default>(
        self,
        bytes: &'a [u8],
        version: i16,
    ) -> Self::Output {
        let (decoded, used) = memory::measure(|| M::decode(&mut Reader::new(bytes), version));
        let allowed = self.spec.cost * bytes.len();
        assert!(
            used <= allowed,
            "{}: {used} bytes of memory for {} bytes",
            self.spec.name,
            bytes.len()
        );
        let mut w = Writer::new();
        decoded
            .ok()?
            .encode(&mut w, version)
            .expect("what was read can be written");
        let (encoded, splices) = w.into_parts();
        assert!(splices.is_empty(), "nothing is spliced into what was read");
        Some(encoded)
    }
}
