//! What a coordinator may be configured with, under Kafka's names, and how much it may hold.

use millstream_protocol::time::Duration;

use crate::config::group::number;
use crate::config::map::ConfigMap;

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
    /// Of groups of the consumer protocol that have none of their own.
    pub consumer: ConsumerTimes,
    /// What groups may have of their own, `group.consumer.min.…`, inclusive.
    pub consumer_min: ConsumerTimes,
    /// `group.consumer.max.…`, inclusive.
    pub consumer_max: ConsumerTimes,
    /// `group.consumer.max.size`: members of one group of the consumer protocol, inclusive.
    pub consumer_group_max_size: u32,
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

/// Times of a group of the consumer protocol, under the names that follow `group.consumer.` or `consumer.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerTimes {
    /// `session.timeout.ms`: how long a member may be silent.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`: how often members are told to be heard of.
    pub heartbeat_interval: Duration,
    /// `assignment.interval.ms`: the shortest time between two assignments of the group.
    pub assignment_interval: Duration,
}

impl GroupSettings {
    /// The times of a group that has these configurations of its own. They were within the bounds when they were set;
    /// bounds that are others since prevail.
    pub fn of_group(&self, own: &ConfigMap) -> ConsumerTimes {
        let (min, max) = (&self.consumer_min, &self.consumer_max);
        let time = |name, min: Duration, max: Duration| {
            let ms = u64::try_from(number(own, name)?).unwrap_or(0);
            Some(Duration::from_millis(ms).min(max).max(min))
        };
        let session = time(
            "consumer.session.timeout.ms",
            min.session_timeout,
            max.session_timeout,
        );
        let heartbeat = time(
            "consumer.heartbeat.interval.ms",
            min.heartbeat_interval,
            max.heartbeat_interval,
        );
        let assignment = time(
            "consumer.assignment.interval.ms",
            min.assignment_interval,
            max.assignment_interval,
        );
        ConsumerTimes {
            session_timeout: session.unwrap_or(self.consumer.session_timeout),
            heartbeat_interval: heartbeat.unwrap_or(self.consumer.heartbeat_interval),
            assignment_interval: assignment.unwrap_or(self.consumer.assignment_interval),
        }
    }
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
            consumer: ConsumerTimes {
                session_timeout: Duration::from_secs(45),
                heartbeat_interval: Duration::from_secs(5),
                assignment_interval: Duration::from_secs(1),
            },
            consumer_min: ConsumerTimes {
                session_timeout: Duration::from_secs(45),
                heartbeat_interval: Duration::from_secs(5),
                assignment_interval: Duration::ZERO,
            },
            consumer_max: ConsumerTimes {
                session_timeout: Duration::from_secs(60),
                heartbeat_interval: Duration::from_secs(15),
                assignment_interval: Duration::from_secs(15),
            },
            consumer_group_max_size: i32::MAX as u32,
            migration: MigrationPolicy::Bidirectional,
            offset_metadata_max_bytes: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check_interval: Duration::from_secs(10 * 60),
            group_record_bytes_max: 1 << 20,
            state_bytes_max: 64 << 20,
        }
    }
}
