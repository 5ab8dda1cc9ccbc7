//! Which directory this is: checked before anything else in it is believed.

use alloc::vec::Vec;

use millstream_protocol::types::TimestampMs;

use crate::block::BlockFormat;
use crate::codec::{FormatError, Put};
use crate::layout::FORMAT_VERSION;

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
        FORMAT.encode(|out| {
            out.put(&self.cluster);
            out.put(&self.directory);
            out.i64(self.created_at.get());
        })
    }

    /// A directory of a newer version is told by [`FormatError::NewerVersion`].
    pub fn decode(block: &[u8]) -> Result<Self, FormatError> {
        let mut take = FORMAT.decode(block)?;
        Ok(Self {
            cluster: take.array()?,
            directory: take.array()?,
            created_at: take.timestamp()?,
        })
    }
}

const FORMAT: BlockFormat = BlockFormat {
    magic: *b"MSTIDENT",
    version: FORMAT_VERSION,
};

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
