//! One segment as the manifest knows it.

use millstream_protocol::types::{Offset, TimestampMs};

use crate::batch::StoredBatch;
use crate::codec::{FormatError, Put, Take};
use crate::id::{FilePosition, SegmentId};
use crate::index::SparseIndex;

/// A segment of a partition. Only [`crate::PartitionState`] changes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub id: SegmentId,
    pub base_offset: Offset,
    /// Exclusive.
    pub end_offset: Offset,
    /// Where the recorded bytes end; exclusive.
    pub byte_end: FilePosition,
    /// Where the last whole batch ends: equal to `byte_end` except between the records of one append.
    pub batch_end: FilePosition,
    /// All bytes below are durable in the segment file: a multiple of the block size, or `byte_end`.
    pub written: FilePosition,
    /// The wall clock at the first append; `None` in an empty segment.
    pub opened_at: Option<TimestampMs>,
    /// No batch has a larger timestamp. After a cut it may be larger than the largest one left.
    pub max_timestamp: Option<TimestampMs>,
    pub sealed: bool,
    /// The sidecar index is durable.
    pub sidecar: bool,
    /// `None` where it lies in the sidecar only.
    pub index: Option<SparseIndex>,
}

impl Segment {
    pub(crate) fn new(id: SegmentId, base_offset: Offset) -> Self {
        Self {
            id,
            base_offset,
            end_offset: base_offset,
            byte_end: FilePosition::ZERO,
            batch_end: FilePosition::ZERO,
            written: FilePosition::ZERO,
            opened_at: None,
            max_timestamp: None,
            sealed: false,
            sidecar: false,
            index: Some(SparseIndex::new(id)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.base_offset == self.end_offset
    }

    pub(crate) fn push(&mut self, batch: &StoredBatch, now: TimestampMs) {
        let summary = &batch.summary;
        self.batch_end = self.batch_end + u64::from(summary.size);
        self.end_offset = summary.last_offset.next();
        self.max_timestamp = self.max_timestamp.max(summary.max_timestamp);
        self.opened_at.get_or_insert(now);
        if let Some(index) = &mut self.index {
            index.push(batch);
        }
    }

    pub(crate) fn truncate(&mut self, byte_end: FilePosition, end_offset: Offset) {
        self.byte_end = byte_end;
        self.batch_end = byte_end;
        self.end_offset = end_offset;
        self.written = self.written.min(byte_end);
        if let Some(index) = &mut self.index {
            index.truncate(byte_end);
            if index.end() == byte_end {
                self.max_timestamp = index.runs().filter_map(|run| run.max_timestamp).max();
            }
        }
        self.sidecar = false;
    }

    pub(crate) fn encode(&self, out: &mut impl Put) {
        out.u64(self.id.get());
        out.i64(self.base_offset.get());
        out.i64(self.end_offset.get());
        out.u64(self.byte_end.get());
        out.u64(self.written.get());
        out.i64(TimestampMs::to_wire(self.opened_at));
        out.i64(TimestampMs::to_wire(self.max_timestamp));
        // With a durable sidecar the index is not repeated here: a checkpoint stays small however many
        // segments there are.
        let index = self.index.as_ref().filter(|_| !self.sidecar);
        let flags = (u8::from(self.sealed) * SEALED)
            | (u8::from(self.sidecar) * SIDECAR)
            | (u8::from(index.is_some()) * INDEX);
        out.u8(flags);
        out.u16(0);
        if let Some(index) = index {
            index.encode(out);
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Result<Self, FormatError> {
        let id = SegmentId::new(take.u64()?);
        let base_offset = take.offset("base offset")?;
        let end_offset = take.offset("end offset")?;
        let byte_end = take.position("byte end")?;
        let written = take.position("written")?;
        if end_offset < base_offset || written > byte_end {
            return Err(FormatError::Field("segment bounds"));
        }
        let opened_at = TimestampMs::from_wire(take.i64()?);
        let max_timestamp = TimestampMs::from_wire(take.i64()?);
        let flags = take.u8()?;
        if flags & !(SEALED | SIDECAR | INDEX) != 0 {
            return Err(FormatError::Field("segment flags"));
        }
        let extension = take.u16()?;
        take.bytes(extension.into())?;
        let index = match flags & INDEX {
            0 => None,
            _ => Some(SparseIndex::decode(take, id)?),
        };
        if index.as_ref().is_some_and(|index| index.end() > byte_end) {
            return Err(FormatError::Field("index end"));
        }
        // Appends go on in the index of the segment that is not sealed; a sidecar stands for an index.
        let (sealed, sidecar) = (flags & SEALED != 0, flags & SIDECAR != 0);
        let grows = index.as_ref().is_some_and(|index| index.end() == byte_end);
        if sidecar && (index.is_some() || !sealed) || !sealed && !grows {
            return Err(FormatError::Field("segment flags"));
        }
        Ok(Self {
            id,
            base_offset,
            end_offset,
            byte_end,
            batch_end: byte_end,
            written,
            opened_at,
            max_timestamp,
            sealed,
            sidecar,
            index,
        })
    }

    /// Without extension and index.
    pub(crate) const ENCODED_LEN_MIN: usize = 7 * 8 + 1 + 2;
}

const SEALED: u8 = 1;
const SIDECAR: u8 = 2;
const INDEX: u8 = 4;
