//! A place in the bytes of records, moved by index.
//!
//! [`Reader`] would do, but every record of every uncompressed batch that is produced is walked, and its
//! books about arrays cost as much as the walk itself: 19 ns for a small record, against 10 here.

use crate::primitive::Reader;

#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What comes from here on.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    #[inline]
    pub fn skip_byte(&mut self) -> Option<()> {
        self.bytes.get(self.at)?;
        self.at += 1;
        Some(())
    }

    /// Bytes with their length before them; that length must not be negative.
    #[inline]
    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.take(len)
    }

    /// Bytes with their length before them, -1 for null.
    #[inline]
    pub fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            len => self.take(usize::try_from(len).ok()?).map(Some),
        }
    }

    #[inline]
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    #[inline]
    pub fn varint(&mut self) -> Option<i32> {
        if let Some(value) = self.short() {
            return Some((value >> 1) as i32 ^ -((value & 1) as i32));
        }
        self.long(|r| r.varint().ok())
    }

    #[inline]
    pub fn varlong(&mut self) -> Option<i64> {
        if let Some(value) = self.short() {
            return Some(i64::from(value >> 1) ^ -i64::from(value & 1));
        }
        self.long(|r| r.varlong().ok())
    }

    /// A number of one or two bytes, as most are, before zig-zag coding.
    #[inline]
    fn short(&mut self) -> Option<u32> {
        let first = *self.bytes.get(self.at)?;
        if first & 0x80 == 0 {
            self.at += 1;
            return Some(first.into());
        }
        let second = *self.bytes.get(self.at + 1)?;
        if second & 0x80 == 0 {
            self.at += 2;
            return Some(u32::from(first & 0x7f) | u32::from(second) << 7);
        }
        None
    }

    #[inline(never)]
    fn long<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
        let mut r = Reader::new(self.rest());
        let value = read(&mut r)?;
        self.at = self.bytes.len() - r.remaining();
        Some(value)
    }
}
