//! Indexes of sealed segments: beside their segments, loaded when they are read, rebuilt when they are of no use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_log::{LogConfig, SegmentId, Sidecar, layout};
use millstream_protocol::types::{LeaderEpoch, Offset, TimestampMs};
use millstream_ring::simulated::{DiskImage, OpKind, PowerCut, SimOptions, SimRing, SimWorld};
use millstream_ring::uring::{UringOptions, UringRing};
use millstream_ring::{Done, IoError, Op, Ring, Token, Wait};
use millstream_storage::{LogEvent, LogId, ReadError, ReadId, StorageOptions, TimeOutcome};

use crate::common::{DIR, Host, TempDir, batch, key, small_options};

const RECORDS: i64 = 120;

#[test]
fn sealed_indexes_leave_memory_and_come_back_on_the_real_ring() {
    let dir = TempDir::new("sidecars");
    sealed_indexes_leave_memory_and_come_back(&dir.0, || {
        UringRing::new(UringOptions::default()).expect("an io_uring")
    });
}

#[test]
fn sealed_indexes_leave_memory_and_come_back_on_the_simulated_ring() {
    for seed in 0..3 {
        let world = SimWorld::new(seed, SimOptions::default());
        sealed_indexes_leave_memory_and_come_back(Path::new(DIR), || {
            world.advance(Duration::from_secs(1));
            world.ring()
        });
    }
}

fn sealed_indexes_leave_memory_and_come_back<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut host = Host::open(ring(), dir, &options(), 1).unwrap();
    let log = fill(&mut host, 0);
    fill(&mut host, 1);
    // A device that is slow makes the last segments' files late.
    host.until("every sidecar", |_| {
        files(ring(), dir, ".idx") + 2 == files(ring(), dir, ".seg")
    });
    host.until("no index in memory", |host| host.logs().index_bytes() == 0);
    let sealed = files(ring(), dir, ".idx");
    assert!(sealed > 10, "{sealed} sealed segments");
    check_all(&mut host, log);
    host.shut_down();
    let mut host = Host::open(ring(), dir, &options(), 1).unwrap();
    let (log, other) = (find(&mut host, 0), find(&mut host, 1));
    check_all(&mut host, log);
    // Deletion takes the sidecars along.
    let now = host.now;
    host.logs().set_config(log, LogConfig::default());
    host.logs().delete_records(log, Offset::new(100), now).unwrap();
    host.until("fewer sidecars", |_| files(ring(), dir, ".idx") < sealed);
    host.logs().delete(log, now);
    host.logs().delete(other, now);
    host.until("the deletions", |host| {
        let deleted = |event: &&LogEvent| matches!(event, LogEvent::Deleted { .. });
        host.events.iter().filter(deleted).count() == 2
    });
    assert_eq!((files(ring(), dir, ".seg"), files(ring(), dir, ".idx")), (0, 0));
    assert_eq!(warnings(&host), [""; 0]);
    host.shut_down();
    let host = Host::open(ring(), dir, &options(), 1).unwrap();
    assert!(host.report.is_empty(), "{:?}", host.report);
}

type Spoil = fn(&mut DiskImage, &Path);

/// Each way of being of no use, with a word of what is said of it.
const BAD: &[(&str, Spoil)] = &[
    ("is missing", |image, path| image.remove(path)),
    ("is damaged", |image, path| flip(image, path, 60)),
    ("is damaged", |image, path| image.overwrite(path, 0, &[0; 512])),
    ("cannot be read", |image, path| image.spoil(path, 0)),
    ("ends at", |image, path| {
        change(image, path, |sidecar| {
            sidecar.byte_end = sidecar.byte_end + 4096;
        });
    }),
    ("is that of", |image, path| {
        change(image, path, |sidecar| {
            sidecar.segment = SegmentId::new(sidecar.segment.get() + 1);
        });
    }),
];

#[test]
fn an_index_that_is_of_no_use_is_rebuilt_and_saved_again() {
    let (world, _) = filled(7);
    let whole = world.image();
    let victim = sidecars(&whole)[3].clone();
    let sound = whole.read(&victim).unwrap();
    for (word, spoil) in BAD {
        let mut image = whole.clone();
        spoil(&mut image, &victim);
        let world = SimWorld::restart(&image, 1, SimOptions::default());
        let mut host = open(&world);
        let log = find(&mut host, 0);
        assert!(
            warnings(&host).is_empty(),
            "nothing is looked at before a read touches it"
        );
        check_all(&mut host, log);
        let said = warnings(&host);
        assert_eq!(said.len(), 1, "{word}: {said:?}");
        assert!(
            said[0].contains(word) && said[0].contains("it is rebuilt"),
            "{said:?}"
        );
        host.until("the new sidecar", |_| {
            world.image().read(&victim).as_ref() == Some(&sound)
        });
        assert!(!host.has_fenced());
        host.append(log, &batch(&[b"goes on"])).unwrap();
        host.flush(log);
        host.shut_down();
        let mut host = open(&world);
        let log = find(&mut host, 0);
        assert_eq!(host.read_all(log, 0, 1 << 20).unwrap().len() as i64, RECORDS + 1);
        assert!(warnings(&host).is_empty(), "{word}: rebuilt once");
    }
}

#[test]
fn damage_in_a_segment_without_its_index_fences_from_the_damage_on() {
    let (world, _) = filled(8);
    let mut image = world.image();
    let victim = sidecars(&image)[2].clone();
    let base = Sidecar::decode(&image.read(&victim).unwrap()).unwrap();
    let first = base.index.runs().next().unwrap().offset;
    image.remove(&victim);
    let segment = victim.with_extension("seg");
    // In the third batch of the segment.
    flip(&mut image, &segment, 4096 + 2 * 1100 + 500);
    let world = SimWorld::restart(&image, 1, SimOptions::default());
    let mut host = open(&world);
    let log = find(&mut host, 0);
    let bad = Offset::new(first.get() + 2);
    assert_eq!(
        host.read_all(log, 0, 1 << 20).map(|records| records.len()),
        Err(ReadError::Fenced { at: bad })
    );
    assert_eq!(
        host.read_all(log, 0, 800).err(),
        Some(ReadError::Fenced { at: bad })
    );
    let before = host.read(log, bad.get() - 1, 1 << 20).unwrap();
    assert!(!before.is_empty(), "what lies before is served");
    assert!(host.has_fenced());
    assert!(
        world.image().read(&victim).is_none(),
        "no index is saved of a damaged segment"
    );
}

#[test]
fn without_its_index_no_wrong_place_of_a_batch_is_served() {
    let (world, _) = filled(15);
    let whole = world.image();
    let victim = sidecars(&whole)[2].clone();
    let base = Sidecar::decode(&whole.read(&victim).unwrap()).unwrap();
    let bad = Offset::new(base.index.runs().next().unwrap().offset.get() + 2);
    // What the batch's own CRC does not cover: base offset, length, leader epoch, format.
    for at in 0..17 {
        let mut image = whole.clone();
        image.remove(&victim);
        flip(&mut image, &victim.with_extension("seg"), 4096 + 2 * 1100 + at);
        let world = SimWorld::restart(&image, 1, SimOptions::default());
        let mut host = open(&world);
        let log = find(&mut host, 0);
        assert_eq!(
            host.read_all(log, 0, 1 << 20).map(|records| records.len()),
            Err(ReadError::Fenced { at: bad }),
            "byte {at}"
        );
        let before = host.read(log, bad.get() - 1, 1 << 20).unwrap();
        assert!(!before.is_empty(), "what lies before is served");
        assert!(world.image().read(&victim).is_none());
    }
}

#[test]
fn a_rebuild_agrees_with_every_epoch_that_was_set() {
    let world = SimWorld::new(16, SimOptions::default());
    let mut host = open(&world);
    let config = LogConfig {
        segment_bytes: 16 << 10,
        ..LogConfig::default()
    };
    let log = host.create_with(0, config);
    for count in 0..RECORDS {
        // One that goes back is not taken.
        let epoch = if count % 7 == 0 { 0 } else { count as i32 / 5 };
        host.logs().set_epoch(log, LeaderEpoch::new(epoch));
        host.append_patiently(log, &batch(&[&value(count)]));
        host.flush(log);
    }
    let sealed = files(world.ring(), Path::new(DIR), ".seg") - 1;
    host.until("every sidecar", |_| sidecars(&world.image()).len() == sealed);
    host.shut_down();
    let mut image = world.image();
    sidecars(&image).iter().for_each(|path| image.remove(path));
    let world = SimWorld::restart(&image, 1, SimOptions::default());
    let mut host = open(&world);
    let log = find(&mut host, 0);
    check_all(&mut host, log);
    assert_eq!(warnings(&host).len(), sealed);
}

#[test]
fn a_device_that_cannot_read_the_segment_ends_a_rebuild_and_no_more() {
    let (world, _) = filled(9);
    let mut image = world.image();
    let victim = sidecars(&image)[2].clone();
    image.remove(&victim);
    let world = SimWorld::restart(&image, 1, SimOptions::default());
    let mut host = open(&world);
    let log = find(&mut host, 0);
    let segment = victim.with_extension("seg");
    world.fail_when(move |op| {
        let data = op.kind == OpKind::Read && op.path == segment && op.at > 0;
        data.then_some(IoError::new(EIO))
    });
    assert_eq!(
        host.read_all(log, 0, 1 << 20).map(|records| records.len()),
        Err(ReadError::Device { errno: EIO })
    );
    world.fail_when(|_| None);
    check_all(&mut host, log);
}

#[test]
fn want_of_descriptors_or_space_costs_an_index_nothing() {
    let (world, _) = filled(10);
    let mut host = open(&world);
    let log = find(&mut host, 0);
    world.fail_when(|op| (op.kind == OpKind::Open && is_sidecar(op.path)).then_some(IoError::new(EMFILE)));
    assert_eq!(
        host.read_all(log, 0, 1 << 20).map(|records| records.len()),
        Err(ReadError::Device { errno: EMFILE })
    );
    world.fail_when(|_| None);
    check_all(&mut host, log);
    assert!(warnings(&host).is_empty());
    // A full disk: what cannot be saved stays in memory, and is saved when there is room.
    let before = sidecars(&world.image()).len();
    world.fail_when(|op| {
        let grows = op.kind == OpKind::Write && is_sidecar(op.path);
        grows.then_some(IoError::new(ENOSPC))
    });
    let more = fill(&mut host, 5);
    (0..300).for_each(|_| host.turn(Duration::from_millis(10)));
    check_all(&mut host, more);
    let complete = |image: &DiskImage| {
        let whole = |path: &&PathBuf| Sidecar::decode(&image.read(path).unwrap_or_default()).is_ok();
        sidecars(image).iter().filter(whole).count()
    };
    assert_eq!(complete(&world.image()), before);
    world.fail_when(|_| None);
    host.until("the sidecars", |host| {
        host.now.monotonic += millstream_protocol::time::Duration::from_millis(50);
        complete(&world.image()) > before + 5
    });
    check_all(&mut host, more);
    assert!(warnings(&host).is_empty(), "{:?}", warnings(&host));
}

#[test]
fn a_sidecar_that_fails_as_a_file_leaves_the_index_in_memory() {
    for failing in [OpKind::Write, OpKind::SyncDir] {
        let world = SimWorld::new(11, SimOptions::default());
        let mut host = open(&world);
        // Not before all files are made: their names are synced in the same folders.
        world
            .fail_when(|op| (op.kind == OpKind::Open && is_sidecar(op.path)).then_some(IoError::new(ENOSPC)));
        let log = fill(&mut host, 0);
        world.fail_when(move |op| {
            let sidecar = is_sidecar(op.path) || op.kind == OpKind::SyncDir;
            (op.kind == failing && sidecar).then_some(IoError::new(EIO))
        });
        host.until("what failed is said", |host| {
            host.now.monotonic += millstream_protocol::time::Duration::from_millis(50);
            warnings(host).len() > 5
        });
        check_all(&mut host, log);
        host.shut_down();
        world.fail_when(|_| None);
        // Without the power nothing of those sidecars is sure to be there.
        let world = SimWorld::restart(&world.crash(1), 2, SimOptions::default());
        let mut host = open(&world);
        let log = find(&mut host, 0);
        check_all(&mut host, log);
        assert!(
            warnings(&host).is_empty(),
            "{failing:?}: the checkpoint held the indexes"
        );
    }
}

#[test]
fn a_power_cut_costs_no_index() {
    let cut_at = |boundary: Option<u64>| {
        // So that some sidecars take far longer than some checkpoints.
        let uneven = SimOptions {
            disk_latency: Duration::from_micros(20)..=Duration::from_millis(6),
            ..SimOptions::default()
        };
        let world = SimWorld::new(14, uneven);
        if let Some(boundary) = boundary {
            world.cut_power_at(PowerCut::AtBoundary(boundary));
        }
        let mut options = options();
        options.journal_bytes = 256 << 10;
        let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
        let before = world.boundaries();
        let dead = world.clone();
        host.dead = Box::new(move || dead.is_off());
        let config = LogConfig {
            segment_bytes: 8 << 10,
            ..LogConfig::default()
        };
        let log = host.create_with(0, config);
        let mut count = 0;
        while count < 160 && !world.is_off() {
            if host.append(log, &batch(&[&value(count)])).is_ok() {
                count += 1;
            }
            host.turn(Duration::from_millis(2));
        }
        let flushed = host.logs().offsets(log).flushed;
        (world, before, flushed)
    };
    let (whole, before, _) = cut_at(None);
    assert!(sidecars(&whole.image()).len() > 5);
    for boundary in (before..whole.boundaries()).rev().step_by(2) {
        let (world, _, flushed) = cut_at(Some(boundary));
        assert!(world.is_off());
        let world = SimWorld::restart(&world.crash(boundary), 1, SimOptions::default());
        let mut host = open(&world);
        let Some(log) = host.logs().lookup(key(0)) else {
            assert_eq!(flushed, Offset::ZERO);
            continue;
        };
        let records = host.read_all(log, 0, 1 << 20).unwrap();
        assert!(records.len() as i64 >= flushed.get());
        assert!(
            warnings(&host).is_empty(),
            "cut at {boundary}: {:?}",
            warnings(&host)
        );
    }
}

#[test]
fn times_are_found_through_indexes_that_are_not_in_memory() {
    let (world, _) = filled(12);
    let mut host = open(&world);
    let log = find(&mut host, 0);
    let bound = host.logs().offsets(log).end;
    let read = ReadId(1 << 40);
    let outcome = host.logs().offset_for_time(
        log,
        TimestampMs::new(1_700_000_000_000),
        Offset::ZERO,
        bound,
        read,
    );
    assert!(matches!(outcome, Ok(TimeOutcome::Pending)));
    host.until("the time", |host| {
        host.events.iter().any(|event| {
            matches!(
                event,
                LogEvent::TimeFound {
                    result: Ok(Some(_)),
                    ..
                }
            )
        })
    });
}

#[test]
fn sidecars_of_no_segment_are_put_aside_and_reported() {
    let (world, _) = filled(13);
    let mut image = world.image();
    let (stranger, victim) = (SegmentId::new(0xabcd_ef03), sidecars(&image)[0].clone());
    // A segment without a manifest is known by its name alone: its sidecar as well.
    let bytes = image.read(&victim).unwrap();
    let path = Path::new(DIR).join(layout::sidecar(stranger));
    let world = SimWorld::restart(&image, 1, SimOptions::default());
    make(&world, &path, &bytes);
    image = world.image();
    let world = SimWorld::restart(&image, 2, SimOptions::default());
    let mut host = open(&world);
    let said: Vec<_> = host
        .report
        .iter()
        .filter(|line| line.contains("sidecar index"))
        .collect();
    assert_eq!(said.len(), 1, "{:?}", host.report);
    let aside = Path::new(DIR)
        .join(layout::QUARANTINE)
        .join(path.file_name().unwrap());
    assert_eq!(world.image().read(&aside), Some(bytes));
    assert_eq!(world.image().read(&path), None);
    let log = find(&mut host, 0);
    check_all(&mut host, log);
}

fn options() -> StorageOptions {
    let mut options = small_options();
    options.index_bytes = 0;
    options.cache_bytes = 64 << 10;
    options
}

fn open(world: &SimWorld) -> Host<SimRing> {
    world.advance(Duration::from_secs(1));
    Host::open(world.ring(), Path::new(DIR), &options(), 1).unwrap()
}

/// A disk with one partition of many sealed segments, all with sidecars, closed in order.
fn filled(seed: u64) -> (SimWorld, usize) {
    let world = SimWorld::new(seed, SimOptions::default());
    let mut host = open(&world);
    fill(&mut host, 0);
    let image = world.image();
    let sealed = image
        .paths()
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "seg"))
        .count()
        - 1;
    host.until("every sidecar", |_| sidecars(&world.image()).len() == sealed);
    (0..50).for_each(|_| host.turn(Duration::from_millis(1)));
    host.shut_down();
    (world, sealed)
}

/// A log of [`RECORDS`] batches of one record, its bytes in its segments.
fn fill<R: Ring>(host: &mut Host<R>, partition: i32) -> LogId {
    let config = LogConfig {
        segment_bytes: 16 << 10,
        ..LogConfig::default()
    };
    let log = host.create_with(partition, config);
    for count in 0..RECORDS {
        host.append_patiently(log, &batch(&[&value(count)]));
        host.flush(log);
    }
    // One idle time has the last segment's file made, the next its bytes written.
    for _ in 0..3 {
        host.now.monotonic += millstream_protocol::time::Duration::from_secs(6);
        (0..60).for_each(|_| host.turn(Duration::from_millis(1)));
    }
    log
}

/// So long that a batch of it takes 1,100 bytes.
fn value(count: i64) -> Vec<u8> {
    vec![count as u8; 1100 - batch(&[&[0; 1000]]).len() + 1000]
}

fn find<R: Ring>(host: &mut Host<R>, partition: i32) -> LogId {
    host.logs().lookup(key(partition)).expect("a log")
}

fn check_all<R: Ring>(host: &mut Host<R>, log: LogId) {
    for (from, max_bytes) in [(0, 1 << 20), (RECORDS / 2, 3000), (RECORDS - 1, 100)] {
        let records = host.read_all(log, from, max_bytes).unwrap();
        let expected = (from..RECORDS).map(|offset| (offset, value(offset)));
        assert!(
            records.into_iter().take((RECORDS - from) as usize).eq(expected),
            "from {from}"
        );
    }
}

fn warnings<R>(host: &Host<R>) -> Vec<String> {
    let told = host.events.iter().filter_map(|event| match event {
        LogEvent::Warning { reason } => Some(reason.clone()),
        _ => None,
    });
    told.collect()
}

fn is_sidecar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "idx")
}

fn sidecars(image: &DiskImage) -> Vec<PathBuf> {
    image
        .paths()
        .into_iter()
        .filter(|path| is_sidecar(path))
        .collect()
}

fn flip(image: &mut DiskImage, path: &Path, at: usize) {
    let byte = image.read(path).unwrap()[at];
    image.overwrite(path, at as u64, &[byte ^ 0x10]);
}

/// Another sidecar, whole in itself.
fn change(image: &mut DiskImage, path: &Path, change: impl FnOnce(&mut Sidecar)) {
    let mut sidecar = Sidecar::decode(&image.read(path).unwrap()).unwrap();
    change(&mut sidecar);
    image.overwrite(path, 0, &sidecar.encode());
}

fn make(world: &SimWorld, path: &Path, bytes: &[u8]) {
    let mut ring = world.ring();
    let options = millstream_ring::OpenOptions {
        write: true,
        create: true,
        ..Default::default()
    };
    let path = path.to_owned();
    let Done::Opened { file, .. } = run(&mut ring, Op::OpenFile { path, options }) else {
        panic!("not opened")
    };
    let slices = vec![millstream_ring::Slice::from(bytes.to_vec())];
    let op = Op::Write {
        file,
        at: 0,
        slices,
        durable: true,
    };
    run(&mut ring, op);
}

/// Files of a directory whose name ends like this.
fn files<R: Ring>(mut ring: R, dir: &Path, suffix: &str) -> usize {
    let folders = (0..=255).map(|low| layout::segment_folder(SegmentId::new(low)));
    let mut count = 0;
    for folder in folders {
        let path = dir.join(layout::SEGMENTS).join(folder);
        let Done::Listed(entries) = run(&mut ring, Op::List { path }) else {
            panic!("not listed")
        };
        count += entries
            .iter()
            .filter(|entry| entry.name.ends_with(suffix))
            .count();
    }
    count
}

fn run<R: Ring>(ring: &mut R, op: Op) -> Done {
    ring.submit(Token(1), op);
    let mut completions = Vec::new();
    while completions.is_empty() {
        ring.enter(Wait::Until(Duration::from_millis(10)), &mut completions);
    }
    completions.pop().unwrap().result.unwrap()
}

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
