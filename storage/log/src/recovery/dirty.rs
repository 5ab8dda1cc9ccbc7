//! Bytes that only the journal holds, put together from tail records.
//!
//! Invariants: runs of one segment are in order; each begins at a block's start, for a block is only ever
//! written whole.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::id::{FilePosition, RoundSequence, SegmentId};

/// Memory for the bytes of a run. The shell's is what its logs go on with, so that no byte is copied twice.
pub trait RunMemory: Default {
    /// Bytes.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&mut self, bytes: &[u8]);

    /// Forgets the bytes from `len` on; there are as many.
    fn truncate(&mut self, len: usize);

    /// Whether the bytes from `at` on are these, which end within what is there.
    fn holds(&self, at: usize, bytes: &[u8]) -> bool;
}

impl RunMemory for Vec<u8> {
    fn len(&self) -> usize {
        self.len()
    }

    fn add(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn truncate(&mut self, len: usize) {
        self.truncate(len);
    }

    fn holds(&self, at: usize, bytes: &[u8]) -> bool {
        self[at..at + bytes.len()] == *bytes
    }
}

/// Bytes to be written to a segment. Ends at the recorded end, or where a direct write goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyRun<M = Vec<u8>> {
    pub segment: SegmentId,
    /// Aligned.
    pub position: FilePosition,
    pub bytes: M,
    /// The first round that holds bytes of this run.
    pub round: RoundSequence,
}

impl<M: RunMemory> DirtyRun<M> {
    /// Exclusive.
    pub fn end(&self) -> FilePosition {
        self.position + self.bytes.len() as u64
    }
}

/// The runs of one partition.
#[derive(Debug)]
pub(super) struct DirtySegments<M> {
    segments: BTreeMap<SegmentId, Vec<DirtyRun<M>>>,
}

/// The bytes contradict those known, lie before them, or do not begin where a block or a run does.
#[derive(Debug)]
pub(super) struct Contradiction;

impl<M> Default for DirtySegments<M> {
    fn default() -> Self {
        Self {
            segments: BTreeMap::new(),
        }
    }
}

impl<M: RunMemory> DirtySegments<M> {
    /// Adds what a tail record holds, of which the segment file lacks what lies beyond `written`. Bytes
    /// beyond `byte_end` were cut off by a later record that is already part of the state.
    pub(super) fn add(
        &mut self,
        segment: SegmentId,
        position: FilePosition,
        bytes: &[u8],
        written: FilePosition,
        byte_end: FilePosition,
        round: RoundSequence,
    ) -> Result<(), Contradiction> {
        let end = (position + bytes.len() as u64).min(byte_end);
        let start = position.max(written.block_floor());
        if end <= written || end <= start {
            return Ok(());
        }
        let bytes = &bytes[(start - position) as usize..(end - position) as usize];
        let runs = self.segments.entry(segment).or_default();
        match runs.last_mut() {
            Some(last) if last.position <= start && start <= last.end() => {
                let known = (start - last.position) as usize;
                let repeated = (last.bytes.len() - known).min(bytes.len());
                if !last.bytes.holds(known, &bytes[..repeated]) {
                    return Err(Contradiction);
                }
                last.bytes.add(&bytes[repeated..]);
            }
            last if start.is_aligned() && last.as_ref().is_none_or(|last| last.end() <= start) => {
                let mut memory = M::default();
                memory.add(bytes);
                runs.push(DirtyRun {
                    segment,
                    position: start,
                    bytes: memory,
                    round,
                });
            }
            _ => return Err(Contradiction),
        }
        Ok(())
    }

    /// Where the runs of `segment` lie.
    pub(super) fn ranges(&self, segment: SegmentId) -> impl Iterator<Item = (FilePosition, FilePosition)> {
        let runs = self.segments.get(&segment).into_iter().flatten();
        runs.map(|run| (run.position, run.end()))
    }

    /// Forgets bytes of `segment` at and beyond `byte_end`.
    pub(super) fn truncate(&mut self, segment: SegmentId, byte_end: FilePosition) {
        if let Some(runs) = self.segments.get_mut(&segment) {
            runs.retain(|run| run.position < byte_end);
            if let Some(last) = runs.last_mut().filter(|last| last.end() > byte_end) {
                last.bytes.truncate((byte_end - last.position) as usize);
            }
        }
    }

    pub(super) fn forget(&mut self, segment: SegmentId) {
        self.segments.remove(&segment);
    }

    /// The lowest round that holds any of the bytes.
    pub(super) fn floor(&self) -> Option<RoundSequence> {
        self.segments.values().flatten().map(|run| run.round).min()
    }

    pub(super) fn into_runs(self) -> Vec<DirtyRun<M>> {
        self.segments.into_values().flatten().collect()
    }
}
