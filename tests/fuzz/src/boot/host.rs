//! A broker's start and a shard's loop in miniature, on a simulated disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use millstream::controller::metadata_disk::MetadataDisk;
use millstream::controller::metadata_log::{MetadataLog, MetadataStore};
use millstream::startup::metadata;
use millstream_log::{LogConfig, PartitionKey};
use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::cluster::record::{MetadataRecord, encode_batch};
use millstream_protocol::record::batch::{BatchSummary, Batches, patch};
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use millstream_ring::simulated::{OpKind, SimOptions, SimRing, SimWorld};
use millstream_ring::{Ring, Slice, Wait};
use millstream_storage::boot::{self, Finding, Watch};
use millstream_storage::{
    AppendError, LogEvent, LogId, Now, ReadError, ReadId, ReadOutcome, ShardLogs, StorageOptions, shard_of,
};

use super::history::Written;

/// Where the data lie on the simulated disk.
pub const DIR: &str = "/data";

/// One broker, open.
pub struct Host {
    /// What the start says.
    pub report: Vec<String>,
    shards: Vec<Shard>,
    metadata: MetadataLog<MemoryDisk>,
    image: Arc<ClusterImage>,
    now: Now,
    next_read: u64,
}

struct Shard {
    logs: ShardLogs,
    ring: SimRing,
    done: BTreeMap<ReadId, Result<Vec<Slice>, ReadError>>,
}

/// Nobody is told.
struct Unwatched;

impl Watch for Unwatched {
    fn found(&mut self, _: Finding) {}

    fn progress(&mut self, done: u64, of: u64) {
        assert!(done <= of, "{done} bytes of {of}");
    }
}

/// Reads everything as `millstream log verify` does.
pub fn inspect(world: &SimWorld, disk: &MemoryDisk) {
    world.fail_when(|op| match op.kind {
        OpKind::Open | OpKind::Read | OpKind::List => None,
        kind => panic!("a look is a look, and no {kind:?} of {}", op.path.display()),
    });
    let opened = MetadataLog::open_on(disk.clone(), Path::new("metadata"));
    let image = opened
        .ok()
        .and_then(|(_, contents)| metadata::replay(contents).ok());
    let image = image.unwrap_or_else(|| Arc::new(ClusterImage::empty()));
    let topics = metadata::TopicsOf::new(&image);
    let looked = boot::inspect(&mut world.ring(), Path::new(DIR), &topics, &[], &mut Unwatched);
    // What it refuses to read it says, as a start does.
    drop(looked);
}

impl Host {
    /// As the broker starts; the error is what it would say.
    pub fn open(world: &SimWorld, disk: &MemoryDisk, shards: usize) -> Result<Host, String> {
        let now = Now {
            monotonic: Instant::from_nanos(1),
            wall: TimestampMs::new(1_700_000_000_000),
        };
        let place = Path::new("metadata");
        let (mut metadata, contents) =
            MetadataLog::open_on(disk.clone(), place).map_err(|error| error.to_string())?;
        let image = metadata::replay(contents).map_err(|error| error.to_string())?;
        let mut ring = world.ring();
        let topics = metadata::TopicsOf::new(&image);
        let dir = Path::new(DIR);
        let booted = millstream_storage::open(&mut ring, dir, &options(), shards, &topics, 7, now)
            .map_err(|error| error.to_string())?;
        let image =
            metadata::record_start(&mut metadata, image, &booted, 1).map_err(|error| error.to_string())?;
        let shard = |logs| Shard {
            logs,
            ring: world.ring(),
            done: BTreeMap::new(),
        };
        Ok(Host {
            report: booted.report,
            shards: booted.shards.into_iter().map(shard).collect(),
            metadata,
            image,
            now,
            next_read: 0,
        })
    }

    /// Partitions of live topics, the first few of each.
    pub fn keys(&self) -> Vec<PartitionKey> {
        let mut keys = Vec::new();
        for topic in self.image.topics() {
            keys.extend(
                (0..topic.partitions.min(PARTITIONS_MAX)).map(|index| PartitionKey {
                    topic: topic.id,
                    partition: PartitionIndex::new(index as i32),
                }),
            );
        }
        keys
    }

    /// The first offset, and the exclusive end of what is flushed.
    pub fn offsets(&self, key: PartitionKey) -> Option<(i64, i64)> {
        let logs = &self.shards[self.shard(key)].logs;
        let offsets = logs.try_offsets(logs.lookup(key)?)?;
        Some((offsets.start.get(), offsets.flushed.get()))
    }

    /// Some partition takes nothing any more.
    pub fn has_fenced(&self) -> bool {
        let is_fenced = |key: &PartitionKey| self.shards[self.shard(*key)].logs.fenced_at(*key).is_some();
        self.keys().iter().any(is_fenced)
    }

    /// Batches from `from` on, below `end`.
    pub fn read(&mut self, key: PartitionKey, from: i64, end: i64) -> Result<Vec<u8>, ReadError> {
        let shard = self.shard(key);
        let read = ReadId(self.next_read);
        self.next_read += 1;
        let logs = &mut self.shards[shard].logs;
        let log = logs.lookup(key).ok_or(ReadError::UnknownLog)?;
        let (from, end) = (Offset::new(from), Offset::new(end));
        let slices = match logs.read(log, from, end, READ_BYTES, true, read)? {
            ReadOutcome::Ready(slices) => slices,
            ReadOutcome::Pending => {
                self.until("a read", |host| host.shards[shard].done.contains_key(&read));
                self.shards[shard].done.remove(&read).expect("waited for")?
            }
        };
        Ok(slices.iter().flat_map(|slice| slice.to_vec()).collect())
    }

    /// Appends, as to a topic's new partition where there is no log, and notes what the log holds then.
    pub fn append(
        &mut self,
        key: PartitionKey,
        mut batch: Vec<u8>,
        written: &mut Written,
    ) -> Result<(), AppendError> {
        let shard = self.shard(key);
        let log = self.log(key);
        let summaries: Vec<BatchSummary> = Batches::new(&batch)
            .map(|batch| batch.expect("a batch").summary())
            .collect();
        let appended = loop {
            match self.shards[shard].logs.append(log, &batch, &summaries, self.now) {
                Err(AppendError::Busy) => self.turn(),
                other => break other?,
            }
        };
        if !appended.duplicate {
            patch(&mut batch, appended.base_offset, LeaderEpoch::ZERO);
            written.insert((key, appended.base_offset.get()), batch.into());
        }
        Ok(())
    }

    pub fn delete_records(&mut self, key: PartitionKey, before: i64) {
        let shard = self.shard(key);
        let log = self.log(key);
        let result = self.shards[shard]
            .logs
            .delete_records(log, Offset::new(before), self.now);
        result.expect("records that are there");
    }

    /// Commits records of the cluster; what they delete is deleted.
    pub fn commit(&mut self, records: &[MetadataRecord]) {
        self.metadata
            .append(&encode_batch(records))
            .expect("memory takes it");
        let before = self.keys();
        self.image = Arc::new(self.image.apply(records));
        let after = self.keys();
        for key in before.into_iter().filter(|key| !after.contains(key)) {
            let shard = self.shard(key);
            if let Some(log) = self.shards[shard].logs.lookup(key) {
                self.shards[shard].logs.delete(log, self.now);
            }
        }
    }

    /// Puts a snapshot in the place of the metadata's entries.
    pub fn snapshot(&mut self) {
        self.metadata
            .replace(&self.image.encode_snapshot())
            .expect("memory takes it");
    }

    /// Turns until nothing waits for the disk any more, and a while for what the clock asks for.
    pub fn settle(&mut self) {
        for _ in 0..SETTLING_TURNS {
            self.turn();
        }
        self.until("an end", |host| {
            host.shards.iter().all(|shard| shard.ring.in_flight() == 0)
        });
    }

    /// Ends in good order.
    pub fn shut_down(&mut self) {
        self.shards
            .iter_mut()
            .for_each(|shard| shard.logs.begin_shutdown());
        self.until("the end", |host| {
            host.shards.iter().all(|shard| shard.logs.is_quiet())
        });
    }

    pub fn turn(&mut self) {
        let step = StdDuration::from_millis(1);
        for shard in &mut self.shards {
            let mut events = Vec::new();
            let mut completions = Vec::new();
            shard.logs.turn(&mut shard.ring, self.now, &mut events);
            shard.ring.enter(Wait::Until(step), &mut completions);
            for completion in completions {
                shard
                    .logs
                    .complete(completion, &mut shard.ring, self.now, &mut events);
            }
            for event in events {
                if let LogEvent::ReadDone { read, result } = event {
                    shard.done.insert(read, result);
                }
            }
        }
        self.now.monotonic += Duration::from_nanos(step.as_nanos() as u64);
    }

    fn until(&mut self, what: &str, done: impl Fn(&Host) -> bool) {
        for _ in 0..TURNS_MAX {
            if done(self) {
                return;
            }
            self.turn();
        }
        let shards: Vec<String> = self.shards.iter().map(|shard| shard.logs.describe()).collect();
        panic!("never came: {what}: {shards:?}");
    }

    fn log(&mut self, key: PartitionKey) -> LogId {
        let shard = self.shard(key);
        let logs = &mut self.shards[shard].logs;
        match logs.lookup(key) {
            Some(log) => log,
            None => logs.create(key, log_config(), LeaderEpoch::ZERO, self.now),
        }
    }

    fn shard(&self, key: PartitionKey) -> usize {
        shard_of(key, self.shards.len())
    }
}

/// Files of the metadata log, in memory; a handle.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(pub Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

pub fn metadata_disk(files: BTreeMap<String, Vec<u8>>) -> MemoryDisk {
    MemoryDisk(Rc::new(RefCell::new(files)))
}

impl MetadataDisk for MemoryDisk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().keys().cloned().collect())
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let bytes = self.0.borrow().get(name).cloned();
        bytes.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().insert(name.into(), bytes.to_vec());
        Ok(())
    }

    fn write(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.truncate(name, at)?;
        self.0.borrow_mut().entry(name.into()).or_default().extend(bytes);
        Ok(())
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.0
            .borrow_mut()
            .entry(name.into())
            .or_default()
            .truncate(len as usize);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.read(from)?;
        self.remove(from)?;
        self.create(to, &bytes)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.borrow_mut().remove(name);
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Small segments, so that they roll.
pub fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: 96 << 10,
        retention_ms: None,
        ..LogConfig::default()
    }
}

pub fn disk_options() -> SimOptions {
    SimOptions {
        pool_buffers: 1,
        capacity: 64 << 20,
        ..SimOptions::default()
    }
}

/// Small, so that everything wraps.
fn options() -> StorageOptions {
    let mut options = StorageOptions::for_shards(1);
    options.journal_bytes = 256 << 10;
    options.cache_bytes = 64 << 10;
    options.free_space_bytes_min = 1 << 20;
    options.direct_write_bytes_min = 32 << 10;
    options.lock = false;
    options
}

const PARTITIONS_MAX: u32 = 4;
const READ_BYTES: u32 = 64 << 10;
const SETTLING_TURNS: u32 = 60;
const TURNS_MAX: u32 = 20_000;
