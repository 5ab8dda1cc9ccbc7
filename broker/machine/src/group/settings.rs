//! What a coordinator may be configured with, under Kafka's names, and how much it may hold.

use millstream_protocol::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms`, inclusive.
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`, inclusive.
    pub max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`: members of one group, inclusive.
    pub group_max_size: u32,
    /// `group.consumer.session.timeout.ms`: how long a member of the consumer protocol may be silent.
    pub consumer_session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`: how often it is told to be heard of.
    pub consumer_heartbeat_interval: Duration,
    /// `group.consumer.max.size`: members of one group of the consumer protocol, inclusive.
    pub consumer_group_max_size: u32,
    /// `group.consumer.assignment.interval.ms`: the shortest time between two assignments of a group.
    pub consumer_assignment_interval: Duration,
    /// `group.consumer.migration.policy`: which way groups with members may go from one protocol to the other.
    pub migration: MigrationPolicy,
    /// `offset.metadata.max.bytes`: of the text beside one committed offset, inclusive.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`: how long an empty group's offsets are kept.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
    /// Bytes of one group's record at most, which is the offsets topic's `max.message.bytes` less a batch's header. A
    /// group whose record would be larger is answered UNKNOWN_SERVER_ERROR, as Kafka's coordinator answers then.
    pub group_record_bytes_max: usize,
    /// Bytes that all groups of this coordinator may take together, counted as
    /// [`GroupCoordinator::live_bytes`](super::GroupCoordinator::live_bytes) does. What would take more is answered
    /// COORDINATOR_NOT_AVAILABLE: clients wait and try again.
    pub state_bytes_max: u64,
}

/// Between the classic protocol and the consumer protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    Disabled,
    Upgrade,
    Downgrade,
    Bidirectional,
}

impl MigrationPolicy {
    /// By the name that the setting has, in any case; `None` for another text.
    pub fn find(name: &str) -> Option<Self> {
        Some(match &*name.to_ascii_lowercase() {
            "disabled" => MigrationPolicy::Disabled,
            "upgrade" => MigrationPolicy::Upgrade,
            "downgrade" => MigrationPolicy::Downgrade,
            "bidirectional" => MigrationPolicy::Bidirectional,
            _ => return None,
        })
    }

    /// Whether members of both protocols may be in one group.
    pub(super) fn allows_mixing(self) -> bool {
        self != MigrationPolicy::Disabled
    }

    pub(super) fn allows_upgrade(self) -> bool {
        matches!(self, MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional)
    }

    pub(super) fn allows_downgrade(self) -> bool {
        matches!(self, MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional)
    }
}

/// Kafka's defaults, and 64 MiB of state.
impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::from_secs(3),
            group_max_size: i32::MAX as u32,
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            consumer_group_max_size: i32::MAX as u32,
            consumer_assignment_interval: Duration::from_secs(1),
            migration: MigrationPolicy::Bidirectional,
            offset_metadata_max_bytes: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check_interval: Duration::from_secs(10 * 60),
            group_record_bytes_max: 1 << 20,
            state_bytes_max: 64 << 20,
        }
    }
}
