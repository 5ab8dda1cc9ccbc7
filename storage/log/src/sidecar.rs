//! A sealed segment's index in a file of its own. It can be rebuilt from the segment, so a bad one costs a
//! rebuild and nothing else.

use alloc::vec::Vec;

use crate::codec::{FormatError, Put, Take};
use crate::crc::crc32c;
use crate::id::{FilePosition, SegmentId};
use crate::index::SparseIndex;
use crate::layout::BLOCK;

/// What a sidecar holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    pub segment: SegmentId,
    /// The segment's recorded end when this was written; a sidecar of another end is stale.
    pub byte_end: FilePosition,
    pub index: SparseIndex,
}

impl Sidecar {
    /// No sidecar is longer, in bytes, padding included.
    pub const BYTES_MAX: u64 = 16 << 10;

    /// The file's bytes, zero-padded to a multiple of the block size.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put(&MAGIC);
        bytes.u32(0);
        bytes.u32(VERSION);
        bytes.u32(0);
        bytes.u64(self.segment.get());
        bytes.u64(self.byte_end.get());
        self.index.encode(&mut bytes);
        // Sections that a later version adds, as the index of aborted transactions, would be counted here.
        bytes.u32(0);
        let length = bytes.len() as u32;
        bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c(&bytes[CHECKED_FROM..]);
        bytes[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
        assert!(
            bytes.len() as u64 <= Self::BYTES_MAX,
            "a sidecar is bounded by its index"
        );
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut take = Take::new(bytes);
        if take.array()? != MAGIC {
            return Err(FormatError::Magic);
        }
        let crc = take.u32()?;
        let version = take.u32()?;
        let length = take.u32()? as usize;
        let checked = bytes
            .get(CHECKED_FROM..length.max(FIELDS_AT))
            .ok_or(FormatError::Short)?;
        if crc32c(checked) != crc {
            return Err(FormatError::Checksum);
        }
        if version > VERSION {
            return Err(FormatError::NewerVersion(version));
        }
        let mut take = Take::new(&checked[FIELDS_AT - CHECKED_FROM..]);
        let segment = take.segment()?;
        let byte_end = take.position("byte end")?;
        let index = SparseIndex::decode(&mut take, segment)?;
        if take.u32()? != 0 {
            return Err(FormatError::Field("sidecar sections"));
        }
        take.end()?;
        if index.end() > byte_end {
            return Err(FormatError::Field("index end"));
        }
        Ok(Self {
            segment,
            byte_end,
            index,
        })
    }
}

const MAGIC: [u8; 8] = *b"MSTINDEX";
const VERSION: u32 = 1;
const CRC_AT: usize = 8;
const CHECKED_FROM: usize = 12;
const LENGTH_AT: usize = 16;
const FIELDS_AT: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::INDEX_RUNS_MAX;
    use crate::testing::{damage_is_seen, stored, summary, survives_changes};

    fn sidecar(batches: i64) -> Sidecar {
        let segment = SegmentId::new(9);
        let mut index = SparseIndex::new(segment);
        (0..batches).for_each(|offset| index.push(&stored(summary(1, 0, offset), offset, &[0; 20_000])));
        Sidecar {
            segment,
            byte_end: index.end(),
            index,
        }
    }

    #[test]
    fn it_reads_back_and_damage_is_seen() {
        let small = sidecar(3);
        let bytes = small.encode();
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        assert_eq!(Sidecar::decode(&bytes), Ok(small));
        assert_eq!(bytes, include_bytes!("../fixtures/v1/sidecar"));
        damage_is_seen(&bytes, used, Sidecar::decode);
        survives_changes(&bytes[20..used], |bytes| {
            SparseIndex::decode(&mut Take::new(bytes), SegmentId::new(9))
        });
    }

    #[test]
    fn the_largest_one_fits() {
        let full = sidecar(INDEX_RUNS_MAX as i64);
        assert_eq!(full.index.len(), INDEX_RUNS_MAX);
        assert_eq!(Sidecar::decode(&full.encode()), Ok(full));
    }
}
