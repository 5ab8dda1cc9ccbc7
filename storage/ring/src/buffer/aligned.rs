//! An owned, block-aligned buffer: for direct reads, and for what is built in place before it is shared.

use std::ops::{Deref, DerefMut};

use super::region::Region;
use super::slice::{Owner, Slice};

/// Owned memory aligned to [`crate::BLOCK`], whole blocks, zeroed when made.
#[derive(Debug)]
pub struct AlignedBuf {
    region: Region,
}

impl AlignedBuf {
    /// `len` in bytes is a positive multiple of [`crate::BLOCK`].
    pub fn zeroed(len: usize) -> AlignedBuf {
        AlignedBuf {
            region: Region::zeroed(len),
        }
    }

    /// Shares the whole buffer, which can no longer be written. See [`Slice::thaw`] for the way back.
    pub fn freeze(self) -> Slice {
        Slice::whole(Owner::Region(self.region))
    }

    pub(super) fn from_region(region: Region) -> AlignedBuf {
        AlignedBuf { region }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the region is initialised, lives as long as `self`, and nobody else has its pointer; `&self`
        // excludes `deref_mut`.
        unsafe { std::slice::from_raw_parts(self.region.start().as_ptr(), self.region.len()) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` excludes every other access.
        unsafe { std::slice::from_raw_parts_mut(self.region.start().as_ptr(), self.region.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BLOCK;

    #[test]
    fn is_aligned_zeroed_and_writable_at_every_size() {
        for len in [BLOCK, 8 * BLOCK, 16 * BLOCK, 300 * BLOCK] {
            let mut buf = AlignedBuf::zeroed(len);
            assert_eq!(buf.len(), len);
            assert_eq!(buf.as_ptr() as usize % BLOCK, 0);
            assert!(buf.iter().all(|byte| *byte == 0));
            buf[len - 1] = 7;
            buf[0] = 9;
            let slice = buf.freeze();
            assert_eq!((slice[0], slice[len - 1], slice.len()), (9, 7, len));
        }
    }

    #[test]
    #[should_panic(expected = "whole blocks")]
    fn refuses_a_broken_block() {
        AlignedBuf::zeroed(BLOCK + 512);
    }

    #[test]
    fn thaws_only_when_alone_and_whole() {
        let slice = AlignedBuf::zeroed(2 * BLOCK).freeze();
        let other = slice.clone();
        let slice = slice.thaw().unwrap_err();
        drop(other);
        let half = slice.subslice(0..BLOCK);
        drop(slice);
        let half = half.thaw().unwrap_err();
        assert_eq!(half.len(), BLOCK);
        let buf = AlignedBuf::zeroed(BLOCK).freeze().thaw().unwrap();
        assert_eq!(buf.len(), BLOCK);
        assert!(Slice::from(vec![1, 2, 3]).thaw().is_err());
    }
}
