//! What the server used while it was loaded, second by second.

use serde::{Deserialize, Serialize};

/// Samples of one process over a round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSeries {
    /// When the first point begins, in seconds since the Unix epoch.
    pub started_at: f64,
    /// In order of time, without gaps.
    pub points: Vec<ServerPoint>,
}

/// What the process used from one sample to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerPoint {
    /// When it begins, in seconds since the first point began.
    pub at_seconds: f64,
    pub seconds: f64,
    /// Of one core: 1.0 is one core busy all the time.
    pub cpu_share: f64,
    /// Resident memory at its end, in bytes.
    pub rss: u64,
    /// Bytes that the process had written to the disk; `None` where the kernel does not tell.
    pub disk_write_bytes: Option<u64>,
}
