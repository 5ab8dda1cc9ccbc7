//! Reading: a cursor over a frame that cannot pass its end and cannot be talked into taking memory.
//!
//! Invariant: while an array is read, the bytes that its outstanding elements need at least are *owed*:
//! neither an element nor an array inside one can claim them. So all the elements ever reserved, at any
//! depth, have bytes of their own in the frame, and the memory of a decoded message is bounded by the frame's
//! size times the largest ratio of an element's size in memory to its smallest size on the wire; and by the number of
//! elements that the reader was allowed ([`Reader::of_elements`]).

use crate::error::DecodeError;
use crate::types::TopicId;

/// A cursor over borrowed bytes. All integers are big-endian.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// How many bytes at the end of `rest` belong to elements of arrays that are being read; never above its
    /// length.
    owed: usize,
    /// How many elements of arrays, at any depth, may still be read.
    elements: usize,
}

/// One of a struct's optional fields (KIP-482).
#[derive(Clone, Debug)]
pub struct TaggedField<'a> {
    pub tag: u32,
    /// Reads this field alone.
    pub content: Reader<'a>,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::of_elements(bytes, usize::MAX)
    }

    /// For a message whose arrays have no more than so many elements, all of them together.
    pub fn of_elements(bytes: &'a [u8], elements: usize) -> Self {
        Self {
            rest: bytes,
            owed: 0,
            elements,
        }
    }

    /// Another reader that may read as many elements as this one still may.
    pub fn alike<'b>(&self, bytes: &'b [u8]) -> Reader<'b> {
        Reader::of_elements(bytes, self.elements)
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not yet read, all of them.
    pub fn into_rest(self) -> &'a [u8] {
        self.rest
    }

    /// Fails where bytes are left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }

    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        if len > self.rest.len() - self.owed {
            return Err(DecodeError::Truncated);
        }
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        if N > self.rest.len() - self.owed {
            return Err(DecodeError::Truncated);
        }
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    #[inline]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Any byte but 0 is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.u8().map(|byte| byte != 0)
    }

    #[inline]
    pub fn topic_id(&mut self) -> Result<TopicId, DecodeError> {
        self.array().map(TopicId::new)
    }

    /// An unsigned integer in groups of seven bits, the lowest first; at most five bytes.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let value = self.groups_of_seven(5)?;
        u32::try_from(value).map_err(|_| DecodeError::InvalidVarint)
    }

    /// A signed integer, zig-zag coded; at most five bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let value = self.uvarint()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    /// A signed integer, zig-zag coded; at most ten bytes.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let value = self.groups_of_seven(10)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Most numbers take one or two bytes, and there are half a dozen in every record that is produced.
    #[inline]
    fn groups_of_seven(&mut self, bytes_max: u32) -> Result<u64, DecodeError> {
        if let [first, second, ..] = *self.rest
            && self.owed + 2 <= self.rest.len()
        {
            if first & 0x80 == 0 {
                self.rest = &self.rest[1..];
                return Ok(first.into());
            }
            if second & 0x80 == 0 {
                self.rest = &self.rest[2..];
                return Ok(u64::from(first & 0x7f) | u64::from(second) << 7);
            }
        }
        self.many_groups_of_seven(bytes_max)
    }

    fn many_groups_of_seven(&mut self, bytes_max: u32) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for index in 0..bytes_max {
            let byte = self.u8()?;
            let group = u64::from(byte & 0x7f);
            let shift = 7 * index;
            if group << shift >> shift != group {
                return Err(DecodeError::InvalidVarint);
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::InvalidVarint)
    }

    /// A string's length field; `None` is null.
    #[inline]
    pub fn string_len(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return self.compact_len();
        }
        length_or_null(self.i16()?.into())
    }

    /// The length field of an array, of bytes or of records; `None` is null.
    #[inline]
    pub fn array_len(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return self.compact_len();
        }
        length_or_null(self.i32()?)
    }

    #[inline]
    fn compact_len(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.uvarint()? as usize).checked_sub(1))
    }

    #[inline]
    pub fn string(&mut self, len: usize) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes(len)?).map_err(|_| DecodeError::InvalidString)
    }

    /// A nullable string with a length of two bytes: the client id of every request header, in flexible
    /// versions too.
    pub fn nullable_string(&mut self) -> Result<Option<&'a str>, DecodeError> {
        self.string_len(false)?.map(|len| self.string(len)).transpose()
    }

    /// Sets aside the bytes of `count` elements of at least `size_min` bytes each. Fails where they cannot be
    /// there: then no memory must be taken for them.
    #[inline]
    pub fn owe(&mut self, count: usize, size_min: usize) -> Result<(), DecodeError> {
        let bytes = count.checked_mul(size_min).ok_or(DecodeError::Truncated)?;
        if bytes > self.rest.len() - self.owed {
            return Err(DecodeError::Truncated);
        }
        self.elements = self
            .elements
            .checked_sub(count)
            .ok_or(DecodeError::TooManyElements)?;
        self.owed += bytes;
        Ok(())
    }

    /// Frees the bytes that were set aside for one element, which is now read.
    #[inline]
    pub fn settle(&mut self, size_min: usize) {
        self.owed -= size_min;
    }

    pub fn tagged_field(&mut self) -> Result<TaggedField<'a>, DecodeError> {
        let tag = self.uvarint()?;
        let len = self.uvarint()? as usize;
        let content = self.bytes(len)?;
        Ok(TaggedField {
            tag,
            content: self.alike(content),
        })
    }

    /// Passes over a whole section of tagged fields.
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.uvarint()? {
            self.tagged_field()?;
        }
        Ok(())
    }
}

#[inline]
fn length_or_null(len: i32) -> Result<Option<usize>, DecodeError> {
    match len {
        -1 => Ok(None),
        len => usize::try_from(len)
            .map(Some)
            .map_err(|_| DecodeError::InvalidLength),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_counted_and_bounded() {
        let bytes = [0; 100];
        let mut r = Reader::of_elements(&bytes, 3);
        r.owe(2, 1).unwrap();
        assert_eq!(r.alike(&bytes).owe(2, 1), Err(DecodeError::TooManyElements));
        r.owe(1, 1).unwrap();
        assert_eq!(r.owe(1, 1), Err(DecodeError::TooManyElements));
        Reader::new(&bytes).owe(100, 1).unwrap();
    }

    #[test]
    fn varints_end_where_their_type_does() {
        let read = |bytes: &[u8]| Reader::new(bytes).uvarint();
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0x1f]),
            Err(DecodeError::InvalidVarint)
        );
        assert_eq!(
            read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]),
            Err(DecodeError::InvalidVarint)
        );
        assert_eq!(read(&[0x80]), Err(DecodeError::Truncated));
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(Reader::new(&most).varlong(), Ok(i64::MIN));
        most[9] = 2;
        assert_eq!(Reader::new(&most).varlong(), Err(DecodeError::InvalidVarint));
    }

    #[test]
    fn what_is_owed_cannot_be_read() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5]);
        reader.owe(2, 2).unwrap();
        assert_eq!(reader.owe(1, 2), Err(DecodeError::Truncated), "one byte is free");
        assert_eq!(reader.i16(), Err(DecodeError::Truncated));
        assert_eq!(reader.bytes(2), Err(DecodeError::Truncated));
        reader.settle(2);
        assert_eq!(reader.i16(), Ok(0x0102));
        reader.settle(2);
        assert_eq!(reader.bytes(3), Ok(&[3, 4, 5][..]));
        assert_eq!(reader.owe(usize::MAX, 2), Err(DecodeError::Truncated));
    }

    #[test]
    fn lengths_are_null_or_natural() {
        assert_eq!(Reader::new(&[0xff, 0xff]).string_len(false), Ok(None));
        assert_eq!(
            Reader::new(&[0xff, 0xfe]).string_len(false),
            Err(DecodeError::InvalidLength)
        );
        assert_eq!(Reader::new(&[0]).array_len(true), Ok(None));
        assert_eq!(Reader::new(&[1]).array_len(true), Ok(Some(0)));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff]).array_len(false), Ok(None));
    }
}
