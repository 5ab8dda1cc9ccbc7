//! The bytes that only the journals hold, in the memory in which their logs keep them.

use millstream_log::RunMemory;
use millstream_ring::AppendBuf;

use crate::limits::{BLOCK, CHUNK_BYTES_MAX};

/// Bytes of one run. Every buffer but the last is full.
#[derive(Debug, Default)]
pub(super) struct RecoveredBytes {
    bufs: Vec<AppendBuf>,
    len: usize,
}

impl RecoveredBytes {
    pub(super) fn into_bufs(self) -> Vec<AppendBuf> {
        self.bufs
    }

    /// The bytes in order, piece by piece.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.bufs.iter().map(|buf| buf.get(0..buf.len()))
    }
}

impl RunMemory for RecoveredBytes {
    fn len(&self) -> usize {
        self.len
    }

    fn add(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            if self.bufs.last().is_none_or(|last| last.remaining() == 0) {
                let last = self.bufs.last().map_or(BUF_MIN / 2, AppendBuf::capacity);
                let capacity = (2 * last).min(CHUNK_BYTES_MAX as usize);
                self.bufs.push(AppendBuf::with_capacity(capacity));
            }
            let last = self.bufs.last_mut().expect("made above");
            let (now, later) = bytes.split_at(bytes.len().min(last.remaining()));
            last.append(now);
            bytes = later;
        }
    }

    fn truncate(&mut self, len: usize) {
        assert!(len <= self.len);
        while let Some(last) = self.bufs.last_mut() {
            let before = self.len - last.len();
            if before < len || len == self.len {
                assert!(last.try_truncate(len - before), "nobody reads these bytes yet");
                break;
            }
            self.len = before;
            self.bufs.pop();
        }
        self.len = len;
    }

    fn holds(&self, at: usize, mut bytes: &[u8]) -> bool {
        let mut from = at;
        for piece in self.pieces() {
            if from >= piece.len() {
                from -= piece.len();
                continue;
            }
            let (here, later) = bytes.split_at(bytes.len().min(piece.len() - from));
            if piece[from..from + here.len()] != *here {
                return false;
            }
            (bytes, from) = (later, 0);
            if bytes.is_empty() {
                return true;
            }
        }
        bytes.is_empty()
    }
}

/// A partition with little in the journal takes no more than this.
const BUF_MIN: usize = 4 * BLOCK as usize;
const _: () = assert!((BUF_MIN as u64) < CHUNK_BYTES_MAX && CHUNK_BYTES_MAX.is_multiple_of(BUF_MIN as u64));

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(len: usize) -> (RecoveredBytes, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
        let mut memory = RecoveredBytes::default();
        bytes.chunks(5000).for_each(|piece| memory.add(piece));
        (memory, bytes)
    }

    #[test]
    fn bytes_come_back_in_order_from_buffers_that_are_full() {
        let (memory, bytes) = filled(200_000);
        assert_eq!(memory.pieces().flatten().copied().collect::<Vec<u8>>(), bytes);
        let bufs = memory.into_bufs();
        assert!(bufs.len() > 3 && bufs[..bufs.len() - 1].iter().all(|buf| buf.remaining() == 0));
    }

    #[test]
    fn what_is_held_is_told_across_buffers() {
        let (memory, mut bytes) = filled(100_000);
        assert!(memory.holds(0, &bytes) && memory.holds(16_000, &bytes[16_000..60_000]));
        assert!(memory.holds(100_000, &[]));
        bytes[50_000] ^= 1;
        assert!(!memory.holds(16_000, &bytes[16_000..60_000]) && memory.holds(50_001, &bytes[50_001..]));
    }

    #[test]
    fn a_truncated_end_is_written_anew() {
        for len in [0, 1, BUF_MIN - 1, BUF_MIN, BUF_MIN + 1, 70_000, 100_000] {
            let (mut memory, mut bytes) = filled(100_000);
            memory.truncate(len);
            bytes.truncate(len);
            memory.add(b"after");
            bytes.extend_from_slice(b"after");
            assert_eq!(memory.len(), bytes.len());
            assert!(memory.holds(0, &bytes), "cut at {len}");
        }
    }
}
