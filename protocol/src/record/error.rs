//! What can be wrong with a batch.

use core::fmt;

/// Why bytes are not a batch that can be stored or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// Fewer bytes than the header, or than the batch's own length, ask for.
    Truncated,
    /// The batch's length is less than its header's.
    InvalidLength,
    /// A format that Kafka 4 no longer takes (0, 1) or that does not exist.
    UnsupportedMagic(i8),
    /// The base offset, the last offset delta or the record count is negative, or the last offset overflows.
    InvalidOffsets,
    /// The checksum in the header is not that of the bytes.
    WrongCrc { stored: u32, computed: u32 },
    /// The attributes name a compression that does not exist.
    UnknownCodec(u8),
    /// The records are compressed where plain ones are needed.
    Compressed,
    /// A record's own lengths do not fit together, or bytes are left after the last one.
    InvalidRecord,
    /// There are not as many records as the header says, or their offsets do not run from 0 without a gap.
    WrongCount,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchError::Truncated => f.write_str("the batch ends too early"),
            BatchError::InvalidLength => f.write_str("the batch's length is less than its header's"),
            BatchError::UnsupportedMagic(magic) => write!(f, "record format {magic} is not supported"),
            BatchError::InvalidOffsets => f.write_str("the batch's offsets or its count are out of range"),
            BatchError::WrongCrc { stored, computed } => {
                write!(f, "the batch says CRC {stored:#010x} and has {computed:#010x}")
            }
            BatchError::UnknownCodec(id) => write!(f, "no compression has id {id}"),
            BatchError::Compressed => f.write_str("the records are compressed"),
            BatchError::InvalidRecord => f.write_str("a record is malformed"),
            BatchError::WrongCount => f.write_str("the records are not those that the header counts"),
        }
    }
}

impl core::error::Error for BatchError {}
