//! Opening a data directory: whose it is, what is in it, and how it becomes the logs of the shards.
//!
//! Place: called once before the shards run, with a ring that nobody else uses yet.
//!
//! ```text
//! lock ─► identity ─► checkpoints ─► journals, replayed ─► extents, verified ─► cuts ─► checkpoints ─► shards
//! ```
//!
//! Invariants: nothing is served before the new checkpoints are durable; a start that is interrupted
//! anywhere and begun again gives the same logs; no segment is deleted unless a committed record says so.

mod accept;
mod door;
mod files;
mod inspect;
mod journals;
mod last_block;
mod lock;
mod look;
mod partitions;
mod recovered_bytes;
mod ring_file;
mod shards;
mod slots;
mod told;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use millstream_log::{FormatError, Identity, PartitionKey, layout};
use millstream_protocol::types::TopicId;
use millstream_ring::{AlignedBuf, Ring};

pub use self::accept::AcceptedLoss;
pub use self::inspect::{Inspected, Watch, inspect};
pub use self::lock::DirectoryLock;
pub use self::look::{Looked, look};
pub use self::partitions::first_missing;
pub use self::told::{Finding, Means};

use self::door::Door;
use self::files::SegmentScan;
use self::partitions::lost_partitions;
use self::told::Told;
use crate::disk_share::DiskShare;
use crate::error::OpenError;
use crate::event::{Now, SpaceReport, SpaceState};
use crate::limits::{BLOCK, JOURNAL_BYTES_MIN};
use crate::options::StorageOptions;
use crate::shard_logs::ShardLogs;

/// What the cluster's metadata says of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicFate {
    Live,
    /// Its deletion is committed: what is left of it goes.
    Deleted,
    /// Never heard of: kept, reported, and served to nobody.
    Unknown,
}

/// What a start asks the cluster's metadata.
pub trait KnownTopics {
    fn fate(&self, topic: TopicId) -> TopicFate;

    /// All partitions of live topics that this directory may hold. Asked for only where a journal is damaged: a
    /// partition that it does not know may then be one that it has lost.
    fn partitions(&self) -> Vec<PartitionKey>;

    /// For the report.
    fn name(&self, topic: TopicId) -> Option<String>;

    /// The end of the metadata cannot be read. After a power cut it may be something that was never committed; after an
    /// orderly end it was.
    fn lacks_its_end(&self) -> bool {
        false
    }

    /// The cluster that it is about; `None` before the first start.
    fn cluster(&self) -> Option<[u8; 16]> {
        None
    }
}

/// For a directory of which nobody knows more.
impl<F: Fn(TopicId) -> TopicFate> KnownTopics for F {
    fn fate(&self, topic: TopicId) -> TopicFate {
        self(topic)
    }

    fn partitions(&self) -> Vec<PartitionKey> {
        Vec::new()
    }

    fn name(&self, _: TopicId) -> Option<String> {
        None
    }
}

/// An open data directory.
pub struct Booted {
    /// One for each shard, to be moved to its thread.
    pub shards: Vec<ShardLogs>,
    /// The directory was not closed in order: leader epochs must rise.
    pub unclean: bool,
    /// The cluster that the data belongs to.
    pub cluster: [u8; 16],
    /// What an operator should know, a line each.
    pub report: Vec<String>,
    /// Deleted topics that were met: another start may meet them again, from the same journals. Of all others nothing
    /// here tells any more, so that the metadata may forget them.
    pub deleted: BTreeSet<TopicId>,
    /// The room on the disk as the shards begin with it.
    pub space: SpaceReport,
    /// Keep it as long as the directory is in use.
    pub lock: DirectoryLock,
}

/// Opens `dir` (made if it does not exist; its parent does) for `shards` shards. `seed` is random:
/// identities come from it.
pub fn open<R: Ring>(
    ring: &mut R,
    dir: &Path,
    options: &StorageOptions,
    shards: usize,
    topics: &dyn KnownTopics,
    seed: u64,
    now: Now,
) -> Result<Booted, OpenError> {
    open_accepting(ring, dir, options, shards, topics, seed, now, &[])
}

/// As [`open`], for an operator who gives up what cannot be read: the named partitions are cut as told and
/// count as sound again. Durable on return; let go of the shards without [`ShardLogs::begin_shutdown`], so
/// that the next start is an unclean one and leader epochs rise over offsets that are given out anew.
#[expect(clippy::too_many_arguments, reason = "what a start needs, and the losses")]
pub fn open_accepting<R: Ring>(
    ring: &mut R,
    dir: &Path,
    options: &StorageOptions,
    shards: usize,
    topics: &dyn KnownTopics,
    seed: u64,
    now: Now,
    losses: &[AcceptedLoss],
) -> Result<Booted, OpenError> {
    assert!(shards > 0 && options.journal_bytes >= JOURNAL_BYTES_MIN);
    let mut door = Door::new(ring);
    let mut random = Random(seed);
    if door.make_dir(dir)?
        && let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty())
    {
        door.sync_dir(parent)?;
    }
    let lock = if options.lock {
        DirectoryLock::acquire(dir)?
    } else {
        DirectoryLock::none()
    };
    let identity = open_identity(&mut door, dir, &mut random, now)?;
    belongs(&identity, topics)?;
    let (mut report, mut deleted) = (Vec::new(), BTreeSet::new());
    let mut found = journals::replay(&mut door, dir, &mut Told::Start(&mut report))?;
    if topics.lacks_its_end() && found.recovered.clean && !found.recovered.journals.is_empty() {
        return Err(OpenError::MetadataLost);
    }
    let lost = lost_partitions(topics, &found.recovered, shards);
    found.recovered.partitions.extend(lost);
    accept::accept_losses(&mut found.recovered.partitions, losses);
    let scan = SegmentScan::new(&mut door, dir)?;
    let opening = shards::Opening {
        dir,
        options,
        shards,
        topics,
        now,
        scan,
        report: &mut report,
        deleted: &mut deleted,
        random: &mut random,
        disk: Arc::new(DiskShare::new()),
    };
    let (mut shards, unclean) = opening.finish(&mut door, found)?;
    let space = look_at_space(ring, dir, options);
    shards.iter_mut().for_each(|shard| shard.space = space.state);
    Ok(Booted {
        shards,
        unclean,
        cluster: identity.cluster,
        report,
        deleted,
        space,
        lock,
    })
}

/// Where nobody can tell, a write that fails will.
fn look_at_space<R: Ring>(ring: &R, dir: &Path, options: &StorageOptions) -> SpaceReport {
    let free = ring.free_space(dir).ok().map(|space| space.free);
    let full = free.is_some_and(|free| free < options.free_space_bytes_min);
    let state = if full {
        SpaceState::Full
    } else {
        SpaceState::Enough
    };
    options.space_report(state, free)
}

fn open_identity<R: Ring>(
    door: &mut Door<'_, R>,
    dir: &Path,
    random: &mut Random,
    now: Now,
) -> Result<Identity, OpenError> {
    let path = dir.join(layout::IDENTITY);
    let names = door.list(dir)?;
    if let Some(entry) = names.iter().find(|entry| entry.name == layout::IDENTITY) {
        let (file, _) = door.open(&path, false)?;
        let bufs = door.read_all(&path, file, entry.size)?;
        door.close(file);
        return decode_identity(&path, bufs.first().map_or(&[], |buf| buf));
    }
    if names
        .iter()
        .any(|entry| layout::FileName::parse(&entry.name).is_some())
    {
        return Err(OpenError::BadIdentity {
            what: missing_identity(dir),
        });
    }
    files::make_folders(door, dir)?;
    let identity = Identity {
        cluster: random.id(),
        directory: random.id(),
        created_at: now.wall,
    };
    // Written under another name first: a half-written identity would look like damage.
    let unfinished = dir.join(UNFINISHED_IDENTITY);
    let (file, _) = door.open(&unfinished, true)?;
    let mut block = AlignedBuf::zeroed(BLOCK as usize);
    block.copy_from_slice(&identity.encode());
    door.write(&unfinished, file, 0, block)?;
    door.close(file);
    door.rename(&unfinished, &path)?;
    door.sync_dir(dir)?;
    Ok(identity)
}

fn decode_identity(path: &Path, block: &[u8]) -> Result<Identity, OpenError> {
    Identity::decode(block).map_err(|error| match error {
        FormatError::NewerVersion(found) => OpenError::NewerFormat {
            found,
            known: layout::FORMAT_VERSION,
        },
        other => OpenError::BadIdentity {
            what: format!("{}: {other}", path.display()),
        },
    })
}

/// An identity and metadata of two clusters: one of them was put here from elsewhere.
fn belongs(identity: &Identity, topics: &dyn KnownTopics) -> Result<(), OpenError> {
    let uuid = |id: [u8; 16]| TopicId::new(id).to_string();
    match topics.cluster() {
        Some(cluster) if cluster != identity.cluster => Err(OpenError::BadIdentity {
            what: format!(
                "it is of cluster {}, and the metadata of cluster {}",
                uuid(identity.cluster),
                uuid(cluster)
            ),
        }),
        _ => Ok(()),
    }
}

fn missing_identity(dir: &Path) -> String {
    let path = dir.join(layout::IDENTITY);
    format!("{} is missing, and the directory is not empty", path.display())
}

/// Identities and nonces from the seed (SplitMix64: Steele, Lea, Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next().to_le_bytes());
        id[8..].copy_from_slice(&self.next().to_le_bytes());
        // A random UUID (RFC 9562, version 4).
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }
}

const UNFINISHED_IDENTITY: &str = "identity.new";
