//! Devices that fail, disks that fill up, files that are damaged, directories that belong to somebody else.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use millstream_log::{LogConfig, SegmentHeader, layout};
use millstream_protocol::time::Duration as Span;
use millstream_protocol::types::{Offset, TimestampMs};
use millstream_ring::simulated::{DiskImage, OpKind, SimOptions, SimRing, SimWorld};
use millstream_ring::uring::{UringOptions, UringRing};
use millstream_ring::{IoError, Ring};
use millstream_storage::{
    AppendError, LogEvent, LogId, OpenError, ReadError, SpaceReport, SpaceState, StorageOptions, TopicFate,
};

use crate::common::{DIR, EIO, Host, TempDir, batch, is_segment, key, open, segments, small_options, world};

const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

#[test]
fn a_failed_write_behind_loses_nothing_and_never_stops_the_ring() {
    let world = world();
    let mut host = open(&world);
    let (log, other) = (host.create(0), host.create(1));
    for _ in 0..10 {
        host.append(log, &batch(&[&[1; 900]])).unwrap();
        host.flush(log);
    }
    world.fail_when(|op| {
        let data = op.kind == OpKind::Write && is_segment(op.path) && op.at > 0;
        data.then_some(IoError::new(EIO))
    });
    host.now.monotonic += millstream_protocol::time::Duration::from_secs(6);
    host.until_fenced();
    world.fail_when(|_| None);
    assert_eq!(host.read_all(log, 0, 100_000).unwrap().len(), 10);
    // Many times round the ring.
    for _ in 0..800 {
        host.append_patiently(other, &batch(&[&[2; 1500]]));
        host.flush(other);
    }
    assert_eq!(host.read_all(log, 0, 100_000).unwrap().len(), 10);
    drop(host);
    let mut host = open(&world);
    let log = host.logs().lookup(key(0)).unwrap();
    assert_eq!(
        host.read_all(log, 0, 100_000).unwrap().len(),
        10,
        "{:?}",
        host.report
    );
}

#[test]
fn an_orderly_end_that_cannot_be_marked_ends_all_the_same() {
    // The device may have taken the mark and failed all the same: then it is there, and true.
    let unclean = (0..40).filter(|seed| ends_without_its_mark(*seed)).count();
    assert!((1..40).contains(&unclean), "{unclean}");
}

/// Whether the next start finds no mark.
fn ends_without_its_mark(seed: u64) -> bool {
    let world = SimWorld::new(seed, SimOptions::default());
    let mut host = open(&world);
    let log = host.create(0);
    host.append(log, &batch(&[b"kept"])).unwrap();
    host.flush(log);
    world.fail_when(|op| {
        let checkpoint = op.path.to_string_lossy().contains("checkpoint-");
        (op.kind == OpKind::Write && checkpoint).then_some(IoError::new(EIO))
    });
    host.logs().begin_shutdown();
    host.until("the end", |host| host.logs().is_quiet());
    world.fail_when(|_| None);
    drop(host);
    let mut host = open(&world);
    let log = host.logs().lookup(key(0)).unwrap();
    assert_eq!(host.read_all(log, 0, 100).unwrap(), [(0, b"kept".to_vec())]);
    host.unclean
}

#[test]
fn a_failed_journal_stops_writes_and_not_reads() {
    let world = world();
    let mut host = open(&world);
    let log = host.create(0);
    host.append(log, &batch(&[b"kept"])).unwrap();
    host.flush(log);
    world.fail_when(|op| {
        let journal = op.path.to_string_lossy().contains("journal-");
        (op.kind == OpKind::Write && journal).then_some(IoError::new(EIO))
    });
    host.append(log, &batch(&[b"lost"])).unwrap();
    host.until("the stop", |host| {
        host.events
            .iter()
            .any(|event| matches!(event, LogEvent::WritesStopped { .. }))
    });
    assert_eq!(
        host.append(log, &batch(&[b"more"])),
        Err(AppendError::WritesStopped)
    );
    assert_eq!(host.logs().offsets(log).flushed, Offset::new(1));
    assert_eq!(host.read_all(log, 0, 100).unwrap().len(), 1);
}

#[test]
fn a_full_disk_refuses_appends_until_space_returns() {
    let world = SimWorld::new(
        5,
        SimOptions {
            capacity: 24 << 20,
            ..SimOptions::default()
        },
    );
    let mut options = small_options();
    options.free_space_bytes_min = 2 << 20;
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let (log, other) = (host.create(0), host.create(1));
    host.append(other, &batch(&[b"small"])).unwrap();
    let full = (0..10_000).find_map(|_| {
        let appended = host.append(log, &batch(&[&[7; 50_000]]));
        host.turn(Duration::from_millis(1));
        match appended {
            Ok(_) => None,
            Err(AppendError::Busy) => None,
            Err(error) => Some(error),
        }
    });
    assert_eq!(full, Some(AppendError::NoSpace));
    assert!(host.events.iter().any(|event| matches!(
        event,
        LogEvent::Space(SpaceReport {
            state: SpaceState::Full,
            ..
        })
    )));
    host.flush(log);
    let end = host.logs().offsets(log).end;
    assert_eq!(
        host.append(other, &batch(&[b"refused"])),
        Err(AppendError::NoSpace)
    );
    assert_eq!(host.read_all(log, 0, 1 << 20).unwrap().len() as i64, end.get());
    let now = host.now;
    host.logs().delete(log, now);
    host.until("space", |host| {
        host.events.iter().any(|event| {
            matches!(
                event,
                LogEvent::Space(SpaceReport {
                    state: SpaceState::Enough,
                    ..
                })
            )
        })
    });
    host.append(other, &batch(&[b"taken"])).unwrap();
    host.flush(other);
    assert_eq!(host.read_all(other, 0, 1000).unwrap().len(), 2);
}

#[test]
fn damaged_bytes_are_never_served() {
    let world = world();
    let mut host = open(&world);
    let (log, other) = (host.create(0), host.create(1));
    for _ in 0..4 {
        host.append(log, &batch(&[&[1; 60_000]])).unwrap();
        host.append(other, &batch(&[&[2; 60_000]])).unwrap();
        host.flush(log);
        host.flush(other);
    }
    host.shut_down();
    world.advance(Duration::from_secs(1));
    let mut image = world.image();
    let victim = image
        .paths()
        .into_iter()
        .find(|path| is_segment(path) && image.read(path).is_some_and(|bytes| bytes[5000] == 1))
        .unwrap();
    image.overwrite(&victim, 4096 + 61_000, &[9]);
    let world = SimWorld::restart(&image, 1, SimOptions::default());
    let mut host = open(&world);
    let (log, other) = (
        host.logs().lookup(key(0)).unwrap(),
        host.logs().lookup(key(1)).unwrap(),
    );
    let first = host.read(log, 0, 1000).unwrap();
    assert!(!first.is_empty(), "what is whole is served");
    assert!(matches!(host.read(log, 1, 1 << 20), Err(ReadError::Fenced { at }) if at == Offset::new(1)));
    host.until_fenced();
    assert!(!host.read(log, 0, 1 << 20).unwrap().is_empty());
    assert_eq!(host.append(log, &batch(&[b"more"])), Err(AppendError::Fenced));
    assert_eq!(host.read_all(other, 0, 1 << 20).unwrap().len(), 4);
}

#[test]
fn a_file_that_is_another_segments_is_neither_served_nor_written_to() {
    let world = world();
    let mut host = open(&world);
    let logs: Vec<_> = (0..3).map(|partition| host.create(partition)).collect();
    // Whole blocks: of a log that ends inside one the start would see it.
    let len = 60_000 + 4096 - batch(&[&[0; 60_000]]).len() % 4096;
    for log in &logs {
        for count in 0..4 {
            host.append_patiently(*log, &batch(&[&vec![count; len]]));
        }
        host.flush(*log);
    }
    // The last blocks are in the journal, so that a start need not look at the files.
    (0..100).for_each(|_| host.turn(Duration::from_millis(1)));
    drop(host);
    world.advance(Duration::from_secs(1));
    let mut image = world.image();
    let of = |image: &DiskImage, partition: i32| {
        let begins_as = |path: &PathBuf| {
            SegmentHeader::decode(&image.read(path).unwrap())
                .unwrap()
                .partition
        };
        let mut segments = segments(image).into_iter();
        segments.find(|path| begins_as(path) == key(partition)).unwrap()
    };
    // A header that belongs elsewhere, and one that is torn; what follows each is whole.
    let (first, second, third) = (of(&image, 0), of(&image, 1), of(&image, 2));
    let strange = image.read(&third).unwrap()[..4096].to_vec();
    image.overwrite(&first, 0, &strange);
    image.overwrite(&second, 20, &[0xff; 4]);
    let world = SimWorld::restart(&image, 1, SimOptions::default());
    let mut host = open(&world);
    let logs: Vec<_> = (0..3)
        .map(|partition| host.logs().lookup(key(partition)).unwrap())
        .collect();
    assert_eq!(
        host.read(logs[0], 0, 1 << 20).map(|bytes| bytes.len()),
        Err(ReadError::Fenced { at: Offset::ZERO })
    );
    // The second is written to first.
    host.append(logs[1], &batch(&[&[9; 60_000]])).unwrap();
    let fences = |host: &Host<SimRing>| {
        let reasons = host.events.iter().filter_map(|event| match event {
            LogEvent::Fenced { reason, .. } => Some(reason.clone()),
            _ => None,
        });
        reasons.collect::<Vec<_>>()
    };
    host.until("both fences", |host| fences(host).len() == 2);
    let reasons = fences(&host);
    let other = SegmentHeader::decode(&strange).unwrap();
    assert!(
        reasons[0].contains(&format!(
            "begins as segment {} of partition {}",
            other.segment,
            key(2)
        )),
        "{reasons:?}"
    );
    assert!(
        reasons[1].contains("does not begin as a segment does"),
        "{reasons:?}"
    );
    assert_eq!(host.append(logs[0], &batch(&[b"more"])), Err(AppendError::Fenced));
    assert_eq!(host.append(logs[1], &batch(&[b"more"])), Err(AppendError::Fenced));
    host.append(logs[2], &batch(&[b"goes on"])).unwrap();
    host.flush(logs[2]);
    assert_eq!(host.read_all(logs[2], 0, 1 << 20).unwrap().len(), 5);
    assert_eq!(
        world.image().read(&first).unwrap()[..4096],
        strange,
        "nothing is written over"
    );
}

#[test]
fn a_file_whose_header_cannot_be_read_is_not_opened_again_and_again() {
    let world = world();
    let mut options = small_options();
    options.open_segments_max = 2;
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let logs: Vec<_> = (0..4).map(|partition| host.create(partition)).collect();
    for log in &logs {
        host.append_patiently(*log, &batch(&[&[1; 100_000]]));
        host.flush(*log);
    }
    (0..100).for_each(|_| host.turn(Duration::from_millis(1)));
    // The first one's file has space for more, and is not open any more.
    let image = world.image();
    let begins_as = |path: &PathBuf| {
        SegmentHeader::decode(&image.read(path).unwrap())
            .unwrap()
            .partition
    };
    let victim = segments(&image)
        .into_iter()
        .find(|path| begins_as(path) == key(0))
        .unwrap();
    let reads = Rc::new(Cell::new(0));
    let count = Rc::clone(&reads);
    world.fail_when(move |op| {
        let is_header = op.kind == OpKind::Read && op.path == victim && op.at == 0;
        count.set(count.get() + u32::from(is_header));
        is_header.then_some(IoError::new(EIO))
    });
    host.append(logs[0], &batch(&[&[2; 40_000]])).unwrap();
    (0..100).for_each(|_| host.turn(Duration::from_millis(1)));
    assert_eq!(reads.get(), 1, "looks at the header");
    assert_eq!(host.append(logs[0], &batch(&[b"more"])), Err(AppendError::Fenced));
    host.append(logs[1], &batch(&[b"goes on"])).unwrap();
    host.flush(logs[1]);
    assert_eq!(host.read_all(logs[1], 0, 1 << 20).unwrap().len(), 2);
}

#[test]
fn a_start_without_descriptors_blames_no_file() {
    // The end of one log lies in its segment; the other's last write is one that no settled round vouches for.
    for was_orderly in [true, false] {
        let world = world();
        let mut options = small_options();
        if !was_orderly {
            options.direct_write_bytes_min = 16 << 10;
        }
        let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
        let log = host.create(0);
        host.append(log, &batch(&[&[1; 60_000]])).unwrap();
        host.flush(log);
        if was_orderly {
            host.shut_down();
            world.advance(Duration::from_secs(1));
        }
        let world = SimWorld::restart(&world.crash(7), 8, SimOptions::default());
        world.fail_when(|op| {
            let opens = op.kind == OpKind::Open && is_segment(op.path);
            opens.then_some(IoError::new(EMFILE))
        });
        let refused = Host::open(world.ring(), Path::new(DIR), &options, 1).err();
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("Too many open files"), "{refused:?}");
        world.fail_when(|_| None);
        let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
        let log = host.logs().lookup(key(0)).unwrap();
        let records = host.read_all(log, 0, 100_000).map(|records| records.len());
        assert_eq!(records, Ok(1), "{:?}", host.report);
    }
}

#[test]
fn want_of_descriptors_blames_no_file() {
    let world = world();
    let mut options = small_options();
    options.open_segments_max = 2;
    options.cache_bytes = 64 << 10;
    options.direct_write_bytes_min = 16 << 10;
    options.dirty_bytes_max = 1 << 20;
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let logs: Vec<_> = (0..6).map(|partition| host.create(partition)).collect();
    for log in &logs {
        for count in 0..6 {
            host.append_patiently(*log, &batch(&[&[count; 40_000]]));
        }
        host.flush(*log);
    }
    host.until("room in the cache", |host| host.logs().cache_bytes() <= 256 << 10);
    world.fail_when(|op| {
        let opens = op.kind == OpKind::Open && !op.path.to_string_lossy().contains("journal");
        opens.then_some(IoError::new(EMFILE))
    });
    let refused = logs
        .iter()
        .filter(|log| host.read(**log, 0, 1 << 20).is_err())
        .count();
    assert!(refused >= 3, "{refused} reads found no descriptor");
    assert_eq!(
        logs.iter().find_map(|log| host.read(*log, 0, 1 << 20).err()),
        Some(ReadError::Device { errno: EMFILE })
    );
    // What is appended stays in journal and memory, for large appends too.
    for log in &logs {
        host.append(*log, &batch(&[b"small"])).unwrap();
        host.flush(*log);
    }
    host.append(logs[0], &batch(&[&[8; 20_000]])).unwrap();
    host.flush(logs[0]);
    // Except one that is larger than a round: it waits, and holds up nobody.
    host.append(logs[5], &batch(&[&[8; 50_000]])).unwrap();
    host.now.monotonic += millstream_protocol::time::Duration::from_secs(6);
    (0..300).for_each(|_| host.turn(Duration::from_millis(10)));
    // The rest fills the ring until nothing more is taken, which is told as a matter of the moment.
    let mut appended = vec![0; logs.len()];
    let busy = (0..2_000).find_map(|count| {
        let index = count % 5;
        let result = host.append(logs[index], &batch(&[&[5; 3000]]));
        host.turn(Duration::from_millis(1));
        appended[index] += i64::from(result.is_ok());
        result.err()
    });
    assert_eq!(busy, Some(AppendError::Busy));
    assert!(host.logs().offsets(logs[5]).flushed < host.logs().offsets(logs[5]).end);
    world.fail_when(|_| None);
    logs.iter().for_each(|log| host.flush(*log));
    let stopped =
        |event: &&LogEvent| matches!(event, LogEvent::Fenced { .. } | LogEvent::WritesStopped { .. });
    assert!(
        !host.events.iter().any(|event| stopped(&event)),
        "{:?}",
        host.events
    );
    for (index, log) in logs.iter().enumerate() {
        let expected = 7 + i64::from(index == 0 || index == 5) + appended[index];
        assert_eq!(host.read_all(*log, 0, 1 << 20).unwrap().len() as i64, expected);
        host.append_patiently(*log, &batch(&[b"goes on"]));
    }
    host.shut_down();
}

#[test]
fn a_removal_that_is_not_durable_is_not_told() {
    for failing in [OpKind::SyncDir, OpKind::Unlink] {
        let world = world();
        let mut host = open(&world);
        let (log, other) = (host.create(0), host.create(1));
        for log in [log, other] {
            host.append(log, &batch(&[&[1; 60_000]])).unwrap();
            host.flush(log);
        }
        (0..100).for_each(|_| host.turn(Duration::from_millis(1)));
        world.fail_when(move |op| (op.kind == failing).then_some(IoError::new(EIO)));
        let now = host.now;
        host.logs().delete(log, now);
        (0..400).for_each(|_| host.turn(Duration::from_millis(10)));
        let deleted = |event: &LogEvent| matches!(event, LogEvent::Deleted { .. });
        assert!(
            !host.events.iter().any(deleted),
            "{failing:?}: told before it is so"
        );
        let warnings = host
            .events
            .iter()
            .filter(|event| matches!(event, LogEvent::Warning { .. }));
        assert_eq!(warnings.count(), 1, "{failing:?}: said once");
        assert!(
            host.logs().lookup(key(0)).is_none(),
            "the deletion stays committed"
        );
        // A power cut now brings back the name at most, and the next start removes it.
        let image = world.crash(5);
        let later = SimWorld::restart(&image, 6, SimOptions::default());
        let mut next = open(&later);
        assert!(
            next.logs().lookup(key(0)).is_none() && next.report.is_empty(),
            "{:?}",
            next.report
        );
        next.until("one file less", |_| segments(&later.image()).len() == 1);
        world.fail_when(|_| None);
        host.until("the deletion", |host| host.events.iter().any(deleted));
        assert_eq!(segments(&world.image()).len(), 1);
        assert_eq!(host.read_all(other, 0, 1 << 20).unwrap().len(), 1);
    }
}

#[test]
fn unknown_segment_files_are_put_aside_and_reported() {
    let world = world();
    let mut host = open(&world);
    let log = host.create(0);
    host.append(log, &batch(&[&[1; 60_000]])).unwrap();
    host.flush(log);
    host.shut_down();
    let dir = PathBuf::from(DIR);
    let stranger = dir.join(layout::segment(millstream_log::SegmentId::new(0xabcd_ef01)));
    let mut ring = world.ring();
    let mut out = Vec::new();
    let options = millstream_ring::OpenOptions {
        write: true,
        create: true,
        ..Default::default()
    };
    ring.submit(
        millstream_ring::Token(1),
        millstream_ring::Op::OpenFile {
            path: stranger.clone(),
            options,
        },
    );
    ring.enter(millstream_ring::Wait::Until(Duration::from_secs(1)), &mut out);
    let mut host = open(&world);
    assert!(
        host.report.iter().any(|line| line.contains("belongs to nothing")),
        "{:?}",
        host.report
    );
    let paths = world.image().paths();
    assert!(!paths.contains(&stranger));
    assert!(
        paths
            .iter()
            .any(|path| path.starts_with(dir.join(layout::QUARANTINE)) && is_segment(path))
    );
    let log = host.logs().lookup(key(0)).unwrap();
    assert_eq!(host.read_all(log, 0, 1 << 20).unwrap().len(), 1);
}

#[test]
fn a_second_process_and_a_newer_format_are_refused() {
    let dir = TempDir::new("refused");
    let mut options = small_options();
    options.lock = true;
    let ring = || UringRing::new(UringOptions::default()).expect("an io_uring");
    let host = Host::open(ring(), &dir.0, &options, 1).unwrap();
    let second = open_error(ring(), &dir.0, &options);
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
    drop(host);
    let path = dir.0.join(layout::IDENTITY);
    let mut identity = std::fs::read(&path).unwrap();
    identity[12..16].copy_from_slice(&(layout::FORMAT_VERSION + 1).to_le_bytes());
    std::fs::write(&path, &identity).unwrap();
    let newer = open_error(ring(), &dir.0, &options);
    assert!(
        matches!(newer, OpenError::NewerFormat { found: 2, known: 1 }),
        "{newer}"
    );
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        open_error(ring(), &dir.0, &options),
        OpenError::BadIdentity { .. }
    ));
}

#[test]
fn a_disk_without_direct_writes_is_refused() {
    let world = SimWorld::new(
        1,
        SimOptions {
            refuse_direct: true,
            ..SimOptions::default()
        },
    );
    let error = open_error(world.ring(), Path::new(DIR), &small_options());
    assert!(matches!(error, OpenError::NoDirectIo { .. }), "{error}");
}

#[test]
fn reads_of_a_file_go_on_while_its_writes_wait_for_space() {
    let world = world();
    let mut options = small_options();
    options.cache_bytes = 64 << 10;
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let log = host.create(0);
    for _ in 0..150 {
        host.append_patiently(log, &batch(&[&[1; 3000]]));
        host.flush(log);
    }
    host.until("room in the cache", |host| host.logs().cache_bytes() <= 128 << 10);
    world.fail_when(|op| (op.kind == OpKind::Allocate).then_some(IoError::new(ENOSPC)));
    for _ in 0..1000 {
        let _ = host.append(log, &batch(&[&[2; 3000]]));
        host.turn(Duration::from_millis(1));
    }
    let full = |event: &LogEvent| {
        matches!(
            event,
            LogEvent::Space(SpaceReport {
                state: SpaceState::Full,
                ..
            })
        )
    };
    assert!(host.events.iter().any(full), "a write waits for space");
    assert!(host.read_all(log, 0, 100_000).unwrap().len() >= 150);
    world.fail_when(|_| None);
    host.flush(log);
}

#[test]
fn retention_drops_what_is_old_and_what_is_too_much() {
    let world = world();
    let mut options = small_options();
    options.retention_first_after = Span::ZERO;
    options.retention_every = Span::from_millis(1);
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let config = LogConfig {
        segment_bytes: 10_000,
        retention_bytes: Some(30_000),
        ..LogConfig::default()
    };
    let log = host.create_with(0, config);
    for _ in 0..60 {
        host.append(log, &batch(&[&[3; 1500]])).unwrap();
        host.flush(log);
    }
    host.now.monotonic += Span::from_secs(2);
    host.until("retention", |host| host.logs().size_bytes(log) < 45_000);
    let start = host.logs().offsets(log).start.get();
    assert!(start > 20, "starts at {start}");
    assert_eq!(
        host.read_all(log, start, 1 << 20).unwrap().len() as i64,
        60 - start
    );
    // Everything older than an hour: the active segment is rolled and goes as well.
    let config = LogConfig {
        retention_ms: Some(3_600_000),
        ..LogConfig::default()
    };
    host.logs().set_config(log, config);
    host.now.wall = TimestampMs::new(host.now.wall.get() + 4_000_000);
    host.now.monotonic += Span::from_secs(2);
    host.until("retention by age", |host| {
        host.now.monotonic += Span::from_millis(500);
        host.logs().offsets(log).start.get() == 60
    });
    assert_eq!(host.logs().size_bytes(log), 0);
    assert_eq!(
        host.append(log, &batch(&[b"goes on"])).unwrap().base_offset,
        Offset::new(60)
    );
}

#[test]
fn retention_is_looked_at_when_it_is_due() {
    let world = world();
    let mut host = open(&world);
    let log = host.create_with(0, hourly());
    let start = |host: &mut Host<SimRing>, seconds: i64| {
        host.now.monotonic += Span::from_secs(seconds as u64);
        (0..20).for_each(|_| host.turn(Duration::from_millis(1)));
        host.logs().offsets(log).start.get()
    };
    append_and_age(&mut host, log);
    assert_eq!(start(&mut host, 29), 0, "not within half a minute of the start");
    assert_eq!(start(&mut host, 2), 20, "log.initial.task.delay.ms is over");
    append_and_age(&mut host, log);
    assert_eq!(
        start(&mut host, 290),
        20,
        "not within five minutes of the last look"
    );
    assert_eq!(
        start(&mut host, 20),
        40,
        "log.retention.check.interval.ms is over"
    );
    // What DeleteRecords gives up is asked back at once, and nothing else goes along.
    append_and_age(&mut host, log);
    let (now, held) = (host.now, host.logs().size_bytes(log));
    host.logs().delete_records(log, Offset::new(50), now).unwrap();
    assert_eq!(start(&mut host, 1), 50);
    let left = host.logs().size_bytes(log);
    assert!(left < held && left > held / 4, "{left} of {held} bytes");
}

#[test]
fn a_full_disk_does_not_wait_for_retention_to_be_due() {
    let capacity = 24 << 20;
    let world = SimWorld::new(
        5,
        SimOptions {
            capacity,
            ..SimOptions::default()
        },
    );
    let mut options = small_options();
    options.free_space_bytes_min = 2 << 20;
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..hourly()
    };
    let log = host.create_with(0, config);
    let is_full = |host: &mut Host<SimRing>| {
        let appended = host.append(log, &batch(&[&[7; 50_000]]));
        host.turn(Duration::from_millis(1));
        appended == Err(AppendError::NoSpace)
    };
    assert!((0..10_000).any(|_| is_full(&mut host)));
    let begun = host.now.monotonic;
    host.now.wall = TimestampMs::new(host.now.wall.get() + 4_000_000);
    host.until("space", |host| {
        host.now.monotonic += Span::from_millis(100);
        let enough = |event: &LogEvent| {
            matches!(
                event,
                LogEvent::Space(SpaceReport {
                    state: SpaceState::Enough,
                    ..
                })
            )
        };
        host.events.iter().any(enough)
    });
    let took = host.now.monotonic.saturating_since(begun);
    assert!(took < options.retention_first_after, "{took:?}");
    assert!(host.logs().offsets(log).start > Offset::ZERO);
}

#[test]
fn a_deleted_topic_is_met_until_no_journal_tells_of_it() {
    let world = world();
    let mut host = open(&world);
    let log = host.create(0);
    host.append(log, &batch(&[b"gone"])).unwrap();
    host.flush(log);
    // A crash between the deletion's commit and what storage makes of it.
    drop(host);
    let reopen = || {
        world.advance(Duration::from_secs(1));
        let deleted = |_| TopicFate::Deleted;
        Host::open_with(world.ring(), Path::new(DIR), &small_options(), 1, &deleted).unwrap()
    };
    let topics: Vec<_> = [reopen(), reopen()].map(|host| host.deleted.len()).to_vec();
    assert_eq!(topics[0], 1, "its partition was there");
    let host = reopen();
    host.shut_down();
    let host = reopen();
    assert!(host.deleted.is_empty(), "an orderly end leaves nothing to replay");
    assert!(host.report.is_empty(), "{:?}", host.report);
}

#[test]
fn a_start_without_room_refuses_from_the_first_append_on() {
    let world = SimWorld::new(8, SimOptions::default());
    let mut options = small_options();
    options.free_space_bytes_min = 1 << 50;
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let log = host.create(0);
    assert_eq!(host.append(log, &batch(&[b"refused"])), Err(AppendError::NoSpace));
}

/// Small segments, kept for an hour.
fn hourly() -> LogConfig {
    LogConfig {
        segment_bytes: 10_000,
        retention_ms: Some(3_600_000),
        ..LogConfig::default()
    }
}

/// Twenty records that are more than an hour old.
fn append_and_age(host: &mut Host<SimRing>, log: LogId) {
    for _ in 0..20 {
        host.append(log, &batch(&[&[3; 1500]])).unwrap();
        host.flush(log);
    }
    host.now.wall = TimestampMs::new(host.now.wall.get() + 4_000_000);
}

fn open_error<R: Ring>(ring: R, dir: &Path, options: &StorageOptions) -> OpenError {
    match Host::open(ring, dir, options, 1) {
        Ok(_) => panic!("the directory was opened"),
        Err(error) => error,
    }
}
