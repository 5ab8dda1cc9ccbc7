//! Memory of chunks that were dropped, to be used again.
//!
//! Place: filled where chunks are dropped (the cache's bound, a deleted partition), emptied where they grow.
//! Invariants: what somebody still reads is not used again; the whole is bounded.

use millstream_ring::AppendBuf;

use crate::limits::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, SPARE_BYTES_MAX};

/// Buffers that were dropped and that nobody reads any more: their pages are there already, where the system takes
/// longer to map and to clear a fresh one than an append to fill it.
pub(crate) struct Spare {
    /// From [`CHUNK_BYTES_MIN`] to [`CHUNK_BYTES_MAX`], each twice the one before.
    sizes: [Vec<AppendBuf>; SIZES],
    bytes: u64,
}

impl Spare {
    pub(crate) fn new() -> Spare {
        Spare {
            sizes: std::array::from_fn(|_| Vec::new()),
            bytes: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Spare::new();
    }

    pub(crate) fn give(&mut self, capacity: u64) -> AppendBuf {
        match size_of_chunk(capacity).and_then(|size| self.sizes[size].pop()) {
            Some(buf) => {
                self.bytes -= capacity;
                buf
            }
            None => AppendBuf::with_capacity(capacity as usize),
        }
    }

    pub(crate) fn take_back(&mut self, mut buf: AppendBuf) {
        let capacity = buf.capacity() as u64;
        if let Some(size) = size_of_chunk(capacity)
            && buf.try_clear()
        {
            self.sizes[size].push(buf);
            self.bytes += capacity;
            while self.bytes > SPARE_BYTES_MAX {
                self.shed();
            }
        }
    }

    /// Frees a buffer of the size that there is most of: one that is in demand is not crowded out by one that was.
    fn shed(&mut self) {
        let bytes_of = |size: &usize| (self.sizes[*size].len() as u64) << size;
        let most = (0..SIZES).max_by_key(bytes_of).expect("there are sizes");
        if let Some(buf) = self.sizes[most].pop() {
            self.bytes -= buf.capacity() as u64;
        }
    }
}

/// The place of a capacity among the sizes that chunks double through; `None` for one made to an append's measure.
fn size_of_chunk(capacity: u64) -> Option<usize> {
    let usual = capacity.is_power_of_two() && (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&capacity);
    usual.then(|| (capacity / CHUNK_BYTES_MIN).ilog2() as usize)
}

const SIZES: usize = (CHUNK_BYTES_MAX / CHUNK_BYTES_MIN).ilog2() as usize + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_chunk_of_any_usual_size_serves_again() {
        let mut spare = Spare::new();
        for capacity in [CHUNK_BYTES_MIN, 8 * CHUNK_BYTES_MIN, CHUNK_BYTES_MAX] {
            let mut buf = spare.give(capacity);
            buf.append(b"x");
            let memory = buf.get(0..1).as_ptr();
            spare.take_back(buf);
            let mut again = spare.give(capacity);
            assert_eq!((again.len(), again.capacity() as u64), (0, capacity));
            again.append(b"y");
            assert_eq!(again.get(0..1).as_ptr(), memory);
            assert_eq!(spare.bytes, 0);
        }
    }

    #[test]
    fn what_somebody_reads_is_not_used_again() {
        let mut spare = Spare::new();
        let mut buf = spare.give(CHUNK_BYTES_MIN);
        buf.append(b"x");
        let reader = buf.slice(0..1);
        spare.take_back(buf);
        assert_eq!(spare.bytes, 0);
        assert_eq!(&*reader, b"x");
    }

    #[test]
    fn spare_memory_is_bounded_and_the_size_of_which_there_is_most_gives_way() {
        let mut spare = Spare::new();
        let small = SPARE_BYTES_MAX / CHUNK_BYTES_MIN;
        for _ in 0..small {
            spare.take_back(AppendBuf::with_capacity(CHUNK_BYTES_MIN as usize));
        }
        spare.take_back(AppendBuf::with_capacity(CHUNK_BYTES_MAX as usize));
        assert_eq!(spare.bytes, SPARE_BYTES_MAX);
        assert_eq!(spare.sizes[SIZES - 1].len(), 1);
        assert_eq!(
            spare.sizes[0].len() as u64,
            small - CHUNK_BYTES_MAX / CHUNK_BYTES_MIN
        );
        // One made to measure is of no use to others.
        spare.take_back(AppendBuf::with_capacity(3 * CHUNK_BYTES_MIN as usize));
        assert_eq!(spare.bytes, SPARE_BYTES_MAX);
        spare.clear();
        assert_eq!(spare.bytes, 0);
    }
}
