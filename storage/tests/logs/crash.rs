//! Random lives of a shard on a simulated disk, each ended by a power cut; what must hold after it.
//!
//! A failing run prints its seed and cut; `MILLSTREAM_CRASH=SEED` (or `SEED:BOUNDARY`) runs it alone, and
//! `MILLSTREAM_CRASH_SEEDS=FROM..TO` runs a range.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::common::{Host, batch, batch_of, small_options};
use millstream_log::{LogConfig, PartitionKey};
use millstream_protocol::types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use millstream_ring::simulated::{DiskImage, PowerCut, Prng, SimOptions, SimRing, SimWorld};
use millstream_storage::{AppendError, LogEvent, LogId, StorageOptions, TopicFate};

#[test]
fn every_life_survives_a_cut_somewhere() {
    if let Some((seed, boundary)) = asked_for() {
        return match boundary {
            Some(boundary) => drop(first_life_cut_at(seed, boundary)),
            None => lives(seed),
        };
    }
    for seed in seeds(0..60) {
        lives(seed);
    }
}

#[test]
fn a_short_life_survives_a_cut_at_every_flush() {
    if asked_for().is_some() {
        return;
    }
    for seed in seeds(1000..1004) {
        let mut boundary = 0;
        while first_life_cut_at(seed, boundary) {
            boundary += 1;
        }
        assert!(boundary > 40, "seed {seed} has only {boundary} flush boundaries");
    }
}

/// A killed process leaves in the cache what it had not flushed. The next one finds it and serves it, so a power cut
/// after that start takes none of it.
#[test]
fn what_a_start_finds_after_a_kill_survives_a_power_cut() {
    for seed in seeds(2000..2030) {
        let mut random = Prng::new(seed, LIFE_SALT);
        let mut model = Model::default();
        let world = world_on(&None, seed);
        live(&world, &mut model, &mut random, 60, seed);
        let mut image = world.kill(seed);
        for _ in 0..2 {
            let world = world_on(&Some(image), seed + 1);
            let mut host = open(&world, &model).expect("a start without faults");
            model.check(&mut host);
            image = world.crash(seed);
        }
    }
}

/// Several lives on one disk, each cut at a random moment; starts are cut as well.
fn lives(seed: u64) {
    let _note = OnPanic(format!("MILLSTREAM_CRASH={seed}"));
    let mut random = Prng::new(seed, LIFE_SALT);
    let mut model = Model::default();
    let mut image: Option<DiskImage> = None;
    for life in 0..4 {
        let world = world_on(&image, seed * 100 + life);
        let cut = match random.below(3) {
            0 => PowerCut::AtBoundary(600 + random.below(60)),
            1 => PowerCut::AtBoundary(600 + random.below(2000)),
            _ => PowerCut::AtEvent(1500 + random.below(6000)),
        };
        world.cut_power_at(if life == 0 { cut } else { earlier(cut, &mut random) });
        image = Some(live(&world, &mut model, &mut random, 400, seed * 100 + life));
    }
    // Without a cut all that was acknowledged is there, and is there again.
    let world = world_on(&image, seed * 100 + 50);
    let mut host = open(&world, &model).expect("a start without faults");
    model.check(&mut host);
    drop(host);
    world.advance(Duration::from_secs(1));
    let mut host = open(&world, &model).expect("a start without faults");
    model.check(&mut host);
}

/// One small life cut at the given flush boundary; tells whether the life was long enough for that.
fn first_life_cut_at(seed: u64, boundary: u64) -> bool {
    let _note = OnPanic(format!("MILLSTREAM_CRASH={seed}:{boundary}"));
    let mut random = Prng::new(seed, LIFE_SALT);
    let mut model = Model::default();
    let world = world_on(&None, seed);
    world.cut_power_at(PowerCut::AtBoundary(boundary));
    let image = live(&world, &mut model, &mut random, 60, seed);
    if !world.is_off() {
        return false;
    }
    let world = world_on(&Some(image), seed + 1);
    let mut host = open(&world, &model).expect("a start without faults");
    model.check(&mut host);
    true
}

/// Opens the directory, checks it against the model, then works until the power goes or the steps are done.
fn live(world: &SimWorld, model: &mut Model, random: &mut Prng, steps: u32, seed: u64) -> DiskImage {
    if let Some(mut host) = open(world, model) {
        model.check(&mut host);
        for _ in 0..steps {
            if world.is_off() {
                break;
            }
            step(&mut host, model, random);
        }
        model.note(&mut host);
    } else {
        assert!(world.is_off(), "a start fails only when the power goes");
    }
    world.crash(seed)
}

fn step(host: &mut Host<SimRing>, model: &mut Model, random: &mut Prng) {
    let partition = random.below(PARTITIONS) as i32;
    match random.below(20) {
        0..=10 => append(host, model, partition, random),
        11 if random.below(4) == 0 => delete(host, model, partition),
        12 => delete_records(host, model, partition, random),
        13 => {
            // Idle for a while.
            host.now.monotonic += millstream_protocol::time::Duration::from_secs(1 + random.below(9));
        }
        _ => {}
    }
    for _ in 0..random.below(4) {
        host.turn(Duration::from_micros(100 + random.below(900)));
    }
    model.note(host);
}

fn append(host: &mut Host<SimRing>, model: &mut Model, partition: i32, random: &mut Prng) {
    let log = match host.logs().lookup(key(partition)) {
        Some(log) => log,
        None if model.of(partition).deleted => return,
        None => create(host, partition),
    };
    let sent = model.of(partition);
    let idempotent = partition % 2 == 0;
    if idempotent && sent.in_flight() >= IN_FLIGHT_MAX {
        return;
    }
    let size = match random.below(10) {
        0 => 20_000 + random.below(60_000),
        1..=2 => 3000 + random.below(6000),
        _ => 1 + random.below(900),
    };
    let value = |count: u64| {
        let mut value = format!("{partition}/{count}/").into_bytes();
        value.resize(value.len() + size as usize, b'a' + (count % 26) as u8);
        value
    };
    let values: Vec<Vec<u8>> = (0..1 + random.below(3))
        .map(|more| value(sent.next_value + more))
        .collect();
    let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let bytes = if idempotent {
        batch_of(100 + i64::from(partition), sent.sequence, &slices)
    } else {
        batch(&slices)
    };
    match host.append(log, &bytes) {
        Ok(appended) => {
            assert!(
                !appended.duplicate,
                "partition {partition}: a new batch taken for an old one"
            );
            assert_eq!(
                appended.base_offset.get(),
                sent.end(),
                "partition {partition}: offsets are dense"
            );
            sent.next_value += values.len() as u64;
            if idempotent {
                sent.batches
                    .push((sent.sequence, appended.base_offset.get(), values.clone()));
                sent.sequence += values.len() as i32;
            }
            sent.records.extend(values);
        }
        Err(AppendError::Busy) => {}
        Err(error) => panic!("partition {partition}: {error:?}"),
    }
}

fn delete(host: &mut Host<SimRing>, model: &mut Model, partition: i32) {
    if let Some(log) = host.logs().lookup(key(partition)) {
        let now = host.now;
        host.logs().delete(log, now);
        model.of(partition).deleted = true;
    }
}

fn delete_records(host: &mut Host<SimRing>, model: &mut Model, partition: i32, random: &mut Prng) {
    let Some(log) = host.logs().lookup(key(partition)) else {
        return;
    };
    let offsets = host.logs().offsets(log);
    let before = offsets.start.get() + random.below((offsets.flushed - offsets.start) as u64 + 1) as i64;
    let now = host.now;
    if let Ok(start) = host.logs().delete_records(log, Offset::new(before), now) {
        let sent = model.of(partition);
        sent.start_asked = sent.start_asked.max(start.get());
    }
}

fn create(host: &mut Host<SimRing>, partition: i32) -> LogId {
    let config = LogConfig {
        segment_bytes: 60_000,
        retention_ms: None,
        ..LogConfig::default()
    };
    let now = host.now;
    host.logs().create(key(partition), config, LeaderEpoch::ZERO, now)
}

/// What was asked for and what was promised.
#[derive(Default)]
struct Model {
    partitions: BTreeMap<i32, Sent>,
}

#[derive(Default)]
struct Sent {
    /// By offset, from 0 on.
    records: Vec<Vec<u8>>,
    next_value: u64,
    /// Of the idempotent producer.
    sequence: i32,
    batches: Vec<(i32, i64, Vec<Vec<u8>>)>,
    /// Everything below was told to be durable.
    flushed: i64,
    start_asked: i64,
    start_told: i64,
    deleted: bool,
    deletion_told: bool,
}

impl Sent {
    fn end(&self) -> i64 {
        self.records.len() as i64
    }

    /// Batches of the idempotent producer that were not acknowledged.
    fn in_flight(&self) -> usize {
        let open = |(_, base, values): &&(i32, i64, Vec<Vec<u8>>)| base + values.len() as i64 > self.flushed;
        self.batches.iter().rev().take_while(open).count()
    }
}

impl Model {
    fn of(&mut self, partition: i32) -> &mut Sent {
        self.partitions.entry(partition).or_default()
    }

    /// Takes in what the logs promised since the last call.
    fn note(&mut self, host: &mut Host<SimRing>) {
        let known: BTreeMap<LogId, i32> = host.shards[0]
            .logs()
            .map(|(log, key)| (log, key.partition.get()))
            .collect();
        for event in host.events.drain(..) {
            match event {
                LogEvent::Flushed { log, upto } => {
                    if let Some(partition) = known.get(&log) {
                        let sent = self.of(*partition);
                        sent.flushed = sent.flushed.max(upto.get());
                    }
                }
                LogEvent::StartMoved { log, start } => {
                    if let Some(partition) = known.get(&log) {
                        self.of(*partition).start_told = start.get();
                    }
                }
                LogEvent::Deleted { key } => self.of(key.partition.get()).deletion_told = true,
                LogEvent::Fenced { reason, .. } | LogEvent::WritesStopped { reason } => panic!("{reason}"),
                LogEvent::Warning { reason } if reason.contains("it is rebuilt") => panic!("{reason}"),
                _ => {}
            }
        }
    }

    /// What a start found must lie between what was promised and what was sent; the model goes on from what
    /// was found.
    fn check(&mut self, host: &mut Host<SimRing>) {
        let bad = host.report.iter().find(|line| !line.contains("not acknowledged"));
        assert!(bad.is_none(), "a power cut leaves no damage: {:?}", host.report);
        for (partition, sent) in &mut self.partitions {
            match host.logs().lookup(key(*partition)) {
                None => {
                    assert!(sent.deleted || sent.flushed == 0, "partition {partition} is lost");
                    if !sent.deleted {
                        *sent = Sent::default();
                    }
                }
                Some(log) => {
                    assert!(!sent.deletion_told, "partition {partition} came back");
                    sent.deleted = false;
                    check_partition(host, *partition, log, sent);
                }
            }
        }
    }
}

fn check_partition(host: &mut Host<SimRing>, partition: i32, log: LogId, sent: &mut Sent) {
    let config = LogConfig {
        segment_bytes: 60_000,
        retention_ms: None,
        ..LogConfig::default()
    };
    host.logs().set_config(log, config);
    let offsets = host.logs().offsets(log);
    let (start, end) = (offsets.start.get(), offsets.end.get());
    assert_eq!(offsets.flushed, offsets.end);
    assert!(
        end >= sent.flushed,
        "partition {partition}: flushed to {}, found to {end}: {:?}",
        sent.flushed,
        host.report
    );
    assert!(
        end <= sent.end(),
        "partition {partition}: sent to {}, found to {end}",
        sent.end()
    );
    assert!(
        start >= sent.start_told,
        "partition {partition}: deleted records came back"
    );
    assert!(
        start <= sent.start_asked,
        "partition {partition}: records are gone that nobody deleted"
    );
    let records = match host.read_all(log, start, 40_000) {
        Ok(records) => records,
        Err(_) if (host.dead)() => return,
        Err(error) => panic!("partition {partition}: {error:?}"),
    };
    assert_eq!(
        records.len() as i64,
        end - start,
        "partition {partition}: offsets are dense"
    );
    for (offset, value) in records {
        assert!(
            value == sent.records[offset as usize],
            "partition {partition}: offset {offset} differs"
        );
    }
    let repeatable = sent.batches.len().saturating_sub(IN_FLIGHT_MAX);
    let repeatable: Vec<_> = sent.batches.split_off(repeatable);
    // Older ones were acknowledged before the newest was sent: no client repeats them, now or later.
    sent.batches = repeatable.clone();
    sent.records.truncate(end as usize);
    sent.batches
        .retain(|(_, base, values)| base + values.len() as i64 <= end);
    // Every record of such a partition has its offset as its sequence.
    sent.sequence = end as i32;
    (sent.flushed, sent.start_told, sent.start_asked) = (end, start, start);
    for (sequence, base, values) in &repeatable {
        if base + values.len() as i64 > end {
            break;
        }
        let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let again = host.append(log, &batch_of(100 + i64::from(partition), *sequence, &slices));
        let again = again.unwrap_or_else(|error| {
            panic!(
                "{error:?} of {:?}, end {end}, {:?}",
                repeatable
                    .iter()
                    .map(|b| (b.0, b.1, b.2.len()))
                    .collect::<Vec<_>>(),
                host.report
            )
        });
        assert!(
            again.duplicate && again.base_offset.get() == *base,
            "partition {partition}: not recognised"
        );
    }
}

fn open(world: &SimWorld, model: &Model) -> Option<Host<SimRing>> {
    let deleted: Vec<i32> = model
        .partitions
        .iter()
        .filter(|(_, sent)| sent.deleted)
        .map(|(partition, _)| *partition)
        .collect();
    // Metadata knows of a deletion before storage does; every other one is left to storage's own record.
    let fate = |topic: TopicId| {
        let partition = i32::from(topic.get()[0]) - 1;
        if deleted.contains(&partition) && partition % 3 == 0 {
            TopicFate::Deleted
        } else {
            TopicFate::Live
        }
    };
    let mut host = Host::open_with(world.ring(), Path::new("/data"), &options(), 1, &fate).ok()?;
    let world = world.clone();
    host.dead = Box::new(move || world.is_off());
    Some(host)
}

fn options() -> StorageOptions {
    let mut options = small_options();
    options.cache_bytes = 128 << 10;
    options.index_bytes = 0;
    options
}

fn world_on(image: &Option<DiskImage>, seed: u64) -> SimWorld {
    let mut options = SimOptions::default();
    if seed.is_multiple_of(2) {
        // What is submitted together ends far apart: whoever does not wait for a write is found out.
        options.disk_latency = Duration::from_micros(20)..=Duration::from_millis(8);
    }
    match image {
        None => SimWorld::new(seed, options),
        Some(image) => SimWorld::restart(image, seed, options),
    }
}

/// Later lives have fewer files to make: a cut may come while they start.
fn earlier(cut: PowerCut, random: &mut Prng) -> PowerCut {
    match cut {
        PowerCut::AtBoundary(_) => PowerCut::AtBoundary(random.below(200)),
        PowerCut::AtEvent(_) => PowerCut::AtEvent(random.below(4000)),
    }
}

fn key(partition: i32) -> PartitionKey {
    PartitionKey {
        topic: TopicId::new([partition as u8 + 1; 16]),
        partition: PartitionIndex::new(partition),
    }
}

fn asked_for() -> Option<(u64, Option<u64>)> {
    let asked = std::env::var("MILLSTREAM_CRASH").ok()?;
    let (seed, boundary) = asked
        .split_once(':')
        .map_or((asked.as_str(), None), |(seed, cut)| (seed, Some(cut)));
    let number = |text: &str| text.parse().expect("a number");
    Some((number(seed), boundary.map(number)))
}

fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("MILLSTREAM_CRASH_SEEDS") else {
        return default;
    };
    let (from, to) = range.split_once("..").expect("FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// Says how to run it again.
struct OnPanic(String);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again with: {}", self.0);
        }
    }
}

/// Tells a life's chance from the simulator's, which has the same seed.
const LIFE_SALT: u64 = 0x11fe;
const PARTITIONS: u64 = 6;
/// Batches that a client may have in flight, and so may send again: as many as a log remembers of a producer, so that
/// it knows where the producer stands however many of them a power cut takes.
const IN_FLIGHT_MAX: usize = 5;
