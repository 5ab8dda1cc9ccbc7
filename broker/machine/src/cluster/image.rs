//! The cluster's metadata as of one record.
//!
//! Place: the controller applies records; every shard holds the latest image and only reads it.
//!
//! Invariants: an image never changes. The next one shares all that did not change with it, so a change costs
//! the logarithm of the number of topics. Applying is pure and cannot fail: a record about a topic that is
//! not there, or that is there already, changes nothing.

use alloc::string::String;
use alloc::sync::Arc;

use millstream_protocol::types::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId};
use rpds::RedBlackTreeMapSync;

use super::group_configs::GroupConfigs;
use super::record::{ConfigChange, MetadataRecord};
use super::topic_name;
use crate::config::effective::{ConfigLayers, NOTHING_SET};
use crate::config::map::ConfigMap;
use crate::config::settings::BrokerSettings;
use crate::quota::entity::QuotaEntity;
use crate::quota::{Quotas, Rate};
use crate::telemetry::subscriptions::Subscriptions;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClusterImage {
    pub(super) records: u64,
    pub(super) cluster_id: Option<Arc<str>>,
    pub(super) unclean_starts: u32,
    pub(super) next_producer_id: ProducerId,
    pub(super) cluster_configs: Arc<ConfigMap>,
    pub(super) broker_configs: RedBlackTreeMapSync<BrokerId, Arc<ConfigMap>>,
    topics: RedBlackTreeMapSync<TopicId, Arc<TopicImage>>,
    topics_by_name: RedBlackTreeMapSync<Arc<str>, Arc<TopicImage>>,
    /// Names with dots or underscores by their common form: two that differ in these only are not allowed.
    names_by_common_form: RedBlackTreeMapSync<String, Arc<str>>,
    pub(super) deleted: RedBlackTreeMapSync<TopicId, Arc<str>>,
    quotas: Quotas,
    client_metrics: Subscriptions,
    group_configs: GroupConfigs,
    partitions: u64,
    /// Of topics, those that are being deleted included.
    topic_bytes: u64,
}

/// One topic as of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    pub id: TopicId,
    pub name: Arc<str>,
    /// 1 or more; the largest partition's index is one less.
    pub partitions: u32,
    /// What was set on the topic itself.
    pub configs: ConfigMap,
    /// Unclean starts that the cluster had seen when the topic was created.
    pub(super) unclean_starts_before: u32,
}

/// What a data directory may do with a topic's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicFate {
    Live,
    /// A deletion was decided: the files go.
    Deleted,
    /// Nobody ever heard of it: the files stay, and somebody must look.
    Unknown,
}

impl Default for ClusterImage {
    fn default() -> Self {
        Self::empty()
    }
}

impl ClusterImage {
    /// Before the first record.
    pub fn empty() -> Self {
        Self {
            records: 0,
            cluster_id: None,
            unclean_starts: 0,
            next_producer_id: ProducerId::new(0),
            cluster_configs: Arc::new(ConfigMap::new()),
            broker_configs: RedBlackTreeMapSync::new_sync(),
            topics: RedBlackTreeMapSync::new_sync(),
            topics_by_name: RedBlackTreeMapSync::new_sync(),
            names_by_common_form: RedBlackTreeMapSync::new_sync(),
            deleted: RedBlackTreeMapSync::new_sync(),
            quotas: Quotas::default(),
            client_metrics: Subscriptions::default(),
            group_configs: GroupConfigs::default(),
            partitions: 0,
            topic_bytes: 0,
        }
    }

    /// The image after `records`, in their order.
    pub fn apply(&self, records: &[MetadataRecord]) -> Self {
        let mut next = self.clone();
        for record in records {
            next.apply_one(record);
        }
        next
    }

    /// How many records this image adds up: of two images of one cluster, the one with more is later.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// `None` before the first record.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    pub fn topic(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics_by_name.get(name)
    }

    /// In order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics_by_name.values()
    }

    pub fn topic_count(&self) -> usize {
        self.topics.size()
    }

    /// Partitions of all topics.
    pub fn partition_count(&self) -> u64 {
        self.partitions
    }

    /// Bytes of what clients choose: names and configurations of topics, of those that are being deleted the names,
    /// and what was set for brokers, clients, subscriptions and groups. A configuration counts with
    /// [`crate::limits::CONFIG_ENTRY_BYTES`] for its place.
    pub fn metadata_bytes(&self) -> u64 {
        let of_brokers = self
            .broker_configs
            .values()
            .map(|configs| configs.metadata_bytes());
        let configs = self.cluster_configs.metadata_bytes() + of_brokers.sum::<u64>();
        let of_others = self.client_metrics.metadata_bytes() + self.group_configs.metadata_bytes();
        self.topic_bytes + configs + self.quotas.metadata_bytes() + of_others
    }

    /// The epoch of every partition of `topic`, a topic of this image.
    pub fn leader_epoch(&self, topic: &TopicImage) -> LeaderEpoch {
        let risen = self.unclean_starts.saturating_sub(topic.unclean_starts_before);
        LeaderEpoch::new(i32::try_from(risen).unwrap_or(i32::MAX))
    }

    /// What may become of the files of `id`.
    pub fn fate(&self, id: TopicId) -> TopicFate {
        if self.topics.contains_key(&id) {
            TopicFate::Live
        } else if self.deleted.contains_key(&id) {
            TopicFate::Deleted
        } else {
            TopicFate::Unknown
        }
    }

    /// Deleted topics whose files may still be there, with the names that they had.
    pub fn deleted_topics(&self) -> impl Iterator<Item = (TopicId, &str)> {
        self.deleted.iter().map(|(id, name)| (*id, name.as_ref()))
    }

    pub fn deleted_count(&self) -> usize {
        self.deleted.size()
    }

    /// The first producer id that was never given out.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// What was set for all brokers while running.
    pub fn cluster_configs(&self) -> &ConfigMap {
        &self.cluster_configs
    }

    /// What was set for one broker while running.
    pub fn broker_configs(&self, broker: BrokerId) -> &ConfigMap {
        self.broker_configs.get(&broker).map_or(&NOTHING_SET, Arc::as_ref)
    }

    /// What clients may ask for.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// What is asked of clients' metrics.
    pub fn client_metrics(&self) -> &Subscriptions {
        &self.client_metrics
    }

    /// What groups have configured.
    pub fn group_configs(&self) -> &GroupConfigs {
        &self.group_configs
    }

    /// Everything below the topics' own configurations, as `broker` sees it.
    pub fn config_layers<'a>(&'a self, broker: BrokerId, settings: &'a BrokerSettings) -> ConfigLayers<'a> {
        ConfigLayers {
            broker: self.broker_configs(broker),
            cluster: &self.cluster_configs,
            settings,
        }
    }

    /// A topic whose name is that of `name` but for dots and underscores.
    pub(super) fn colliding_name(&self, name: &str) -> Option<&str> {
        let known = self.names_by_common_form.get(&topic_name::common_form(name)?)?;
        (known.as_ref() != name).then_some(known.as_ref())
    }

    /// Puts `topic` in the place of one with its id, or adds it.
    pub(super) fn put(&mut self, topic: TopicImage) {
        let before = self.topics.get(&topic.id);
        let (partitions, bytes) = before.map_or((0, 0), |topic| (topic.partitions, topic.metadata_bytes()));
        self.partitions = self.partitions - u64::from(partitions) + u64::from(topic.partitions);
        self.topic_bytes = self.topic_bytes - bytes + topic.metadata_bytes();
        if let Some(form) = topic_name::common_form(&topic.name) {
            self.names_by_common_form.insert_mut(form, topic.name.clone());
        }
        let topic = Arc::new(topic);
        self.topics_by_name.insert_mut(topic.name.clone(), topic.clone());
        self.topics.insert_mut(topic.id, topic);
    }

    /// Remembers that a topic, none of this image any more, was deleted.
    pub(super) fn put_deleted(&mut self, id: TopicId, name: Arc<str>) {
        self.topic_bytes += name.len() as u64;
        self.deleted.insert_mut(id, name);
    }

    fn apply_one(&mut self, record: &MetadataRecord) {
        self.records += 1;
        match record {
            MetadataRecord::ClusterCreated { cluster_id } => {
                self.cluster_id.get_or_insert_with(|| cluster_id.as_str().into());
            }
            MetadataRecord::TopicCreated {
                id,
                name,
                partitions,
                configs,
            } => {
                if self.fate(*id) == TopicFate::Unknown && !self.topics_by_name.contains_key(name.as_str()) {
                    self.put(TopicImage {
                        id: *id,
                        name: name.as_str().into(),
                        partitions: *partitions,
                        configs: configs.clone(),
                        unclean_starts_before: self.unclean_starts,
                    });
                }
            }
            MetadataRecord::PartitionsAdded { id, partitions } => {
                self.change(*id, |topic| topic.partitions = topic.partitions.max(*partitions));
            }
            MetadataRecord::TopicDeleted { id } => self.delete(*id),
            MetadataRecord::TopicPurged { id } => {
                self.topic_bytes -= self.deleted.get(id).map_or(0, |name| name.len() as u64);
                self.deleted.remove_mut(id);
            }
            MetadataRecord::TopicConfigChanged { id, changes } => {
                self.change(*id, |topic| change_configs(&mut topic.configs, changes));
            }
            MetadataRecord::BrokerConfigChanged {
                broker: None,
                changes,
            } => {
                change_configs(Arc::make_mut(&mut self.cluster_configs), changes);
            }
            MetadataRecord::BrokerConfigChanged {
                broker: Some(broker),
                changes,
            } => {
                let mut configs = self.broker_configs(*broker).clone();
                change_configs(&mut configs, changes);
                self.broker_configs.insert_mut(*broker, Arc::new(configs));
            }
            MetadataRecord::UncleanStart { .. } => {
                self.unclean_starts = self.unclean_starts.saturating_add(1)
            }
            MetadataRecord::ProducerIdBlock { first, count } => {
                let end = ProducerId::new(first.get().saturating_add((*count).into()));
                self.next_producer_id = self.next_producer_id.max(end);
            }
            MetadataRecord::ClientQuotaChanged { entity, key, value } => {
                self.put_quota(entity, key, *value);
            }
            MetadataRecord::ClientMetricsChanged { name, changes } => {
                let mut configs = self.client_metrics.configs(name).clone();
                change_configs(&mut configs, changes);
                self.put_client_metrics(name, configs);
            }
            MetadataRecord::GroupConfigChanged { group, changes } => {
                let mut configs = self.group_configs.of(group).clone();
                change_configs(&mut configs, changes);
                self.put_group_configs(group, configs);
            }
        }
    }

    /// As of the present record.
    pub(super) fn put_client_metrics(&mut self, name: &str, configs: ConfigMap) {
        self.client_metrics.set(name, configs, self.records);
    }

    pub(super) fn put_group_configs(&mut self, group: &str, configs: ConfigMap) {
        self.group_configs.set(group, configs);
    }

    pub(super) fn put_quota(&mut self, entity: &QuotaEntity, key: &str, value: Option<Rate>) {
        self.quotas.set(entity, key, value);
    }

    fn change(&mut self, id: TopicId, change: impl FnOnce(&mut TopicImage)) {
        if let Some(topic) = self.topics.get(&id) {
            let mut topic = TopicImage::clone(topic);
            change(&mut topic);
            self.put(topic);
        }
    }

    fn delete(&mut self, id: TopicId) {
        let Some(topic) = self.topics.get(&id).cloned() else {
            return;
        };
        self.partitions -= u64::from(topic.partitions);
        self.topic_bytes -= topic.metadata_bytes();
        if let Some(form) = topic_name::common_form(&topic.name) {
            self.names_by_common_form.remove_mut(&form);
        }
        self.topics_by_name.remove_mut(&topic.name);
        self.topics.remove_mut(&id);
        self.put_deleted(id, topic.name.clone());
    }
}

impl TopicImage {
    /// What it counts for in the cluster's metadata.
    pub fn metadata_bytes(&self) -> u64 {
        self.name.len() as u64 + self.configs.metadata_bytes()
    }

    pub fn has_partition(&self, index: PartitionIndex) -> bool {
        u32::try_from(index.get()).is_ok_and(|index| index < self.partitions)
    }
}

fn change_configs(configs: &mut ConfigMap, changes: &[ConfigChange]) {
    for change in changes {
        match &change.value {
            Some(value) => configs.set(change.name.clone(), value.clone()),
            None => configs.remove(&change.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::topic_created;
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    fn id(number: u8) -> TopicId {
        TopicId::new([number; 16])
    }

    fn change(name: &str, value: Option<&str>) -> ConfigChange {
        ConfigChange {
            name: name.to_string(),
            value: value.map(str::to_string),
        }
    }

    #[test]
    fn topics_live_are_deleted_and_forgotten() {
        let one = ClusterImage::empty().apply(&[topic_created(1, "a.b", 3), topic_created(2, "c", 1)]);
        assert_eq!(
            (one.topic_count(), one.partition_count(), one.records()),
            (2, 4, 2)
        );
        assert_eq!(one.topic_by_name("a.b").unwrap().id, id(1));
        assert_eq!(one.colliding_name("a_b"), Some("a.b"));
        let two = one.apply(&[MetadataRecord::TopicDeleted { id: id(1) }]);
        assert_eq!((two.topic_count(), two.partition_count()), (1, 1));
        assert_eq!(
            (one.fate(id(1)), two.fate(id(1))),
            (TopicFate::Live, TopicFate::Deleted)
        );
        assert_eq!(two.deleted_topics().collect::<Vec<_>>(), [(id(1), "a.b")]);
        assert_eq!(
            (two.topic_by_name("a.b"), two.colliding_name("a_b")),
            (None, None)
        );
        let three = two.apply(&[MetadataRecord::TopicPurged { id: id(1) }]);
        assert_eq!(three.fate(id(1)), TopicFate::Unknown);
        assert_eq!(
            one.topic_by_name("a.b").unwrap().partitions,
            3,
            "an image never changes"
        );
    }

    #[test]
    fn a_recreated_topic_is_another_one() {
        let image = ClusterImage::empty().apply(&[
            topic_created(1, "a", 1),
            MetadataRecord::TopicDeleted { id: id(1) },
            topic_created(2, "a", 2),
            // Records that say what is so already, or what cannot be, change nothing.
            topic_created(1, "b", 5),
            topic_created(3, "a", 5),
            MetadataRecord::PartitionsAdded {
                id: id(9),
                partitions: 7,
            },
            MetadataRecord::TopicDeleted { id: id(9) },
        ]);
        assert_eq!(image.topics().map(|topic| topic.id).collect::<Vec<_>>(), [id(2)]);
        assert_eq!(image.partition_count(), 2);
    }

    #[test]
    fn partitions_only_grow() {
        let grown = |partitions| MetadataRecord::PartitionsAdded {
            id: id(1),
            partitions,
        };
        let image = ClusterImage::empty().apply(&[topic_created(1, "a", 3), grown(5), grown(4)]);
        let topic = image.topic(id(1)).unwrap();
        assert_eq!((topic.partitions, image.partition_count()), (5, 5));
        assert!(topic.has_partition(PartitionIndex::new(4)));
        assert!(!topic.has_partition(PartitionIndex::new(5)));
        assert!(!topic.has_partition(PartitionIndex::new(-1)));
    }

    #[test]
    fn unclean_starts_raise_the_epochs_of_what_was_there() {
        let unclean = MetadataRecord::UncleanStart {
            broker: BrokerId::new(1),
        };
        let image = ClusterImage::empty().apply(&[
            unclean.clone(),
            topic_created(1, "a", 1),
            unclean.clone(),
            topic_created(2, "b", 1),
            unclean,
        ]);
        let epoch = |name| image.leader_epoch(image.topic_by_name(name).unwrap()).get();
        assert_eq!((epoch("a"), epoch("b")), (2, 1));
    }

    #[test]
    fn configs_change_where_they_are_set() {
        let broker = BrokerId::new(1);
        let set = |name, value| [change(name, Some(value))].to_vec();
        let image = ClusterImage::empty().apply(&[
            topic_created(1, "a", 1),
            MetadataRecord::TopicConfigChanged {
                id: id(1),
                changes: set("retention.ms", "5"),
            },
            MetadataRecord::BrokerConfigChanged {
                broker: None,
                changes: set("message.max.bytes", "6"),
            },
            MetadataRecord::BrokerConfigChanged {
                broker: Some(broker),
                changes: set("message.max.bytes", "7"),
            },
        ]);
        let settings = BrokerSettings::new();
        let resolve = |image: &ClusterImage, broker| {
            image
                .config_layers(broker, &settings)
                .topic_config(&image.topic(id(1)).unwrap().configs)
        };
        let config = resolve(&image, broker);
        assert_eq!((config.retention_ms, config.max_message_bytes), (Some(5), 7));
        assert_eq!(resolve(&image, BrokerId::new(2)).max_message_bytes, 6);
        let removed = [change("retention.ms", None)].to_vec();
        let image = image.apply(&[MetadataRecord::TopicConfigChanged {
            id: id(1),
            changes: removed,
        }]);
        assert_eq!(resolve(&image, broker).retention_ms, Some(604_800_000));
    }

    #[test]
    fn producer_ids_are_never_given_out_twice() {
        let block = |first, count| MetadataRecord::ProducerIdBlock {
            first: ProducerId::new(first),
            count,
        };
        let image = ClusterImage::empty().apply(&[block(0, 1_000), block(1_000, 1_000), block(0, 1_000)]);
        assert_eq!(image.next_producer_id(), ProducerId::new(2_000));
    }

    /// With as many topics as the largest clusters have, a change leaves all the others where they are.
    #[test]
    fn a_change_shares_all_else() {
        const TOPICS: u32 = 20_000;
        let wide = |number: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            TopicId::new(bytes)
        };
        let created = |number: u32| MetadataRecord::TopicCreated {
            id: wide(number),
            name: format!("topic-{number}"),
            partitions: 5,
            configs: ConfigMap::new(),
        };
        let before = ClusterImage::empty().apply(&(0..TOPICS).map(created).collect::<Vec<_>>());
        let changes = [change("retention.ms", Some("1"))].to_vec();
        let mut after = before.clone();
        for number in 0..1_000 {
            let changes = changes.clone();
            after = after.apply(&[MetadataRecord::TopicConfigChanged {
                id: wide(number),
                changes,
            }]);
        }
        for number in 0..TOPICS {
            let shared = Arc::ptr_eq(
                before.topic(wide(number)).unwrap(),
                after.topic(wide(number)).unwrap(),
            );
            assert_eq!(shared, number >= 1_000);
        }
        assert_eq!(after.partition_count(), u64::from(TOPICS) * 5);
    }
}
