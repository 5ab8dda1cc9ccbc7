//! What stays in memory: no more than the budget and what the disk still lacks, and producers for as long as was asked.

use std::path::Path;
use std::time::Duration;

use millstream_log::{AppendError as AppendRefusal, LogConfig, SequenceError};
use millstream_protocol::time::Duration as Span;
use millstream_protocol::types::TimestampMs;
use millstream_storage::AppendError;

use crate::common::{DIR, Host, batch, batch_of, key, small_options, world};

/// The last bytes of a segment wait in the journal, which large batches hardly fill: all that comes in the segments
/// behind would stay in memory until it is.
#[test]
fn direct_writes_leave_memory_though_older_bytes_wait_in_the_journal() {
    let world = world();
    let mut options = small_options();
    options.journal_bytes = 16 << 20;
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let config = LogConfig {
        segment_bytes: 500_000,
        ..LogConfig::default()
    };
    let log = host.create_with(0, config);
    for number in 0..200 {
        host.append_patiently(log, &batch(&[&[number; 60_000]]));
        host.flush(log);
    }
    (0..200).for_each(|_| host.turn(Duration::from_millis(1)));
    let held = host.logs().cache_bytes();
    assert!(held <= 2 * options.cache_bytes, "{held} bytes are in memory");
    assert_eq!(host.read_all(log, 0, 1 << 20).unwrap().len(), 200);
}

/// What partitions take comes off the memory that others' records may keep, on the disk or not.
#[test]
fn partitions_take_their_place_in_memory() {
    let held_beside = |partitions: i32| {
        let world = world();
        let mut options = small_options();
        (options.cache_bytes, options.dirty_bytes_max) = (8 << 20, 8 << 20);
        options.journal_bytes = 64 << 20;
        options.partition_bytes = 100_000;
        let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
        let log = host.create(0);
        (1..partitions).for_each(|partition| {
            host.create(partition);
        });
        let mut accepted = 0;
        while host.append(log, &batch(&[&[7; 30_000]])).is_ok() {
            accepted += 30_000;
        }
        for number in 0..500 {
            host.append_patiently(log, &batch(&[&[number as u8; 30_000]]));
        }
        host.flush(log);
        (0..500).for_each(|_| host.turn(Duration::from_millis(1)));
        (host.logs().cache_bytes(), accepted)
    };
    let (alone, crowded, crammed) = (held_beside(1), held_beside(40), held_beside(1_000));
    let is_about = |found: u64, expect: u64| (expect - (2 << 20)..=expect + (1 << 20)).contains(&found);
    for (found, expect) in [
        (alone, 8 << 20),
        (crowded, (8 << 20) - 4_000_000),
        (crammed, 4 << 20),
    ] {
        assert!(
            is_about(found.0, expect) && is_about(found.1, expect),
            "{found:?} where {expect} may be: {alone:?} {crowded:?} {crammed:?}"
        );
    }
}

#[test]
fn producers_are_forgotten_when_their_time_is_over() {
    let world = world();
    let mut options = small_options();
    options.retention_first_after = Span::ZERO;
    options.retention_every = Span::from_millis(1);
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let config = LogConfig {
        producer_id_expiration_ms: 60_000,
        ..LogConfig::default()
    };
    let log = host.create_with(0, config);
    host.append(log, &batch_of(7, 0, &[b"first"])).unwrap();
    host.flush(log);
    let later = |host: &mut Host<_>, milliseconds| {
        host.now.wall = TimestampMs::new(host.now.wall.get() + milliseconds);
        host.now.monotonic += Span::from_secs(2);
        (0..20).for_each(|_| host.turn(Duration::from_millis(1)));
    };
    later(&mut host, 50_000);
    let gap = host.append(log, &batch_of(7, 5, &[b"after a gap"]));
    assert!(
        matches!(
            gap,
            Err(AppendError::Refused(AppendRefusal::Sequence(
                SequenceError::OutOfOrder { .. }
            )))
        ),
        "{gap:?}"
    );
    later(&mut host, 20_000);
    host.append(log, &batch_of(7, 5, &[b"as if it were new"]))
        .unwrap();
}

/// What a retry may need stays, a newcomer waits, and who was silent for long gives way to it.
#[test]
fn producers_of_all_partitions_together_are_bounded() {
    let world = world();
    let mut options = small_options();
    options.producers_max = 20;
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let (first, second) = (host.create(0), host.create(1));
    for id in 0..10 {
        host.append(first, &batch_of(id, 0, &[b"first"])).unwrap();
        host.append(second, &batch_of(id, 0, &[b"first"])).unwrap();
    }
    let refused = |result| {
        matches!(
            result,
            Err(AppendError::Refused(AppendRefusal::Sequence(
                SequenceError::TooManyProducers
            )))
        )
    };
    assert!(refused(host.append(first, &batch_of(10, 0, &[b"a newcomer"]))));
    host.append(first, &batch(&[b"of no producer"])).unwrap();
    host.append(second, &batch_of(9, 1, &[b"a known one"])).unwrap();
    host.flush(first);
    host.flush(second);
    drop(host);
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    let [first, second] = [0, 1].map(|partition| host.logs().lookup(key(partition)).unwrap());
    assert!(refused(host.append(first, &batch_of(10, 0, &[b"after a start"]))));
    let later = |host: &mut Host<_>, minutes: i64| {
        host.now.wall = TimestampMs::new(host.now.wall.get() + minutes * 60_000);
        host.now.monotonic += Span::from_secs(2);
        (0..20).for_each(|_| host.turn(Duration::from_millis(1)));
    };
    later(&mut host, 10);
    host.append(second, &batch_of(9, 2, &[b"goes on"])).unwrap();
    assert!(refused(
        host.append(first, &batch_of(10, 0, &[b"nobody is idle"]))
    ));
    later(&mut host, 10);
    host.append(first, &batch_of(10, 0, &[b"a place is free"]))
        .unwrap();
    assert!(
        host.append(second, &batch_of(9, 3, &[b"never forgotten"]))
            .is_ok()
    );
    assert!(host.append(second, &batch_of(9, 9, &[b"a gap"])).is_err());
}
