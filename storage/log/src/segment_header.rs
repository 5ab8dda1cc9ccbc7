//! The block before a segment's data: whose data it is.

use alloc::vec::Vec;

use millstream_protocol::types::Offset;

use crate::block::BlockFormat;
use crate::codec::{FormatError, Put};
use crate::id::{PartitionKey, SegmentId};
use crate::layout::{BLOCK, SEGMENT_DATA_AT};

/// Binds a file to its segment id and partition, so that a file under a wrong name, or a block in a wrong
/// file, is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub segment: SegmentId,
    pub partition: PartitionKey,
    pub base_offset: Offset,
}

impl SegmentHeader {
    /// The file's first block.
    pub fn encode(&self) -> Vec<u8> {
        FORMAT.encode(|out| {
            out.u64(self.segment.get());
            out.key(self.partition);
            out.u32(BLOCK as u32);
            out.i64(self.base_offset.get());
        })
    }

    /// Reads the file's first block.
    pub fn decode(block: &[u8]) -> Result<Self, FormatError> {
        let mut take = FORMAT.decode(block)?;
        let segment = take.segment()?;
        let partition = take.key()?;
        if u64::from(take.u32()?) != BLOCK {
            return Err(FormatError::Field("block size"));
        }
        Ok(Self {
            segment,
            partition,
            base_offset: take.offset("base offset")?,
        })
    }
}

const FORMAT: BlockFormat = BlockFormat {
    magic: *b"MSTSEGMT",
    version: 1,
};

const _: () = assert!(SEGMENT_DATA_AT == BLOCK, "the header is one block");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{damage_is_seen, key};

    #[test]
    fn it_reads_back_and_damage_is_seen() {
        let (segment, base_offset) = (SegmentId::new(0x1234_5678_9abc), Offset::new(77));
        let header = SegmentHeader {
            segment,
            partition: key(3),
            base_offset,
        };
        let block = header.encode();
        assert_eq!(block.len() as u64, BLOCK);
        assert_eq!(SegmentHeader::decode(&block), Ok(header));
        assert_eq!(block, include_bytes!("../fixtures/v1/segment-header"));
        damage_is_seen(&block, block.len(), SegmentHeader::decode);
    }
}
