//! The inputs that are kept with the code: for each target one compressed file of those that reach the most with the
//! least, as libFuzzer found them.
//!
//! `u32 length, bytes`, one after the other, the whole compressed by zstd.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// All inputs of a target; none where nothing is kept for it.
pub fn load(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let packed = match fs::read(file(target)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        packed => packed?,
    };
    let bytes = zstd::decode_all(&packed[..])?;
    let mut rest = &bytes[..];
    let mut inputs = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk() {
        let (input, after) = after.split_at(u32::from_le_bytes(*len) as usize);
        inputs.push(input.to_vec());
        rest = after;
    }
    Ok(inputs)
}

/// Keeps these for a target in the place of what was kept.
pub fn store(target: &str, mut inputs: Vec<Vec<u8>>) -> io::Result<()> {
    // Alike beside alike: it compresses better, and equal sets give equal files.
    inputs.sort();
    let mut bytes = Vec::new();
    for input in inputs {
        let len = u32::try_from(input.len()).expect("inputs are small");
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&input);
    }
    fs::write(file(target), zstd::encode_all(&bytes[..], LEVEL)?)
}

fn file(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/{target}.zst"))
}

const LEVEL: i32 = 19;
