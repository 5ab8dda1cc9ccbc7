//! A data directory as a start would find it: checkpoints and journals replayed, and nothing written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use millstream_log::layout::{self, FileName};
use millstream_log::{
    ChainEnd, ChainPoint, Checkpoint, CheckpointHead, ExtentCheck, FormatError, Identity, JournalId,
    Recovered, RecoveredPartition, Replay, ReplayError, Round, RoundHeader, RoundReader, Step, crc32c_append,
    newest_settled, salt,
};
use millstream_machine::cluster::image::ClusterImage;
use millstream_protocol::types::TopicId;

use super::metadata_file::Metadata;
use crate::cli::{Exit, Failure};

pub struct DataDirectory {
    pub path: PathBuf,
    pub identity: Identity,
    pub metadata: Metadata,
    pub image: ClusterImage,
    pub recovered: Recovered,
}

impl DataDirectory {
    pub fn open(path: &Path) -> Result<DataDirectory, Failure> {
        let identity = read_identity(path)?;
        let metadata = Metadata::read(&path.join(METADATA))?;
        let image = metadata.image();
        let recovered = replay(path)?;
        Ok(DataDirectory {
            path: path.to_owned(),
            identity,
            metadata,
            image,
            recovered,
        })
    }

    /// The topic's name; its id where the metadata does not know it.
    pub fn topic_name(&self, id: TopicId) -> String {
        let deleted = || self.image.deleted_topics().find(|(deleted, _)| *deleted == id);
        match self.image.topic(id) {
            Some(topic) => topic.name.to_string(),
            None => match deleted() {
                Some((_, name)) => format!("{name} (deleted)"),
                None => String::from_utf8_lossy(&id.to_base64()).into_owned(),
            },
        }
    }

    /// In order of name and partition; those of one topic and one partition, where they are wanted.
    pub fn partitions(
        &self,
        topic: Option<&str>,
        partition: Option<i32>,
    ) -> Vec<(String, &RecoveredPartition)> {
        let named = self
            .recovered
            .partitions
            .iter()
            .map(|found| (self.topic_name(found.state.key().topic), found));
        let wanted = named.filter(|(name, found)| {
            topic.is_none_or(|topic| topic == name)
                && partition.is_none_or(|partition| partition == found.state.key().partition.get())
        });
        let mut partitions: Vec<_> = wanted.collect();
        partitions.sort_by(|a, b| (&a.0, a.1.state.key()).cmp(&(&b.0, b.1.state.key())));
        partitions
    }
}

/// The journals and checkpoints of a directory, by their ids.
pub fn journal_ids(path: &Path) -> Result<BTreeSet<JournalId>, Failure> {
    let names = fs::read_dir(path).map_err(|error| cannot_read(path, &error))?;
    let ids = names.filter_map(
        |entry| match FileName::parse(entry.ok()?.file_name().to_str()?)? {
            FileName::Journal(id) | FileName::Checkpoint(id, _) => Some(id),
            _ => None,
        },
    );
    Ok(ids.collect())
}

/// Both slots of a checkpoint; a missing file is a short one.
pub fn checkpoint_slots(path: &Path, id: JournalId) -> [Result<Checkpoint, FormatError>; 2] {
    [0, 1].map(|slot| {
        let bytes = fs::read(path.join(layout::checkpoint(id, slot))).map_err(|_| FormatError::Short)?;
        Checkpoint::decode(&bytes)
    })
}

/// Follows a journal's chain, round by round, from where its checkpoint needs it.
pub fn walk_journal(
    path: &Path,
    head: &CheckpointHead,
    mut each: impl FnMut(&Round<'_>, u64) -> Result<(), Failure>,
) -> Result<ChainPoint, Failure> {
    let journal = path.join(layout::journal(head.journal.id));
    let file = File::open(&journal).map_err(|error| cannot_read(&journal, &error))?;
    let mut reader = RoundReader::new(
        head.journal,
        head.ring_bytes,
        head.tail,
        head.raised_at,
        head.incarnation,
    );
    let (mut at, mut bytes) = (0, Vec::new());
    loop {
        let need = match reader.step(at, &bytes) {
            Step::Need { at, len } => (at, len),
            Step::Round { round, at } => {
                each(&round, at)?;
                continue;
            }
            Step::End(point) => return Ok(point),
        };
        at = need.0;
        let ahead = (head.ring_bytes - at).min(READ_AHEAD);
        bytes = read_at(&file, at, need.1.max(ahead)).map_err(|error| cannot_read(&journal, &error))?;
    }
}

/// As a start does it, but for what it writes.
fn replay(path: &Path) -> Result<Recovered, Failure> {
    let mut replay = Replay::new();
    let mut heads = Vec::new();
    for id in journal_ids(path)? {
        let [a, b] = checkpoint_slots(path, id);
        let checkpoint = Checkpoint::newest(a, b).map_err(|(a, b)| {
            let message = format!(
                "neither slot of the checkpoint of {} reads: {a}; {b}",
                layout::journal(id)
            );
            Failure::new(Exit::Damaged, message)
        })?;
        heads.push(checkpoint.head);
        replay.add_checkpoint(checkpoint);
    }
    heads.retain(|head| !head.retired);
    for head in &heads {
        replay_journal(path, head, &mut replay)?;
    }
    for check in replay.extents_to_verify() {
        replay.verified(&check, extent_crc(path, &check));
    }
    Ok(replay.finish())
}

fn replay_journal(path: &Path, head: &CheckpointHead, replay: &mut Replay) -> Result<(), Failure> {
    let id = head.journal.id;
    let end = walk_journal(path, head, |round, _| {
        replay.apply_round(id, round).map_err(contradiction)
    })?;
    let journal = path.join(layout::journal(id));
    let file = File::open(&journal).map_err(|error| cannot_read(&journal, &error))?;
    let headers = scan_headers(&file, &journal, head)?;
    let ended = replay.chain_ended(id, end, &headers).map_err(contradiction)?;
    if let ChainEnd::Damaged { later } = ended {
        for at in later {
            // A later round that does not read is one more hole; the next one that does tells so.
            let _ = with_round(&file, &journal, at, |round| replay.later_round(id, round));
        }
    }
    Ok(())
}

fn with_round(
    file: &File,
    path: &Path,
    at: u64,
    apply: impl FnOnce(&Round<'_>) -> Result<(), ReplayError>,
) -> Result<(), Failure> {
    let damaged = |error: FormatError| {
        Failure::new(
            Exit::Damaged,
            format!("the round at {at} of {} does not read: {error}", path.display()),
        )
    };
    let block = read_at(file, at, layout::BLOCK).map_err(|error| cannot_read(path, &error))?;
    let header = RoundHeader::decode(&block).map_err(damaged)?;
    let bytes = read_at(file, at, header.padded_len()).map_err(|error| cannot_read(path, &error))?;
    apply(&Round::decode(&bytes).map_err(damaged)?).map_err(contradiction)
}

fn scan_headers(file: &File, path: &Path, head: &CheckpointHead) -> Result<Vec<(u64, RoundHeader)>, Failure> {
    let mut headers = Vec::new();
    let mut at = 0;
    while at < head.ring_bytes {
        let len = (head.ring_bytes - at).min(READ_AHEAD);
        let bytes = read_at(file, at, len).map_err(|error| cannot_read(path, &error))?;
        for (index, block) in bytes.chunks_exact(layout::BLOCK as usize).enumerate() {
            let found = newest_settled(head.journal, block);
            headers.extend(found.map(|header| (at + index as u64 * layout::BLOCK, header)));
        }
        at += len;
    }
    Ok(headers)
}

fn extent_crc(path: &Path, check: &ExtentCheck) -> Option<u32> {
    let file = File::open(path.join(layout::segment(check.segment))).ok()?;
    let mut crc = salt(check.segment);
    let mut done = 0;
    while done < check.length {
        let mut bytes = vec![0; (check.length - done).min(READ_AHEAD) as usize];
        file.read_exact_at(&mut bytes, layout::SEGMENT_DATA_AT + check.position.get() + done)
            .ok()?;
        crc = crc32c_append(crc, &bytes);
        done += bytes.len() as u64;
    }
    Some(crc)
}

fn read_identity(path: &Path) -> Result<Identity, Failure> {
    let file = path.join(layout::IDENTITY);
    let bytes = fs::read(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let message = format!(
                "{} is not a data directory of millstream; name one with --data-dir",
                path.display()
            );
            Failure::new(Exit::NotFound, message)
        }
        _ => cannot_read(&file, &error),
    })?;
    Identity::decode(&bytes).map_err(|error| {
        Failure::new(
            Exit::Damaged,
            format!("{} does not read: {error}", file.display()),
        )
    })
}

/// As many bytes as the file has there, at most `len`.
fn read_at(file: &File, at: u64, len: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn contradiction(error: ReplayError) -> Failure {
    Failure::new(
        Exit::Damaged,
        format!("the journals contradict each other: {error:?}"),
    )
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(&format!("{} cannot be read", path.display()), error)
}

/// Below the data directory.
const METADATA: &str = "metadata";
const READ_AHEAD: u64 = 1 << 20;
