//! Writing: bytes that grow, with the places where foreign bytes go in between.
//!
//! A fetch response carries records that lie in a cache or come from a disk. They are never copied into the
//! response: the writer notes where they belong, and the connection sends its own bytes and theirs in turn.

use alloc::vec::Vec;

use crate::error::EncodeError;
use crate::types::TopicId;

/// A place where `len` foreign bytes follow the writer's first `at` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Counts the writer's own bytes only.
    pub at: usize,
    pub len: usize,
}

/// Where a frame began; [`Writer::end_frame`] takes it back.
#[derive(Debug)]
#[must_use]
pub struct FrameMark {
    at: usize,
    splices: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
    splices: Vec<Splice>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            splices: Vec::new(),
        }
    }

    /// Leaves room for a frame's length prefix.
    pub fn begin_frame(&mut self) -> FrameMark {
        let mark = FrameMark {
            at: self.bytes.len(),
            splices: self.splices.len(),
        };
        self.i32(0);
        mark
    }

    /// Writes the length prefix of all that came since, splices included.
    pub fn end_frame(&mut self, mark: FrameMark) -> Result<(), EncodeError> {
        let content = mark.at + 4;
        let spliced: usize = self.splices[mark.splices..].iter().map(|splice| splice.len).sum();
        let len = i32::try_from(self.bytes.len() - content + spliced).map_err(|_| EncodeError::TooLong)?;
        self.bytes[mark.at..content].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// The writer's own bytes, without the spliced ones.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// In the order of `at`.
    pub fn splices(&self) -> &[Splice] {
        &self.splices
    }

    pub fn into_parts(self) -> (Vec<u8>, Vec<Splice>) {
        (self.bytes, self.splices)
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_be_bytes());
    }

    pub fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    pub fn topic_id(&mut self, id: TopicId) {
        self.raw(&id.get());
    }

    pub fn uvarint(&mut self, value: u32) {
        self.groups_of_seven(value.into());
    }

    pub fn varint(&mut self, value: i32) {
        self.uvarint(((value << 1) ^ (value >> 31)) as u32);
    }

    pub fn varlong(&mut self, value: i64) {
        self.groups_of_seven(((value << 1) ^ (value >> 63)) as u64);
    }

    fn groups_of_seven(&mut self, mut value: u64) {
        while value > 0x7f {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    /// The length field of a string of `len` bytes; `None` is null.
    pub fn string_len(&mut self, len: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        let len = match len {
            Some(len) => i16::try_from(len).map_err(|_| EncodeError::TooLong)?,
            None => -1,
        };
        if flexible {
            self.uvarint((i32::from(len) + 1) as u32);
        } else {
            self.i16(len);
        }
        Ok(())
    }

    /// The length field of an array of `len` elements, or of so many bytes; `None` is null.
    pub fn array_len(&mut self, len: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        let len = match len {
            Some(len) => i32::try_from(len).map_err(|_| EncodeError::TooLong)?,
            None => -1,
        };
        if flexible {
            self.uvarint((len as u32).wrapping_add(1));
        } else {
            self.i32(len);
        }
        Ok(())
    }

    /// The counterpart of [`crate::primitive::Reader::nullable_string`].
    pub fn nullable_string(&mut self, value: Option<&str>) -> Result<(), EncodeError> {
        self.string_len(value.map(str::len), false)?;
        self.raw(value.unwrap_or("").as_bytes());
        Ok(())
    }

    /// Writes the length field of `len` bytes of records and notes that the records themselves follow from
    /// elsewhere.
    pub fn records_splice(&mut self, len: usize, flexible: bool) -> Result<(), EncodeError> {
        self.array_len(Some(len), flexible)?;
        if len > 0 {
            self.splices.push(Splice {
                at: self.bytes.len(),
                len,
            });
        }
        Ok(())
    }

    /// Writes one tagged field. There are no splices in tagged fields.
    pub fn tagged_field(
        &mut self,
        tag: u32,
        content: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        // The content's size comes first and has a length of its own: the few fields that are ever written
        // this way are small, so they are written apart and copied.
        let mut field = Writer::new();
        content(&mut field)?;
        assert!(field.splices.is_empty(), "records in a tagged field");
        self.uvarint(tag);
        self.uvarint(u32::try_from(field.bytes.len()).map_err(|_| EncodeError::TooLong)?);
        self.raw(&field.bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitive::Reader;

    #[test]
    fn varints_come_back() {
        for shift in 0..64 {
            for value in [
                1i64 << shift,
                (1i64 << shift).wrapping_neg(),
                (1i64 << shift).wrapping_sub(1),
            ] {
                let mut writer = Writer::new();
                writer.varlong(value);
                writer.varint(value as i32);
                writer.uvarint(value as u32);
                let mut reader = Reader::new(writer.bytes());
                assert_eq!(reader.varlong(), Ok(value));
                assert_eq!(reader.varint(), Ok(value as i32));
                assert_eq!(reader.uvarint(), Ok(value as u32));
                assert_eq!(reader.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn a_frame_counts_what_is_spliced_into_it() {
        let mut writer = Writer::new();
        writer.i32(7);
        let mark = writer.begin_frame();
        writer.u8(1);
        writer.records_splice(1000, true).unwrap();
        writer.u8(2);
        writer.records_splice(0, false).unwrap();
        writer.end_frame(mark).unwrap();
        assert_eq!(writer.bytes()[4..8], (1u32 + 2 + 1000 + 1 + 4).to_be_bytes()[..]);
        assert_eq!(
            writer.splices(),
            [Splice {
                at: 4 + 4 + 1 + 2,
                len: 1000
            }]
        );
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let mut writer = Writer::new();
        assert_eq!(writer.string_len(Some(32_768), true), Err(EncodeError::TooLong));
        assert_eq!(writer.string_len(Some(32_767), false), Ok(()));
        assert_eq!(writer.array_len(Some(1 << 31), true), Err(EncodeError::TooLong));
        assert_eq!(writer.bytes(), [0x7f, 0xff]);
    }
}
