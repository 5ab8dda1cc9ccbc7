//! Direct writes that fail: what their partition keeps, what a start makes of it, and that nobody else notices.

use std::cell::RefCell;
use std::time::Duration;

use millstream_protocol::types::Offset;
use millstream_ring::IoError;
use millstream_ring::simulated::{OpKind, SimOptions, SimWorld};
use millstream_storage::{AppendError, LogEvent};

use crate::common::{EIO, batch, is_segment, key, only_segment, open, world};

#[test]
fn a_failed_direct_write_fences_its_partition_and_nobody_else() {
    let world = world();
    let mut host = open(&world);
    let (log, other) = (host.create(0), host.create(1));
    host.append(log, &batch(&[&[1; 60_000]])).unwrap();
    host.flush(log);
    world.fail_when(|op| (op.kind == OpKind::Write && is_segment(op.path)).then_some(IoError::new(EIO)));
    host.append(log, &batch(&[&[2; 60_000]])).unwrap();
    host.until_fenced();
    world.fail_when(|_| None);
    host.append(other, &batch(&[b"goes on"])).unwrap();
    host.flush(other);
    assert_eq!(
        host.logs().offsets(log).flushed,
        Offset::new(1),
        "what failed is never acknowledged"
    );
    assert_eq!(host.append(log, &batch(&[b"more"])), Err(AppendError::Fenced));
    assert_eq!(host.read_all(log, 0, 100_000).unwrap().len(), 1);
    (0..50).for_each(|_| host.turn(Duration::from_millis(1)));
    drop(host);
    let mut host = open(&world);
    let (log, other) = (
        host.logs().lookup(key(0)).unwrap(),
        host.logs().lookup(key(1)).unwrap(),
    );
    assert_eq!(host.read_all(log, 0, 100_000).unwrap()[0], (0, vec![1; 60_000]));
    assert_eq!(host.read_all(other, 0, 100_000).unwrap().len(), 1);
}

/// Until it is written down what a failed direct write takes back, no round vouches for it, one that a power cut tears
/// least of all.
#[test]
fn a_power_cut_right_after_a_failed_direct_write_leaves_what_was_acknowledged() {
    fail_a_direct_write_after(0, 3);
}

/// Nor does a checkpoint that was collected before the write failed. After so many rounds there is one, and with these
/// seeds it is durable before the round that takes back.
#[test]
fn a_checkpoint_does_not_vouch_for_a_direct_write_that_fails() {
    fail_a_direct_write_after(16, 8);
    fail_a_direct_write_after(18, 7);
}

fn fail_a_direct_write_after(rounds: u64, seed: u64) {
    let world = SimWorld::new(seed, SimOptions::default());
    let mut host = open(&world);
    let (log, other) = (host.create(0), host.create(1));
    host.append(log, &batch(&[&[1; 60_000]])).unwrap();
    host.flush(log);
    let failing = only_segment(&world.image());
    for _ in 0..rounds {
        host.append_patiently(other, &batch(&[&[3; 40_000]]));
        host.flush(other);
    }
    world.fail_when(move |op| (op.kind == OpKind::Write && op.path == failing).then_some(IoError::new(EIO)));
    host.append(log, &batch(&[&[2; 60_000]])).unwrap();
    while !host.has_fenced() {
        host.turn(Duration::from_micros(20));
    }
    // The round that takes back is large enough to be torn behind its header.
    host.append(other, &batch(&[&[3; 5000]])).unwrap();
    for turn in 0..20 {
        let flushed = host.logs().offsets(other).flushed.get();
        for seed in 0..4 {
            let world = SimWorld::restart(&world.crash(seed), seed, SimOptions::default());
            let mut host = open(&world);
            let (log, other) = (host.logs().lookup(key(0)).unwrap(), host.logs().lookup(key(1)));
            let records = host.read_all(log, 0, 100_000);
            let expected = Ok(vec![(0, vec![1; 60_000])]);
            let when = format!("{rounds} rounds, turn {turn}, seed {seed}: {:?}", host.report);
            assert_eq!(records, expected, "{when}");
            let others = other.map_or(0, |other| host.logs().offsets(other).end.get());
            assert!(others >= flushed, "{when}");
        }
        host.turn(Duration::from_micros(20));
    }
    host.flush(other);
}

#[test]
fn a_partition_may_be_deleted_while_its_direct_write_fails() {
    let world = world();
    let mut host = open(&world);
    let (log, other) = (host.create(0), host.create(1));
    host.append(log, &batch(&[&[1; 60_000]])).unwrap();
    host.flush(log);
    world.fail_when(|op| (op.kind == OpKind::Write && is_segment(op.path)).then_some(IoError::new(EIO)));
    host.append(log, &batch(&[&[2; 60_000]])).unwrap();
    host.turn(Duration::ZERO);
    let now = host.now;
    host.logs().delete(log, now);
    host.until("the deletion", |host| {
        host.events
            .iter()
            .any(|event| matches!(event, LogEvent::Deleted { .. }))
    });
    host.append(other, &batch(&[b"goes on"])).unwrap();
    host.flush(other);
}

/// What waits for a file that cannot be made is given up, and what the journal holds of the partition is rescued:
/// others need the journal's room.
#[test]
fn a_file_that_cannot_be_made_does_not_stop_the_ring() {
    let world = world();
    let mut host = open(&world);
    let (log, other) = (host.create(0), host.create(1));
    host.append(log, &batch(&[b"kept"])).unwrap();
    host.flush(log);
    let failing = RefCell::new(None);
    world.fail_when(move |op| {
        let mut failing = failing.borrow_mut();
        let opens = op.kind == OpKind::Open && is_segment(op.path);
        let fails = opens && *failing.get_or_insert(op.path.to_owned()) == *op.path;
        fails.then_some(IoError::new(EIO))
    });
    host.append(log, &batch(&[&[1; 100_000]])).unwrap();
    host.until_fenced();
    // Many times round the ring.
    for _ in 0..200 {
        host.append_patiently(other, &batch(&[&[2; 5000]]));
        host.flush(other);
    }
    assert_eq!(host.append(log, &batch(&[b"more"])), Err(AppendError::Fenced));
    let kept = Ok(vec![(0, b"kept".to_vec())]);
    assert_eq!(host.read_all(log, 0, 100_000), kept);
    drop(host);
    world.fail_when(|_| None);
    let mut host = open(&world);
    let (log, other) = (
        host.logs().lookup(key(0)).unwrap(),
        host.logs().lookup(key(1)).unwrap(),
    );
    assert_eq!(host.read_all(log, 0, 100_000), kept);
    assert_eq!(host.read_all(other, 0, 100_000).unwrap().len(), 200);
}

/// A direct write takes along what is before it in the segment and only in the journal by then: that stays in the
/// journal or the rescue file when the write fails.
#[test]
fn what_a_failed_direct_write_took_along_is_kept() {
    for rounds in [0, 1, 60, 200] {
        let world = world();
        let mut host = open(&world);
        let (log, other) = (host.create(0), host.create(1));
        // Its file is made, and the rest of its last block is only in the journal.
        host.append(log, &batch(&[&[1; 60_000]])).unwrap();
        host.flush(log);
        let failing = only_segment(&world.image());
        host.append(log, &batch(&[b"kept"])).unwrap();
        host.flush(log);
        world.fail_when(move |op| {
            (op.kind == OpKind::Write && op.path == failing).then_some(IoError::new(EIO))
        });
        host.append(log, &batch(&[&[2; 60_000]])).unwrap();
        host.until_fenced();
        for _ in 0..rounds {
            host.append_patiently(other, &batch(&[&[3; 5000]]));
            host.flush(other);
        }
        let kept = Ok(vec![(0, vec![1; 60_000]), (1, b"kept".to_vec())]);
        assert_eq!(host.read_all(log, 0, 100_000), kept, "{rounds} rounds");
        drop(host);
        world.fail_when(|_| None);
        for life in 0..3 {
            let mut host = open(&world);
            let log = host.logs().lookup(key(0)).unwrap();
            let end = host.logs().offsets(log).end;
            let records = host.read_all(log, 0, 100_000);
            assert!(
                records == kept,
                "{rounds} rounds, life {life}, end {end}, {:?}, {:?}",
                host.report,
                records.map(|r| r.len())
            );
        }
    }
}

/// What was accepted and needs space in the file is taken back, so that nobody waits for it, not even an orderly end.
#[test]
fn a_header_that_cannot_be_read_fences_who_waits_for_space() {
    let world = world();
    let mut host = open(&world);
    let log = host.create(0);
    host.append(log, &batch(&[&[1; 900]])).unwrap();
    host.flush(log);
    host.shut_down();
    world.advance(Duration::from_secs(1));
    let world = SimWorld::restart(&world.image(), 8, SimOptions::default());
    let mut host = open(&world);
    let log = host.logs().lookup(key(0)).unwrap();
    world.fail_when(|op| {
        let is_header = op.kind == OpKind::Read && is_segment(op.path) && op.at == 0;
        is_header.then_some(IoError::new(EIO))
    });
    host.append(log, &batch(&[&[2; 50_000]])).unwrap();
    host.until_fenced();
    host.shut_down();
}
