//! A block that vouches for itself: what an identity and a segment's header are.
//!
//! ```text
//! magic 8 │ CRC-32C of all that follows 4 │ format version 4 │ fields │ zeros to the block's end │
//! ```

use alloc::vec;
use alloc::vec::Vec;

use crate::codec::{Fill, FormatError, Put, Take};
use crate::crc::crc32c;
use crate::layout::BLOCK;

/// One kind of such blocks.
pub(crate) struct BlockFormat {
    pub(crate) magic: [u8; 8],
    /// The newest one known.
    pub(crate) version: u32,
}

impl BlockFormat {
    pub(crate) fn encode(&self, fields: impl FnOnce(&mut Fill<'_>)) -> Vec<u8> {
        let mut block = vec![0; BLOCK as usize];
        let mut out = Fill {
            bytes: &mut block,
            at: 0,
        };
        out.put(&self.magic);
        out.u32(0);
        out.u32(self.version);
        fields(&mut out);
        let crc = crc32c(&block[CHECKED_FROM..]);
        block[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// The fields and the zeros after them. A newer version is told by [`FormatError::NewerVersion`] even if
    /// the rest of the block is laid out in another way.
    pub(crate) fn decode<'a>(&self, block: &'a [u8]) -> Result<Take<'a>, FormatError> {
        let block = block.get(..BLOCK as usize).ok_or(FormatError::Short)?;
        let mut take = Take::new(block);
        if take.array()? != self.magic {
            return Err(FormatError::Magic);
        }
        let crc = take.u32()?;
        let version = take.u32()?;
        if version > self.version {
            return Err(FormatError::NewerVersion(version));
        }
        if crc != crc32c(&block[CHECKED_FROM..]) {
            return Err(FormatError::Checksum);
        }
        Ok(take)
    }
}

const CRC_AT: usize = 8;
const CHECKED_FROM: usize = 12;
