//! Collects records into a round and closes it.

use core::ops::DerefMut;

use millstream_protocol::types::TimestampMs;

use super::header::{CHECKED_FROM, CRC_AT, HEADER_CRC_AT, round_crc};
use super::{ChainPoint, RoundHeader};
use crate::codec::Fill;
use crate::crc::crc32c;
use crate::id::{Incarnation, JournalIdentity, RoundSequence};
use crate::layout::BLOCK;
use crate::limits::ROUND_BYTES_MAX;
use crate::record::Record;

/// Collects the records of one round in a buffer of the caller's (aligned memory, its length the capacity).
#[derive(Debug)]
pub struct RoundBuilder<B> {
    buffer: B,
    len: usize,
    records: u32,
}

/// The round does not fit the record any more; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundFull;

/// A closed round, to be written in one piece: the first `header.padded_len()` bytes of `buffer`.
#[derive(Debug)]
pub struct SealedRound<B> {
    pub buffer: B,
    pub header: RoundHeader,
}

impl<B: DerefMut<Target = [u8]>> RoundBuilder<B> {
    /// `buffer` may hold anything; its length must be a multiple of the block size, [`ROUND_BYTES_MAX`] at
    /// most.
    pub fn new(buffer: B) -> Self {
        let capacity = buffer.len() as u64;
        assert!(
            capacity > 0 && capacity.is_multiple_of(BLOCK),
            "a round's buffer is made of blocks"
        );
        assert!(capacity <= ROUND_BYTES_MAX, "a round's buffer is bounded");
        Self {
            buffer,
            len: RoundHeader::LEN,
            records: 0,
        }
    }

    /// Bytes that records may still take.
    pub fn room(&self) -> usize {
        self.buffer.len() - self.len
    }

    pub fn record_count(&self) -> u32 {
        self.records
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The bytes that the round would take in the ring if it were closed now.
    pub fn padded_len(&self) -> u64 {
        (self.len as u64).next_multiple_of(BLOCK)
    }

    pub fn push(&mut self, record: &Record<'_>) -> Result<(), RoundFull> {
        let len = record.encoded_len();
        if len > self.room() {
            return Err(RoundFull);
        }
        let mut fill = Fill {
            bytes: &mut self.buffer,
            at: self.len,
        };
        record.encode(&mut fill);
        assert_eq!(fill.at, self.len + len, "a record's length was foretold wrongly");
        self.len = fill.at;
        self.records += 1;
        Ok(())
    }

    /// Moves what was collected into a larger buffer.
    pub fn grow(self, mut larger: B) -> Self {
        larger[RoundHeader::LEN..self.len].copy_from_slice(&self.buffer[RoundHeader::LEN..self.len]);
        let mut grown = Self::new(larger);
        (grown.len, grown.records) = (self.len, self.records);
        grown
    }

    /// Closes the round. The round's place is [`ChainPoint::place`] of its padded length.
    pub fn finish(
        mut self,
        journal: JournalIdentity,
        incarnation: Incarnation,
        chain: ChainPoint,
        settled: RoundSequence,
        now: TimestampMs,
    ) -> SealedRound<B> {
        assert!(settled < chain.sequence, "a round cannot settle itself");
        let padded_len = self.padded_len() as usize;
        let mut header = RoundHeader {
            journal,
            incarnation,
            sequence: chain.sequence,
            settled,
            written_at: now,
            length: u32::try_from(self.len).expect("rounds are bounded"),
            record_count: self.records,
            previous_crc: chain.previous_crc,
            crc: 0,
        };
        let bytes = &mut self.buffer[..padded_len];
        bytes[self.len..].fill(0);
        header.encode(&mut Fill { bytes, at: 0 });
        let header_crc = crc32c(&bytes[CHECKED_FROM..CRC_AT]);
        bytes[HEADER_CRC_AT..CHECKED_FROM].copy_from_slice(&header_crc.to_le_bytes());
        header.crc = round_crc(header.previous_crc, &bytes[..self.len]);
        bytes[CRC_AT..RoundHeader::LEN].copy_from_slice(&header.crc.to_le_bytes());
        SealedRound {
            buffer: self.buffer,
            header,
        }
    }
}
