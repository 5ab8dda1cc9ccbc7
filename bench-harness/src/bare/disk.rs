//! One file of written space, and one direct durable write at a time into it.
//! Invariants: the space was written before it is measured, so that no write changes an extent; every write
//! is whole blocks from block-aligned memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use millstream_ring::{AlignedBuf, AppendBuf, BLOCK};
use rustix::fs::OFlags;

use crate::limits::BARE_ROUND_BYTES;

/// A pre-written file that durable writes go round in.
#[derive(Debug)]
pub struct WrittenSpace {
    file: File,
    cursor: Cursor,
}

impl WrittenSpace {
    /// Create the file and write all of it once. `size` is in bytes, a multiple of the block.
    pub fn create(path: &Path, size: u64) -> io::Result<Self> {
        write_once(path, size)?;
        let durable = flags(OFlags::DIRECT | OFlags::DSYNC);
        let file = OpenOptions::new().write(true).custom_flags(durable).open(path)?;
        Ok(WrittenSpace {
            file,
            cursor: Cursor::new(size),
        })
    }

    /// Write all that `records` holds, its last block padded, with one durable write.
    pub fn write(&mut self, records: &mut AppendBuf) -> io::Result<()> {
        records.pad_to(BLOCK);
        let blocks = records.get(0..records.len());
        self.file.write_all_at(blocks, self.cursor.take(blocks.len()))
    }
}

/// Where the next write goes.
#[derive(Debug)]
pub struct Cursor {
    size: u64,
    position: u64,
}

impl Cursor {
    pub fn new(size: u64) -> Self {
        Cursor { size, position: 0 }
    }

    /// Room for `length` bytes: behind the last, or at the start where the rest of the file is too short.
    pub fn take(&mut self, length: usize) -> u64 {
        let length = length as u64;
        assert!(length <= self.size);
        let at = if self.position + length > self.size {
            0
        } else {
            self.position
        };
        self.position = at + length;
        at
    }
}

/// Make a file whose every block has been written and flushed.
pub fn write_once(path: &Path, size: u64) -> io::Result<()> {
    assert!(size.is_multiple_of(BLOCK as u64));
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(flags(OFlags::DIRECT));
    let file = options.open(path)?;
    let zeros = AlignedBuf::zeroed(BARE_ROUND_BYTES);
    let mut at = 0;
    while at < size {
        let length = (zeros.len() as u64).min(size - at);
        file.write_all_at(&zeros[..length as usize], at)?;
        at += length;
    }
    file.sync_all()
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
        let mut space = WrittenSpace::create(&path, 3 * BLOCK as u64).unwrap();
        let mut records = AppendBuf::with_capacity(2 * BLOCK);
        for (value, length) in [(1u8, 100), (2, BLOCK + 1), (3, BLOCK)] {
            assert!(records.try_clear());
            records.append(&vec![value; length]);
            space.write(&mut records).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bytes.len(), 3 * BLOCK);
        assert_eq!(
            (bytes[0], bytes[BLOCK - 1]),
            (3, 3),
            "the third write went round to the start"
        );
        assert_eq!((bytes[BLOCK], bytes[2 * BLOCK], bytes[2 * BLOCK + 1]), (2, 2, 0));
    }
}
