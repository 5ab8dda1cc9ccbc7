//! Taking a new image of the cluster: partitions of this shard appear, change their rules and go.
//! Invariant: a shard says that an image is installed when every partition of it that is its own can be used.

use std::sync::Arc;

use millstream_log::{LogConfig, PartitionKey, TimestampType};
use millstream_machine::cluster::image::{ClusterImage, TopicImage};
use millstream_machine::cluster::internal_topic::is_internal;
use millstream_machine::config::topic_config::TopicConfig;
use millstream_machine::group::DeletedTopic;
use millstream_machine::partition::produce::ProduceRules;
use millstream_protocol::record;
use millstream_protocol::types::{BrokerId, PartitionIndex, TopicId};

use super::connection_limits::ConnectionLimits;
use super::state::{Shard, TopicRef};
use crate::limits::{GROUP_BATCH_BYTES_MAX, INTERNAL_SEGMENT_BYTES_MAX, INTERNAL_SEGMENT_BYTES_MIN};
use crate::partition::rules::PartitionRules;

impl Shard {
    /// Takes an image that is later than the present one.
    pub(crate) fn install_image(&mut self, image: Arc<ClusterImage>) {
        let before = std::mem::replace(&mut self.image, image);
        let image = self.image.clone();
        let node = BrokerId::new(self.options.node_id);
        self.connection_limits = ConnectionLimits::of(&image, node, &self.options.settings);
        let rules_changed = before.cluster_configs() != image.cluster_configs()
            || before.broker_configs(node) != image.broker_configs(node);
        for topic in image.topics() {
            let known = before.topic(topic.id);
            let same = known.is_some_and(|known| {
                Arc::ptr_eq(known, topic) && before.leader_epoch(known) == image.leader_epoch(topic)
            });
            if !same || rules_changed {
                self.install_topic(&image, topic);
            }
        }
        let mut deleted = Vec::new();
        for topic in before.topics().filter(|topic| image.topic(topic.id).is_none()) {
            self.remove_topic(topic);
            deleted.push(DeletedTopic {
                name: &topic.name,
                id: topic.id,
            });
        }
        self.install_coordinators(&deleted);
    }

    pub(crate) fn topic_by_name(&self, name: &str) -> Option<TopicRef> {
        self.image.topic_by_name(name).map(topic_ref)
    }

    pub(crate) fn topic_by_id(&self, id: TopicId) -> Option<TopicRef> {
        self.image.topic(id).map(topic_ref)
    }

    fn install_topic(&mut self, image: &ClusterImage, topic: &TopicImage) {
        let node = BrokerId::new(self.options.node_id);
        let layers = image.config_layers(node, &self.options.settings);
        let mut config = layers.topic_config(&topic.configs);
        let internal = is_internal(&topic.name);
        if internal {
            // What the broker promises on these grounds must hold, whatever is said of other topics.
            config.flush_messages = 1;
            config.segment_bytes = config
                .segment_bytes
                .clamp(INTERNAL_SEGMENT_BYTES_MIN, INTERNAL_SEGMENT_BYTES_MAX);
            config.max_message_bytes = config.max_message_bytes.max(GROUP_BATCH_BYTES_MAX as u32);
        }
        let rules = PartitionRules {
            leader_epoch: image.leader_epoch(topic),
            internal,
            produce: ProduceRules::from(&config),
            log: log_config(&config, layers.broker_number("producer.id.expiration.ms")),
            topic: config,
        };
        let mut released = std::mem::take(&mut self.released);
        for partition in self.owned_partitions(topic) {
            self.partitions
                .install(partition, rules.clone(), self.now, &mut released);
        }
        self.release(&mut released);
        self.released = released;
    }

    fn remove_topic(&mut self, topic: &TopicImage) {
        let mut released = std::mem::take(&mut self.released);
        for partition in self.owned_partitions(topic) {
            self.partitions.delete(partition, self.now, &mut released);
            self.release(&mut released);
        }
        self.released = released;
    }

    fn owned_partitions(&self, topic: &TopicImage) -> Vec<PartitionKey> {
        (0..topic.partitions as i32)
            .map(|index| PartitionKey {
                topic: topic.id,
                partition: PartitionIndex::new(index),
            })
            .filter(|partition| self.table.owner(*partition) == self.id)
            .collect()
    }
}

fn topic_ref(topic: &Arc<TopicImage>) -> TopicRef {
    TopicRef {
        name: topic.name.clone(),
        id: topic.id,
        partitions: topic.partitions as i32,
    }
}

fn log_config(config: &TopicConfig, producer_id_expiration_ms: i64) -> LogConfig {
    LogConfig {
        segment_bytes: u64::from(config.segment_bytes),
        segment_ms: config.segment_ms,
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        max_message_bytes: config.max_message_bytes,
        timestamp_type: match config.timestamp_type {
            record::batch::TimestampType::CreateTime => TimestampType::CreateTime,
            record::batch::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        delete: config.retention_ms.is_some() || config.retention_bytes.is_some(),
        compact: config.compact,
        producer_id_expiration_ms: producer_id_expiration_ms.max(1) as u64,
    }
}
