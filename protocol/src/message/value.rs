//! The types that fields have, each with its one way on the wire.

use alloc::vec::Vec;
use core::fmt;

use crate::api::ApiKey;
use crate::error::{DecodeError, EncodeError};
use crate::primitive::{Reader, Writer};
use crate::types::TopicId;

/// The version that a message is read or written in.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    pub number: i16,
    /// Whether lengths are compact and structs end in tagged fields.
    pub flexible: bool,
}

impl Version {
    /// `None` for a version that the table does not claim.
    pub fn of(api: ApiKey, number: i16) -> Option<Self> {
        let spec = api.spec();
        spec.claims(number).then(|| Self {
            number,
            flexible: spec.is_flexible(number),
        })
    }
}

/// Whatever a field can hold.
pub trait Value<'a>: Sized {
    /// The fewest bytes that any value takes on the wire.
    fn size_min(version: Version) -> usize;
    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError>;
    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError>;
}

/// The records of a fetched partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Records<'a> {
    #[default]
    Null,
    Bytes(&'a [u8]),
    /// So many bytes that the sender puts in from elsewhere; never decoded.
    Splice(usize),
}

/// How a struct that may be null says whether it is there.
#[derive(Clone, Copy, Debug)]
pub enum Presence {
    /// 1 or -1, among the other fields.
    Byte,
    /// 1 or 0, in a tagged field.
    Varint,
}

impl Presence {
    pub fn read(self, r: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match self {
            Presence::Byte => r.i8().map(|byte| byte >= 0),
            Presence::Varint => r.uvarint().map(|number| number > 0),
        }
    }

    pub fn write(self, w: &mut Writer, there: bool) {
        match self {
            Presence::Byte => w.i8(if there { 1 } else { -1 }),
            Presence::Varint => w.uvarint(there.into()),
        }
    }
}

/// A floating-point number. Two are equal if their bits are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Float64 {
    bits: u64,
}

impl Float64 {
    pub const fn new(value: f64) -> Self {
        Self {
            bits: value.to_bits(),
        }
    }

    pub const fn get(self) -> f64 {
        f64::from_bits(self.bits)
    }
}

impl fmt::Debug for Float64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

/// Reads a tagged field's value, which must fill the field.
pub fn read_all<'a, T: Value<'a>>(mut content: Reader<'a>, version: Version) -> Result<T, DecodeError> {
    let value = T::read(&mut content, version)?;
    content.finish()?;
    Ok(value)
}

/// The tagged fields of one struct, collected in the order of their tags.
#[derive(Default)]
pub struct TaggedFields {
    count: u32,
    bytes: Writer,
}

impl TaggedFields {
    pub fn put_if(
        mut self,
        present: bool,
        tag: u32,
        content: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        if present {
            self.bytes.tagged_field(tag, content)?;
            self.count += 1;
        }
        Ok(self)
    }

    pub fn write(self, w: &mut Writer) {
        w.uvarint(self.count);
        w.raw(self.bytes.bytes());
    }
}

/// Implements [`Value`] for a type that reader and writer have a method for.
macro_rules! fixed {
    ($($type:ty, $size:literal, $method:ident;)*) => {
        $(
            impl<'a> Value<'a> for $type {
                fn size_min(_: Version) -> usize {
                    $size
                }

                #[inline]
                fn read(r: &mut Reader<'a>, _: Version) -> Result<Self, DecodeError> {
                    r.$method()
                }

                fn write(&self, w: &mut Writer, _: Version) -> Result<(), EncodeError> {
                    w.$method(*self);
                    Ok(())
                }
            }
        )*
    };
}

fixed! {
    bool, 1, bool;
    i8, 1, i8;
    i16, 2, i16;
    u16, 2, u16;
    i32, 4, i32;
    i64, 8, i64;
    TopicId, 16, topic_id;
}

impl<'a> Value<'a> for Float64 {
    fn size_min(_: Version) -> usize {
        8
    }

    fn read(r: &mut Reader<'a>, _: Version) -> Result<Self, DecodeError> {
        r.u64().map(|bits| Self { bits })
    }

    fn write(&self, w: &mut Writer, _: Version) -> Result<(), EncodeError> {
        w.u64(self.bits);
        Ok(())
    }
}

impl<'a> Value<'a> for &'a str {
    fn size_min(version: Version) -> usize {
        if version.flexible { 1 } else { 2 }
    }

    #[inline]
    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        Option::read(r, version)?.ok_or(DecodeError::InvalidLength)
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        Some(*self).write(w, version)
    }
}

impl<'a> Value<'a> for Option<&'a str> {
    fn size_min(version: Version) -> usize {
        <&str>::size_min(version)
    }

    #[inline]
    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        r.string_len(version.flexible)?
            .map(|len| r.string(len))
            .transpose()
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        w.string_len(self.map(str::len), version.flexible)?;
        w.raw(self.unwrap_or_default().as_bytes());
        Ok(())
    }
}

impl<'a> Value<'a> for &'a [u8] {
    fn size_min(version: Version) -> usize {
        array_size_min(version)
    }

    #[inline]
    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        Option::read(r, version)?.ok_or(DecodeError::InvalidLength)
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        Some(*self).write(w, version)
    }
}

/// Bytes, of which nothing but the length is looked at.
impl<'a> Value<'a> for Option<&'a [u8]> {
    fn size_min(version: Version) -> usize {
        array_size_min(version)
    }

    #[inline]
    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        r.array_len(version.flexible)?.map(|len| r.bytes(len)).transpose()
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        w.array_len(self.map(<[u8]>::len), version.flexible)?;
        w.raw(self.unwrap_or_default());
        Ok(())
    }
}

impl<'a> Value<'a> for Records<'a> {
    fn size_min(version: Version) -> usize {
        array_size_min(version)
    }

    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        Ok(Option::read(r, version)?.map_or(Records::Null, Records::Bytes))
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        match *self {
            Records::Null => None::<&[u8]>.write(w, version),
            Records::Bytes(bytes) => Some(bytes).write(w, version),
            Records::Splice(len) => w.records_splice(len, version.flexible),
        }
    }
}

impl<'a, T: Value<'a>> Value<'a> for Vec<T> {
    fn size_min(version: Version) -> usize {
        array_size_min(version)
    }

    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        Option::read(r, version)?.ok_or(DecodeError::InvalidLength)
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        write_array(Some(self), w, version)
    }
}

impl<'a, T: Value<'a>> Value<'a> for Option<Vec<T>> {
    fn size_min(version: Version) -> usize {
        array_size_min(version)
    }

    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let Some(len) = r.array_len(version.flexible)? else {
            return Ok(None);
        };
        let size_min = T::size_min(version);
        assert!(size_min > 0, "elements without bytes could claim any count");
        r.owe(len, size_min)?;
        let mut elements = Vec::with_capacity(len);
        for _ in 0..len {
            r.settle(size_min);
            elements.push(T::read(r, version)?);
        }
        Ok(Some(elements))
    }

    fn write(&self, w: &mut Writer, version: Version) -> Result<(), EncodeError> {
        write_array(self.as_deref(), w, version)
    }
}

fn write_array<'a, T: Value<'a>>(
    elements: Option<&[T]>,
    w: &mut Writer,
    version: Version,
) -> Result<(), EncodeError> {
    w.array_len(elements.map(<[T]>::len), version.flexible)?;
    elements
        .unwrap_or_default()
        .iter()
        .try_for_each(|element| element.write(w, version))
}

fn array_size_min(version: Version) -> usize {
    if version.flexible { 1 } else { 4 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{
        Decode, Encode, FetchRequest, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
        fetch::FetchTopic, metadata::MetadataResponseTopic, produce::TopicProduceResponse,
    };
    use alloc::vec;

    fn encoded(message: &impl Encode, version: i16) -> Vec<u8> {
        let mut w = Writer::new();
        message.encode(&mut w, version).unwrap();
        w.into_parts().0
    }

    #[test]
    fn counts_beyond_the_bytes_are_refused() {
        // Two topics of at least three bytes each (name, array, tags) cannot lie in five bytes.
        let body = [0, 0, 1, 0, 0, 0, 1, 3, 1, 1, 0, 1, 1];
        assert_eq!(
            ProduceRequest::decode(&mut Reader::new(&body), 9),
            Err(DecodeError::Truncated)
        );
        let huge = [0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 0];
        assert_eq!(
            ProduceRequest::decode(&mut Reader::new(&huge), 9),
            Err(DecodeError::Truncated)
        );
    }

    #[test]
    fn inner_counts_cannot_claim_what_outer_elements_need() {
        // Two topics; the first one's partitions (two, of six bytes each) would take the second one's three
        // bytes.
        let mut body = vec![0, 0, 1, 0, 0, 0, 1, 3, 1, 3];
        body.extend_from_slice(&[0; 12]);
        body.extend_from_slice(&[0; 3]);
        assert_eq!(
            ProduceRequest::decode(&mut Reader::new(&body), 9),
            Err(DecodeError::Truncated)
        );
    }

    #[test]
    fn unknown_tagged_fields_are_skipped() {
        let topic = FetchTopic {
            topic: "t",
            ..Default::default()
        };
        let request = FetchRequest {
            topics: vec![topic],
            ..Default::default()
        };
        let mut bytes = encoded(&request, 12);
        assert_eq!(bytes.pop(), Some(0), "no tagged fields");
        bytes.extend_from_slice(&[2, 0, 2, 2, b'x', 99, 3, 1, 2, 3]);
        let decoded = FetchRequest::decode(&mut Reader::new(&bytes), 12).unwrap();
        assert_eq!(
            decoded,
            FetchRequest {
                cluster_id: Some("x"),
                ..request
            }
        );
    }

    #[test]
    fn a_tagged_field_is_filled_by_its_value() {
        let mut bytes = encoded(&FetchRequest::default(), 12);
        bytes.pop();
        bytes.extend_from_slice(&[1, 0, 3, 2, b'x', 0]);
        assert_eq!(
            FetchRequest::decode(&mut Reader::new(&bytes), 12),
            Err(DecodeError::Trailing)
        );
    }

    #[test]
    fn null_is_allowed_from_its_version_on() {
        let all = MetadataRequest {
            topics: None,
            ..Default::default()
        };
        assert_eq!(
            all.encode(&mut Writer::new(), 0),
            Err(EncodeError::Null("topics"))
        );
        assert_eq!(encoded(&all, 1), [0xff; 4]);
        assert_eq!(
            MetadataRequest::decode(&mut Reader::new(&[0xff; 4]), 0),
            Err(DecodeError::InvalidLength)
        );
        let topic = MetadataResponseTopic {
            name: None,
            ..Default::default()
        };
        let unnamed = MetadataResponse {
            topics: vec![topic],
            ..Default::default()
        };
        assert_eq!(
            unnamed.encode(&mut Writer::new(), 11),
            Err(EncodeError::Null("name"))
        );
        encoded(&unnamed, 12);
    }

    #[test]
    fn versions_outside_the_table_are_refused() {
        for version in [-1, 14] {
            assert_eq!(
                ProduceRequest::decode(&mut Reader::new(&[]), version),
                Err(DecodeError::UnsupportedVersion(version))
            );
        }
        let response = ProduceResponse {
            responses: vec![TopicProduceResponse::default()],
            ..Default::default()
        };
        assert_eq!(
            response.encode(&mut Writer::new(), 14),
            Err(EncodeError::UnsupportedVersion(14))
        );
    }
}
