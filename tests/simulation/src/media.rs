//! A medium that lies: bytes that change at rest, and which files and partitions it concerns where a disk does not
//! hold what it should.
//!
//! Place: [`crate::run`] asks before a machine starts from an image. The simulated disk itself says which sectors lie.
//!
//! What must hold afterwards: a partition of whose bytes some lie may be out of service, and a start may refuse what
//! it cannot trust; but nothing is served that differs from what was sent, nothing is cut in silence, and all other
//! partitions have everything. One lie nobody can tell from a crash: that about the last thing that was written, after
//! which nothing says that it had been durable. Such a one is taken back here ([`forgive`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use millstream_log::{
    Checkpoint, CheckpointHead, JournalId, JournalIdentity, PartitionKey, Record, Round, RoundHeader,
    SegmentHeader, crc32c, layout,
};
use millstream_ring::simulated::{DiskImage, Lie};

use crate::machine::DIR;
use crate::prng::Prng;

/// What the lies of a disk concern.
#[derive(Clone, Debug, Default)]
pub struct Concerned {
    /// Partitions of whose segments something lies.
    partitions: BTreeSet<PartitionKey>,
    /// Journals of whose ring, checkpoints or rescue file something lies.
    journals: BTreeSet<JournalId>,
    /// Of the metadata log, or of the directory's identity.
    all: bool,
}

impl Concerned {
    /// `first_block` tells how a file should begin.
    pub fn by(lies: &[Lie], first_block: impl Fn(&Path) -> Option<Vec<u8>>) -> Concerned {
        let mut concerned = Concerned::default();
        let paths: BTreeSet<&Path> = lies.iter().map(|lie| lie.path.as_path()).collect();
        for path in paths {
            match place_of(path) {
                Some(Place::Segment) => {
                    let block = first_block(path).unwrap_or_default();
                    let header = SegmentHeader::decode(&block).ok();
                    concerned.partitions.extend(header.map(|header| header.partition));
                }
                Some(Place::Journal | Place::Checkpoint | Place::Rescue) => {
                    concerned.journals.extend(journal_of(path));
                }
                Some(Place::Metadata | Place::Identity) => concerned.all = true,
                // It can be made again.
                Some(Place::Sidecar | Place::Directory) | None => {}
            }
        }
        concerned
    }

    /// A start may refuse the directory.
    pub fn may_refuse(&self) -> bool {
        self.all || !self.journals.is_empty()
    }

    pub fn partitions(&self) -> &BTreeSet<PartitionKey> {
        &self.partitions
    }

    /// The partitions of journals about which nothing lies, where something does about another one: all but these may
    /// be out of service.
    pub fn held_by_others(&self, image: &DiskImage) -> Option<BTreeSet<PartitionKey>> {
        if self.journals.is_empty() {
            return None;
        }
        let sound = checkpoints(image).into_iter().filter(|checkpoint| {
            !checkpoint.head.retired && !self.journals.contains(&checkpoint.head.journal.id)
        });
        let entries = sound.flat_map(|checkpoint| checkpoint.entries);
        Some(entries.map(|entry| entry.state.key()).collect())
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Journal,
    Checkpoint,
    Rescue,
    Segment,
    Sidecar,
    Metadata,
    Identity,
    /// The data directory itself, of which only names are synced.
    Directory,
}

pub fn place_of(path: &Path) -> Option<Place> {
    let name = path.file_name()?.to_str()?;
    if path.parent().is_some_and(|parent| parent.ends_with("metadata")) {
        return Some(Place::Metadata);
    }
    if name == layout::IDENTITY {
        return Some(Place::Identity);
    }
    layout::FileName::parse(name).map(|name| match name {
        layout::FileName::Journal(_) => Place::Journal,
        layout::FileName::Checkpoint(..) => Place::Checkpoint,
        layout::FileName::Rescue(_) => Place::Rescue,
        layout::FileName::Segment(_) => Place::Segment,
        layout::FileName::Sidecar(_) => Place::Sidecar,
    })
}

/// Of which files a directory holds the names.
pub fn place_of_names(path: &Path) -> Option<Place> {
    let is_folder = |path: &Path| path.ends_with(layout::SEGMENTS);
    match path {
        _ if path == Path::new(DIR) => Some(Place::Directory),
        _ if path.ends_with("metadata") => Some(Place::Metadata),
        _ if path.parent().is_some_and(is_folder) => Some(Place::Segment),
        _ => None,
    }
}

/// Changes some bytes at rest; tells whether there were any.
pub fn rot(image: &mut DiskImage, prng: &mut Prng) -> bool {
    let places = [
        Place::Segment,
        Place::Segment,
        Place::Segment,
        Place::Journal,
        Place::Journal,
        Place::Checkpoint,
        Place::Sidecar,
        Place::Metadata,
        Place::Identity,
    ];
    let place = places[prng.index(places.len())];
    let mut paths = image.paths();
    paths.retain(|path| {
        place_of(path) == Some(place) && image.truth(path).is_some_and(|bytes| !bytes.is_empty())
    });
    if paths.is_empty() {
        return false;
    }
    let path = &paths[prng.index(paths.len())];
    let truth = image.truth(path).expect("a path of the image");
    let sectors = (truth.len() as u64).div_ceil(SECTOR);
    let at = prng.range(0, sectors) * SECTOR;
    if prng.one_in(4) {
        image.spoil(path, at);
        return true;
    }
    let Some(mut bytes) = image
        .read_at(path, at, SECTOR as usize)
        .filter(|bytes| !bytes.is_empty())
    else {
        return false;
    };
    match prng.range(0, 3) {
        0 => {
            let bit = prng.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        1 => bytes.fill(0),
        // A sector of the same file, from elsewhere.
        _ => {
            let other = prng.range(0, sectors) * SECTOR;
            let other = image.read_at(path, other, bytes.len()).unwrap_or_default();
            bytes[..other.len()].copy_from_slice(&other);
        }
    }
    image.overwrite(path, at, &bytes);
    true
}

/// Takes back the lies that nothing on the disk gives away: those about rounds that no later one calls settled, about
/// the direct writes of such rounds, and about the last entry of the metadata log.
pub fn forgive(image: &mut DiskImage) {
    let lies = image.lies();
    for path in image.paths() {
        let own: Vec<&Lie> = lies.iter().filter(|lie| lie.path == path).collect();
        match place_of(&path) {
            Some(Place::Journal) => forgive_rounds(image, &path, own),
            Some(Place::Metadata) if !own.is_empty() => {
                let truth = image.truth(&path).unwrap_or_default();
                let last = last_entry(&truth).unwrap_or(u64::MAX);
                let open = own.into_iter().filter(|lie| lie.at + SECTOR > last);
                open.for_each(|lie| image.heal(lie));
            }
            _ => {}
        }
    }
}

fn forgive_rounds(image: &mut DiskImage, path: &Path, mut lies: Vec<&Lie>) {
    // A round of another journal that was put here says nothing about this one's.
    let identities: Vec<JournalIdentity> = checkpoints(image)
        .iter()
        .map(|checkpoint| checkpoint.head.journal)
        .filter(|journal| Some(journal.id) == journal_of(path))
        .collect();
    let header = |block: &[u8]| {
        let header = RoundHeader::decode(block).ok();
        header.filter(|header| identities.contains(&header.journal))
    };
    let truth = image.truth(path).unwrap_or_default();
    let rounds: Vec<(u64, RoundHeader)> = (0u64..)
        .zip(truth.chunks(layout::BLOCK as usize))
        .filter_map(|(block, bytes)| Some((block * layout::BLOCK, header(bytes)?)))
        .collect();
    loop {
        let blocks = (0..truth.len() as u64).step_by(layout::BLOCK as usize);
        let settled = blocks
            .filter_map(|at| header(&image.read_at(path, at, layout::BLOCK as usize)?))
            .map(|header| header.settled)
            .max();
        let is_open = |lie: &&Lie| {
            rounds.iter().any(|(at, header)| {
                (*at..at + header.padded_len()).contains(&lie.at) && Some(header.sequence) > settled
            })
        };
        let (open, told): (Vec<&Lie>, Vec<&Lie>) = lies.into_iter().partition(is_open);
        open.iter().for_each(|lie| image.heal(lie));
        if open.is_empty() {
            let unsettled = rounds
                .iter()
                .filter(|(_, header)| Some(header.sequence) > settled);
            unsettled.for_each(|(at, _)| forgive_direct_writes(image, &truth[*at as usize..]));
            return;
        }
        lies = told;
    }
}

/// Those that the round at the front of these bytes tells of: what is not as it says was never acknowledged.
fn forgive_direct_writes(image: &mut DiskImage, bytes: &[u8]) {
    let Ok(round) = Round::decode(bytes) else { return };
    let mut records = round.records();
    while let Some(Ok(record)) = records.next() {
        let Record::Extent {
            segment,
            position,
            length,
            ..
        } = record
        else {
            continue;
        };
        let begin = layout::SEGMENT_DATA_AT + position.get();
        let name = layout::segment(segment);
        let lies = image.lies().into_iter();
        let own = lies.filter(|lie| lie.path.ends_with(&name) && (begin..begin + length).contains(&lie.at));
        own.for_each(|lie| image.heal(&lie));
    }
}

/// Where the last whole entry of a metadata log begins. See `broker/src/controller/metadata_log.rs`.
fn last_entry(bytes: &[u8]) -> Option<u64> {
    let word = |at: usize| {
        let word = bytes.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*word))
    };
    let (mut at, mut last) = (LOG_HEADER, None);
    while let (Some(length), Some(crc)) = (word(at), word(at + 4)) {
        let end = at + ENTRY_HEADER + length as usize;
        match bytes.get(at + 8..end) {
            Some(body) if crc32c(body) == crc => {}
            _ => break,
        }
        (last, at) = (Some(at as u64), end);
    }
    last
}

/// Whether the broker was closed in good order, and no start has written anything since.
pub fn is_closed(image: &DiskImage) -> bool {
    let mut newest: BTreeMap<JournalId, CheckpointHead> = BTreeMap::new();
    for checkpoint in checkpoints(image) {
        let head = newest
            .entry(checkpoint.head.journal.id)
            .or_insert(checkpoint.head);
        if head.generation < checkpoint.head.generation {
            *head = checkpoint.head;
        }
    }
    newest.values().all(|head| head.clean || head.retired)
}

/// Whatever both slots of all journals should hold.
fn checkpoints(image: &DiskImage) -> Vec<Checkpoint> {
    let paths = image.paths().into_iter();
    paths
        .filter(|path| place_of(path) == Some(Place::Checkpoint))
        .filter_map(|path| Checkpoint::decode(&image.truth(&path)?).ok())
        .collect()
}

fn journal_of(path: &Path) -> Option<JournalId> {
    match layout::FileName::parse(path.file_name()?.to_str()?)? {
        layout::FileName::Journal(id)
        | layout::FileName::Checkpoint(id, _)
        | layout::FileName::Rescue(id) => Some(id),
        _ => None,
    }
}

const SECTOR: u64 = 512;
const LOG_HEADER: usize = 24;
const ENTRY_HEADER: usize = 16;
