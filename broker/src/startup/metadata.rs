//! What a start makes of the metadata log, and what it adds to it.

use std::sync::Arc;

use millstream_log::PartitionKey;
use millstream_log::planted::{self, Bug};
use millstream_machine::cluster::image::{ClusterImage, TopicFate as Fate, TopicImage};
use millstream_machine::cluster::record::{MetadataRecord, decode_batch, encode_batch};
use millstream_protocol::types::{BrokerId, PartitionIndex, TopicId};
use millstream_storage::{Booted, KnownTopics, TopicFate};

use super::error::StartError;
use crate::controller::metadata_log::{Contents, MetadataStore};

/// The image that the metadata log holds.
pub fn replay(contents: Contents) -> Result<Arc<ClusterImage>, StartError> {
    let unreadable =
        |what: String| StartError::Storage(format!("the cluster's metadata cannot be read: {what}"));
    if contents.torn_bytes > 0 {
        tracing::warn!(
            bytes = contents.torn_bytes,
            "the last entry of the metadata log is torn and does not count"
        );
    }
    let mut image = match &contents.snapshot {
        Some(bytes) => ClusterImage::decode_snapshot(bytes).map_err(|error| unreadable(error.to_string()))?,
        None => ClusterImage::empty(),
    };
    for entry in &contents.entries {
        let records = decode_batch(entry).map_err(|error| unreadable(error.to_string()))?;
        image = image.apply(&records);
    }
    Ok(Arc::new(image))
}

/// What the storage asks when it starts.
pub struct TopicsOf<'a> {
    image: &'a ClusterImage,
    lacks_its_end: bool,
}

impl<'a> TopicsOf<'a> {
    pub fn new(image: &'a ClusterImage) -> TopicsOf<'a> {
        TopicsOf {
            image,
            lacks_its_end: false,
        }
    }

    /// Of metadata whose last entry is torn, if `is_torn`.
    pub fn torn(image: &'a ClusterImage, is_torn: bool) -> TopicsOf<'a> {
        TopicsOf {
            image,
            lacks_its_end: is_torn,
        }
    }
}

impl KnownTopics for TopicsOf<'_> {
    fn fate(&self, topic: TopicId) -> TopicFate {
        match self.image.fate(topic) {
            Fate::Live => TopicFate::Live,
            Fate::Deleted => TopicFate::Deleted,
            Fate::Unknown => TopicFate::Unknown,
        }
    }

    fn partitions(&self) -> Vec<PartitionKey> {
        let of_topic = |topic: &Arc<TopicImage>| {
            let (topic, count) = (topic.id, topic.partitions as i32);
            (0..count).map(move |index| PartitionKey {
                topic,
                partition: PartitionIndex::new(index),
            })
        };
        self.image.topics().flat_map(of_topic).collect()
    }

    fn name(&self, topic: TopicId) -> Option<String> {
        self.image.topic(topic).map(|topic| topic.name.to_string())
    }

    fn lacks_its_end(&self) -> bool {
        self.lacks_its_end
    }

    fn cluster(&self) -> Option<[u8; 16]> {
        let id = self.image.cluster_id()?;
        TopicId::from_base64(id).map(TopicId::get)
    }
}

/// Commits what a start adds to the metadata: the cluster at the first one, raised epochs after an unclean stop, and
/// that nothing tells of some deleted topics any more.
pub fn record_start(
    metadata: &mut impl MetadataStore,
    image: Arc<ClusterImage>,
    booted: &Booted,
    node_id: i32,
) -> Result<Arc<ClusterImage>, StartError> {
    let mut records = Vec::new();
    if image.cluster_id().is_none() {
        records.push(MetadataRecord::ClusterCreated {
            cluster_id: TopicId::new(booted.cluster).to_string(),
        });
    } else if booted.unclean && !planted::has(Bug::EpochsNotRaised) {
        tracing::info!("the last stop was not clean: leader epochs rise");
        records.push(MetadataRecord::UncleanStart {
            broker: BrokerId::new(node_id),
        });
    }
    let gone = image
        .deleted_topics()
        .filter(|(id, _)| !booted.deleted.contains(id));
    records.extend(gone.map(|(id, _)| MetadataRecord::TopicPurged { id }));
    if records.is_empty() {
        return Ok(image);
    }
    metadata
        .append(&encode_batch(&records))
        .map_err(|error| StartError::Storage(format!("the metadata log cannot be written: {error}")))?;
    Ok(Arc::new(image.apply(&records)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_ring::simulated::{SimOptions, SimWorld};
    use millstream_storage::StorageOptions;

    use super::*;
    use crate::shard::clock;

    /// Keeps the last entry.
    #[derive(Default)]
    struct LastEntry(Vec<u8>);

    impl MetadataStore for LastEntry {
        fn append(&mut self, payload: &[u8]) -> std::io::Result<u64> {
            self.0 = payload.to_vec();
            Ok(1)
        }

        fn replace(&mut self, _: &[u8]) -> std::io::Result<()> {
            Ok(())
        }

        fn log_bytes(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_start_forgets_deleted_topics_that_it_did_not_meet() {
        let id = |number| TopicId::new([number; 16]);
        let created = |number| MetadataRecord::TopicCreated {
            id: id(number),
            name: format!("t{number}"),
            partitions: 1,
            configs: Default::default(),
        };
        let deleted = |number| MetadataRecord::TopicDeleted { id: id(number) };
        let cluster = MetadataRecord::ClusterCreated {
            cluster_id: "c".to_owned(),
        };
        let history = [
            cluster,
            created(1),
            created(2),
            created(3),
            deleted(1),
            deleted(2),
        ];
        let image = Arc::new(ClusterImage::empty().apply(&history));
        let mut ring = SimWorld::new(1, SimOptions::default()).ring();
        let mut options = StorageOptions::for_shards(1);
        options.lock = false;
        let topics = TopicsOf::new(&image);
        let mut booted =
            millstream_storage::open(&mut ring, Path::new("/d"), &options, 1, &topics, 1, clock::now())
                .unwrap();
        booted.deleted.insert(id(2));
        let mut store = LastEntry::default();
        let after = record_start(&mut store, image.clone(), &booted, 1).unwrap();
        let left: Vec<TopicId> = after.deleted_topics().map(|(id, _)| id).collect();
        assert_eq!(left, [id(2)], "what another start may meet again is remembered");
        assert_eq!(
            decode_batch(&store.0).unwrap(),
            [MetadataRecord::TopicPurged { id: id(1) }]
        );
        assert_eq!(after.topics().count(), 1);
    }
}
