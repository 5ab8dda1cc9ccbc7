//! Log start, flushed and log end: accepted, durable and visible are three words, so they are three types.
//!
//! Invariants, kept by this file alone: start ≤ end, flushed ≤ end; the start never goes back.

use millstream_protocol::types::Offset;

/// The first offset that is served; inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogStartOffset(Offset);

/// Everything below survives a crash; exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlushedOffset(Offset);

/// Everything below is accepted, and the next batch gets this offset; exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEndOffset(Offset);

impl LogStartOffset {
    pub const fn get(self) -> Offset {
        self.0
    }
}

impl FlushedOffset {
    pub const fn get(self) -> Offset {
        self.0
    }
}

impl LogEndOffset {
    pub const fn get(self) -> Offset {
        self.0
    }
}

/// The three of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    start: LogStartOffset,
    flushed: FlushedOffset,
    end: LogEndOffset,
}

impl Offsets {
    /// Of a log that begins, empty, at `base`.
    pub(crate) fn empty_at(base: Offset) -> Self {
        Self::recovered(base, base)
    }

    /// Of a log read back from disk: all of it is durable.
    pub(crate) fn recovered(start: Offset, end: Offset) -> Self {
        assert!(start <= end, "log start beyond the log's end");
        Self {
            start: LogStartOffset(start),
            flushed: FlushedOffset(end),
            end: LogEndOffset(end),
        }
    }

    pub fn start(&self) -> LogStartOffset {
        self.start
    }

    pub fn flushed(&self) -> FlushedOffset {
        self.flushed
    }

    pub fn end(&self) -> LogEndOffset {
        self.end
    }

    pub(crate) fn extend(&mut self, end: Offset) {
        assert!(end >= self.end.0, "an append cannot shorten the log");
        self.end = LogEndOffset(end);
    }

    pub(crate) fn flush(&mut self, upto: Offset) {
        assert!(upto <= self.end.0, "flushed beyond the log's end");
        self.flushed = FlushedOffset(self.flushed.0.max(upto));
    }

    pub(crate) fn raise_start(&mut self, start: Offset) {
        assert!(start <= self.end.0, "log start beyond the log's end");
        self.start = LogStartOffset(self.start.0.max(start));
    }

    pub(crate) fn truncate(&mut self, end: Offset) {
        assert!(self.start.0 <= end, "truncated below the log's start");
        assert!(end <= self.end.0, "truncated beyond the log's end");
        self.end = LogEndOffset(end);
        self.flushed = FlushedOffset(self.flushed.0.min(end));
    }
}
