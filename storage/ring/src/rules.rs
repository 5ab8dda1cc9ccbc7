//! What both rings demand of their callers. Breaking a rule is a programmer's error and panics.

use crate::buffer::{BLOCK, Slice};

pub(crate) fn read(direct: bool, at: u64, len: usize, room: usize) {
    assert!(0 < len && len <= room, "{len} bytes into a buffer of {room}");
    assert!(
        !direct || (aligned(at) && aligned(len as u64)),
        "direct read of {len} bytes at {at}"
    );
}

pub(crate) fn write(direct: bool, at: u64, slices: &[Slice]) {
    let fit = !direct || (aligned(at) && slices.iter().all(Slice::is_aligned));
    assert!(fit, "direct write at {at} of slices that are not whole blocks");
    has_bytes(slices);
}

pub(crate) fn allocate(direct: bool, zeroed: bool, at: u64, len: u64) {
    assert!(len > 0, "space to allocate");
    assert!(
        !(zeroed && direct) || (aligned(at) && aligned(len)),
        "direct zeroes over {len} bytes at {at}"
    );
}

/// Of a send or a write.
pub(crate) fn has_bytes(slices: &[Slice]) {
    assert!(
        slices.iter().any(|slice| !slice.is_empty()),
        "a transfer has bytes"
    );
}

pub(crate) fn receive_into(buf: &Vec<u8>, limit: usize) {
    let spare = buf.capacity() - buf.len();
    assert!(
        0 < limit && limit <= spare,
        "{limit} bytes into {spare} of spare capacity"
    );
}

fn aligned(position: u64) -> bool {
    position.is_multiple_of(BLOCK as u64)
}
