//! Little-endian fields in and out of byte slices; every format of this crate is made of them.
//!
//! Invariants: reading never panics, and a count read from bytes never reserves more than the bytes left can
//! hold.

use alloc::vec::Vec;
use core::fmt;

use millstream_protocol::types::{Offset, PartitionIndex, TimestampMs, TopicId};

use crate::id::{FilePosition, Incarnation, PartitionKey, RoundSequence};
use crate::limits::INCARNATIONS_MAX;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// The bytes end before the structure does.
    Short,
    /// Not this structure at all: the magic differs.
    Magic,
    /// Written by a newer version of this program.
    NewerVersion(u32),
    /// The checksum does not match.
    Checksum,
    /// The checksum matches, but a field has a value that is never written.
    Field(&'static str),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the bytes end early"),
            Self::Magic => f.write_str("the magic number is another one"),
            Self::NewerVersion(version) => write!(f, "format version {version} is newer than this program"),
            Self::Checksum => f.write_str("the checksum does not match"),
            Self::Field(name) => write!(f, "field {name} has an impossible value"),
        }
    }
}

impl core::error::Error for FormatError {}

/// Takes fields off the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Take<'a> {
    bytes: &'a [u8],
}

impl<'a> Take<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(FormatError::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(FormatError::Short)?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, FormatError> {
        self.array().map(i16::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, FormatError> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, FormatError> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn offset(&mut self, name: &'static str) -> Result<Offset, FormatError> {
        Offset::checked(self.i64()?).ok_or(FormatError::Field(name))
    }

    pub(crate) fn position(&mut self, name: &'static str) -> Result<FilePosition, FormatError> {
        let position = self.u64()?;
        if position <= crate::limits::SEGMENT_BYTES_MAX {
            Ok(FilePosition::new(position))
        } else {
            Err(FormatError::Field(name))
        }
    }

    pub(crate) fn timestamp(&mut self) -> Result<TimestampMs, FormatError> {
        self.i64().map(TimestampMs::new)
    }

    pub(crate) fn key(&mut self) -> Result<PartitionKey, FormatError> {
        let topic = TopicId::new(self.array()?);
        Ok(PartitionKey {
            topic,
            partition: PartitionIndex::new(self.i32()?),
        })
    }

    /// A batch's last offset: the log's end lies one beyond.
    pub(crate) fn last_offset(&mut self) -> Result<Offset, FormatError> {
        self.offset("last offset").and_then(|offset| match offset {
            Offset::MAX => Err(FormatError::Field("last offset")),
            offset => Ok(offset),
        })
    }

    /// A round's sequence, of which none is the last possible one.
    pub(crate) fn sequence(&mut self) -> Result<RoundSequence, FormatError> {
        match self.u64()? {
            u64::MAX => Err(FormatError::Field("round sequence")),
            sequence => Ok(RoundSequence::new(sequence)),
        }
    }

    /// An incarnation that still has one after it, as segment ids are made of them.
    pub(crate) fn incarnation(&mut self) -> Result<Incarnation, FormatError> {
        match self.u64()? {
            incarnation if incarnation < INCARNATIONS_MAX => Ok(Incarnation::new(incarnation)),
            _ => Err(FormatError::Field("incarnation")),
        }
    }

    /// An element count, refused where the bytes left cannot hold that many of at least `each` bytes.
    pub(crate) fn count(
        &mut self,
        each: usize,
        max: usize,
        name: &'static str,
    ) -> Result<usize, FormatError> {
        let count = self.u32()? as usize;
        if count > max {
            return Err(FormatError::Field(name));
        }
        if count > self.remaining() / each {
            return Err(FormatError::Short);
        }
        Ok(count)
    }

    pub(crate) fn end(&self) -> Result<(), FormatError> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(FormatError::Field("trailing bytes"))
        }
    }
}

/// Where encoded fields go. The calls never fail: who encodes has made sure of the room.
pub(crate) trait Put {
    fn put(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    fn i16(&mut self, value: i16) {
        self.put(&value.to_le_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.put(&value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }

    fn key(&mut self, key: PartitionKey) {
        self.put(&key.topic.get());
        self.i32(key.partition.get());
    }

    /// A count that [`Take::count`] reads.
    fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("counts are bounded"));
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Fills a fixed region from its start.
pub(crate) struct Fill<'a> {
    pub(crate) bytes: &'a mut [u8],
    pub(crate) at: usize,
}

impl Put for Fill<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// The length of a [`PartitionKey`].
pub(crate) const KEY_LEN: usize = 20;
