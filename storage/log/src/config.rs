//! What a topic's configuration means to its partitions' logs.

/// Whose clock a batch's timestamps are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    #[default]
    CreateTime,
    LogAppendTime,
}

/// The settings of one partition's log, with Kafka's defaults. `None` means "without limit".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is rolled before it would grow past this many bytes; one larger batch still gets a segment
    /// to itself.
    pub segment_bytes: u64,
    /// A segment is rolled at the first append this long after it was opened.
    pub segment_ms: u64,
    pub retention_ms: Option<u64>,
    pub retention_bytes: Option<u64>,
    /// The largest batch, in bytes.
    pub max_message_bytes: u32,
    pub timestamp_type: TimestampType,
    /// `cleanup.policy` contains `delete`: retention acts.
    pub delete: bool,
    /// `cleanup.policy` contains `compact`.
    pub compact: bool,
    /// An idempotent producer is forgotten after this long without an append.
    pub producer_id_expiration_ms: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            max_message_bytes: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            delete: true,
            compact: false,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
