//! Checksums put right, so that what was changed meets the fields behind them.
//!
//! Each takes bytes of any kind and leaves alone what has no room for its checksum.

use millstream_log::{crc32c, crc32c_append};

/// An identity, or a segment's header: one block.
pub fn block(bytes: &mut [u8]) {
    put(bytes, 8, |bytes| crc32c(&bytes[12..bytes.len().min(BLOCK)]));
}

/// A round of a journal, at the start of `bytes`.
pub fn round(bytes: &mut [u8]) {
    put(bytes, 8, |bytes| crc32c(bytes.get(12..76).unwrap_or_default()));
    let Some(length) = u32_at(bytes, 64).map(|length| length as usize) else {
        return;
    };
    let Some(previous) = u32_at(bytes, 72) else { return };
    if length < 80 || length > bytes.len() {
        return;
    }
    put(bytes, 76, |bytes| {
        crc32c_append(crc32c_append(previous, &bytes[..76]), &bytes[80..length])
    });
}

/// All rounds of a journal's ring, or of a rescue file: each goes on from the one before it.
pub fn rounds(bytes: &mut [u8]) {
    let starts = (0..bytes.len() / BLOCK).map(|block| block * BLOCK);
    let mut found: Vec<(u64, usize)> = starts
        .filter(|at| bytes[*at..].starts_with(b"MSTROUND"))
        .map(|at| (u64_at(bytes, at + 40), at))
        .collect();
    found.sort_unstable();
    let mut before: Option<(u64, u32)> = None;
    for (sequence, at) in found {
        if let Some((known, crc)) = before
            && known.checked_add(1) == Some(sequence)
        {
            bytes[at + 72..at + 76].copy_from_slice(&crc.to_le_bytes());
        }
        round(&mut bytes[at..]);
        before = u32_at(bytes, at + 76).map(|crc| (sequence, crc));
    }
}

pub fn checkpoint(bytes: &mut [u8]) {
    let Some(length) = u32_at(bytes, 16).map(|length| length as usize) else {
        return;
    };
    put(bytes, 24, |bytes| {
        crc32c(bytes.get(128..length).unwrap_or_default())
    });
    put(bytes, 8, |bytes| crc32c(bytes.get(12..128).unwrap_or_default()));
}

pub fn sidecar(bytes: &mut [u8]) {
    let Some(length) = u32_at(bytes, 16).map(|length| length as usize) else {
        return;
    };
    put(bytes, 8, |bytes| {
        crc32c(bytes.get(12..length).unwrap_or_default())
    });
}

/// A segment: its header, and the batches that lie back to back behind it.
pub fn segment(bytes: &mut [u8]) {
    block(bytes);
    let mut at = BLOCK;
    while let Some(length) = bytes.get(at + 8..at + 12) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let end = at + 12 + length;
        if length < 49 || end > bytes.len() {
            return;
        }
        let crc = crc32c(&bytes[at + 21..end]);
        bytes[at + 17..at + 21].copy_from_slice(&crc.to_be_bytes());
        at = end;
    }
}

/// The cluster's metadata log: its header and its entries.
pub fn metadata_log(bytes: &mut [u8]) {
    if bytes.len() < 24 {
        return;
    }
    let crc = crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    let mut at = 24;
    while let Some(length) = u32_at(bytes, at).map(|length| length as usize) {
        let end = at + 16 + length;
        if end > bytes.len() {
            return;
        }
        let crc = crc32c(&bytes[at + 8..end]);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}

pub fn metadata_snapshot(bytes: &mut [u8]) {
    if let Some(end) = bytes.len().checked_sub(4) {
        let crc = crc32c(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Writes a checksum at `at`, if there is room and anything behind it.
fn put(bytes: &mut [u8], at: usize, crc: impl FnOnce(&[u8]) -> u32) {
    if bytes.len() > at + 4 {
        let crc = crc(bytes).to_le_bytes();
        bytes[at..at + 4].copy_from_slice(&crc);
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

const BLOCK: usize = 4096;
