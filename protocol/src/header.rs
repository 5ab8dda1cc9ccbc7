//! Request and response headers, the version of which follows from the API and its version.

use crate::api::{ApiKey, ApiSpec, spec};
use crate::error::{DecodeError, EncodeError};
use crate::primitive::{Reader, Writer};
use crate::types::CorrelationId;

/// What every request begins with. The key is in the table; the version may be one that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: CorrelationId,
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// Reads a header and leaves the reader at the request's body. A key that is not in the table is an
    /// error, as the header's own layout hangs on it. A version beyond the range is not: the answer to it
    /// needs the header.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let api_key = r.i16()?;
        let api_version = r.i16()?;
        let correlation_id = CorrelationId::new(r.i32()?);
        let spec = spec(api_key).ok_or(DecodeError::UnknownApi(api_key))?;
        let client_id = r.nullable_string()?;
        if spec.is_flexible(api_version) {
            r.skip_tagged_fields()?;
        }
        Ok(Self {
            api_key,
            api_version,
            correlation_id,
            client_id,
        })
    }

    pub fn encode(&self, w: &mut Writer, spec: &ApiSpec) -> Result<(), EncodeError> {
        w.i16(self.api_key);
        w.i16(self.api_version);
        w.i32(self.correlation_id.get());
        w.nullable_string(self.client_id)?;
        if spec.is_flexible(self.api_version) {
            w.uvarint(0);
        }
        Ok(())
    }
}

pub fn encode_response_header(w: &mut Writer, spec: &ApiSpec, version: i16, correlation_id: CorrelationId) {
    w.i32(correlation_id.get());
    if has_tagged_fields(spec, version) {
        w.uvarint(0);
    }
}

/// Reads a response's header and leaves the reader at its body.
pub fn decode_response_header(
    r: &mut Reader<'_>,
    spec: &ApiSpec,
    version: i16,
) -> Result<CorrelationId, DecodeError> {
    let correlation_id = CorrelationId::new(r.i32()?);
    if has_tagged_fields(spec, version) {
        r.skip_tagged_fields()?;
    }
    Ok(correlation_id)
}

/// ApiVersions alone has none in any version: a client reads its response before it knows what the broker
/// speaks (KIP-511).
fn has_tagged_fields(spec: &ApiSpec, version: i16) -> bool {
    spec.key != ApiKey::ApiVersions && spec.is_flexible(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(api_key: ApiKey, api_version: i16) -> usize {
        let header = RequestHeader {
            api_key: api_key.code(),
            api_version,
            correlation_id: CorrelationId::new(-7),
            client_id: Some("tester"),
        };
        let mut w = Writer::new();
        header.encode(&mut w, api_key.spec()).unwrap();
        let mut r = Reader::new(w.bytes());
        assert_eq!(RequestHeader::decode(&mut r), Ok(header));
        assert_eq!(r.remaining(), 0);
        w.bytes().len()
    }

    #[test]
    fn flexible_versions_have_tagged_fields_after_a_plain_client_id() {
        assert_eq!(round_trip(ApiKey::Produce, 8), 16);
        assert_eq!(round_trip(ApiKey::Produce, 9), 17);
        assert_eq!(round_trip(ApiKey::ApiVersions, 99), 17);
    }

    #[test]
    fn an_api_versions_response_never_has_them() {
        let len = |key: ApiKey, version| {
            let mut w = Writer::new();
            encode_response_header(&mut w, key.spec(), version, CorrelationId::new(1));
            let mut r = Reader::new(w.bytes());
            assert_eq!(
                decode_response_header(&mut r, key.spec(), version),
                Ok(CorrelationId::new(1))
            );
            w.bytes().len() - r.remaining()
        };
        assert_eq!(len(ApiKey::ApiVersions, 4), 4);
        assert_eq!(len(ApiKey::Metadata, 9), 5);
        assert_eq!(len(ApiKey::Metadata, 8), 4);
    }

    #[test]
    fn unknown_keys_are_refused_and_unknown_tags_skipped() {
        let unknown = [0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
        assert_eq!(
            RequestHeader::decode(&mut Reader::new(&unknown)),
            Err(DecodeError::UnknownApi(0x7f00))
        );
        let tagged = [0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 1, 9, 2, 0xaa, 0xbb, 0x77];
        let mut r = Reader::new(&tagged);
        assert_eq!(RequestHeader::decode(&mut r).unwrap().client_id, None);
        assert_eq!(r.into_rest(), [0x77]);
    }
}
