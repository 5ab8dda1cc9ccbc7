//! What a shard counts, for metrics and tests. Plain numbers of its own thread.

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub turns: u64,
    pub requests: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Record bytes that logs accepted.
    pub bytes_appended: u64,
    /// Requests that found no room to wait.
    pub calls_refused: u64,
    pub appends_refused: u64,
    pub connections_opened: u64,
    pub connections_closed: u64,
    pub connections_refused: u64,
    /// Malformed or oversized frames and their kin.
    pub client_complaints: u64,
    /// Fetches that had to wait for records.
    pub fetches_parked: u64,
    /// Pieces of requests sent to other shards.
    pub forwarded: u64,
}
