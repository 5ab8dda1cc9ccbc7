//! What the logs promise, on the real ring and on the simulated one.

use std::path::Path;
use std::time::Duration;

use crate::common::{Host, TempDir, batch, batch_of, key, small_options};
use millstream_log::LogConfig;
use millstream_protocol::types::Offset;
use millstream_ring::Ring;
use millstream_ring::simulated::{SimOptions, SimWorld};
use millstream_ring::uring::{UringOptions, UringRing};
use millstream_storage::{AppendError, LogEvent, ReadError};

/// One promise, twice a test: `ring` makes rings over one disk.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        mod on_the_real_ring {
            use super::*;
            $(#[test] fn $name() {
                let dir = TempDir::new(stringify!($name));
                super::$name(&dir.0, || UringRing::new(UringOptions::default()).expect("an io_uring"));
            })*
        }
        mod on_the_simulated_ring {
            use super::*;
            $(#[test] fn $name() {
                for seed in 0..3 {
                    let world = SimWorld::new(seed, SimOptions::default());
                    super::$name(Path::new("/data"), || {
                        // A process ends only when its operations did.
                        world.advance(Duration::from_secs(1));
                        world.ring()
                    });
                }
            })*
        }
    };
}

promises!(
    what_is_flushed_is_there_after_a_reopen,
    a_tiny_journal_goes_round,
    large_appends_go_straight_to_the_segment,
    duplicates_are_recognised_across_a_reopen,
    old_bytes_come_back_from_the_disk,
    deleted_records_and_segments_stay_deleted,
    a_deleted_partition_gives_its_space_back,
    an_orderly_end_is_remembered,
    idle_partitions_come_to_rest_and_go_on,
);

fn what_is_flushed_is_there_after_a_reopen<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    assert!(!host.unclean);
    let logs: Vec<_> = (0..3).map(|partition| host.create(partition)).collect();
    for (index, log) in logs.iter().enumerate() {
        for count in 0..4 {
            let value = format!("{index}-{count}");
            let appended = host.append(*log, &batch(&[value.as_bytes(), b"second"])).unwrap();
            assert_eq!(appended.base_offset, Offset::new(2 * count));
            assert!(host.logs().offsets(*log).flushed <= appended.base_offset);
        }
        host.flush(*log);
    }
    assert!(
        host.events
            .iter()
            .any(|event| matches!(event, LogEvent::Flushed { upto, .. } if upto.get() == 8))
    );
    drop(host);
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    assert!(host.unclean);
    for index in 0..3 {
        let log = host.logs().lookup(key(index)).unwrap();
        let records = host.read_all(log, 0, 1 << 20).unwrap();
        assert_eq!(records.len(), 8);
        assert_eq!(records[2], (2, format!("{index}-1").into_bytes()));
        assert_eq!(
            host.append(log, &batch(&[b"after"])).unwrap().base_offset,
            Offset::new(8)
        );
        host.flush(log);
        assert_eq!(host.read_all(log, 8, 100).unwrap(), [(8, b"after".to_vec())]);
    }
}

fn a_tiny_journal_goes_round<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let logs: Vec<_> = (0..5).map(|partition| host.create(partition)).collect();
    let value = [9u8; 700];
    for round in 0..400i64 {
        for log in &logs {
            assert_eq!(
                host.append_patiently(*log, &batch(&[&value])).base_offset,
                Offset::new(round)
            );
        }
        if round % 7 == 0 {
            logs.iter().for_each(|log| host.flush(*log));
        }
    }
    logs.iter().for_each(|log| host.flush(*log));
    drop(host);
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    assert!(host.report.is_empty(), "{:?}", host.report);
    for partition in 0..5 {
        let log = host.logs().lookup(key(partition)).unwrap();
        let records = host.read_all(log, 0, 50_000).unwrap();
        assert_eq!(records.len(), 400, "partition {partition}");
        assert!(records.iter().all(|(_, bytes)| bytes == &value));
        assert_eq!(
            host.append(log, &batch(&[b"after"])).unwrap().base_offset,
            Offset::new(400)
        );
        host.flush(log);
    }
}

fn large_appends_go_straight_to_the_segment<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let log = host.create(0);
    let mut values = Vec::new();
    for count in 0..40u8 {
        let value = vec![count; 30_000 + 1234 * usize::from(count)];
        host.append_patiently(log, &batch(&[&value]));
        values.push(value);
        if count % 3 == 0 {
            host.flush(log);
        }
    }
    host.flush(log);
    let records = host.read_all(log, 0, 1 << 20).unwrap();
    assert!(records.iter().map(|(_, value)| value).eq(&values));
    drop(host);
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let log = host.logs().lookup(key(0)).unwrap();
    let records = host.read_all(log, 0, 200_000).unwrap();
    assert!(records.iter().map(|(_, value)| value).eq(&values));
}

fn duplicates_are_recognised_across_a_reopen<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let log = host.create(0);
    for sequence in 0..7 {
        host.append(log, &batch_of(5, sequence, &[b"x"])).unwrap();
    }
    host.flush(log);
    drop(host);
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let log = host.logs().lookup(key(0)).unwrap();
    for sequence in 2..7 {
        let appended = host.append(log, &batch_of(5, sequence, &[b"x"])).unwrap();
        assert!(appended.duplicate);
        assert_eq!(appended.base_offset, Offset::new(sequence.into()));
    }
    assert!(matches!(
        host.append(log, &batch_of(5, 9, &[b"x"])),
        Err(AppendError::Refused(_))
    ));
    assert!(!host.append(log, &batch_of(5, 7, &[b"x"])).unwrap().duplicate);
}

fn old_bytes_come_back_from_the_disk<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut options = small_options();
    options.cache_bytes = 64 << 10;
    let mut host = Host::open(ring(), dir, &options, 1).unwrap();
    let log = host.create(0);
    let values: Vec<Vec<u8>> = (0..600u32)
        .map(|count| vec![count as u8; 900 + count as usize % 500])
        .collect();
    for value in &values {
        host.append(log, &batch(&[value])).unwrap();
        host.flush(log);
    }
    host.until("room in the cache", |host| host.logs().cache_bytes() <= 128 << 10);
    for (from, max_bytes) in [(0, 1 << 20), (0, 3000), (77, 100_000), (599, 10)] {
        let records = host.read_all(log, from, max_bytes).unwrap();
        assert!(
            records
                .iter()
                .map(|(_, value)| value)
                .eq(&values[from as usize..]),
            "from {from}"
        );
    }
    assert!(matches!(
        host.read(log, 601, 10),
        Err(ReadError::OutOfRange { .. })
    ));
}

fn deleted_records_and_segments_stay_deleted<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let config = LogConfig {
        segment_bytes: 20_000,
        ..LogConfig::default()
    };
    let log = host.create_with(0, config);
    for _ in 0..100 {
        host.append(log, &batch(&[&[3; 1000]])).unwrap();
        host.flush(log);
    }
    let before = host.logs().size_bytes(log);
    let now = host.now;
    assert_eq!(
        host.logs().delete_records(log, Offset::new(55), now).unwrap(),
        Offset::new(55)
    );
    host.until("the new start", |host| {
        host.events
            .iter()
            .any(|event| matches!(event, LogEvent::StartMoved { start, .. } if start.get() == 55))
    });
    host.until("fewer bytes", |host| {
        host.logs().size_bytes(log) < before / 2 + 20_000
    });
    assert!(matches!(
        host.read(log, 54, 10),
        Err(ReadError::OutOfRange { .. })
    ));
    drop(host);
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let log = host.logs().lookup(key(0)).unwrap();
    assert_eq!(host.logs().offsets(log).start, Offset::new(55));
    assert_eq!(host.read_all(log, 55, 5000).unwrap().len(), 45);
    assert!(host.report.is_empty(), "{:?}", host.report);
}

fn a_deleted_partition_gives_its_space_back<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let (log, other) = (host.create(0), host.create(1));
    for _ in 0..20 {
        host.append(log, &batch(&[&[3; 50_000]])).unwrap();
        host.append(other, &batch(&[&[3; 1000]])).unwrap();
        host.flush(log);
        host.flush(other);
    }
    let now = host.now;
    host.logs().delete(log, now);
    assert!(host.logs().lookup(key(0)).is_none());
    host.until("the deletion", |host| {
        host.events
            .iter()
            .any(|event| matches!(event, LogEvent::Deleted { key: gone } if *gone == key(0)))
    });
    drop(host);
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    assert!(host.logs().lookup(key(0)).is_none());
    assert!(host.report.is_empty(), "{:?}", host.report);
    let other = host.logs().lookup(key(1)).unwrap();
    assert_eq!(host.read_all(other, 0, 5000).unwrap().len(), 20);
}

fn an_orderly_end_is_remembered<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let log = host.create(0);
    host.append(log, &batch(&[b"one", b"two"])).unwrap();
    host.flush(log);
    host.shut_down();
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    assert!(!host.unclean);
    let log = host.logs().lookup(key(0)).unwrap();
    assert_eq!(host.read_all(log, 0, 100).unwrap().len(), 2);
    host.append(log, &batch(&[b"three"])).unwrap();
    host.flush(log);
    drop(host);
    // The word of an orderly end does not outlive the next start.
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    assert!(host.unclean);
    let log = host.logs().lookup(key(0)).unwrap();
    assert_eq!(host.read_all(log, 0, 100).unwrap().len(), 3);
}

fn idle_partitions_come_to_rest_and_go_on<R: Ring>(dir: &Path, ring: impl Fn() -> R) {
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let log = host.create(0);
    for round in 0..6 {
        host.append(log, &batch(&[b"a little", &[round; 1500]])).unwrap();
        host.flush(log);
        // Long enough that the partial block is written, padded; the next append logs an image of it.
        host.now.monotonic += millstream_protocol::time::Duration::from_secs(6);
        (0..30).for_each(|_| host.turn(Duration::from_millis(1)));
    }
    drop(host);
    let mut host = Host::open(ring(), dir, &small_options(), 1).unwrap();
    let log = host.logs().lookup(key(0)).unwrap();
    assert_eq!(host.read_all(log, 0, 100_000).unwrap().len(), 12);
}
