//! A batch as the log knows it: its summary and the CRC of its stored bytes.

use millstream_protocol::record::batch::{BatchSummary, ProducerStamp};
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::codec::{FormatError, Put, Take};

/// One batch that has its offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// With the offsets as assigned.
    pub summary: BatchSummary,
    /// CRC-32C of all `summary.size` bytes as they lie in the segment, header included and patched.
    pub crc: u32,
}

impl StoredBatch {
    pub(crate) fn encoded_len(&self) -> usize {
        PLAIN_LEN
            + if self.summary.producer.is_some() {
                PRODUCER_LEN
            } else {
                0
            }
    }

    pub(crate) fn encode(&self, out: &mut impl Put) {
        let summary = &self.summary;
        let flags = (u8::from(summary.transactional) * TRANSACTIONAL)
            | (u8::from(summary.control) * CONTROL)
            | (u8::from(summary.producer.is_some()) * PRODUCER);
        out.u8(flags);
        out.u32(summary.size);
        out.u32(self.crc);
        out.i64(summary.base_offset.get());
        out.i64(summary.last_offset.get());
        out.i64(TimestampMs::to_wire(summary.base_timestamp));
        out.i64(TimestampMs::to_wire(summary.max_timestamp));
        if let Some(producer) = &summary.producer {
            out.i64(producer.id.get());
            out.i16(producer.epoch.get());
            out.i32(producer.base_sequence.get());
            out.i32(producer.last_sequence.get());
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Result<Self, FormatError> {
        let flags = take.u8()?;
        if flags & !(TRANSACTIONAL | CONTROL | PRODUCER) != 0 {
            return Err(FormatError::Field("batch flags"));
        }
        let size = take.u32()?;
        let crc = take.u32()?;
        let base_offset = take.offset("base offset")?;
        let last_offset = take.last_offset()?;
        if last_offset < base_offset {
            return Err(FormatError::Field("last offset"));
        }
        let base_timestamp = TimestampMs::from_wire(take.i64()?);
        let max_timestamp = TimestampMs::from_wire(take.i64()?);
        let producer = match flags & PRODUCER {
            0 => None,
            _ => Some(ProducerStamp {
                id: ProducerId::new(take.i64()?),
                epoch: ProducerEpoch::new(take.i16()?),
                base_sequence: Sequence::new(take.i32()?),
                last_sequence: Sequence::new(take.i32()?),
            }),
        };
        let summary = BatchSummary {
            base_offset,
            last_offset,
            base_timestamp,
            max_timestamp,
            producer,
            transactional: flags & TRANSACTIONAL != 0,
            control: flags & CONTROL != 0,
            size,
        };
        Ok(Self { summary, crc })
    }
}

/// The encoded length of a batch without a producer: flags, size, CRC, two offsets, two timestamps.
pub(crate) const PLAIN_LEN: usize = 1 + 4 + 4 + 8 + 8 + 8 + 8;
/// What a producer adds: id, epoch, two sequences.
const PRODUCER_LEN: usize = 8 + 2 + 4 + 4;

const TRANSACTIONAL: u8 = 1;
const CONTROL: u8 = 2;
const PRODUCER: u8 = 4;
