//! Kafka's settings of groups, as the machines take them.

use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::config::settings::BrokerSettings;
use millstream_machine::group::{ConsumerTimes, GroupSettings, MigrationPolicy};
use millstream_protocol::record::batch::HEADER_LEN;
use millstream_protocol::time::Duration;
use millstream_protocol::types::BrokerId;

use crate::limits::{GROUP_BATCH_BYTES_MAX, GROUP_STATE_SHARE};
use crate::shard::state::ShardOptions;

/// What the coordinators of a shard are told, which has so much memory for requests.
pub fn group_settings(settings: &BrokerSettings, memory_bytes: usize) -> GroupSettings {
    let number = |name| u64::try_from(settings.number(name)).unwrap_or(0);
    let millis = |name| Duration::from_millis(number(name));
    let policy = settings.value("group.consumer.migration.policy").to_text();
    // Some of Kafka's bounds cannot be set here.
    let fixed = GroupSettings::default();
    GroupSettings {
        min_session_timeout: millis("group.min.session.timeout.ms"),
        max_session_timeout: millis("group.max.session.timeout.ms"),
        initial_rebalance_delay: millis("group.initial.rebalance.delay.ms"),
        group_max_size: u32::try_from(number("group.max.size")).expect("an INT"),
        consumer: ConsumerTimes {
            session_timeout: millis("group.consumer.session.timeout.ms"),
            heartbeat_interval: millis("group.consumer.heartbeat.interval.ms"),
            assignment_interval: millis("group.consumer.assignment.interval.ms"),
        },
        consumer_min: ConsumerTimes {
            session_timeout: millis("group.consumer.min.session.timeout.ms"),
            heartbeat_interval: millis("group.consumer.min.heartbeat.interval.ms"),
            assignment_interval: fixed.consumer_min.assignment_interval,
        },
        consumer_max: ConsumerTimes {
            session_timeout: millis("group.consumer.max.session.timeout.ms"),
            heartbeat_interval: millis("group.consumer.max.heartbeat.interval.ms"),
            assignment_interval: fixed.consumer_max.assignment_interval,
        },
        consumer_group_max_size: u32::try_from(number("group.consumer.max.size")).expect("an INT"),
        migration: MigrationPolicy::find(&policy).expect("one of those that the setting may be"),
        offset_metadata_max_bytes: number("offset.metadata.max.bytes") as usize,
        offsets_retention: Duration::from_millis(number("offsets.retention.minutes") * 60_000),
        offsets_retention_check_interval: millis("offsets.retention.check.interval.ms"),
        group_record_bytes_max: GROUP_BATCH_BYTES_MAX - HEADER_LEN,
        state_bytes_max: (memory_bytes / GROUP_STATE_SHARE) as u64,
    }
}

/// `group.consumer.assignment.interval.ms`, which may be altered while the broker runs.
pub fn assignment_interval(image: &ClusterImage, options: &ShardOptions) -> Duration {
    let layers = image.config_layers(BrokerId::new(options.node_id), &options.settings);
    let millis = layers.broker_number("group.consumer.assignment.interval.ms");
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// How long a decision of a group may take to become durable.
pub fn commit_timeout(settings: &BrokerSettings) -> Duration {
    let millis = settings.number("offsets.commit.timeout.ms");
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
