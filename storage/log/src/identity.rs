//! Which directory this is: checked before anything else in it is believed.

use alloc::vec;
use alloc::vec::Vec;

use millstream_protocol::types::TimestampMs;

use crate::codec::{Fill, FormatError, Put, Take};
use crate::crc::crc32c;
use crate::layout::{BLOCK, FORMAT_VERSION};

/// The contents of the file `identity`, written once when the directory is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster that the data belongs to.
    pub cluster: [u8; 16],
    /// This directory, among all of the cluster.
    pub directory: [u8; 16],
    pub created_at: TimestampMs,
}

impl Identity {
    /// One block.
    pub fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; BLOCK as usize];
        let mut out = Fill {
            bytes: &mut block,
            at: 0,
        };
        out.put(&MAGIC);
        out.u32(0);
        out.u32(FORMAT_VERSION);
        out.put(&self.cluster);
        out.put(&self.directory);
        out.i64(self.created_at.get());
        let crc = crc32c(&block[CHECKED_FROM..]);
        block[CRC_AT..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// A directory of a newer version is told by [`FormatError::NewerVersion`] even if the rest of the block
    /// is laid out in another way.
    pub fn decode(block: &[u8]) -> Result<Self, FormatError> {
        let block = block.get(..BLOCK as usize).ok_or(FormatError::Short)?;
        let mut take = Take::new(block);
        if take.array()? != MAGIC {
            return Err(FormatError::Magic);
        }
        let crc = take.u32()?;
        let version = take.u32()?;
        if version > FORMAT_VERSION {
            return Err(FormatError::NewerVersion(version));
        }
        if crc != crc32c(&block[CHECKED_FROM..]) {
            return Err(FormatError::Checksum);
        }
        Ok(Self {
            cluster: take.array()?,
            directory: take.array()?,
            created_at: take.timestamp()?,
        })
    }
}

const MAGIC: [u8; 8] = *b"MSTIDENT";
const CRC_AT: usize = 8;
const CHECKED_FROM: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, damage_is_seen};

    #[test]
    fn it_reads_back_and_damage_is_seen() {
        let identity = Identity {
            cluster: [1; 16],
            directory: [2; 16],
            created_at: NOW,
        };
        let block = identity.encode();
        assert_eq!(Identity::decode(&block), Ok(identity));
        assert_eq!(block, include_bytes!("../fixtures/v1/identity"));
        damage_is_seen(&block, block.len(), Identity::decode);
    }

    #[test]
    fn a_newer_directory_says_so() {
        let mut block = Identity {
            cluster: [1; 16],
            directory: [2; 16],
            created_at: NOW,
        }
        .encode();
        block[12] = 2;
        assert_eq!(Identity::decode(&block), Err(FormatError::NewerVersion(2)));
    }
}
