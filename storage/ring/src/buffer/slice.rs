//! A shared, immutable range of bytes: what is sent, written and cached.

use std::ops::{Deref, Range};
use std::ptr::NonNull;

use super::aligned::AlignedBuf;
use super::recv::RecvBuf;
use super::region::{BLOCK, Region};
use crate::sync::Arc;

/// A reference-counted range of bytes that never change again. Cloning and cutting cost one atomic increment;
/// any thread may hold one, and so may an operation in flight.
#[derive(Clone)]
pub struct Slice {
    owner: Arc<Owner>,
    start: NonNull<u8>,
    len: usize,
}

/// What keeps the bytes of a slice alive.
#[derive(Debug)]
pub(super) enum Owner {
    Region(Region),
    Heap(Vec<u8>),
    Received(RecvBuf),
}

// SAFETY: `start..start + len` lies in memory that `owner` keeps alive and that nobody writes while the slice
// exists (see `Slice::new`), so reading it from any thread is fine; `Arc<Owner>` itself is Send and Sync.
unsafe impl Send for Slice {}
// SAFETY: as above: all that `&Slice` allows is reading.
unsafe impl Sync for Slice {}

impl Slice {
    /// The bytes at `range` of this slice, as a slice of their own.
    pub fn subslice(&self, range: Range<usize>) -> Slice {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} of {} bytes",
            self.len
        );
        // SAFETY: `range.start <= len`, so the pointer stays inside, or one past, the same allocation.
        let start = unsafe { self.start.add(range.start) };
        Slice {
            owner: Arc::clone(&self.owner),
            start,
            len: range.end - range.start,
        }
    }

    /// Bytes of memory that this slice keeps alive, however short it is.
    pub fn charged_bytes(&self) -> usize {
        match &*self.owner {
            Owner::Region(region) => region.len(),
            Owner::Heap(bytes) => bytes.capacity(),
            Owner::Received(buf) => buf.charged_bytes(),
        }
    }

    /// Whether it keeps one of the ring's receive buffers, of which there are few for all sockets.
    pub fn is_pooled(&self) -> bool {
        matches!(&*self.owner, Owner::Received(_))
    }

    /// Fit for direct I/O: starts at a block boundary in memory and is whole blocks long.
    pub fn is_aligned(&self) -> bool {
        (self.start.as_ptr() as usize).is_multiple_of(BLOCK) && self.len.is_multiple_of(BLOCK)
    }

    /// Do both keep the same memory alive?
    pub fn shares_memory_with(&self, other: &Slice) -> bool {
        Arc::ptr_eq(&self.owner, &other.owner)
    }

    /// The buffer behind a slice that covers all of it and has no other clone; else the slice again. The content
    /// is whatever it was.
    pub fn thaw(self) -> Result<AlignedBuf, Slice> {
        let whole = matches!(&*self.owner, Owner::Region(region) if region.len() == self.len);
        if !whole {
            return Err(self);
        }
        let (start, len) = (self.start, self.len);
        match Arc::try_unwrap(self.owner) {
            Ok(Owner::Region(region)) => Ok(AlignedBuf::from_region(region)),
            Ok(_) => unreachable!("checked above"),
            Err(owner) => Err(Slice { owner, start, len }),
        }
    }

    /// The range `start..start + len` of memory kept alive by `owner`.
    ///
    /// # Safety
    /// The range lies within the owner's memory, is initialised, and is not written as long as `owner` has other
    /// references than its writer's.
    pub(super) unsafe fn new(owner: Arc<Owner>, start: NonNull<u8>, len: usize) -> Slice {
        Slice { owner, start, len }
    }

    /// All bytes of an owner that has no other user.
    pub(super) fn whole(owner: Owner) -> Slice {
        let owner = Arc::new(owner);
        let (start, len) = match &*owner {
            Owner::Region(region) => (region.start(), region.len()),
            Owner::Heap(bytes) => (NonNull::from(bytes.as_slice()).cast(), bytes.len()),
            Owner::Received(buf) => (NonNull::from(&**buf).cast(), buf.len()),
        };
        // SAFETY: the pointer and length are those of the owner's own initialised content. It is inside an `Arc`
        // now, out of which only shared references come, until `thaw` or the last drop finds it unique.
        unsafe { Slice::new(owner, start, len) }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: by `Slice::new` the range is initialised, alive while `self` is, and not written meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl From<Vec<u8>> for Slice {
    fn from(bytes: Vec<u8>) -> Slice {
        Slice::whole(Owner::Heap(bytes))
    }
}

impl From<RecvBuf> for Slice {
    fn from(buf: RecvBuf) -> Slice {
        Slice::whole(Owner::Received(buf))
    }
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slice({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_and_keeps_the_whole_alive() {
        let mut bytes = Vec::with_capacity(100);
        bytes.extend_from_slice(b"hello, world");
        let slice = Slice::from(bytes);
        let world = slice.subslice(7..12);
        drop(slice);
        assert_eq!(&*world, b"world");
        assert_eq!(&*world.subslice(1..1), b"");
        assert_eq!(&*world.subslice(5..5), b"");
        assert_eq!(world.charged_bytes(), 100);
        assert!(world.shares_memory_with(&world.subslice(0..1)));
        assert!(!world.shares_memory_with(&Slice::from(b"world".to_vec())));
    }

    #[test]
    #[should_panic(expected = "of 5 bytes")]
    fn refuses_to_cut_outside() {
        Slice::from(b"hello".to_vec()).subslice(3..6);
    }

    #[test]
    fn knows_alignment() {
        let slice = AlignedBuf::zeroed(2 * BLOCK).freeze();
        assert!(slice.is_aligned() && slice.subslice(BLOCK..2 * BLOCK).is_aligned());
        assert!(!slice.subslice(512..BLOCK + 512).is_aligned());
        assert!(!slice.subslice(0..BLOCK + 512).is_aligned());
    }
}
