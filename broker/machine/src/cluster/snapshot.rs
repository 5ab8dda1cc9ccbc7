//! A whole image as bytes, so that the records before it need not be kept.
//!
//! Place: the shell's metadata log writes one when its entries have become many, and reads it before them.
//! `docs/formats-metadata.md` has the bytes; the file around it has the checksum.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use millstream_protocol::error::DecodeError;
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::types::{BrokerId, ProducerId};

use super::image::{ClusterImage, TopicImage};
use super::record::{
    read_configs, read_entity, read_partitions, read_rate, read_string, write_configs, write_entity,
    write_rate, write_string,
};
use crate::quota::Quotas;

/// Why bytes are no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// A newer version wrote it.
    UnknownVersion {
        version: u8,
    },
    Malformed(DecodeError),
    /// Of two topics with one id or name one would be served and the other forgotten.
    TopicTwice,
}

impl ClusterImage {
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut w = Writer::new();
        // Who has none of them can go back to a version that knows none.
        let version = if !self.group_configs().is_empty() {
            WITH_GROUP_CONFIGS
        } else if !self.client_metrics().is_empty() {
            WITH_CLIENT_METRICS
        } else if !self.quotas().is_empty() {
            WITH_QUOTAS
        } else {
            WITHOUT_QUOTAS
        };
        w.u8(version);
        w.i64(i64::try_from(self.records).expect("fewer than 2^63 records"));
        write_string(&mut w, self.cluster_id.as_deref().unwrap_or_default());
        w.u32(self.unclean_starts);
        w.i64(self.next_producer_id.get());
        write_configs(&mut w, &self.cluster_configs);
        write_count(&mut w, self.broker_configs.size());
        for (broker, configs) in &self.broker_configs {
            w.i32(broker.get());
            write_configs(&mut w, configs);
        }
        write_count(&mut w, self.topic_count());
        for topic in self.topics() {
            w.topic_id(topic.id);
            write_string(&mut w, &topic.name);
            w.u32(topic.partitions);
            w.u32(topic.unclean_starts_before);
            write_configs(&mut w, &topic.configs);
        }
        write_count(&mut w, self.deleted.size());
        for (id, name) in &self.deleted {
            w.topic_id(*id);
            write_string(&mut w, name);
        }
        if version >= WITH_QUOTAS {
            write_quotas(&mut w, self.quotas());
        }
        if version >= WITH_CLIENT_METRICS {
            write_count(&mut w, self.client_metrics().len());
            for (name, configs) in self.client_metrics().iter() {
                write_string(&mut w, name);
                write_configs(&mut w, configs);
            }
        }
        if version >= WITH_GROUP_CONFIGS {
            write_count(&mut w, self.group_configs().iter().len());
            for (group, configs) in self.group_configs().iter() {
                write_string(&mut w, group);
                write_configs(&mut w, configs);
            }
        }
        w.into_parts().0
    }

    /// Reads what [`Self::encode_snapshot`] wrote.
    pub fn decode_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            version @ WITHOUT_QUOTAS..=WITH_GROUP_CONFIGS => decode(&mut r, version),
            version => Err(SnapshotError::UnknownVersion { version }),
        }
    }
}

fn decode(r: &mut Reader<'_>, version: u8) -> Result<ClusterImage, SnapshotError> {
    let mut image = ClusterImage::empty();
    image.records = u64::try_from(r.i64()?).map_err(|_| DecodeError::InvalidLength)?;
    let cluster_id = read_string(r)?;
    image.cluster_id = (!cluster_id.is_empty()).then(|| cluster_id.into());
    image.unclean_starts = r.u32()?;
    image.next_producer_id = ProducerId::new(r.i64()?);
    image.cluster_configs = Arc::new(read_configs(r)?);
    for _ in 0..r.uvarint()? {
        let broker = BrokerId::new(r.i32()?);
        image
            .broker_configs
            .insert_mut(broker, Arc::new(read_configs(r)?));
    }
    for _ in 0..r.uvarint()? {
        let topic = TopicImage {
            id: r.topic_id()?,
            name: read_string(r)?.into(),
            partitions: read_partitions(r)?,
            unclean_starts_before: r.u32()?,
            configs: read_configs(r)?,
        };
        if image.topic(topic.id).is_some() || image.topic_by_name(&topic.name).is_some() {
            return Err(SnapshotError::TopicTwice);
        }
        image.put(topic);
    }
    for _ in 0..r.uvarint()? {
        let (id, name) = (r.topic_id()?, read_string(r)?);
        if image.topic(id).is_some() {
            return Err(SnapshotError::TopicTwice);
        }
        image.put_deleted(id, name.into());
    }
    if version >= WITH_QUOTAS {
        for _ in 0..r.uvarint()? {
            let entity = read_entity(r)?;
            for _ in 0..r.uvarint()? {
                let (key, rate) = (read_string(r)?, read_rate(r)?);
                image.put_quota(&entity, &key, Some(rate));
            }
        }
    }
    if version >= WITH_CLIENT_METRICS {
        for _ in 0..r.uvarint()? {
            let name = read_string(r)?;
            image.put_client_metrics(&name, read_configs(r)?);
        }
    }
    if version >= WITH_GROUP_CONFIGS {
        for _ in 0..r.uvarint()? {
            let group = read_string(r)?;
            image.put_group_configs(&group, read_configs(r)?);
        }
    }
    r.finish()?;
    Ok(image)
}

fn write_quotas(w: &mut Writer, quotas: &Quotas) {
    write_count(w, quotas.iter().count());
    for (entity, values) in quotas.iter() {
        write_entity(w, entity);
        write_count(w, values.len());
        for (key, rate) in values {
            write_string(w, key);
            write_rate(w, *rate);
        }
    }
}

fn write_count(w: &mut Writer, count: usize) {
    w.uvarint(u32::try_from(count).expect("there are not so many topics"));
}

impl From<DecodeError> for SnapshotError {
    fn from(error: DecodeError) -> Self {
        SnapshotError::Malformed(error)
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::UnknownVersion { version } => {
                write!(
                    f,
                    "metadata snapshot version {version} is unknown: a newer version of Millstream wrote it"
                )
            }
            SnapshotError::Malformed(error) => write!(f, "the metadata snapshot is malformed: {error}"),
            SnapshotError::TopicTwice => f.write_str("the metadata snapshot holds a topic twice"),
        }
    }
}

impl core::error::Error for SnapshotError {}

const WITHOUT_QUOTAS: u8 = 0;
const WITH_QUOTAS: u8 = 1;
const WITH_CLIENT_METRICS: u8 = 2;
const WITH_GROUP_CONFIGS: u8 = 3;

#[cfg(test)]
mod tests {
    use millstream_protocol::types::TopicId;

    use super::*;
    use crate::cluster::record::MetadataRecord;
    use crate::testing::{Random, one_of_each_record, topic_created};

    #[test]
    fn an_image_reads_as_it_was_written() {
        let image = ClusterImage::empty().apply(&one_of_each_record());
        let bytes = image.encode_snapshot();
        let again = ClusterImage::decode_snapshot(&bytes).unwrap();
        assert_eq!(again.encode_snapshot(), bytes);
        assert_eq!(again.records(), image.records());
        assert_eq!(again.partition_count(), image.partition_count());
        assert_eq!(again.metadata_bytes(), image.metadata_bytes());
        assert_eq!(again.cluster_id(), image.cluster_id());
        // What comes after goes on as if nothing had been written in between.
        let more = [topic_created(40, "later", 2), topic_created(41, "l.r", 2)];
        let next = again.apply(&more);
        assert_eq!(next.encode_snapshot(), image.apply(&more).encode_snapshot());
        assert_eq!(next.colliding_name("l_r"), Some("l.r"));
    }

    /// An image of such bytes would write a snapshot that nobody can read.
    #[test]
    fn a_topic_is_in_it_once() {
        let image = ClusterImage::empty().apply(&[topic_created(1, "a", 1), topic_created(2, "b", 1)]);
        let bytes = image.encode_snapshot();
        let with = |old: &[u8], new: &[u8]| {
            let at = bytes
                .windows(old.len())
                .rposition(|window| window == old)
                .unwrap();
            ClusterImage::decode_snapshot(&[&bytes[..at], new, &bytes[at + old.len()..]].concat())
        };
        assert!(with(b"b", b"c").is_ok());
        assert_eq!(with(b"b", b"a").unwrap_err(), SnapshotError::TopicTwice);
        assert_eq!(with(&[2; 16], &[1; 16]).unwrap_err(), SnapshotError::TopicTwice);
        let image = image.apply(&[MetadataRecord::TopicDeleted {
            id: TopicId::new([2; 16]),
        }]);
        let bytes = image.encode_snapshot();
        let at = bytes.windows(16).rposition(|window| window == [2; 16]).unwrap();
        let live = [&bytes[..at], &[1; 16], &bytes[at + 16..]].concat();
        assert_eq!(
            ClusterImage::decode_snapshot(&live).unwrap_err(),
            SnapshotError::TopicTwice
        );
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = ClusterImage::empty()
            .apply(&one_of_each_record())
            .encode_snapshot();
        for end in 0..good.len() {
            assert!(ClusterImage::decode_snapshot(&good[..end]).is_err());
        }
        assert_eq!(
            ClusterImage::decode_snapshot(&[9]).unwrap_err(),
            SnapshotError::UnknownVersion { version: 9 }
        );
        let mut random = Random::new(5);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next() as u8;
            if let Ok(image) = ClusterImage::decode_snapshot(&bytes) {
                image.encode_snapshot();
            }
        }
    }
}
