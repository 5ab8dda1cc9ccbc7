//! The metadata log's files, read and not touched (`controller::metadata_log` writes them and describes their
//! bytes).

use std::fs;
use std::path::{Path, PathBuf};

use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::cluster::record::{ConfigChange, MetadataRecord, decode_batch};
use millstream_machine::quota::entity::Name;
use millstream_protocol::types::TopicId;
use serde::Serialize;

use super::sink::Sink;
use crate::cli::{Exit, Failure};
use crate::controller::metadata_log::{MARK_LEN, mark_at};

/// What lies in the directory `metadata`.
#[derive(Debug, Default)]
pub struct Metadata {
    /// The newest snapshot's file and state, where there is one.
    pub snapshot: Option<(PathBuf, ClusterImage)>,
    pub log: Option<LogFile>,
}

/// One log file.
#[derive(Debug)]
pub struct LogFile {
    pub path: PathBuf,
    pub entries: Vec<Entry>,
    /// Bytes after the last whole entry: a torn write, or damage.
    pub rest: usize,
}

#[derive(Debug)]
pub struct Entry {
    pub position: usize,
    pub sequence: u64,
    /// Or why they do not read.
    pub records: Result<Vec<MetadataRecord>, String>,
}

#[derive(Serialize)]
struct EntryLine<'a> {
    sequence: u64,
    position: usize,
    records: &'a [String],
}

impl Metadata {
    /// An absent directory is an empty one: nothing was created yet.
    pub fn read(directory: &Path) -> Result<Metadata, Failure> {
        let mut metadata = Metadata::default();
        let Ok(names) = fs::read_dir(directory) else {
            return Ok(metadata);
        };
        let mut newest = [None, None];
        for name in names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            for (slot, kind) in ["snapshot-", "log-"].iter().enumerate() {
                let number = name.strip_prefix(kind).and_then(|rest| rest.parse::<u64>().ok());
                newest[slot] = newest[slot]
                    .take()
                    .max(number.map(|number| (number, name.clone())));
            }
        }
        let [snapshot, log] = newest.map(|found| found.map(|(_, name)| directory.join(name)));
        if let Some(path) = snapshot {
            let image = read_snapshot(&path)?;
            metadata.snapshot = Some((path, image));
        }
        metadata.log = log.map(|path| LogFile::read(&path)).transpose()?;
        Ok(metadata)
    }

    /// The cluster as these files tell it.
    pub fn image(&self) -> ClusterImage {
        let base = self
            .snapshot
            .as_ref()
            .map_or_else(ClusterImage::empty, |(_, image)| image.clone());
        let entries = self.log.iter().flat_map(|log| &log.entries);
        entries
            .filter_map(|entry| entry.records.as_ref().ok())
            .fold(base, |image, records| image.apply(records))
    }

    pub fn dump(&self, sink: &mut Sink) -> Result<(), Failure> {
        if let Some((path, image)) = &self.snapshot {
            sink.note(&format!("Dumping {}", path.display()))?;
            sink.note(&format!(
                "snapshot of {} records: {} topics",
                image.records(),
                image.topic_count()
            ))?;
        }
        self.log.as_ref().map_or(Ok(()), |log| log.dump(sink))
    }
}

impl LogFile {
    pub fn read(path: &Path) -> Result<LogFile, Failure> {
        let bytes = fs::read(path).map_err(|error| cannot_read(path, &error))?;
        if bytes.get(..8) != Some(LOG_MAGIC) {
            let message = format!("{} is not a metadata log", path.display());
            return Err(Failure::new(Exit::Damaged, message));
        }
        let mut entries = Vec::new();
        let mut at = LOG_HEADER_LEN.min(bytes.len());
        while let Some((sequence, payload)) = entry_at(&bytes[at..]) {
            let records = decode_batch(payload).map_err(|error| format!("{error:?}"));
            entries.push(Entry {
                position: at,
                sequence,
                records,
            });
            at += ENTRY_HEADER_LEN + payload.len();
        }
        let mark = mark_at(&bytes[at..]).map_or(0, |_| MARK_LEN);
        Ok(LogFile {
            path: path.to_owned(),
            entries,
            rest: bytes.len() - at - mark,
        })
    }

    pub fn dump(&self, sink: &mut Sink) -> Result<(), Failure> {
        sink.note(&format!("Dumping {}", self.path.display()))?;
        for entry in &self.entries {
            let shown: Vec<String> = match &entry.records {
                Ok(records) => records.iter().map(show_record).collect(),
                Err(error) => {
                    sink.damaged += 1;
                    vec![format!("(unreadable: {error})")]
                }
            };
            let line = EntryLine {
                sequence: entry.sequence,
                position: entry.position,
                records: &shown,
            };
            sink.put(&line, || {
                let records: String = shown.iter().map(|record| format!("\n| {record}")).collect();
                format!("entry: {} position: {}{records}", entry.sequence, entry.position)
            })?;
        }
        if self.rest > 0 {
            sink.damaged += 1;
            sink.note(&format!(
                "{} bytes after the last whole entry do not read",
                self.rest
            ))?;
        }
        Ok(())
    }
}

/// The record's kind and fields, as the other dumps write them.
fn show_record(record: &MetadataRecord) -> String {
    let id = |id: &TopicId| String::from_utf8_lossy(&id.to_base64()).into_owned();
    let changed = |changes: &[ConfigChange]| {
        let shown = changes.iter().map(|change| match &change.value {
            Some(value) => format!("{}={value}", change.name),
            None => format!("{} (default)", change.name),
        });
        shown.collect::<Vec<_>>().join(" ")
    };
    match record {
        MetadataRecord::ClusterCreated { cluster_id } => format!("clusterCreated id: {cluster_id}"),
        MetadataRecord::TopicCreated {
            id: topic,
            name,
            partitions,
            configs,
        } => {
            let configs: String = configs
                .iter()
                .map(|(name, value)| format!(" {name}={value}"))
                .collect();
            format!(
                "topicCreated name: {name} id: {} partitions: {partitions}{configs}",
                id(topic)
            )
        }
        MetadataRecord::PartitionsAdded {
            id: topic,
            partitions,
        } => {
            format!("partitionsAdded id: {} partitions: {partitions}", id(topic))
        }
        MetadataRecord::TopicDeleted { id: topic } => format!("topicDeleted id: {}", id(topic)),
        MetadataRecord::TopicPurged { id: topic } => format!("topicPurged id: {}", id(topic)),
        MetadataRecord::TopicConfigChanged { id: topic, changes } => {
            format!("topicConfigChanged id: {} {}", id(topic), changed(changes))
        }
        MetadataRecord::BrokerConfigChanged { broker, changes } => {
            let broker = broker.map_or("all".to_owned(), |broker| broker.get().to_string());
            format!("brokerConfigChanged broker: {broker} {}", changed(changes))
        }
        MetadataRecord::ClientQuotaChanged { entity, key, value } => {
            let name = |name: &Name| name.text().unwrap_or("<default>").to_owned();
            let parts = entity
                .parts()
                .map(|(kind, part)| format!("{kind}={}", name(part)));
            let value = value.map_or("none".to_owned(), |value| value.get().to_string());
            format!(
                "clientQuotaChanged {} {key}: {value}",
                parts.collect::<Vec<_>>().join(",")
            )
        }
        MetadataRecord::ClientMetricsChanged { name, changes } => {
            format!("clientMetricsChanged name: {name} {}", changed(changes))
        }
        MetadataRecord::GroupConfigChanged { group, changes } => {
            format!("groupConfigChanged group: {group} {}", changed(changes))
        }
        MetadataRecord::UncleanStart { broker } => format!("uncleanStart broker: {}", broker.get()),
        MetadataRecord::ProducerIdBlock { first, count } => {
            format!("producerIdBlock first: {} count: {count}", first.get())
        }
    }
}

/// The sequence and payload of a whole entry with the right checksum.
fn entry_at(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let end = ENTRY_HEADER_LEN.checked_add(u32_at(0)? as usize)?;
    let checked = bytes.get(8..end)?;
    if crc32c::crc32c(checked) != u32_at(4)? {
        return None;
    }
    let sequence = u64::from_le_bytes(checked.get(..8)?.try_into().ok()?);
    Some((sequence, &checked[8..]))
}

fn read_snapshot(path: &Path) -> Result<ClusterImage, Failure> {
    let bytes = fs::read(path).map_err(|error| cannot_read(path, &error))?;
    let damaged = |what: &str| Failure::new(Exit::Damaged, format!("{}: {what}", path.display()));
    let end = bytes.len().saturating_sub(4);
    if bytes.get(..8) != Some(SNAPSHOT_MAGIC) || end < SNAPSHOT_HEADER_LEN {
        return Err(damaged("this is not a metadata snapshot"));
    }
    if crc32c::crc32c(&bytes[..end]).to_le_bytes() != bytes[end..] {
        return Err(damaged("the checksum does not match"));
    }
    ClusterImage::decode_snapshot(&bytes[SNAPSHOT_HEADER_LEN..end])
        .map_err(|error| damaged(&format!("{error:?}")))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(&format!("{} cannot be read", path.display()), error)
}

pub const LOG_MAGIC: &[u8] = b"MSMETLOG";
const SNAPSHOT_MAGIC: &[u8] = b"MSMETSNP";
/// Magic, version, base sequence, checksum.
const LOG_HEADER_LEN: usize = 24;
/// Length, checksum, sequence.
const ENTRY_HEADER_LEN: usize = 16;
/// Magic, version, sequence, length.
const SNAPSHOT_HEADER_LEN: usize = 28;

#[cfg(test)]
mod tests {
    use millstream_machine::cluster::record::encode_batch;

    use super::*;
    use crate::controller::metadata_log::{MetadataLog, MetadataStore};

    fn created(name: &str) -> Vec<u8> {
        let cluster_id = name.to_owned();
        encode_batch(&[MetadataRecord::ClusterCreated { cluster_id }])
    }

    /// Held against the writer itself, so that the two cannot drift apart.
    #[test]
    fn what_the_controller_writes_reads_back() {
        let directory = std::env::temp_dir().join(format!("millstream-metadata-dump-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        assert!(Metadata::read(&directory).unwrap().log.is_none());
        let (mut log, _) = MetadataLog::open(&directory, false).unwrap();
        log.append(&created("one")).unwrap();
        let metadata = Metadata::read(&directory).unwrap();
        assert_eq!(metadata.image().cluster_id(), Some("one"));
        let snapshot = metadata.image().encode_snapshot();
        log.replace(&snapshot).unwrap();
        let metadata = Metadata::read(&directory).unwrap();
        assert!(metadata.snapshot.is_some() && metadata.log.as_ref().unwrap().entries.is_empty());
        assert_eq!(metadata.image().cluster_id(), Some("one"));

        log.append(&created("two")).unwrap();
        let path = metadata.log.unwrap().path;
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - MARK_LEN - 1]).unwrap();
        let torn = LogFile::read(&path).unwrap();
        assert!(torn.entries.is_empty() && torn.rest > 0);
        fs::remove_dir_all(&directory).unwrap();
    }
}
