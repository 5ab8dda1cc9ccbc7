//! Memory that is shared while it is still being filled.
//!
//! One owner appends; everything below its length never changes again and can be cut into [`Slice`]s that other
//! threads read, and operations in flight send and write, while the owner goes on behind them.

use std::ops::Range;

use super::region::Region;
use super::slice::{Owner, Slice};
use crate::sync::Arc;

/// A block-aligned region of fixed capacity, append-only. Only the owner appends; see [`AppendBuf::slice`].
#[derive(Debug)]
pub struct AppendBuf {
    owner: Arc<Owner>,
    /// Bytes below are frozen: no code path writes them while any slice may exist. Bytes at and above belong to
    /// this buffer alone.
    len: usize,
}

impl AppendBuf {
    /// `capacity` in bytes is a positive multiple of [`crate::BLOCK`].
    pub fn with_capacity(capacity: usize) -> AppendBuf {
        AppendBuf {
            owner: Arc::new(Owner::Region(Region::zeroed(capacity))),
            len: 0,
        }
    }

    /// Bytes appended so far.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn capacity(&self) -> usize {
        self.region().len()
    }

    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        self.capacity() - self.len
    }

    /// Copies `bytes` behind what is there. Panics when they do not fit.
    pub fn append(&mut self, bytes: &[u8]) {
        self.append_with(bytes.len(), |room| room.copy_from_slice(bytes));
    }

    /// Lets `fill` write the next `len` bytes in place; they hold old content (zeroes in a fresh buffer) where it
    /// does not. They count as appended when it returns. Panics when they do not fit.
    pub fn append_with<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(
            len <= self.remaining(),
            "{len} bytes into {} that remain",
            self.remaining()
        );
        let start = self.region().start().as_ptr();
        // SAFETY: `self.len + len <= capacity`, so the range is inside the region, which is initialised. Nobody
        // else can reach it: slices lie below `self.len` (see `slice`), `&mut self` excludes other appends, and
        // the region gives out pointers only, so no reference to these bytes exists.
        let room = unsafe { std::slice::from_raw_parts_mut(start.add(self.len), len) };
        let result = fill(room);
        self.len += len;
        result
    }

    /// Appends zeroes up to the next multiple of `alignment`, within the capacity.
    pub fn pad_to(&mut self, alignment: usize) {
        let padding = self.len.next_multiple_of(alignment) - self.len;
        self.append_with(padding, |room| room.fill(0));
    }

    /// Shares the bytes at `range`, all of them appended before.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} of {} appended",
            self.len
        );
        // SAFETY: the range lies below `self.len`, inside the initialised region that the cloned owner keeps
        // alive. `append_with` writes at and above `self.len` only, and `self.len` shrinks only in `try_clear` and
        // `try_truncate`, which prove that no slice exists.
        unsafe {
            let start = self.region().start().add(range.start);
            Slice::new(Arc::clone(&self.owner), start, range.end - range.start)
        }
    }

    /// The appended bytes at `range`, borrowed.
    pub fn get(&self, range: Range<usize>) -> &[u8] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} of {} appended",
            self.len
        );
        // SAFETY: as in `slice`; the borrow of `self` keeps the region alive and excludes what shrinks it.
        unsafe {
            let start = self.region().start().as_ptr().add(range.start);
            std::slice::from_raw_parts(start, range.end - range.start)
        }
    }

    /// Empties the buffer for another use if no slice of it is left anywhere; tells whether it did. The memory
    /// keeps its old content.
    pub fn try_clear(&mut self) -> bool {
        // `get_mut` succeeds only without other references and acquires what their holders did before they let go.
        let alone = Arc::get_mut(&mut self.owner).is_some();
        if alone {
            self.len = 0;
        }
        alone
    }

    /// Forgets the bytes from `len` on if no slice of the buffer is left anywhere; tells whether it did.
    pub fn try_truncate(&mut self, len: usize) -> bool {
        // As in `try_clear`.
        let alone = Arc::get_mut(&mut self.owner).is_some();
        if alone {
            self.len = self.len.min(len);
        }
        alone
    }

    fn region(&self) -> &Region {
        match &*self.owner {
            Owner::Region(region) => region,
            _ => unreachable!("made of a region in `with_capacity`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BLOCK;

    #[test]
    fn slices_stay_while_the_owner_goes_on() {
        let mut buf = AppendBuf::with_capacity(2 * BLOCK);
        buf.append(b"first");
        let first = buf.slice(0..5);
        buf.append_with(6, |room| {
            assert_eq!(room, [0; 6]);
            room.copy_from_slice(b"second");
        });
        assert_eq!((&*first, buf.get(5..11)), (&b"first"[..], &b"second"[..]));
        buf.pad_to(BLOCK);
        assert_eq!((buf.len(), buf.remaining()), (BLOCK, BLOCK));
        assert!(buf.slice(0..BLOCK).is_aligned());
        assert_eq!(first.charged_bytes(), 2 * BLOCK);
        drop(buf);
        assert_eq!(&*first, b"first");
    }

    #[test]
    fn clears_only_when_no_slice_is_left() {
        let mut buf = AppendBuf::with_capacity(BLOCK);
        buf.append(b"old");
        let slice = buf.slice(0..3);
        assert!(!buf.try_clear());
        assert_eq!(buf.len(), 3);
        drop(slice);
        assert!(buf.try_clear());
        assert!(buf.is_empty());
        buf.append_with(4, |room| assert_eq!(room, b"old\0"));
    }

    #[test]
    #[should_panic(expected = "that remain")]
    fn refuses_what_does_not_fit() {
        let mut buf = AppendBuf::with_capacity(BLOCK);
        buf.append(&[1; BLOCK]);
        buf.append(b"x");
    }

    #[test]
    #[should_panic(expected = "of 3 appended")]
    fn refuses_to_share_what_is_not_appended() {
        let mut buf = AppendBuf::with_capacity(BLOCK);
        buf.append(b"abc");
        buf.slice(1..4);
    }

    /// Readers on other threads check bytes while the owner appends behind them, drops, and uses the memory again.
    #[test]
    fn readers_see_frozen_bytes_while_the_owner_appends() {
        let (rounds, appends) = if cfg!(miri) { (3, 12) } else { (200, 200) };
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..3)
                .map(|_| {
                    let (lend, lent) = std::sync::mpsc::sync_channel::<(u8, Slice)>(8);
                    scope.spawn(move || {
                        let mut held = Vec::new();
                        for (byte, slice) in lent {
                            assert!(slice.iter().all(|seen| *seen == byte));
                            held.push((byte, slice.subslice(slice.len() / 2..slice.len())));
                            if held.len() > 5 {
                                let (byte, old) = held.remove(0);
                                assert!(old.iter().all(|seen| *seen == byte), "frozen for good");
                            }
                        }
                    });
                    lend
                })
                .collect();
            let mut buf = AppendBuf::with_capacity(4 * BLOCK);
            for round in 0..rounds {
                for append in 0..appends {
                    let (byte, start) = ((round * 31 + append) as u8, buf.len());
                    let len = (append * 7 % 80 + 1).min(buf.remaining());
                    buf.append_with(len, |room| room.fill(byte));
                    let slice = buf.slice(start..buf.len());
                    senders[append % 3].send((byte, slice)).unwrap();
                }
                if !buf.try_clear() {
                    buf = AppendBuf::with_capacity(4 * BLOCK);
                }
            }
        });
    }
}
