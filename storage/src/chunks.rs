//! The bytes of one partition that are in memory, laid out as they lie in its segments.
//!
//! Place: filled by appends, written from by rounds and write-behind, cut into slices by reads. One copy
//! serves all.
//!
//! Invariants:
//! - A chunk starts at a block boundary of its segment and ends at one when it is full, so every block has
//!   one chunk.
//! - Chunks are in order of position. What no chunk holds is durable in the segment: gaps are what was
//!   dropped, oldest first, and what direct writes left behind at the last start. The block being filled
//!   stays.

use std::collections::VecDeque;

use millstream_log::{FilePosition, SegmentId};
use millstream_protocol::time::Instant;
use millstream_ring::{AppendBuf, Slice};

use crate::limits::{BLOCK, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_FAST_NS, CHUNK_SLOW_NS};
use crate::spare::Spare;

/// The chunks of one partition, oldest first.
pub(crate) struct Chunks {
    list: VecDeque<Chunk>,
    /// Capacity of the next chunk unless an append needs more: follows the partition's rate.
    next_capacity: u64,
}

/// A stretch of one segment in memory.
pub(crate) struct Chunk {
    segment: SegmentId,
    /// Of the first byte; a block boundary.
    start: FilePosition,
    buf: AppendBuf,
    made_at: Instant,
    /// Read since the cache's hand passed.
    used: bool,
}

/// Where a byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// In a chunk that goes up to `to`.
    Here { to: FilePosition },
    /// In no chunk; nor are the bytes after it up to `to`, or to the segment's end.
    Gap { to: Option<FilePosition> },
}

/// Where appends go and what they cost, lent to an append.
pub(crate) struct Growth<'a> {
    pub(crate) now: Instant,
    /// Bytes of memory taken by new chunks are added here.
    pub(crate) charged: &'a mut u64,
    /// Counts the chunks made.
    pub(crate) made: &'a mut u32,
    /// Memory of dropped chunks, to be used again.
    pub(crate) spare: &'a mut Spare,
}

impl Chunks {
    pub(crate) fn new() -> Chunks {
        Chunks {
            list: VecDeque::new(),
            next_capacity: CHUNK_BYTES_MIN,
        }
    }

    /// Appends `bytes` at `position` of `segment`, which is where the last append of that segment ended, or
    /// 0. `more`: bytes that will follow at once.
    pub(crate) fn append(
        &mut self,
        segment: SegmentId,
        mut position: FilePosition,
        mut bytes: &[u8],
        more: u64,
        growth: &mut Growth<'_>,
    ) {
        while !bytes.is_empty() {
            let goes_on = |chunk: &Chunk| chunk.segment == segment && chunk.end() == position;
            let fits = self
                .list
                .back()
                .is_some_and(|chunk| goes_on(chunk) && chunk.buf.remaining() > 0);
            if !fits {
                self.grow(segment, position, bytes.len() as u64 + more, growth);
            }
            let chunk = self.list.back_mut().expect("grown above");
            let (now, later) = bytes.split_at(bytes.len().min(chunk.buf.remaining()));
            chunk.buf.append(now);
            position = position + now.len() as u64;
            bytes = later;
        }
    }

    /// Brings the bytes of the block being filled back to memory after a start. `position` is a block
    /// boundary.
    pub(crate) fn restore(
        &mut self,
        segment: SegmentId,
        position: FilePosition,
        bytes: &[u8],
        growth: &mut Growth<'_>,
    ) {
        assert!(position.is_aligned());
        if self
            .list
            .back()
            .is_none_or(|chunk| chunk.segment != segment || chunk.end() != position)
        {
            self.grow(segment, position, bytes.len() as u64, growth);
        }
        self.append(segment, position, bytes, 0, growth);
    }

    /// Takes over bytes that a start found in the journal. `position` is a block boundary; what follows it in `bufs`
    /// does so without a gap.
    pub(crate) fn adopt(
        &mut self,
        segment: SegmentId,
        mut position: FilePosition,
        bufs: Vec<AppendBuf>,
        growth: &mut Growth<'_>,
    ) {
        for buf in bufs {
            assert!(
                position.is_aligned(),
                "only the last buffer may end inside a block"
            );
            *growth.charged += buf.capacity() as u64;
            *growth.made += 1;
            let start = position;
            position = position + buf.len() as u64;
            self.list.push_back(Chunk {
                segment,
                start,
                buf,
                made_at: growth.now,
                used: false,
            });
        }
    }

    /// Whether the byte at `position` is here.
    pub(crate) fn locate(&self, segment: SegmentId, position: FilePosition) -> Located {
        let after = self
            .list
            .partition_point(|chunk| (chunk.segment, chunk.start) <= (segment, position));
        let before = after
            .checked_sub(1)
            .map(|index| &self.list[index])
            .filter(|chunk| chunk.segment == segment);
        let next = self.list.get(after).filter(|chunk| chunk.segment == segment);
        match before {
            Some(chunk) if chunk.end() > position => Located::Here { to: chunk.end() },
            _ => Located::Gap {
                to: next.map(|chunk| chunk.start),
            },
        }
    }

    /// Calls `visit` with the pieces of `from..to` in order; all of it is resident.
    pub(crate) fn visit(
        &self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        mut visit: impl FnMut(&Chunk, std::ops::Range<usize>),
    ) {
        let mut position = from;
        let mut index = self.index_of(segment, from);
        while position < to {
            let chunk = &self.list[index];
            assert!(
                chunk.segment == segment && chunk.start <= position,
                "the bytes asked for are resident"
            );
            let end = chunk.end().min(to);
            assert!(position < end, "the bytes asked for are resident");
            visit(
                chunk,
                (position - chunk.start) as usize..(end - chunk.start) as usize,
            );
            position = end;
            index += 1;
        }
    }

    /// Cuts `from..to`, all of it resident, into slices.
    pub(crate) fn slices(
        &self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        out: &mut Vec<Slice>,
    ) {
        self.visit(segment, from, to, |chunk, range| out.push(chunk.buf.slice(range)));
    }

    /// As [`Chunks::slices`], for a reader: keeps the chunks from being dropped for a while.
    pub(crate) fn read(
        &mut self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        out: &mut Vec<Slice>,
    ) {
        let mut index = self.index_of(segment, from);
        while self
            .list
            .get(index)
            .is_some_and(|chunk| chunk.segment == segment && chunk.start < to)
        {
            self.list[index].used = true;
            index += 1;
        }
        self.slices(segment, from, to, out);
    }

    /// The bytes of `from..to` one piece after the other, for a copy.
    pub(crate) fn bytes(
        &self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        mut take: impl FnMut(&[u8]),
    ) {
        self.visit(segment, from, to, |chunk, range| take(chunk.buf.get(range)));
    }

    /// The oldest chunk.
    pub(crate) fn front(&mut self) -> Option<&mut Chunk> {
        self.list.front_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Bytes appended to all chunks, each rounded up to whole blocks.
    pub(crate) fn filled_bytes(&self) -> u64 {
        let blocks = self
            .list
            .iter()
            .map(|chunk| (chunk.buf.len() as u64).next_multiple_of(BLOCK));
        blocks.sum()
    }

    /// Drops the oldest chunk and gives back its charge.
    pub(crate) fn drop_front(&mut self, spare: &mut Spare) -> u64 {
        let chunk = self.list.pop_front().expect("asked with a front");
        let capacity = chunk.buf.capacity() as u64;
        spare.take_back(chunk.buf);
        capacity
    }

    /// Replaces all chunks by one block that holds the block being filled; gives back the bytes of memory
    /// freed. All of it is in the segment.
    pub(crate) fn shrink(&mut self, growth: &mut Growth<'_>) -> u64 {
        self.next_capacity = CHUNK_BYTES_MIN;
        let Some(last) = self.list.back() else { return 0 };
        let (segment, end) = (last.segment, last.end());
        let from = end.block_floor();
        let mut tail = Vec::with_capacity((end - from) as usize);
        self.bytes(segment, from, end, |bytes| tail.extend_from_slice(bytes));
        let mut freed = 0;
        while !self.list.is_empty() {
            freed += self.drop_front(growth.spare);
        }
        if !tail.is_empty() {
            self.restore(segment, from, &tail, growth);
        }
        freed
    }

    fn index_of(&self, segment: SegmentId, position: FilePosition) -> usize {
        let begins = |chunk: &Chunk| (chunk.segment, chunk.start) <= (segment, position);
        // Rounds ask for the newest bytes: the older chunks, which no cache holds any more, are left alone then.
        if self.list.back().is_some_and(begins) {
            return self.list.len() - 1;
        }
        let after = self.list.partition_point(begins);
        assert!(after > 0, "the bytes asked for are resident");
        after - 1
    }

    fn grow(&mut self, segment: SegmentId, position: FilePosition, needed: u64, growth: &mut Growth<'_>) {
        let start = position.block_floor();
        assert!(
            start == position,
            "a chunk starts at a block; the block being filled is always resident"
        );
        if let Some(last) = self.list.back() {
            let took = growth.now.saturating_since(last.made_at).as_nanos();
            if took < CHUNK_FAST_NS {
                self.next_capacity = (2 * self.next_capacity).min(CHUNK_BYTES_MAX);
            } else if took > CHUNK_SLOW_NS {
                self.next_capacity = (self.next_capacity / 2).max(CHUNK_BYTES_MIN);
            }
        }
        let capacity = self
            .next_capacity
            .max(needed.next_multiple_of(BLOCK).min(CHUNK_BYTES_MAX));
        *growth.charged += capacity;
        *growth.made += 1;
        let buf = growth.spare.give(capacity);
        self.list.push_back(Chunk {
            segment,
            start,
            buf,
            made_at: growth.now,
            used: false,
        });
    }
}

impl Chunk {
    pub(crate) fn segment(&self) -> SegmentId {
        self.segment
    }

    pub(crate) fn start(&self) -> FilePosition {
        self.start
    }

    /// Exclusive.
    pub(crate) fn end(&self) -> FilePosition {
        self.start + self.buf.len() as u64
    }

    /// Bytes of memory.
    pub(crate) fn capacity(&self) -> u64 {
        self.buf.capacity() as u64
    }

    /// Whether it was read since the last call.
    pub(crate) fn take_used(&mut self) -> bool {
        std::mem::take(&mut self.used)
    }
}
