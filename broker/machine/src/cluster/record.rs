//! What can happen to the cluster's metadata, and how it is written down.
//!
//! Place: [`super::controller`] decides records, the shell's metadata log keeps them, [`super::image`]
//! applies them. `docs/formats-metadata.md` has the bytes.
//!
//! Invariants: a record holds results, never questions: ids, counts and blocks are in it, so that replaying
//! needs no clock and no randomness. Decoding never panics, and a record of a kind or version that is not
//! known is an error of its own: an older broker must stop before it goes on without it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use millstream_protocol::error::DecodeError;
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::types::{BrokerId, ProducerId, TopicId};

use crate::config::map::ConfigMap;
use crate::quota::Rate;
use crate::quota::entity::{Name, QuotaEntity};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    /// The first record of all.
    ClusterCreated {
        /// As clients see it.
        cluster_id: String,
    },
    TopicCreated {
        id: TopicId,
        name: String,
        /// 1 or more.
        partitions: u32,
        configs: ConfigMap,
    },
    /// The topic has this many partitions now.
    PartitionsAdded {
        id: TopicId,
        partitions: u32,
    },
    /// Nobody can use the topic any more; its files may be deleted.
    TopicDeleted {
        id: TopicId,
    },
    /// The deleted topic's files are gone: nothing needs to remember it.
    TopicPurged {
        id: TopicId,
    },
    TopicConfigChanged {
        id: TopicId,
        changes: Vec<ConfigChange>,
    },
    /// `None` is for all brokers.
    BrokerConfigChanged {
        broker: Option<BrokerId>,
        changes: Vec<ConfigChange>,
    },
    /// A broker came back from a stop that was not clean: the leader epoch of every partition that it leads
    /// rises by one, because it may give out offsets anew that an unflushed read has seen.
    UncleanStart {
        broker: BrokerId,
    },
    /// A quota that was set, or (`None`) taken back.
    ClientQuotaChanged {
        entity: QuotaEntity,
        key: String,
        value: Option<Rate>,
    },
    /// These ids are given out and never again.
    ProducerIdBlock {
        first: ProducerId,
        count: u32,
    },
    /// Of a subscription to clients' metrics.
    ClientMetricsChanged {
        name: String,
        changes: Vec<ConfigChange>,
    },
    GroupConfigChanged {
        group: String,
        changes: Vec<ConfigChange>,
    },
}

/// A value that was set, or (`None`) taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    pub name: String,
    pub value: Option<String>,
}

/// Why bytes are no records. All but the last two mean that a newer version wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    UnknownEnvelope { version: u8 },
    UnknownKind { kind: u8 },
    UnknownVersion { kind: u8, version: u8 },
    Malformed { kind: u8, error: DecodeError },
    Truncated,
}

/// The bytes of records that are decided together and become durable together.
pub fn encode_batch(records: &[MetadataRecord]) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(ENVELOPE_VERSION);
    for record in records {
        let payload = record.encode_payload();
        w.u8(record.kind());
        w.u8(RECORD_VERSION);
        w.u32(u32::try_from(payload.len()).expect("a record is smaller than 4 GiB"));
        w.raw(&payload);
    }
    w.into_parts().0
}

/// Reads what [`encode_batch`] wrote.
pub fn decode_batch(bytes: &[u8]) -> Result<Vec<MetadataRecord>, RecordError> {
    let mut r = Reader::new(bytes);
    let version = r.u8().map_err(|_| RecordError::Truncated)?;
    if version != ENVELOPE_VERSION {
        return Err(RecordError::UnknownEnvelope { version });
    }
    let mut records = Vec::new();
    while r.remaining() > 0 {
        records.push(decode_record(&mut r)?);
    }
    Ok(records)
}

fn decode_record(r: &mut Reader<'_>) -> Result<MetadataRecord, RecordError> {
    let mut header = || Ok((r.u8()?, r.u8()?, r.u32()? as usize));
    let (kind, version, len) = header().map_err(|_: DecodeError| RecordError::Truncated)?;
    let payload = r.bytes(len).map_err(|_| RecordError::Truncated)?;
    if !(CLUSTER_CREATED..=GROUP_CONFIG_CHANGED).contains(&kind) {
        return Err(RecordError::UnknownKind { kind });
    }
    if version != RECORD_VERSION {
        return Err(RecordError::UnknownVersion { kind, version });
    }
    MetadataRecord::decode_payload(kind, payload).map_err(|error| RecordError::Malformed { kind, error })
}

impl MetadataRecord {
    fn kind(&self) -> u8 {
        match self {
            MetadataRecord::ClusterCreated { .. } => CLUSTER_CREATED,
            MetadataRecord::TopicCreated { .. } => TOPIC_CREATED,
            MetadataRecord::PartitionsAdded { .. } => PARTITIONS_ADDED,
            MetadataRecord::TopicDeleted { .. } => TOPIC_DELETED,
            MetadataRecord::TopicPurged { .. } => TOPIC_PURGED,
            MetadataRecord::TopicConfigChanged { .. } => TOPIC_CONFIG_CHANGED,
            MetadataRecord::BrokerConfigChanged { .. } => BROKER_CONFIG_CHANGED,
            MetadataRecord::UncleanStart { .. } => UNCLEAN_START,
            MetadataRecord::ProducerIdBlock { .. } => PRODUCER_ID_BLOCK,
            MetadataRecord::ClientQuotaChanged { .. } => CLIENT_QUOTA_CHANGED,
            MetadataRecord::ClientMetricsChanged { .. } => CLIENT_METRICS_CHANGED,
            MetadataRecord::GroupConfigChanged { .. } => GROUP_CONFIG_CHANGED,
        }
    }

    fn encode_payload(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            MetadataRecord::ClusterCreated { cluster_id } => write_string(&mut w, cluster_id),
            MetadataRecord::TopicCreated {
                id,
                name,
                partitions,
                configs,
            } => {
                w.topic_id(*id);
                write_string(&mut w, name);
                w.u32(*partitions);
                write_configs(&mut w, configs);
            }
            MetadataRecord::PartitionsAdded { id, partitions } => {
                w.topic_id(*id);
                w.u32(*partitions);
            }
            MetadataRecord::TopicDeleted { id } | MetadataRecord::TopicPurged { id } => w.topic_id(*id),
            MetadataRecord::TopicConfigChanged { id, changes } => {
                w.topic_id(*id);
                write_changes(&mut w, changes);
            }
            MetadataRecord::BrokerConfigChanged { broker, changes } => {
                w.i32(broker.map_or(ALL_BROKERS, BrokerId::get));
                write_changes(&mut w, changes);
            }
            MetadataRecord::UncleanStart { broker } => w.i32(broker.get()),
            MetadataRecord::ProducerIdBlock { first, count } => {
                w.i64(first.get());
                w.u32(*count);
            }
            MetadataRecord::ClientQuotaChanged { entity, key, value } => {
                write_entity(&mut w, entity);
                write_string(&mut w, key);
                w.bool(value.is_some());
                if let Some(value) = value {
                    write_rate(&mut w, *value);
                }
            }
            MetadataRecord::ClientMetricsChanged { name, changes }
            | MetadataRecord::GroupConfigChanged { group: name, changes } => {
                write_string(&mut w, name);
                write_changes(&mut w, changes);
            }
        }
        w.into_parts().0
    }

    fn decode_payload(kind: u8, payload: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(payload);
        let record = match kind {
            CLUSTER_CREATED => MetadataRecord::ClusterCreated {
                cluster_id: read_string(&mut r)?,
            },
            TOPIC_CREATED => MetadataRecord::TopicCreated {
                id: r.topic_id()?,
                name: read_string(&mut r)?,
                partitions: read_partitions(&mut r)?,
                configs: read_configs(&mut r)?,
            },
            PARTITIONS_ADDED => MetadataRecord::PartitionsAdded {
                id: r.topic_id()?,
                partitions: read_partitions(&mut r)?,
            },
            TOPIC_DELETED => MetadataRecord::TopicDeleted { id: r.topic_id()? },
            TOPIC_PURGED => MetadataRecord::TopicPurged { id: r.topic_id()? },
            TOPIC_CONFIG_CHANGED => MetadataRecord::TopicConfigChanged {
                id: r.topic_id()?,
                changes: read_changes(&mut r)?,
            },
            BROKER_CONFIG_CHANGED => {
                let broker = r.i32()?;
                let broker = (broker != ALL_BROKERS).then(|| BrokerId::new(broker));
                MetadataRecord::BrokerConfigChanged {
                    broker,
                    changes: read_changes(&mut r)?,
                }
            }
            UNCLEAN_START => MetadataRecord::UncleanStart {
                broker: BrokerId::new(r.i32()?),
            },
            PRODUCER_ID_BLOCK => {
                let (first, count) = (r.i64()?, r.u32()?);
                if first < 0 || first.checked_add(count.into()).is_none() {
                    return Err(DecodeError::InvalidLength);
                }
                MetadataRecord::ProducerIdBlock {
                    first: ProducerId::new(first),
                    count,
                }
            }
            CLIENT_METRICS_CHANGED => MetadataRecord::ClientMetricsChanged {
                name: read_string(&mut r)?,
                changes: read_changes(&mut r)?,
            },
            GROUP_CONFIG_CHANGED => MetadataRecord::GroupConfigChanged {
                group: read_string(&mut r)?,
                changes: read_changes(&mut r)?,
            },
            _ => MetadataRecord::ClientQuotaChanged {
                entity: read_entity(&mut r)?,
                key: read_string(&mut r)?,
                value: if r.bool()? { Some(read_rate(&mut r)?) } else { None },
            },
        };
        r.finish()?;
        Ok(record)
    }
}

pub(super) fn write_entity(w: &mut Writer, entity: &QuotaEntity) {
    for part in [&entity.user, &entity.client_id, &entity.ip] {
        match part {
            None => w.u8(0),
            Some(Name::Default) => w.u8(1),
            Some(Name::Is(name)) => {
                w.u8(2);
                write_string(w, name);
            }
        }
    }
}

pub(super) fn read_entity(r: &mut Reader<'_>) -> Result<QuotaEntity, DecodeError> {
    let mut part = || {
        Ok(match r.u8()? {
            0 => None,
            1 => Some(Name::Default),
            2 => Some(Name::Is(read_string(r)?.into())),
            _ => return Err(DecodeError::InvalidLength),
        })
    };
    Ok(QuotaEntity {
        user: part()?,
        client_id: part()?,
        ip: part()?,
    })
}

pub(super) fn write_rate(w: &mut Writer, rate: Rate) {
    w.u64(rate.get().to_bits());
}

pub(super) fn read_rate(r: &mut Reader<'_>) -> Result<Rate, DecodeError> {
    Ok(Rate::new(f64::from_bits(r.u64()?)))
}

pub(super) fn write_string(w: &mut Writer, text: &str) {
    w.uvarint(u32::try_from(text.len()).expect("a text is smaller than 4 GiB"));
    w.raw(text.as_bytes());
}

pub(super) fn read_string(r: &mut Reader<'_>) -> Result<String, DecodeError> {
    let len = r.uvarint()? as usize;
    Ok(r.string(len)?.to_owned())
}

/// Every partition index must fit into an `i32`.
pub(super) fn read_partitions(r: &mut Reader<'_>) -> Result<u32, DecodeError> {
    match r.u32()? {
        partitions @ 1..=0x7fff_ffff => Ok(partitions),
        _ => Err(DecodeError::InvalidLength),
    }
}

pub(super) fn write_configs(w: &mut Writer, configs: &ConfigMap) {
    w.uvarint(u32::try_from(configs.len()).expect("there are not so many configurations"));
    for (name, value) in configs.iter() {
        write_string(w, name);
        write_string(w, value);
    }
}

pub(super) fn read_configs(r: &mut Reader<'_>) -> Result<ConfigMap, DecodeError> {
    let count = r.uvarint()?;
    (0..count)
        .map(|_| Ok((read_string(r)?, read_string(r)?)))
        .collect()
}

fn write_changes(w: &mut Writer, changes: &[ConfigChange]) {
    w.uvarint(u32::try_from(changes.len()).expect("there are not so many configurations"));
    for change in changes {
        write_string(w, &change.name);
        w.bool(change.value.is_some());
        if let Some(value) = &change.value {
            write_string(w, value);
        }
    }
}

fn read_changes(r: &mut Reader<'_>) -> Result<Vec<ConfigChange>, DecodeError> {
    let count = r.uvarint()?;
    let read = |_| {
        let name = read_string(r)?;
        let value = if r.bool()? { Some(read_string(r)?) } else { None };
        Ok(ConfigChange { name, value })
    };
    (0..count).map(read).collect()
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newer = "a newer version of Millstream wrote it";
        match self {
            RecordError::UnknownEnvelope { version } => {
                write!(f, "metadata envelope {version} is unknown: {newer}")
            }
            RecordError::UnknownKind { kind } => write!(f, "metadata record {kind} is unknown: {newer}"),
            RecordError::UnknownVersion { kind, version } => {
                write!(
                    f,
                    "version {version} of metadata record {kind} is unknown: {newer}"
                )
            }
            RecordError::Malformed { kind, error } => {
                write!(f, "metadata record {kind} is malformed: {error}")
            }
            RecordError::Truncated => f.write_str("a metadata record ends too early"),
        }
    }
}

impl core::error::Error for RecordError {}

const ENVELOPE_VERSION: u8 = 0;
const RECORD_VERSION: u8 = 0;
const ALL_BROKERS: i32 = -1;

const CLUSTER_CREATED: u8 = 1;
const TOPIC_CREATED: u8 = 2;
const PARTITIONS_ADDED: u8 = 3;
const TOPIC_DELETED: u8 = 4;
const TOPIC_PURGED: u8 = 5;
const TOPIC_CONFIG_CHANGED: u8 = 6;
const BROKER_CONFIG_CHANGED: u8 = 7;
const UNCLEAN_START: u8 = 8;
const PRODUCER_ID_BLOCK: u8 = 9;
const CLIENT_QUOTA_CHANGED: u8 = 10;
const CLIENT_METRICS_CHANGED: u8 = 11;
const GROUP_CONFIG_CHANGED: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, one_of_each_record};
    use std::string::ToString;

    #[test]
    fn records_read_as_they_were_written() {
        let records = one_of_each_record();
        assert_eq!(decode_batch(&encode_batch(&records)), Ok(records));
        assert_eq!(decode_batch(&encode_batch(&[])), Ok(Vec::new()));
    }

    /// These bytes are on disks: they never change.
    #[test]
    fn bytes_stay_as_documented() {
        let records = [
            MetadataRecord::TopicCreated {
                id: TopicId::new([7; 16]),
                name: "ab".to_string(),
                partitions: 3,
                configs: [("k".to_string(), "v".to_string())].into_iter().collect(),
            },
            MetadataRecord::BrokerConfigChanged {
                broker: None,
                changes: [ConfigChange {
                    name: "k".to_string(),
                    value: None,
                }]
                .to_vec(),
            },
            MetadataRecord::ClientMetricsChanged {
                name: "s".to_string(),
                changes: [ConfigChange {
                    name: "k".to_string(),
                    value: Some("v".to_string()),
                }]
                .to_vec(),
            },
            MetadataRecord::GroupConfigChanged {
                group: "g".to_string(),
                changes: [ConfigChange {
                    name: "k".to_string(),
                    value: None,
                }]
                .to_vec(),
            },
        ];
        let expect = [
            &[0, 2, 0, 0, 0, 0, 28][..],
            &[7; 16],
            &[2, b'a', b'b', 0, 0, 0, 3, 1, 1, b'k', 1, b'v'],
            &[7, 0, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 1, 1, b'k', 0],
            &[11, 0, 0, 0, 0, 8, 1, b's', 1, 1, b'k', 1, 1, b'v'],
            &[12, 0, 0, 0, 0, 6, 1, b'g', 1, 1, b'k', 0],
        ];
        assert_eq!(encode_batch(&records), expect.concat());
    }

    #[test]
    fn what_is_not_known_says_so() {
        let unknown = |bytes: &[u8]| decode_batch(bytes).unwrap_err();
        assert_eq!(unknown(&[1]), RecordError::UnknownEnvelope { version: 1 });
        assert_eq!(
            unknown(&[0, 13, 0, 0, 0, 0, 0]),
            RecordError::UnknownKind { kind: 13 }
        );
        assert_eq!(
            unknown(&[0, 4, 1, 0, 0, 0, 0]),
            RecordError::UnknownVersion { kind: 4, version: 1 }
        );
        assert_eq!(unknown(&[0, 4, 0, 0, 0, 0, 9]), RecordError::Truncated);
        let too_long = RecordError::Malformed {
            kind: 8,
            error: DecodeError::Trailing,
        };
        assert_eq!(unknown(&[0, 8, 0, 0, 0, 0, 5, 0, 0, 0, 1, 9]), too_long);
        assert!(
            unknown(&[0, 13, 0, 0, 0, 0, 0])
                .to_string()
                .contains("newer version")
        );
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = encode_batch(&one_of_each_record());
        for end in 0..good.len() {
            if let Ok(records) = decode_batch(&good[..end]) {
                assert_eq!(encode_batch(&records), &good[..end], "a cut between two records");
            }
        }
        let mut random = Random::new(3);
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            if let Ok(records) = decode_batch(&bytes) {
                assert_eq!(decode_batch(&encode_batch(&records)), Ok(records));
            }
        }
    }
}
