//! How many producers the logs of one shard remember together.
//!
//! Place: kept by [`crate::ShardLogs`]; an append that would bring one more is refused at the bound, and
//! housekeeping lets those give way that have been silent for long.
//!
//! Invariant: the sum of what was last seen of each log that the shard has.

/// See the module's page.
#[derive(Debug)]
pub(crate) struct ProducerCount {
    known: usize,
    max: usize,
}

impl ProducerCount {
    /// `max`: inclusive.
    pub(crate) fn new(max: usize) -> ProducerCount {
        ProducerCount { known: 0, max }
    }

    /// No log may remember one more.
    pub(crate) fn is_full(&self) -> bool {
        self.known >= self.max
    }

    /// A log remembers `after` where it was last seen with `before`.
    pub(crate) fn changed(&mut self, before: usize, after: usize) {
        self.known = self.known - before + after;
    }
}
