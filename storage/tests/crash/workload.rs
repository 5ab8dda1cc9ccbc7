//! One seed's run: some lives of a machine, each ended by a power cut, a kill or an orderly end, and images checked
//! on the way.

use std::time::Duration;

use millstream_log::LogConfig;
use millstream_protocol::types::LeaderEpoch;
use millstream_ring::Ring;
use millstream_ring::simulated::{OpKind, PowerCut, Prng, SimOptions, SimWorld};
use millstream_storage::{AppendError, LogEvent, ReadError, StorageOptions};

use crate::checker::{CAPACITY, Start, check_image, check_killed, check_rot, restart, verify};
use crate::eyes::{Armed, EIO, Eyes, Place};
use crate::host::{Host, Unread};
use crate::model::{Fresh, Model};

/// What goes wrong besides the power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    FullDisk,
    DeviceErrors,
}

/// How long a run is, and where it is crashed.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    pub lives: u32,
    pub steps: u32,
    /// An image is checked once in so many turns.
    pub image_one_in: u64,
    /// The power goes at this flush boundary of the first life.
    pub cut_at: Option<u64>,
}

pub struct Run {
    prng: Prng,
    eyes: Eyes,
    model: Model,
    trouble: Trouble,
    start: Start,
    length: Length,
    /// Appends are small in some runs and large in others.
    large_one_in: u64,
    stopped: bool,
    was_full: bool,
    /// Operations that failed before this life.
    fired: u64,
    trace: u64,
}

/// How a run ended.
pub struct Ended {
    /// Equal for equal seeds.
    pub trace: u64,
    /// Flush boundaries of the first life.
    pub boundaries: u64,
}

impl Run {
    pub fn new(seed: u64, trouble: Trouble, length: Length, eyes: &Eyes) -> Run {
        let mut prng = Prng::new(seed, WORKLOAD_SALT);
        let mut options = StorageOptions::for_shards(1);
        options.retention_every = Duration::ZERO.into();
        options.retention_first_after = Duration::ZERO.into();
        options.journal_bytes = 256 << 10;
        options.cache_bytes = prng.range(1, 9) << 16;
        options.free_space_bytes_min = 256 << 10;
        options.direct_write_bytes_min = prng.range(4, 17) << 12;
        options.open_segments_max = prng.range(2, 20) as usize;
        // Some machines hardly keep an index of a sealed segment in memory.
        options.index_bytes = prng.range(0, 3) << 10;
        options.lock = false;
        let shards = prng.range(1, 3) as usize;
        let large_one_in = prng.range(2, 12);
        Run {
            prng,
            eyes: eyes.clone(),
            model: Model::new(),
            trouble,
            start: Start { options, shards },
            length,
            large_one_in,
            stopped: false,
            was_full: false,
            fired: eyes.fired(),
            trace: 0,
        }
    }

    /// Lives all lives; the error says what was not as it must be.
    pub fn go(mut self) -> Result<Ended, String> {
        let mut world = SimWorld::new(self.prng.next(), SimOptions::default());
        self.eyes.watch(&world, self.start.options.direct_write_bytes_min);
        if let Some(boundary) = self.length.cut_at {
            world.cut_power_at(PowerCut::AtBoundary(boundary));
        }
        let fate = |_| millstream_storage::TopicFate::Live;
        let mut host = match Host::start(&world, &self.start.options, self.start.shards, &fate) {
            Ok(host) => Some(host),
            Err(_) if world.is_off() => None,
            Err(error) => return Err(format!("an empty directory does not open: {error}")),
        };
        for _ in 0..self.prng.range(2, 7) {
            self.add_partition(host.as_mut());
        }
        let mut boundaries = 0;
        for life in 0..self.length.lives {
            if let Some(host) = &mut host {
                self.live(host).map_err(|error| format!("life {life}: {error}"))?;
            }
            if life == 0 {
                boundaries = world.boundaries();
            }
            self.trace = self.trace.rotate_left(7) ^ world.trace();
            (world, host) = self
                .end_life(&world, host)
                .map_err(|error| format!("the end of life {life}: {error}"))?;
        }
        if let Some(host) = &mut host {
            self.come_to_rest(host)
                .map_err(|error| format!("at the end: {error}"))?;
        }
        Ok(Ended {
            trace: self.trace ^ world.trace(),
            boundaries,
        })
    }

    fn live(&mut self, host: &mut Host) -> Result<(), String> {
        for _ in 0..self.length.steps {
            self.step(host)?;
            for _ in 0..self.prng.range(0, 4) {
                self.turn(host)?;
            }
            if host.is_off() {
                return Ok(());
            }
        }
        if self.prng.one_in(3) && self.length.cut_at.is_none() {
            self.come_to_rest(host)?;
        }
        Ok(())
    }

    fn step(&mut self, host: &mut Host) -> Result<(), String> {
        let index = self.prng.index(self.model.partitions.len());
        match self.prng.range(0, 100) {
            0..54 => self.append(host, index),
            54..62 => self.retry(host, index),
            62..72 => self.fetch(host, index),
            72..76 => self.delete_records(host, index),
            76 => self.delete_partition(host, index),
            77 => {
                self.add_partition(Some(host));
                Ok(())
            }
            78..80 => self.sleep(host),
            80..82 => self.raise_epoch(host, index),
            82..86 => self.make_trouble(host),
            86..89 => self.wait_for_flushes(host),
            _ => self.turn(host),
        }
    }

    fn turn(&mut self, host: &mut Host) -> Result<(), String> {
        let step = Duration::from_micros(self.prng.range(10, 400));
        self.turn_for(host, step)
    }

    fn turn_for(&mut self, host: &mut Host, step: Duration) -> Result<(), String> {
        host.begin_turn(step);
        self.absorb(host)?;
        if !host.is_off() && self.prng.one_in(self.length.image_one_in) {
            self.check(host)?;
        }
        host.end_turn();
        self.absorb(host)
    }

    fn check(&mut self, host: &Host) -> Result<(), String> {
        let image = host.world.crash(self.prng.next());
        let mut start = self.start.clone();
        // New journals need room.
        if self.prng.one_in(4) && self.trouble != Trouble::FullDisk {
            start.shards = 3 - start.shards;
        }
        check_image(&image, &self.model, &start, &mut self.prng, &self.eyes)
            .map_err(|error| format!("power cut after {:?}: {error}", host.world.now()))
    }

    /// Takes in what the logs told.
    fn absorb(&mut self, host: &mut Host) -> Result<(), String> {
        for (key, event) in std::mem::take(&mut host.events) {
            self.take_event(key, event)?;
        }
        for partition in self
            .model
            .partitions
            .iter_mut()
            .filter(|partition| !partition.deleted)
        {
            let Some(offsets) = host.offsets(partition.key) else {
                continue;
            };
            let (flushed, end) = (offsets.flushed.get(), offsets.end.get());
            if partition.hurt {
                // A log that fails goes back to what was acknowledged.
                partition.give_up(end);
            }
            if flushed > end || end != partition.end() && partition.end() > 0 || flushed < partition.flushed {
                let expected = (partition.flushed, partition.end());
                return Err(format!(
                    "partition {}: {offsets:?}, expected {expected:?}",
                    partition.key
                ));
            }
            partition.flushed = flushed;
            partition.start_latest = partition.start_latest.max(offsets.start.get());
        }
        Ok(())
    }

    fn take_event(
        &mut self,
        key: Option<millstream_log::PartitionKey>,
        event: LogEvent,
    ) -> Result<(), String> {
        let errors = self.eyes.fired() > self.fired;
        match event {
            LogEvent::StartMoved { start, .. } => {
                let partition = self.model.find_mut(key.expect("a log of the host"));
                partition.start_durable = partition.start_durable.max(start.get());
                self.eyes.mark("records deleted");
            }
            LogEvent::Deleted { key } => {
                if !self.model.find(key).deleted {
                    return Err(format!("partition {key} was deleted by nobody"));
                }
                self.eyes.mark("partition deleted");
            }
            LogEvent::Fenced { key, reason, .. } => {
                // One that the start fenced may turn out to be worse than that.
                if !errors && !self.model.find(key).hurt {
                    return Err(format!("nothing failed, and a partition is fenced: {reason}"));
                }
                self.model.find_mut(key).hurt = true;
                self.eyes.mark("partition fenced by an error");
            }
            LogEvent::WritesStopped { reason } => {
                if !errors {
                    return Err(format!("nothing failed, and writes stopped: {reason}"));
                }
                self.stopped = true;
                self.eyes.mark("writes stopped by an error");
            }
            LogEvent::Flushed { upto, .. } => {
                let partition = self.model.find(key.expect("a log of the host"));
                if !partition.deleted && upto.get() > partition.end() {
                    return Err(format!("{upto} is flushed, {} was sent", partition.end()));
                }
            }
            LogEvent::Warning { reason } if reason.contains("it is rebuilt") => {
                if !errors && !self.model.partitions.iter().any(|partition| partition.hurt) {
                    return Err(format!("nothing failed, and an index is gone: {reason}"));
                }
                self.eyes.mark("index rebuilt");
            }
            LogEvent::StartRaised { .. }
            | LogEvent::ReadDone { .. }
            | LogEvent::TimeFound { .. }
            | LogEvent::Space(_)
            | LogEvent::Stall(_)
            | LogEvent::Warning { .. } => {}
        }
        Ok(())
    }

    fn add_partition(&mut self, host: Option<&mut Host>) {
        if self.model.partitions.len() >= PARTITIONS_MAX {
            return;
        }
        let config = LogConfig {
            segment_bytes: self.prng.range(64, 257) << 10,
            retention_bytes: self.prng.one_in(4).then(|| self.prng.range(1, 4) << 17),
            ..LogConfig::default()
        };
        let index = self.model.add(config.clone());
        if let Some(host) = host {
            host.create(self.model.partitions[index].key, config, LeaderEpoch::ZERO);
        }
    }

    fn append(&mut self, host: &mut Host, index: usize) -> Result<(), String> {
        if self.model.partitions[index].deleted {
            return Ok(());
        }
        let producer = (!self.prng.one_in(3)).then(|| self.prng.range(1, 3) as i64);
        let producer = producer.filter(|id| self.model.partitions[index].in_flight(*id) < 3);
        let mut batches: Vec<Fresh> = Vec::new();
        let mut pending = 0;
        for _ in 0..1 + self.prng.range(0, 8) / 6 {
            let records = self.prng.range(1, 4) as i32;
            let bytes = match self.prng.next() {
                draw if draw.is_multiple_of(self.large_one_in) => self.prng.range(20 << 10, 150 << 10),
                draw if draw % 5 < 2 => self.prng.range(1 << 10, 8 << 10),
                _ => self.prng.range(10, 600),
            };
            let fresh = self
                .model
                .fresh(index, producer, pending, records, bytes as usize);
            pending += records;
            batches.push(fresh);
        }
        let bytes = batches.concat_raw();
        let partition = &mut self.model.partitions[index];
        match host.append(partition.key, &bytes) {
            Ok(appended) if appended.duplicate => Err(format!("new batches taken for old: {appended:?}")),
            Ok(appended) => {
                let expected = partition.end();
                let (base, last) = (appended.base_offset.get(), appended.last_offset.get());
                match base == expected && partition.accepted(base, last, &batches) {
                    true => Ok(()),
                    false => Err(format!("{appended:?}, expected to begin at {expected}")),
                }
            }
            Err(error) => self.refused(index, error),
        }
    }

    fn refused(&mut self, index: usize, error: AppendError) -> Result<(), String> {
        let partition = &self.model.partitions[index];
        let right = match error {
            AppendError::Busy => true,
            AppendError::NoSpace => {
                self.eyes.mark("full disk");
                self.was_full = true;
                self.trouble == Trouble::FullDisk
            }
            AppendError::Fenced => partition.hurt,
            AppendError::WritesStopped => self.stopped,
            AppendError::Refused(_) | AppendError::UnknownLog => false,
        };
        match right {
            true => Ok(()),
            false => Err(format!(
                "partition {}: an append is refused: {error:?}",
                partition.key
            )),
        }
    }

    /// Sends one of a producer's last batches again.
    fn retry(&mut self, host: &mut Host, index: usize) -> Result<(), String> {
        let partition = &self.model.partitions[index];
        if partition.deleted {
            return Ok(());
        }
        let producer = self.prng.range(1, 3) as i64;
        let recent = partition
            .sent
            .iter()
            .rev()
            .filter(|sent| sent.producer == Some(producer))
            .take(5);
        let recent: Vec<_> = recent.cloned().collect();
        if recent.is_empty() {
            return Ok(());
        }
        // A start that cut the log knows fewer of the older batches.
        let limit = if partition.sent.iter().any(|sent| sent.old) {
            recent.len().min(2)
        } else {
            recent.len()
        };
        let sent = &recent[self.prng.index(limit)];
        match host.append(partition.key, &sent.raw) {
            Ok(appended) => {
                let right = appended.duplicate
                    && (appended.base_offset.get(), appended.last_offset.get()) == (sent.base, sent.last);
                if !right {
                    let expected = (sent.base, sent.last);
                    return Err(format!(
                        "a batch sent again at {expected:?} is answered {appended:?}"
                    ));
                }
                self.eyes.mark(match sent.old {
                    true => "duplicate recognised after a restart",
                    false => "duplicate recognised",
                });
                Ok(())
            }
            Err(error) => self.refused(index, error),
        }
    }

    fn fetch(&mut self, host: &mut Host, index: usize) -> Result<(), String> {
        let partition = &self.model.partitions[index];
        let Some(offsets) = host
            .offsets(partition.key)
            .filter(|offsets| offsets.start < offsets.flushed)
        else {
            return Ok(());
        };
        let from = self
            .prng
            .range(offsets.start.get() as u64, offsets.flushed.get() as u64) as i64;
        let max_bytes = 1 << self.prng.range(8, 18);
        let result = host.read(partition.key, from, max_bytes);
        self.absorb(host)?;
        let errors = self.eyes.fired() > self.fired;
        let partition = &self.model.partitions[index];
        match result {
            Ok((bytes, cold)) => {
                self.eyes
                    .mark(if cold { "cold read" } else { "read from memory" });
                let next = partition
                    .compare(from, &bytes)
                    .map_err(|lie| format!("partition {}: {lie}", partition.key))?;
                let start = host
                    .offsets(partition.key)
                    .map_or(0, |offsets| offsets.start.get());
                match next > from || from < start {
                    true => Ok(()),
                    false => Err(format!(
                        "partition {}: nothing is served from {from} on",
                        partition.key
                    )),
                }
            }
            Err(Unread::PowerLost | Unread::Refused(ReadError::Busy | ReadError::OutOfRange { .. })) => {
                Ok(())
            }
            Err(Unread::Refused(ReadError::Device { .. } | ReadError::Fenced { .. }))
                if errors || partition.hurt =>
            {
                self.eyes.mark("read refused by an error");
                Ok(())
            }
            Err(error) => Err(format!(
                "partition {}: a read from {from}: {error:?}",
                partition.key
            )),
        }
    }

    fn delete_records(&mut self, host: &mut Host, index: usize) -> Result<(), String> {
        let partition = &mut self.model.partitions[index];
        if partition.deleted || partition.flushed <= partition.start_latest {
            return Ok(());
        }
        let before = self
            .prng
            .range(partition.start_latest as u64, partition.flushed as u64 + 1) as i64;
        if host.delete_records(partition.key, before) {
            partition.start_latest = partition.start_latest.max(before);
        }
        Ok(())
    }

    fn delete_partition(&mut self, host: &mut Host, index: usize) -> Result<(), String> {
        let live = self
            .model
            .partitions
            .iter()
            .filter(|partition| !partition.deleted)
            .count();
        let partition = &mut self.model.partitions[index];
        if live > 2 && !partition.deleted {
            partition.deleted = true;
            host.delete(partition.key);
        }
        Ok(())
    }

    fn raise_epoch(&mut self, host: &mut Host, index: usize) -> Result<(), String> {
        let partition = &mut self.model.partitions[index];
        partition.epoch = LeaderEpoch::new(partition.epoch.get() + 1);
        if let Some(log) = host.lookup(partition.key) {
            host.of(partition.key).set_epoch(log, partition.epoch);
        }
        Ok(())
    }

    /// Some seconds without appends: blocks are padded, the journal settles, retention looks around.
    fn sleep(&mut self, host: &mut Host) -> Result<(), String> {
        let mut left = self.prng.range(5, 70);
        while left > 0 && !host.is_off() {
            self.turn_for(host, Duration::from_millis(100))?;
            left -= 1;
        }
        Ok(())
    }

    fn make_trouble(&mut self, host: &mut Host) -> Result<(), String> {
        match self.trouble {
            Trouble::None => {}
            Trouble::FullDisk => {
                let used = used_bytes(host);
                let capacity = match self.prng.one_in(2) {
                    true => used + self.prng.range(0, 1 << 20),
                    false => CAPACITY,
                };
                host.world.set_capacity(capacity);
            }
            Trouble::DeviceErrors => {
                let targets = [
                    (OpKind::Write, Place::Segment),
                    (OpKind::Write, Place::Segment),
                    (OpKind::Write, Place::Segment),
                    (OpKind::Read, Place::Segment),
                    (OpKind::Allocate, Place::Segment),
                    (OpKind::Open, Place::Segment),
                    (OpKind::Write, Place::Journal),
                    (OpKind::Write, Place::Checkpoint),
                    (OpKind::Write, Place::Sidecar),
                    (OpKind::Read, Place::Sidecar),
                    (OpKind::Open, Place::Sidecar),
                ];
                let (kind, place) = targets[self.prng.index(targets.len())];
                let after = self.prng.range(0, 4);
                self.eyes.arm(Armed {
                    kind,
                    place,
                    errno: EIO,
                    after,
                });
            }
        }
        Ok(())
    }

    /// Waits until everything is flushed, as far as trouble allows; then looks for damage at rest.
    fn wait_for_flushes(&mut self, host: &mut Host) -> Result<(), String> {
        for _ in 0..300 {
            if host.is_off() || self.is_flushed() {
                break;
            }
            self.turn(host)?;
        }
        if !self.is_flushed() || host.is_off() || !self.prng.one_in(3) {
            return Ok(());
        }
        for _ in 0..5 {
            host.turn(Duration::from_millis(20));
            self.absorb(host)?;
        }
        // Now the journal says that all of it is settled, unless it takes nothing any more: then damage in its last
        // round looks like one that was being written.
        if host.is_off() || self.stopped {
            return Ok(());
        }
        let image = host.world.image();
        check_rot(&image, &self.model, &self.start, &mut self.prng, &self.eyes)
    }

    fn is_flushed(&self) -> bool {
        let settled = |partition: &crate::model::Partition| {
            partition.deleted || partition.hurt || partition.flushed == partition.end()
        };
        self.model.partitions.iter().all(settled)
    }

    /// Trouble over, everything that is healthy must come to be flushed, and take more.
    fn come_to_rest(&mut self, host: &mut Host) -> Result<(), String> {
        host.world.set_capacity(CAPACITY);
        self.eyes.disarm();
        for turn in 0..REST_TURNS_MAX {
            if self.stopped || host.is_off() || self.is_flushed() {
                break;
            }
            let step = if turn < 1000 {
                Duration::from_micros(200)
            } else {
                Duration::from_millis(10)
            };
            host.turn(step);
            self.absorb(host)?;
        }
        if !self.stopped && !host.is_off() && !self.is_flushed() {
            return Err(format!("never flushed: {}", host.describe()));
        }
        for index in 0..self.model.partitions.len() {
            self.goes_on(host, index)?;
        }
        Ok(())
    }

    fn goes_on(&mut self, host: &mut Host, index: usize) -> Result<(), String> {
        for _ in 0..REST_TURNS_MAX {
            let partition = &self.model.partitions[index];
            let end = partition.end();
            if self.stopped || host.is_off() || partition.deleted || partition.hurt {
                return Ok(());
            }
            self.append(host, index)?;
            if self.model.partitions[index].end() > end {
                if std::mem::take(&mut self.was_full) {
                    self.eyes.mark("full disk got over");
                }
                return Ok(());
            }
            host.turn(Duration::from_millis(5));
            self.absorb(host)?;
        }
        let key = self.model.partitions[index].key;
        Err(format!(
            "partition {key} takes nothing any more: {}",
            host.describe()
        ))
    }

    /// Ends a life in one of three ways, and begins the next with what is left.
    fn end_life(
        &mut self,
        world: &SimWorld,
        mut host: Option<Host>,
    ) -> Result<(SimWorld, Option<Host>), String> {
        self.eyes.disarm();
        let way = self.prng.range(0, 10);
        let mut orderly = false;
        if let Some(host) = host.as_mut().filter(|host| way < 2 && !host.is_off()) {
            host.world.set_capacity(CAPACITY);
            if !host.shut_down() {
                return Err(format!("no orderly end: {}", host.describe()));
            }
            self.absorb(host)?;
            orderly = !self.stopped && !self.model.partitions.iter().any(|partition| partition.hurt);
            self.eyes.mark("orderly end");
        } else if way < 4 && !world.is_off() {
            self.eyes.mark("killed without a power cut");
        }
        drop(host);
        if world.is_off() && self.length.cut_at.is_some() {
            self.eyes.mark("power cut at a boundary");
        }
        let mut image = match way {
            0..2 if !world.is_off() => world.image(),
            2..4 if !world.is_off() => world.kill(self.prng.next()),
            _ => world.crash(self.prng.next()),
        };
        image.set_capacity(CAPACITY);
        if self.prng.one_in(4) {
            self.start.shards = 3 - self.start.shards;
            self.eyes.mark("number of shards changed");
        }
        let check = match way {
            2..4 if !world.is_off() => check_killed,
            _ => check_image,
        };
        check(&image, &self.model, &self.start, &mut self.prng, &self.eyes)?;
        let eyes = self.eyes.clone();
        let interrupted = (!orderly && self.prng.one_in(3)).then_some(&eyes);
        let (world, mut host) = restart(&image, &self.model, &self.start, &mut self.prng, interrupted)?;
        if orderly && host.unclean {
            return Err("an orderly end was not remembered".to_owned());
        }
        self.eyes.watch(&world, self.start.options.direct_write_bytes_min);
        self.begin_life(&mut host, orderly)?;
        Ok((world, Some(host)))
    }

    fn begin_life(&mut self, host: &mut Host, orderly: bool) -> Result<(), String> {
        self.stopped = false;
        self.fired = self.eyes.fired();
        for found in verify(host, &self.model)? {
            let partition = &mut self.model.partitions[found.index];
            if orderly && !partition.deleted && found.end != partition.end() {
                return Err(format!("an orderly end lost {}..{}", found.end, partition.end()));
            }
            let key = partition.key;
            if host.of(key).fenced_at(key).is_some() {
                partition.sent.retain(|sent| sent.last < found.end);
                partition.flushed = partition.flushed.min(found.end);
                continue;
            }
            partition.hurt = false;
            partition.recovered(found.start, found.end);
            partition.epoch = LeaderEpoch::new(partition.epoch.get() + 1);
            if partition.deleted {
                continue;
            }
            match host.lookup(key) {
                Some(log) => {
                    host.of(key).set_config(log, partition.config.clone());
                    host.of(key).set_epoch(log, partition.epoch);
                }
                None => host.create(key, partition.config.clone(), partition.epoch),
            }
        }
        Ok(())
    }
}

trait ConcatRaw {
    fn concat_raw(&self) -> Vec<u8>;
}

impl ConcatRaw for Vec<Fresh> {
    fn concat_raw(&self) -> Vec<u8> {
        self.iter()
            .map(|fresh| &fresh.raw[..])
            .collect::<Vec<_>>()
            .concat()
    }
}

fn used_bytes(host: &Host) -> u64 {
    let ring = host.world.ring();
    let space = ring.free_space(std::path::Path::new("/data")).expect("a disk");
    space.total - space.free
}

/// Tells the workload's chance from the simulator's, which has the same seed.
const WORKLOAD_SALT: u64 = 0x1f;
const PARTITIONS_MAX: usize = 12;
const REST_TURNS_MAX: u32 = 4000;
