//! What the files of an image hold, read by nothing but the machines of the log: no ring, no broker.
//!
//! Place: after starts, to see that recovery is idempotent below what is served as well, and that sidecar indexes say
//! what their segments hold.
//! Invariant: an image whose journals are damaged is left to the checks of what is served.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use millstream_log::{
    ChainEnd, Checkpoint, IndexRebuild, JournalId, PartitionKey, Producers, Recovered, Replay, Round,
    Segment, SegmentId, Sidecar, Step, crc32c_append, layout, salt,
};
use millstream_ring::simulated::DiskImage;

use crate::machine::{Build, DIR};

/// A partition as checkpoint and journal have it.
#[derive(Debug, PartialEq, Eq)]
pub struct Durable {
    pub start: i64,
    /// Exclusive.
    pub end: i64,
    /// Base offset, end offset and length in bytes of every segment that holds something.
    pub segments: Vec<(i64, i64, u64)>,
    pub producers: Producers,
    pub damaged_at: Option<i64>,
    /// Of the bytes that only the journal holds and no segment does.
    pub journaled: u32,
}

/// Every partition of the image; none where a journal is damaged.
pub fn partitions(image: &DiskImage) -> Option<BTreeMap<PartitionKey, Durable>> {
    let recovered = replay(image)?;
    let partitions = recovered.partitions.into_iter().map(|partition| {
        let state = &partition.state;
        let segments = state.segments().iter().filter(|segment| !segment.is_empty());
        let journaled = partition.dirty.iter().fold(0, |crc, run| {
            // A padded block may be in the file and in the journal; what the file holds is not compared here.
            let written = state
                .segment(run.segment)
                .map_or(0, |segment| segment.written.get());
            let skip = written
                .saturating_sub(run.position.get())
                .min(run.bytes.len() as u64);
            crc32c_append(crc, &run.bytes[skip as usize..])
        });
        let durable = Durable {
            start: state.offsets().start().get().get(),
            end: partition
                .cut
                .map_or(state.offsets().end().get(), |cut| cut.end_offset)
                .get(),
            segments: segments
                .map(|segment| {
                    (
                        segment.base_offset.get(),
                        segment.end_offset.get(),
                        segment.byte_end.get(),
                    )
                })
                .collect(),
            producers: state.producers().clone(),
            damaged_at: partition.damage.map(|damage| damage.at.get()),
            journaled,
        };
        (state.key(), durable)
    });
    Some(partitions.collect())
}

/// Holds every sidecar index that can be read against its segment; tells how many there were. One that cannot be read,
/// or is of another end, is rebuilt by whoever needs it.
pub fn check_sidecars(image: &DiskImage) -> Result<u64, String> {
    let Some(recovered) = replay(image) else {
        return Ok(0);
    };
    let mut count = 0;
    for partition in &recovered.partitions {
        let (state, key) = (&partition.state, partition.state.key());
        if partition.damage.is_some() || partition.cut.is_some() {
            continue;
        }
        let whole = |segment: &&Segment| segment.sealed && segment.written == segment.byte_end;
        for segment in state.segments().iter().filter(whole) {
            let Some(bytes) = read(image, &layout::sidecar(segment.id)) else {
                continue;
            };
            let Ok(sidecar) = Sidecar::decode(&bytes) else {
                continue;
            };
            if (sidecar.segment, sidecar.byte_end) != (segment.id, segment.byte_end) {
                continue;
            }
            let id = segment.id;
            let data = data(image, id, segment.byte_end.get())
                .ok_or_else(|| format!("{key}: segment {id} has an index and not its bytes"))?;
            let wrong = |damage| format!("{key}: segment {id} has an index and wrong bytes: {damage:?}");
            // After a cut an index ends before its segment does.
            let indexed = sidecar.index.end().get() as usize;
            let (indexed, rest) = data
                .split_at_checked(indexed)
                .ok_or_else(|| format!("{key}: the index of segment {id} ends at {indexed}, beyond it"))?;
            let mut rebuild = IndexRebuild::new(segment, state.epochs());
            rebuild.feed(indexed).map_err(wrong)?;
            let held = rebuild.clone().finish();
            rebuild.feed(rest).map_err(wrong)?;
            if held != sidecar.index {
                return Err(format!(
                    "{key}: the index of segment {id} is not what the segment holds"
                ));
            }
            count += 1;
        }
    }
    Ok(count)
}

/// What a start may take, by what it finds.
#[derive(Debug)]
pub struct Bounds {
    /// Bytes: all journals, checkpoints, rescue files and the metadata twice (a journal is followed, and looked at
    /// beyond its end), the direct writes that no settled round vouches for, and two blocks of each segment.
    pub read: u64,
    /// Bytes: what is read, once more as it is kept, and what each shard has at hand.
    pub memory: u64,
    /// File operations: some for each file.
    pub operations: u32,
}

impl Bounds {
    pub fn of(image: &DiskImage, build: &Build) -> Bounds {
        let (mut whole, mut segments, mut files) = (0, 0, 0);
        for path in image.paths() {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            files += 1;
            match layout::FileName::parse(name) {
                Some(layout::FileName::Segment(_) | layout::FileName::Sidecar(_)) => segments += 1,
                _ => whole += image.size(&path).unwrap_or_default(),
            }
        }
        let shards = build.shards as u64;
        let unsettled = shards * DIRECT_BYTES_MAX;
        let read = 2 * whole + unsettled + segments * 2 * layout::BLOCK;
        Bounds {
            read,
            memory: 2 * read + shards * SHARD_BYTES,
            operations: 16 * files,
        }
    }
}

/// Of the rounds in flight of a shard, whose clients have not so much under way.
const DIRECT_BYTES_MAX: u64 = 4 << 20;
/// What a shard has before it has any log.
const SHARD_BYTES: u64 = 2 << 20;

fn replay(image: &DiskImage) -> Option<Recovered> {
    let mut replay = Replay::new();
    let mut heads = Vec::new();
    for id in journals(image) {
        let slots = [0, 1].map(|slot| {
            let bytes = read(image, &layout::checkpoint(id, slot)).unwrap_or_default();
            Checkpoint::decode(&bytes)
        });
        let [a, b] = slots;
        let checkpoint = Checkpoint::newest(a, b).ok()?;
        if !checkpoint.head.retired {
            heads.push(checkpoint.head);
            replay.add_checkpoint(checkpoint);
        }
    }
    for head in heads {
        let id = head.journal.id;
        if let Some(rescue) = read(image, &layout::rescue(id)) {
            let mut rest = &rescue[..];
            while let Some(round) = Round::decode(rest)
                .ok()
                .filter(|round| round.header.journal == head.journal)
            {
                replay.rescued_round(&round).ok()?;
                rest = rest.get(round.header.padded_len() as usize..).unwrap_or_default();
            }
        }
        if head.clean {
            replay.chain_ended(id, head.tail, &[]).ok()?;
            continue;
        }
        let ring = read(image, &layout::journal(id))?;
        let mut reader = replay.reader(id)?;
        let end = loop {
            match reader.step(0, &ring) {
                Step::Round { round, .. } => replay.apply_round(id, &round).ok()?,
                Step::End(end) => break end,
                Step::Need { .. } => return None,
            }
        };
        let blocks = ring.chunks(layout::BLOCK as usize).enumerate();
        let headers: Vec<_> = blocks
            .filter_map(|(block, bytes)| {
                let header = millstream_log::newest_settled(head.journal, bytes)?;
                Some((block as u64 * layout::BLOCK, header))
            })
            .collect();
        if replay.chain_ended(id, end, &headers).ok()? != ChainEnd::Torn {
            return None;
        }
    }
    for check in replay.extents_to_verify() {
        let end = check.position.get() + check.length;
        let found = data(image, check.segment, end)
            .map(|data| crc32c_append(salt(check.segment), &data[check.position.get() as usize..]));
        replay.verified(&check, found);
    }
    Some(replay.finish())
}

fn journals(image: &DiskImage) -> BTreeSet<JournalId> {
    let paths = image.paths();
    let names = paths
        .iter()
        .filter(|path| path.parent() == Some(Path::new(DIR)))
        .filter_map(|path| path.file_name()?.to_str());
    let ids = names.filter_map(|name| match layout::FileName::parse(name)? {
        layout::FileName::Journal(id) => Some(id),
        _ => None,
    });
    ids.collect()
}

/// The first `len` bytes of a segment's data.
fn data(image: &DiskImage, segment: SegmentId, len: u64) -> Option<Vec<u8>> {
    let mut bytes = read(image, &layout::segment(segment))?;
    let at = layout::SEGMENT_DATA_AT as usize;
    if (bytes.len() as u64) < layout::SEGMENT_DATA_AT + len {
        return None;
    }
    bytes.drain(..at);
    bytes.truncate(len as usize);
    Some(bytes)
}

fn read(image: &DiskImage, name: &str) -> Option<Vec<u8>> {
    image.read(&Path::new(DIR).join(name))
}
