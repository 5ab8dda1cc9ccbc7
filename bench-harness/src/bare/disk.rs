//! One file of written space, and one direct durable write at a time into it.
//! Invariants: the space was written before it is measured, so that no write changes an extent; every write
//! is whole blocks from block-aligned memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::limits::{BARE_ROUND_BYTES, BLOCK_BYTES};

/// Block-aligned memory of a fixed size.
#[derive(Debug)]
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    skip: usize,
    capacity: usize,
    used: usize,
}

impl AlignedBuffer {
    /// `capacity` in bytes, a multiple of the block.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity.is_multiple_of(BLOCK_BYTES));
        let bytes = vec![0; capacity + BLOCK_BYTES];
        let skip = bytes.as_ptr().align_offset(BLOCK_BYTES);
        assert!(skip < BLOCK_BYTES);
        AlignedBuffer {
            bytes,
            skip,
            capacity,
            used: 0,
        }
    }

    pub fn room(&self) -> usize {
        self.capacity - self.used
    }

    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Panics beyond the capacity.
    pub fn append(&mut self, bytes: &[u8]) {
        let start = self.skip + self.used;
        self.bytes[start..self.skip + self.capacity][..bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }

    /// What was appended, up to the end of its last block.
    pub fn blocks(&self) -> &[u8] {
        &self.bytes[self.skip..self.skip + self.used.next_multiple_of(BLOCK_BYTES)]
    }
}

/// A pre-written file that durable writes go round in.
#[derive(Debug)]
pub struct WrittenSpace {
    file: File,
    size: u64,
    position: u64,
}

impl WrittenSpace {
    /// Create the file and write all of it once. `size` is in bytes, a multiple of the block.
    pub fn create(path: &Path, size: u64) -> io::Result<Self> {
        let plain = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(flags(OFlags::DIRECT))
            .open(path)?;
        let mut zeros = AlignedBuffer::new(BARE_ROUND_BYTES.min(usize::try_from(size).unwrap_or(usize::MAX)));
        zeros.used = zeros.capacity;
        let mut at = 0;
        while at < size {
            let length = (zeros.capacity as u64).min(size - at) as usize;
            plain.write_all_at(&zeros.blocks()[..length], at)?;
            at += length as u64;
        }
        plain.sync_all()?;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags(OFlags::DIRECT | OFlags::DSYNC))
            .open(path)?;
        Ok(WrittenSpace {
            file,
            size,
            position: 0,
        })
    }

    /// Write `blocks` with one durable write, at the next position, or at the start where the rest is too
    /// short.
    pub fn write(&mut self, blocks: &[u8]) -> io::Result<()> {
        if self.position + blocks.len() as u64 > self.size {
            self.position = 0;
        }
        self.file.write_all_at(blocks, self.position)?;
        self.position += blocks.len() as u64;
        Ok(())
    }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_go_round_and_land_where_they_should() {
        let path = std::env::temp_dir().join(format!("millstream-bench-disk-{}", std::process::id()));
        let mut space = WrittenSpace::create(&path, 3 * BLOCK_BYTES as u64).unwrap();
        let mut buffer = AlignedBuffer::new(2 * BLOCK_BYTES);
        for (value, length) in [(1u8, 100), (2, BLOCK_BYTES + 1), (3, BLOCK_BYTES)] {
            buffer.clear();
            buffer.append(&vec![value; length]);
            assert_eq!(buffer.blocks().as_ptr().align_offset(BLOCK_BYTES), 0);
            space.write(buffer.blocks()).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bytes.len(), 3 * BLOCK_BYTES);
        assert_eq!(
            (bytes[0], bytes[BLOCK_BYTES - 1]),
            (3, 3),
            "the third write went round to the start"
        );
        assert_eq!((bytes[BLOCK_BYTES], bytes[2 * BLOCK_BYTES]), (2, 2));
    }

    #[test]
    #[should_panic(expected = "range end index")]
    fn a_buffer_does_not_outgrow_its_capacity() {
        let mut buffer = AlignedBuffer::new(BLOCK_BYTES);
        buffer.append(&[0; 4000]);
        buffer.append(&[0; 97]);
    }
}
