//! Compressing, for clients and tests: at the codecs' default levels, in the framings that Kafka's own client
//! writes.

use std::io::Write;

use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use millstream_protocol::record::codec::Codec;

use crate::snappy;

/// What goes into a batch that declares `codec`.
pub fn compress(codec: Codec, bytes: &[u8]) -> Vec<u8> {
    let compressed = match codec {
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => gzip(bytes),
        Codec::Snappy => Ok(snappy::frame(bytes)),
        Codec::Lz4 => lz4(bytes),
        Codec::Zstd => zstd::encode_all(bytes, zstd::DEFAULT_COMPRESSION_LEVEL),
    };
    compressed.expect("nothing that writes to memory fails")
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn lz4(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    // Blocks of 64 KiB that stand alone: all that Kafka's Java client reads.
    let info = FrameInfo::new().block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
