//! How much metadata a cluster may hold, and how much of clients' metrics is kept. The shell may choose other numbers.

/// Bounds that the controller holds its decisions against; all inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterLimits {
    pub topics_max: u32,
    /// Of all topics together.
    pub partitions_max: u64,
    /// Names and configurations, counted as [`crate::cluster::image::ClusterImage::metadata_bytes`] does.
    pub metadata_bytes_max: u64,
    /// New ones in one request, as Kafka's.
    pub partitions_per_request_max: u32,
    /// Bytes of one configuration's value, as Kafka's.
    pub config_value_bytes_max: usize,
    /// Producer ids that a shard takes at a time, as Kafka's.
    pub producer_id_block: u32,
    /// Subscriptions to clients' metrics: each is held against every client that asks.
    pub client_metrics_max: usize,
}

/// Bounds of what is known of clients that push metrics; all inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelemetryLimits {
    /// Clients, as Kafka's.
    pub instances_max: usize,
    /// Bytes of what all of them told last.
    pub kept_bytes_max: usize,
}

impl Default for TelemetryLimits {
    fn default() -> Self {
        Self {
            instances_max: 16_384,
            kept_bytes_max: 8 << 20,
        }
    }
}

impl Default for ClusterLimits {
    fn default() -> Self {
        Self {
            topics_max: 100_000,
            partitions_max: 200_000,
            metadata_bytes_max: 32 << 20,
            partitions_per_request_max: 10_000,
            config_value_bytes_max: i16::MAX as usize,
            producer_id_block: 1_000,
            client_metrics_max: 64,
        }
    }
}

/// What a configuration takes beside its name and its value: two strings' heads, their places in a tree whose nodes are
/// half empty, and what the allocator rounds up.
pub const CONFIG_ENTRY_BYTES: u64 = 128;

const _: () = assert!(i16::MAX as usize == 32_767);
