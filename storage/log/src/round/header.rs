//! A round's header, and where its two checksums lie.

use millstream_protocol::types::TimestampMs;

use crate::codec::{Fill, FormatError, Put, Take};
use crate::crc::{crc32c, crc32c_append};
use crate::id::{Incarnation, JournalId, JournalIdentity, RoundSequence};
use crate::layout::BLOCK;
use crate::limits::ROUND_BYTES_MAX;

/// What a round says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundHeader {
    pub journal: JournalIdentity,
    pub incarnation: Incarnation,
    pub sequence: RoundSequence,
    /// All rounds up to this one had completed when this round was closed, their direct writes included.
    pub settled: RoundSequence,
    /// The wall clock when the round was closed.
    pub written_at: TimestampMs,
    /// Header and records, without the padding.
    pub length: u32,
    pub record_count: u32,
    pub previous_crc: u32,
    /// Of this round, going on from `previous_crc`.
    pub crc: u32,
}

impl RoundHeader {
    pub const LEN: usize = 80;

    /// Reads the header at the start of a block; its own CRC must match. Says nothing about the records.
    pub fn decode(block: &[u8]) -> Result<Self, FormatError> {
        let mut take = Take::new(block.get(..Self::LEN).ok_or(FormatError::Short)?);
        if take.array()? != MAGIC {
            return Err(FormatError::Magic);
        }
        if take.u32()? != crc32c(&block[CHECKED_FROM..CRC_AT]) {
            return Err(FormatError::Checksum);
        }
        let version = take.u32()?;
        if version > VERSION {
            return Err(FormatError::NewerVersion(version));
        }
        let header = Self {
            journal: JournalIdentity {
                id: JournalId::new(take.u64()?),
                nonce: take.u64()?,
            },
            incarnation: take.incarnation()?,
            sequence: take.sequence()?,
            settled: take.sequence()?,
            written_at: take.timestamp()?,
            length: take.u32()?,
            record_count: take.u32()?,
            previous_crc: take.u32()?,
            crc: take.u32()?,
        };
        if (header.length as usize) < Self::LEN || header.padded_len() > ROUND_BYTES_MAX {
            return Err(FormatError::Field("round length"));
        }
        if header.settled >= header.sequence {
            return Err(FormatError::Field("settled round"));
        }
        Ok(header)
    }

    /// The bytes that the round takes in the ring.
    pub fn padded_len(&self) -> u64 {
        u64::from(self.length).next_multiple_of(BLOCK)
    }

    pub(super) fn encode(&self, out: &mut Fill<'_>) {
        out.put(&MAGIC);
        out.u32(0);
        out.u32(VERSION);
        out.u64(self.journal.id.get());
        out.u64(self.journal.nonce);
        out.u64(self.incarnation.get());
        out.u64(self.sequence.get());
        out.u64(self.settled.get());
        out.i64(self.written_at.get());
        out.u32(self.length);
        out.u32(self.record_count);
        out.u32(self.previous_crc);
    }
}

/// The CRC of a whole round, which leaves its own place out.
pub(super) fn round_crc(previous_crc: u32, bytes: &[u8]) -> u32 {
    crc32c_append(
        crc32c_append(previous_crc, &bytes[..CRC_AT]),
        &bytes[RoundHeader::LEN..],
    )
}

const MAGIC: [u8; 8] = *b"MSTROUND";
const VERSION: u32 = 1;
pub(super) const HEADER_CRC_AT: usize = 8;
pub(super) const CHECKED_FROM: usize = 12;
pub(super) const CRC_AT: usize = 76;

const _: () = assert!(CRC_AT + 4 == RoundHeader::LEN);
