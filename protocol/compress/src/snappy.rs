//! Snappy, which comes in two framings: librdkafka writes one raw block, Java a header and blocks with their
//! lengths (after xerial's library, whose format this is).
//!
//! ```text
//! 0 0x82 "SNAPPY" 0x00    8 version i32 (1)    12 lowest compatible version i32 (1)
//! then per block: length i32, a raw snappy block
//! ```

use std::io::{self, Read};

use snap::raw::{Decoder, Encoder, decompress_len};

/// Writes Java's framing, which every client reads.
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::from(MAGIC);
    framed.extend_from_slice(&1i32.to_be_bytes());
    framed.extend_from_slice(&1i32.to_be_bytes());
    for block in bytes.chunks(BLOCK_LEN) {
        let compressed = Encoder::new()
            .compress_vec(block)
            .expect("a block is smaller than snappy's limit");
        framed.extend_from_slice(&(compressed.len() as i32).to_be_bytes());
        framed.extend_from_slice(&compressed);
    }
    framed
}

/// Reads either framing, block by block.
pub struct SnappyReader<I> {
    input: I,
    /// How much of the input is read.
    at: usize,
    framed: bool,
    /// The most that one block may claim to decompress to, in bytes.
    limit: usize,
    block: Vec<u8>,
    /// How much of the block is given out.
    given: usize,
}

impl<I: AsRef<[u8]>> SnappyReader<I> {
    pub fn new(input: I, limit: usize) -> Self {
        let framed = input.as_ref().starts_with(&MAGIC);
        Self {
            input,
            at: if framed { HEADER_LEN } else { 0 },
            framed,
            limit,
            block: Vec::new(),
            given: 0,
        }
    }

    fn next_block(&mut self) -> io::Result<()> {
        let rest = self
            .input
            .as_ref()
            .get(self.at..)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let compressed = if self.framed {
            let (len, rest) = rest.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
            let len = usize::try_from(i32::from_be_bytes(*len)).map_err(|_| io::ErrorKind::InvalidData)?;
            self.at += size_of::<i32>() + len;
            rest.get(..len).ok_or(io::ErrorKind::UnexpectedEof)?
        } else {
            self.at += rest.len();
            rest
        };
        if decompress_len(compressed)? > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.block = Decoder::new().decompress_vec(compressed)?;
        self.given = 0;
        Ok(())
    }
}

impl<I: AsRef<[u8]>> Read for SnappyReader<I> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Blocks may be empty, and an empty read would say that there is nothing more.
        while self.given == self.block.len() && self.at != self.input.as_ref().len() {
            self.next_block()?;
        }
        let given = (&self.block[self.given..]).read(out)?;
        self.given += given;
        Ok(given)
    }
}

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";

const HEADER_LEN: usize = MAGIC.len() + 8;

/// Bytes of a block before compression, as Java's client cuts them.
const BLOCK_LEN: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        SnappyReader::new(bytes, limit).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn both_framings_are_read() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(read(&frame(&bytes), BLOCK_LEN).unwrap(), bytes);
        let raw = Encoder::new().compress_vec(&bytes).unwrap();
        assert_eq!(read(&raw, bytes.len()).unwrap(), bytes);
        assert_eq!(
            read(&raw, bytes.len() - 1).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn a_header_that_is_cut_or_a_block_that_lies_is_an_error() {
        let framed = frame(&[7; 1000]);
        assert!(read(&framed[..12], 1000).is_err());
        let mut lies = framed.clone();
        lies[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&(-1i32).to_be_bytes());
        assert!(read(&lies, 1000).is_err());
        lies[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&i32::MAX.to_be_bytes());
        assert!(read(&lies, 1000).is_err());
    }
}
