//! A piece of block-aligned, initialised memory: what all aligned buffers stand on.
//!
//! A region gives out raw pointers only; who may touch which bytes is decided by the buffer around it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;

/// Alignment of memory, file positions and lengths in direct I/O, in bytes.
pub const BLOCK: usize = 4096;

/// Owned memory, aligned to [`BLOCK`], every byte initialised (zero at first).
#[derive(Debug)]
pub(crate) struct Region {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a region is plain memory without thread affinity; it hands out nothing but pointers, and their
// users answer for the aliasing.
unsafe impl Send for Region {}
// SAFETY: as above; `&Region` gives access to no byte by itself.
unsafe impl Sync for Region {}

impl Region {
    /// `len` is a positive multiple of [`BLOCK`].
    pub(crate) fn zeroed(len: usize) -> Region {
        assert!(
            len > 0 && len.is_multiple_of(BLOCK),
            "{len} bytes are not whole blocks"
        );
        let start = if len >= MAPPED { map(len) } else { allocate(len) };
        Region { start, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives the pages of a range of whole blocks back to the system, where the memory is mapped; they read as zeroes
    /// when they are next touched. Memory of the allocator stays as it is.
    ///
    /// # Safety
    /// Nobody holds a reference into the range, and nobody needs its bytes.
    pub(crate) unsafe fn discard(&self, range: Range<usize>) {
        assert!(range.start.is_multiple_of(BLOCK) && range.end.is_multiple_of(BLOCK));
        assert!(range.start <= range.end && range.end <= self.len);
        if self.len < MAPPED {
            return;
        }
        // SAFETY: the range lies inside a private anonymous mapping of our own, whose pages stay mapped and become
        // zeroes; the caller says that nobody is surprised by that.
        let advised = unsafe {
            let start = self.start.as_ptr().add(range.start);
            libc::madvise(start.cast(), range.len(), libc::MADV_DONTNEED)
        };
        assert_eq!(advised, 0, "pages of our own can be given back");
    }

    /// Valid for reads and writes of `len` bytes as long as the region lives.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.len >= MAPPED {
            // SAFETY: exactly this range was mapped by `map`, and whoever used it is gone with the region.
            let unmapped = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
            assert_eq!(unmapped, 0, "a mapping of our own can be unmapped");
        } else {
            // SAFETY: the memory came from `allocate` with this very layout.
            unsafe { dealloc(self.start.as_ptr(), layout(self.len)) }
        }
    }
}

/// From this size on memory is mapped: the system zeroes a page when it is first touched, where the allocator
/// would zero all of it at once.
const MAPPED: usize = 64 * 1024;

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len, BLOCK).expect("a region is far smaller than the address space")
}

fn allocate(len: usize) -> NonNull<u8> {
    // SAFETY: the layout's size is not zero.
    let start = unsafe { alloc_zeroed(layout(len)) };
    NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout(len)))
}

fn map(len: usize) -> NonNull<u8> {
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a fresh anonymous mapping touches no memory of ours.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        handle_alloc_error(layout(len));
    }
    NonNull::new(start.cast()).expect("a mapping never starts at zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_given_back_read_as_zeroes() {
        let region = Region::zeroed(MAPPED);
        // SAFETY: the region is this test's alone, and no reference into it outlives its statement.
        unsafe {
            std::slice::from_raw_parts_mut(region.start().as_ptr(), MAPPED).fill(7);
            region.discard(BLOCK..3 * BLOCK);
            let bytes = std::slice::from_raw_parts(region.start().as_ptr(), MAPPED);
            assert!(bytes[..BLOCK].iter().all(|byte| *byte == 7));
            assert!(bytes[BLOCK..3 * BLOCK].iter().all(|byte| *byte == 0));
            assert!(bytes[3 * BLOCK..].iter().all(|byte| *byte == 7));
        }
    }
}
