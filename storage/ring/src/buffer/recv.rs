//! The pool of receive buffers of one ring, and the leases on them.
//!
//! A buffer is either offered to the ring (on the owner's free list, or with the kernel) or leased to one holder.
//! Holders give back from any core: a lock-free list that only the ring takes, whole, so that it has no ABA problem.

use std::ops::{Deref, DerefMut};

use super::region::Region;
use crate::limits::POOL_BUF;
use crate::sync::{Arc, AtomicBool, AtomicU32, Ordering, between_seq_cst};
use crate::waker::Waker;

/// Received bytes in a buffer of a ring's pool. Dropping it, on any thread, gives the buffer back.
pub struct RecvBuf {
    /// None for the empty buffer that tells the end of a stream.
    lease: Option<Lease>,
    len: u32,
}

struct Lease {
    pool: Arc<Shared>,
    buffer: u16,
}

impl RecvBuf {
    pub(crate) fn empty() -> RecvBuf {
        RecvBuf { lease: None, len: 0 }
    }

    /// Bytes of memory that this lease keeps from the pool.
    pub fn charged_bytes(&self) -> usize {
        if self.lease.is_some() { POOL_BUF } else { 0 }
    }
}

impl Deref for RecvBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Some(lease) = &self.lease else { return &[] };
        // SAFETY: the buffer lies in the pool's initialised region, which the lease keeps alive, and is this
        // lease's alone until it is given back (`RecvPool::lease`); `&self` excludes `deref_mut`.
        unsafe { std::slice::from_raw_parts(lease.pool.start(lease.buffer), self.len as usize) }
    }
}

impl DerefMut for RecvBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        let Some(lease) = &self.lease else { return &mut [] };
        // SAFETY: as in `deref`, and `&mut self` excludes every other access.
        unsafe { std::slice::from_raw_parts_mut(lease.pool.start(lease.buffer), self.len as usize) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.give_back(self.buffer);
    }
}

impl std::fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecvBuf({} bytes)", self.len)
    }
}

/// The ring's side of the pool.
#[derive(Clone)]
pub(crate) struct RecvPool {
    shared: Arc<Shared>,
}

impl RecvPool {
    /// `waker`: of the ring, knocked when a buffer comes back while it starves.
    pub(crate) fn new(buffers: u16, waker: Waker) -> RecvPool {
        let shared = Shared {
            region: Region::zeroed(usize::from(buffers) * POOL_BUF),
            returned: AtomicU32::new(NONE),
            next: (0..buffers).map(|_| AtomicU32::new(NONE)).collect(),
            starving: AtomicBool::new(false),
            waker,
        };
        RecvPool {
            shared: Arc::new(shared),
        }
    }

    /// The memory of a buffer, for the kernel to be told.
    pub(crate) fn start(&self, buffer: u16) -> *mut u8 {
        self.shared.start(buffer)
    }

    /// Gives out a buffer that holds `len` received bytes.
    ///
    /// # Safety
    /// The buffer is not leased, and neither kernel nor ring touches it until it comes back by `take_returned`.
    pub(crate) unsafe fn lease(&self, buffer: u16, len: usize) -> RecvBuf {
        assert!(len <= POOL_BUF && usize::from(buffer) < self.shared.next.len());
        let lease = Lease {
            pool: Arc::clone(&self.shared),
            buffer,
        };
        RecvBuf {
            lease: Some(lease),
            len: len as u32,
        }
    }

    /// Gives the pages of `count` buffers from `first` on back to the system. They read as zeroes after.
    ///
    /// # Safety
    /// None of them is leased, and none holds received bytes that nobody has leased yet.
    pub(crate) unsafe fn discard(&self, first: u16, count: u16) {
        let start = usize::from(first) * POOL_BUF;
        // SAFETY: the caller says that nobody looks at these bytes.
        unsafe {
            self.shared
                .region
                .discard(start..start + usize::from(count) * POOL_BUF)
        };
    }

    /// Hands every buffer that came back to `take`.
    pub(crate) fn take_returned(&self, mut take: impl FnMut(u16)) {
        // SeqCst: ordered behind `set_starving`, as a holder looks at that after it gave back.
        if self.shared.returned.load(Ordering::SeqCst) == NONE {
            return;
        }
        // Acquires the holders' last accesses (released in `give_back`) before anybody writes the buffers again.
        let mut head = self.shared.returned.swap(NONE, Ordering::Acquire);
        while head != NONE {
            let next = self.shared.next[head as usize].load(Ordering::Relaxed);
            take(head as u16);
            head = next;
        }
    }

    /// From now on a buffer that comes back wakes the ring. The caller looks at `take_returned` once more after.
    pub(crate) fn set_starving(&self, starving: bool) {
        self.shared.starving.store(starving, Ordering::SeqCst);
        between_seq_cst();
    }
}

struct Shared {
    region: Region,
    /// Head of the list of buffers given back; linked through `next`.
    returned: AtomicU32,
    next: Box<[AtomicU32]>,
    starving: AtomicBool,
    waker: Waker,
}

impl Shared {
    fn start(&self, buffer: u16) -> *mut u8 {
        let at = usize::from(buffer) * POOL_BUF;
        assert!(at < self.region.len());
        // SAFETY: `at` is inside the region.
        unsafe { self.region.start().as_ptr().add(at) }
    }

    fn give_back(&self, buffer: u16) {
        let mut head = self.returned.load(Ordering::Relaxed);
        loop {
            self.next[usize::from(buffer)].store(head, Ordering::Relaxed);
            // SeqCst: ordered before the look at `starving`, as the ring sets that before it looks here again.
            let swapped = self.returned.compare_exchange_weak(
                head,
                u32::from(buffer),
                Ordering::SeqCst,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        between_seq_cst();
        if self.starving.load(Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}

const NONE: u32 = u32::MAX;

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;
    use crate::Slice;
    use crate::waker::{Door, Sleep};

    /// Leases a buffer full of one byte.
    fn lease(pool: &RecvPool, buffer: u16, byte: u8, len: usize) -> RecvBuf {
        // SAFETY: the tests lease only buffers that they own: fresh ones, or such as came back.
        let mut buf = unsafe { pool.lease(buffer, len) };
        buf.fill(byte);
        buf
    }

    #[test]
    fn buffers_come_back_once_each_from_all_threads() {
        const BUFFERS: u16 = 8;
        let rounds = if cfg!(miri) { 20 } else { 5000 };
        let pool = RecvPool::new(BUFFERS, Waker::new(Door::Simulated));
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..3)
                .map(|_| {
                    let (lend, lent) = std::sync::mpsc::channel::<(u8, RecvBuf)>();
                    scope.spawn(move || {
                        for (byte, mut buf) in lent {
                            assert!(buf.iter().all(|seen| *seen == byte), "leased to us alone");
                            buf.fill(0);
                            let slice = Slice::from(buf);
                            assert_eq!(slice.charged_bytes(), POOL_BUF);
                        }
                    });
                    lend
                })
                .collect();
            let mut free: Vec<u16> = (0..BUFFERS).collect();
            for round in 0..rounds {
                while let Some(buffer) = free.pop() {
                    let byte = (round % 250) as u8 + 1;
                    senders[usize::from(buffer) % 3]
                        .send((byte, lease(&pool, buffer, byte, 64)))
                        .unwrap();
                }
                pool.take_returned(|buffer| {
                    assert!(!free.contains(&buffer), "once each");
                    free.push(buffer);
                });
            }
            drop(senders);
            for _ in 0..1_000_000 {
                pool.take_returned(|buffer| free.push(buffer));
                if free.len() == usize::from(BUFFERS) {
                    break;
                }
                std::thread::yield_now();
            }
            free.sort_unstable();
            assert_eq!(free, (0..BUFFERS).collect::<Vec<_>>(), "none is lost");
        });
    }

    #[test]
    fn a_starving_ring_is_woken_by_a_return() {
        let waker = Waker::new(Door::Simulated);
        let pool = RecvPool::new(2, waker.clone());
        let buf = lease(&pool, 0, 1, 10);
        drop(lease(&pool, 1, 1, 10));
        assert!(
            waker.fall_asleep(Sleep::InRing),
            "nobody starves, nobody is woken"
        );
        waker.wake_up();
        pool.set_starving(true);
        drop(buf);
        assert!(!waker.fall_asleep(Sleep::InRing), "a note is there");
    }

    #[test]
    fn a_lease_outlives_its_pool() {
        let pool = RecvPool::new(2, Waker::new(Door::Simulated));
        let buf = lease(&pool, 1, 9, 3);
        drop(pool);
        assert_eq!(buf[..], [9, 9, 9]);
        assert_eq!((RecvBuf::empty().len(), RecvBuf::empty().charged_bytes()), (0, 0));
    }
}
