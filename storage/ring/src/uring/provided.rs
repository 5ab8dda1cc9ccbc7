//! The ring of receive buffers offered to the kernel: a receive takes one only when bytes are there.

use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use super::setup::SetupError;
use crate::buffer::{BLOCK, RecvPool, Region};
use crate::limits::POOL_BUF;

/// The kernel's view of the free buffers of a pool.
pub(super) struct ProvidedRing {
    /// Entries shared with the kernel, which reads them only; the tail lies in the first one's spare field.
    entries: Region,
    count: u16,
    tail: u16,
    /// By buffer: the kernel may put bytes into it, and nobody has been told of any.
    offered: Box<[bool]>,
}

impl ProvidedRing {
    /// Registers the ring and offers all `count` buffers of the pool.
    pub(super) fn register(ring: &IoUring, pool: &RecvPool, count: u16) -> Result<ProvidedRing, SetupError> {
        assert!(count.is_power_of_two());
        let bytes = usize::from(count) * size_of::<BufRingEntry>();
        let entries = Region::zeroed(bytes.next_multiple_of(BLOCK));
        // SAFETY: the region is page-aligned, holds `count` entries, and outlives the registration: `unregister`
        // runs before it is dropped.
        unsafe {
            let start = entries.start().as_ptr() as u64;
            ring.submitter()
                .register_buf_ring_with_flags(start, count, GROUP, 0)?;
        }
        let mut provided = ProvidedRing {
            entries,
            count,
            tail: 0,
            offered: vec![false; usize::from(count)].into(),
        };
        for buffer in 0..count {
            provided.offer(pool, buffer);
        }
        provided.publish();
        Ok(provided)
    }

    /// Gives one buffer to the kernel; it sees it after `publish`. The caller owns the buffer.
    pub(super) fn offer(&mut self, pool: &RecvPool, buffer: u16) {
        let index = usize::from(self.tail & (self.count - 1));
        let first = self.entries.start().as_ptr().cast::<BufRingEntry>();
        // SAFETY: `index < count`, so the entry is inside the region. The kernel reads only entries below the tail
        // that it was shown, and never more than `count` buffers exist, so it does not look at this one now.
        // The setters leave the spare field alone, where entry 0 keeps the tail.
        let entry = unsafe { &mut *first.add(index) };
        entry.set_addr(pool.start(buffer) as u64);
        entry.set_len(POOL_BUF as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.offered[usize::from(buffer)] = true;
    }

    /// The kernel has put bytes into this buffer and handed it over.
    pub(super) fn taken(&mut self, buffer: u16) {
        self.offered[usize::from(buffer)] = false;
    }

    /// Buffers that the kernel has, of how many.
    pub(super) fn offered(&self) -> (usize, usize) {
        let offered = self.offered.iter().filter(|offered| **offered).count();
        (offered, self.offered.len())
    }

    /// Gives the pages of all buffers that the kernel has back to the system.
    ///
    /// # Safety
    /// The kernel has put bytes into none of them: no completion waits to be looked at, and the calling thread, the
    /// only one that receives for the kernel (DEFER_TASKRUN), is here.
    pub(super) unsafe fn discard_offered(&self, pool: &RecvPool) {
        let mut first = 0;
        for run in self.offered.chunk_by(|a, b| a == b) {
            let count = run.len() as u16;
            if run[0] {
                // SAFETY: offered buffers are not leased, and the caller says that they hold no bytes.
                unsafe { pool.discard(first, count) };
            }
            first += count;
        }
    }

    /// Shows the kernel what was offered.
    pub(super) fn publish(&mut self) {
        let first = self.entries.start().as_ptr().cast::<BufRingEntry>();
        // SAFETY: the tail field lies in the first entry, is two-byte aligned and is written by this thread only;
        // the kernel reads it atomically, and the release orders the entries before it.
        unsafe {
            let tail = BufRingEntry::tail(first).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    pub(super) fn unregister(&self, ring: &IoUring) {
        ring.submitter()
            .unregister_buf_ring(GROUP)
            .expect("the group was registered");
    }
}

/// The one buffer group of a ring.
pub(super) const GROUP: u16 = 0;
