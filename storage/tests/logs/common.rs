//! A shard's loop in miniature: drives the logs of one data directory on any ring, and hands out batches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration as StdDuration;

use millstream_log::{LogConfig, PartitionKey};
use millstream_protocol::record::batch::{BatchSummary, BatchView, Batches};
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId,
};
use millstream_ring::simulated::{DiskImage, SimOptions, SimRing, SimWorld};
use millstream_ring::{Ring, Slice, Wait};
use millstream_storage::{
    AppendError, Appended, Booted, KnownTopics, LogEvent, LogId, Now, OpenError, ReadError, ReadId,
    ReadOutcome, ShardLogs, StorageOptions, TopicFate,
};

/// Where the data lie on a simulated disk.
pub const DIR: &str = "/data";
pub const EIO: i32 = 5;

pub fn world() -> SimWorld {
    SimWorld::new(3, SimOptions::default())
}

/// A start, a second after what was before it.
pub fn open(world: &SimWorld) -> Host<SimRing> {
    world.advance(StdDuration::from_secs(1));
    Host::open(world.ring(), Path::new(DIR), &small_options(), 1).unwrap()
}

pub fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

pub fn segments(image: &DiskImage) -> Vec<PathBuf> {
    image
        .paths()
        .into_iter()
        .filter(|path| is_segment(path))
        .collect()
}

pub fn only_segment(image: &DiskImage) -> PathBuf {
    let segments = segments(image);
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments.into_iter().next().unwrap()
}

/// One data directory, open.
pub struct Host<R> {
    pub ring: R,
    pub shards: Vec<ShardLogs>,
    pub events: Vec<LogEvent>,
    pub now: Now,
    pub unclean: bool,
    pub report: Vec<String>,
    /// Deleted topics that the start met.
    pub deleted: BTreeSet<TopicId>,
    /// Tells that the ring will not answer any more.
    pub dead: Box<dyn Fn() -> bool>,
    /// Ended reads that nobody took yet.
    done: BTreeMap<ReadId, Result<Vec<Slice>, ReadError>>,
    next_read: u64,
    _lock: millstream_storage::DirectoryLock,
}

impl<R: Ring> Host<R> {
    pub fn open(ring: R, dir: &Path, options: &StorageOptions, shards: usize) -> Result<Host<R>, OpenError> {
        Host::open_with(ring, dir, options, shards, &|_| TopicFate::Live)
    }

    pub fn open_with(
        ring: R,
        dir: &Path,
        options: &StorageOptions,
        shards: usize,
        topics: &dyn Fn(TopicId) -> TopicFate,
    ) -> Result<Host<R>, OpenError> {
        Host::open_knowing(ring, dir, options, shards, &topics)
    }

    pub fn open_knowing(
        mut ring: R,
        dir: &Path,
        options: &StorageOptions,
        shards: usize,
        topics: &dyn KnownTopics,
    ) -> Result<Host<R>, OpenError> {
        let now = Now {
            monotonic: Instant::from_nanos(1),
            wall: TimestampMs::new(1_700_000_000_000),
        };
        let Booted {
            shards,
            unclean,
            report,
            deleted,
            lock,
            ..
        } = millstream_storage::open(&mut ring, dir, options, shards, topics, 7, now)?;
        Ok(Host {
            ring,
            shards,
            events: Vec::new(),
            now,
            unclean,
            report,
            deleted,
            dead: Box::new(|| false),
            done: BTreeMap::new(),
            next_read: 0,
            _lock: lock,
        })
    }

    /// One turn of every shard; waits up to `wait` for a completion. Time goes on by `wait`.
    pub fn turn(&mut self, wait: StdDuration) {
        let mut events = Vec::new();
        for shard in &mut self.shards {
            shard.turn(&mut self.ring, self.now, &mut events);
        }
        let mut completions = Vec::new();
        self.ring.enter(Wait::Until(wait), &mut completions);
        for completion in completions {
            // One ring for all shards here: a token says its slot, not its shard, so there is one shard.
            assert!(self.shards.len() == 1, "a host of several shards only boots");
            self.shards[0].complete(completion, &mut self.ring, self.now, &mut events);
        }
        self.now.monotonic += Duration::from_nanos(wait.as_nanos() as u64);
        for event in events {
            match event {
                LogEvent::ReadDone { read, result } => drop(self.done.insert(read, result)),
                event => self.events.push(event),
            }
        }
    }

    pub fn logs(&mut self) -> &mut ShardLogs {
        &mut self.shards[0]
    }

    pub fn create(&mut self, partition: i32) -> LogId {
        self.create_with(partition, LogConfig::default())
    }

    pub fn create_with(&mut self, partition: i32, config: LogConfig) -> LogId {
        let now = self.now;
        self.logs().create(key(partition), config, LeaderEpoch::ZERO, now)
    }

    pub fn append(&mut self, log: LogId, batches: &[u8]) -> Result<Appended, AppendError> {
        let summaries: Vec<BatchSummary> = Batches::new(batches)
            .map(|batch| batch.expect("a batch").summary())
            .collect();
        let now = self.now;
        self.logs().append(log, batches, &summaries, now)
    }

    /// As [`Host::append`]; waits where there is too much to do already.
    pub fn append_patiently(&mut self, log: LogId, batches: &[u8]) -> Appended {
        for _ in 0..20_000 {
            match self.append(log, batches) {
                Err(AppendError::Busy) => self.turn(StdDuration::from_millis(1)),
                other => return other.expect("an append that only waits for room"),
            }
        }
        panic!("busy for ever: {}", self.shards[0].describe());
    }

    /// Turns until `done`, or panics after a while.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Host<R>) -> bool) {
        for _ in 0..20_000 {
            if done(self) || (self.dead)() {
                return;
            }
            self.turn(StdDuration::from_millis(1));
        }
        panic!("never came: {what}: {}", self.shards[0].describe());
    }

    /// Turns until a partition is fenced.
    pub fn until_fenced(&mut self) {
        self.until("the fence", |host| host.has_fenced());
    }

    pub fn has_fenced(&self) -> bool {
        let mut events = self.events.iter();
        events.any(|event| matches!(event, LogEvent::Fenced { .. }))
    }

    pub fn flush(&mut self, log: LogId) {
        self.until("the flush", |host| {
            let offsets = host.logs().offsets(log);
            offsets.flushed == offsets.end
        });
    }

    /// Everything from `from` on, up to `max_bytes`.
    pub fn read(&mut self, log: LogId, from: i64, max_bytes: u32) -> Result<Vec<u8>, ReadError> {
        let read = ReadId(self.next_read);
        self.next_read += 1;
        let bound = self.logs().offsets(log).flushed;
        let slices = match self
            .logs()
            .read(log, Offset::new(from), bound, max_bytes, true, read)?
        {
            ReadOutcome::Ready(slices) => slices,
            ReadOutcome::Pending => {
                self.until("a read", |host| host.done.contains_key(&read));
                self.done.remove(&read).unwrap_or(Err(ReadError::Busy))?
            }
        };
        Ok(slices.iter().flat_map(|slice| slice.to_vec()).collect())
    }

    /// What a read ended with that the caller began, once it has.
    pub fn take_done(&mut self, read: ReadId) -> Option<Result<Vec<Slice>, ReadError>> {
        self.done.remove(&read)
    }

    /// Values and offsets of all records from `from` on; every batch's CRC is checked.
    pub fn read_all(
        &mut self,
        log: LogId,
        mut from: i64,
        max_bytes: u32,
    ) -> Result<Vec<(i64, Vec<u8>)>, ReadError> {
        let mut records = Vec::new();
        loop {
            let bytes = self.read(log, from, max_bytes)?;
            if bytes.is_empty() {
                return Ok(records);
            }
            for batch in Batches::new(&bytes) {
                let batch = batch.expect("whole batches");
                batch.verify_crc().expect("an intact batch");
                records.extend(values(&batch).into_iter().filter(|(offset, _)| *offset >= from));
                from = from.max(batch.last_offset().get() + 1);
            }
        }
    }

    pub fn shut_down(mut self) -> R {
        self.logs().begin_shutdown();
        self.until("the end", |host| host.logs().is_quiet());
        self.ring
    }
}

pub fn values(batch: &BatchView<'_>) -> Vec<(i64, Vec<u8>)> {
    let base = batch.base_offset().get();
    batch
        .records()
        .expect("not compressed")
        .enumerate()
        .map(|(index, record)| {
            let record = record.expect("a record");
            (base + index as i64, record.value.expect("a value").to_vec())
        })
        .collect()
}

pub fn key(partition: i32) -> PartitionKey {
    PartitionKey {
        topic: TopicId::new([7; 16]),
        partition: PartitionIndex::new(partition),
    }
}

/// A batch of the given values.
pub fn batch(values: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder = builder.record(TimestampMs::new(1_700_000_000_000), None, Some(value), &[]);
    }
    builder.build()
}

/// A batch of an idempotent producer.
pub fn batch_of(producer: i64, sequence: i32, values: &[&[u8]]) -> Vec<u8> {
    let mut builder = BatchBuilder::new().producer(
        ProducerId::new(producer),
        ProducerEpoch::new(0),
        Sequence::new(sequence),
    );
    for value in values {
        builder = builder.record(TimestampMs::new(1_700_000_000_000), None, Some(value), &[]);
    }
    builder.build()
}

/// A directory of its own, removed at the end.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new(name: &str) -> TempDir {
        let path = std::env::temp_dir().join(format!("millstream-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Small, so that everything wraps.
pub fn small_options() -> StorageOptions {
    let mut options = StorageOptions::for_shards(1);
    options.journal_bytes = 256 << 10;
    options.cache_bytes = 1 << 20;
    options.free_space_bytes_min = 1 << 20;
    options.direct_write_bytes_min = 32 << 10;
    // Some disks are simulated, which no second process can see.
    options.lock = false;
    options
}
