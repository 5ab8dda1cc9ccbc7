//! Reads of what is in no memory: several pieces at once, the next ones ahead of who reads on, and never more of them
//! than there is room for.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use millstream_protocol::record::batch::Batches;
use millstream_protocol::types::{LeaderEpoch, Offset};
use millstream_ring::simulated::{OpKind, SimOptions, SimRing, SimWorld};
use millstream_ring::{IoError, Slice};
use millstream_storage::limits::{COLD_PIECE_BYTES, COLD_PIECES_AT_ONCE, COLD_READS_MAX, READ_AHEAD_PIECES};
use millstream_storage::{LogId, ReadError, ReadId, ReadOutcome};

use crate::common::{DIR, Host, batch, is_segment, key, small_options, values, world};

#[test]
fn a_large_cold_read_has_all_its_pieces_read_at_once() {
    let (world, mut host, log) = cold();
    let reads = reads_of(&world);
    let began = world.now();
    let bytes = host.read(log, 0, 8 * COLD_PIECE_BYTES as u32).unwrap();
    let took = world.now() - began;
    assert!(bytes.len() as u64 > 7 * COLD_PIECE_BYTES);
    assert_eq!(offsets(&bytes)[..3], [0, 1, 2]);
    assert!(reads.borrow().len() >= 8, "{reads:?}");
    assert!(
        (LATENCY..2 * LATENCY).contains(&took),
        "{} reads, one after the other, would take longer than {took:?}",
        reads.borrow().len()
    );
    assert_each_once(&reads);
}

#[test]
fn who_reads_on_finds_the_next_pieces_read_ahead() {
    let (world, mut host, log) = cold();
    let reads = reads_of(&world);
    let size = COLD_PIECE_BYTES as u32;
    let mut next = 0;
    let mut advance = |host: &mut Host<SimRing>| {
        next = offsets(&host.read(log, next, size).unwrap()).last().unwrap() + 1;
        next
    };
    advance(&mut host);
    let asked_for = reads.borrow().len();
    assert!(
        asked_for <= 2,
        "nobody knows yet that this one reads on: {reads:?}"
    );
    let next = advance(&mut host);
    host.until("the pieces read ahead", |_| {
        reads.borrow().len() as u64 >= asked_for as u64 + READ_AHEAD_PIECES
    });
    // Until all of it has arrived.
    (0..1_000).for_each(|_| host.turn(Duration::from_millis(1)));

    let before = reads.borrow().len();
    let bound = host.logs().offsets(log).flushed;
    let read = host
        .logs()
        .read(log, Offset::new(next), bound, size, true, ReadId(u64::MAX));
    let Ok(ReadOutcome::Ready(slices)) = read else {
        panic!("it waits for the disk: {read:?}");
    };
    assert_eq!(reads.borrow().len(), before);
    let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
    assert_eq!(offsets(&bytes)[0], next);
    assert!(bytes.len() as u64 > COLD_PIECE_BYTES / 2);

    // And so on to the end, where nothing was read that was not served.
    let all = host.read_all(log, 0, size).unwrap();
    assert_eq!(all.len() as i64, BATCHES);
    assert_each_once(&reads);
}

/// Many readers at once of what is far more than the memory for it.
#[test]
fn cold_reads_at_once_are_bounded_in_memory_and_served_in_the_order_of_asking() {
    let (world, mut host, logs) = cold_logs(LOGS, 1);
    let reads = reads_of(&world);
    for (number, log) in logs.iter().enumerate() {
        begin(&mut host, *log, 1, true, number as u64);
    }
    let limit = host.logs().status().cache_limit;
    let at_once = limit / LARGE as u64;
    let mut waiting: Vec<u64> = (0..LOGS as u64).collect();
    let mut peak = 0;
    host.until("all reads", |host| {
        peak = peak.max(host.logs().status().cache_held);
        let first = waiting[0];
        waiting.retain(|number| {
            let Some(result) = host.take_done(ReadId(*number)) else {
                return true;
            };
            assert_eq!(bytes_of(&result.unwrap()), large_batch(*number as i32, 0));
            assert!(*number < first + at_once, "{number} overtook {first}");
            false
        });
        waiting.is_empty()
    });
    assert!(LOGS as u64 * LARGE as u64 > 2 * limit);
    assert!(peak > limit / 2, "{peak} bytes: the disk is kept busy");
    assert!(peak <= limit, "{peak} bytes of {limit}");
    assert_eq!(
        reads.borrow().len(),
        LOGS * LARGE.div_ceil(COLD_PIECE_BYTES as usize)
    );
}

/// A file system that takes no writes any more refuses to open a file for them; what it holds is read all the same.
#[test]
fn a_file_that_opens_for_reads_alone_is_read() {
    let (world, mut host, logs) = cold_logs(2, 1);
    let refused = Rc::new(RefCell::new(Vec::new()));
    let noted = refused.clone();
    world.fail_when(move |op| {
        let asks = op.kind == OpKind::Open && is_segment(op.path);
        let first = asks && !noted.borrow().contains(&op.path.to_owned());
        first.then(|| {
            noted.borrow_mut().push(op.path.to_owned());
            IoError::new(EROFS)
        })
    });
    for (number, log) in logs.iter().enumerate() {
        begin(&mut host, *log, 1, true, number as u64);
        assert_eq!(end_of(&mut host, number as u64), large_batch(number as i32, 0));
    }
    assert_eq!(refused.borrow().len(), 2);
}

/// Where none of them fits beside another, nor within the memory for all.
#[test]
fn reads_larger_than_their_memory_end_one_after_the_other() {
    let (_, mut host, logs) = cold_logs(3, 22);
    let size = 22 * LARGE as u32;
    for (number, log) in logs.iter().enumerate() {
        begin(&mut host, *log, 2 * size, true, 2 * number as u64);
        begin(&mut host, *log, 1, true, 2 * number as u64 + 1);
    }
    let mut peak = 0;
    for number in 0..3 {
        let mut found = None;
        host.until("a large read", |host| {
            peak = peak.max(host.logs().status().cache_held);
            found = host.take_done(ReadId(2 * number));
            found.is_some()
        });
        assert!(bytes_of(&found.unwrap().unwrap()).len() > size as usize);
        host.until("a small read", |host| {
            host.take_done(ReadId(2 * number + 1)).is_some()
        });
    }
    let limit = host.logs().status().cache_limit;
    assert!(u64::from(size) > limit);
    assert!(
        peak <= limit + u64::from(size) + LARGE as u64,
        "{peak} bytes of {limit}"
    );
}

#[test]
fn a_batch_that_is_too_large_is_not_read_to_learn_that() {
    let (world, mut host, logs) = cold_logs(1, 2);
    let reads = reads_of(&world);
    begin(&mut host, logs[0], 1_000, false, 0);
    assert_eq!(end_of(&mut host, 0), b"");
    assert_eq!(reads.borrow().len(), 1, "{reads:?}");

    // Nor is one that fits left out.
    begin(&mut host, logs[0], LARGE as u32 + 1_000, false, 1);
    assert_eq!(end_of(&mut host, 1), large_batch(0, 0));
}

#[test]
fn what_is_in_memory_is_read_while_no_more_reads_may_wait() {
    let (_, mut host, log) = cold();
    let hot = host.create(1);
    host.append_patiently(hot, &batch(&[b"hot"]));
    host.flush(hot);
    let bound = host.logs().offsets(log).flushed;
    let ask =
        |host: &mut Host<SimRing>, read| host.logs().read(log, Offset::ZERO, bound, 1, true, ReadId(read));
    for read in 0..COLD_READS_MAX as u64 {
        assert!(matches!(ask(&mut host, read), Ok(ReadOutcome::Pending)));
    }
    assert!(matches!(ask(&mut host, u64::MAX), Err(ReadError::Busy)));
    let read = host
        .logs()
        .read(hot, Offset::ZERO, Offset::new(1), 1, true, ReadId(u64::MAX));
    assert!(matches!(read, Ok(ReadOutcome::Ready(slices)) if !slices.is_empty()));
    let mut ended = 0;
    host.until("all reads", |host| {
        while let Some(result) = host.take_done(ReadId(ended)) {
            assert!(result.is_ok());
            ended += 1;
        }
        ended == COLD_READS_MAX as u64
    });
}

/// A turn looks at its share of what came from the disk; what is in memory goes past that.
#[test]
fn bytes_from_the_disk_are_looked_at_in_turn() {
    let (world, mut host, logs) = cold_logs(4, 1);
    let hot = host.create(99);
    host.append_patiently(hot, &batch(&[b"hot"]));
    host.flush(hot);
    host.logs().look_at_most(LARGE as u64 / 2);
    let reads = reads_of(&world);
    for (number, log) in logs.iter().enumerate() {
        begin(&mut host, *log, 1, true, number as u64);
    }
    let pieces = 4 * LARGE.div_ceil(COLD_PIECE_BYTES as usize);
    assert!(pieces <= COLD_PIECES_AT_ONCE);
    host.until("the disk being asked for all", |_| reads.borrow().len() == pieces);
    world.advance(2 * LATENCY);
    let mut waiting: Vec<u64> = (0..4).collect();
    host.until("all reads", |host| {
        let before = waiting.len();
        waiting.retain(|number| match host.take_done(ReadId(*number)) {
            Some(result) => {
                assert_eq!(bytes_of(&result.unwrap()), large_batch(*number as i32, 0));
                false
            }
            None => true,
        });
        assert!(before - waiting.len() <= 1, "more than a turn's share");
        let read = host
            .logs()
            .read(hot, Offset::ZERO, Offset::new(1), 1, true, ReadId(u64::MAX));
        assert!(matches!(read, Ok(ReadOutcome::Ready(slices)) if !slices.is_empty()));
        waiting.is_empty()
    });
}

#[test]
fn a_log_deleted_while_its_read_stands_in_line_is_no_more_and_the_next_one_is_served() {
    let (_, mut host, logs) = cold_logs(3, 1);
    host.logs().look_at_most(1);
    for (number, log) in logs.iter().enumerate() {
        begin(&mut host, *log, 1, true, number as u64);
    }
    assert_eq!(end_of(&mut host, 0), large_batch(0, 0));
    let now = host.now;
    host.logs().delete(logs[1], now);
    let mut found = None;
    host.until("the read of what was deleted", |host| {
        found = host.take_done(ReadId(1));
        found.is_some()
    });
    assert!(
        matches!(found, Some(Err(ReadError::UnknownLog))),
        "{:?}",
        found.map(|found| found.is_ok())
    );
    assert_eq!(end_of(&mut host, 2), large_batch(2, 0));
}

/// A flush waits behind all that the disk was asked for before it.
#[test]
fn beside_somebody_who_waits_for_flushes_the_disk_is_asked_for_few_pieces_at_a_time() {
    let most_at_once = |with_little: bool| {
        let (world, mut host, logs) = cold_logs(8, 1);
        let little = host.create(99);
        host.append_patiently(little, &batch(&[b"few"]));
        host.flush(little);
        world.advance(Duration::from_secs(1));
        host.turn(Duration::from_secs(1));
        let asked = Rc::new(RefCell::new(Vec::new()));
        let clock = Rc::new(Cell::new(Duration::ZERO));
        let (noted, now) = (asked.clone(), clock.clone());
        world.fail_when(move |op| {
            if op.kind == OpKind::Read && is_segment(op.path) && op.at > 0 {
                noted.borrow_mut().push(now.get());
            }
            None
        });
        for (number, log) in logs.iter().enumerate() {
            begin(&mut host, *log, 1, true, number as u64);
        }
        let mut ended = 0;
        host.until("all reads", |host| {
            clock.set(clock.get() + TURN);
            if with_little {
                host.append_patiently(little, &batch(&[b"few"]));
            }
            ended += (0..8)
                .filter(|read| host.take_done(ReadId(*read)).is_some())
                .count();
            ended == 8
        });
        let asked = asked.borrow();
        let while_it_lasts = |from: &Duration| {
            let span = *from..*from + LATENCY;
            asked.iter().filter(|at| span.contains(*at)).count()
        };
        asked.iter().map(while_it_lasts).max().unwrap()
    };
    assert_eq!(most_at_once(false), COLD_PIECES_AT_ONCE);
    let beside = most_at_once(true);
    assert!(beside <= COLD_PIECES_AT_ONCE / 2, "{beside}");
}

#[test]
fn for_one_small_batch_a_small_part_of_a_segment_is_read() {
    let (world, mut host, log) = cold();
    let reads = reads_of(&world);
    let bytes = host.read(log, BATCHES / 2, 1).unwrap();
    assert_eq!(offsets(&bytes), [BATCHES / 2]);
    assert!(reads.borrow().len() <= 3, "{reads:?}");
}

/// So many logs of so many large batches, on the disk only.
fn cold_logs(logs: usize, batches: usize) -> (SimWorld, Host<SimRing>, Vec<LogId>) {
    let world = SimWorld::new(5, SimOptions::default());
    let mut host = open(&world);
    for partition in 0..logs as i32 {
        let log = host.create(partition);
        for count in 0..batches {
            host.append_patiently(log, &large_batch(partition, count as i64));
            host.flush(log);
        }
    }
    host.shut_down();
    let options = SimOptions {
        disk_latency: LATENCY..=LATENCY,
        ..SimOptions::default()
    };
    let world = SimWorld::restart(&world.image(), 5, options);
    let mut host = open(&world);
    let logs = (0..logs as i32)
        .map(|partition| host.logs().lookup(key(partition)).unwrap())
        .collect();
    (world, host, logs)
}

fn begin(host: &mut Host<SimRing>, log: LogId, max_bytes: u32, at_least_one: bool, read: u64) {
    let bound = host.logs().offsets(log).flushed;
    let begun = host
        .logs()
        .read(log, Offset::ZERO, bound, max_bytes, at_least_one, ReadId(read));
    assert!(matches!(begun, Ok(ReadOutcome::Pending)));
}

fn end_of(host: &mut Host<SimRing>, read: u64) -> Vec<u8> {
    let mut found = None;
    host.until("the read", |host| {
        found = host.take_done(ReadId(read));
        found.is_some()
    });
    let result = found.expect("it has ended");
    bytes_of(&result.unwrap())
}

/// As it is stored.
fn large_batch(partition: i32, offset: i64) -> Vec<u8> {
    let mut batch = batch(&[&vec![partition as u8; LARGE]]);
    batch[..8].copy_from_slice(&offset.to_be_bytes());
    batch[12..16].copy_from_slice(&LeaderEpoch::ZERO.get().to_be_bytes());
    batch
}

fn bytes_of(slices: &[Slice]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.to_vec()).collect()
}

/// A log of some megabytes, all of them on the disk only. An operation takes [`LATENCY`] from now on.
fn cold() -> (SimWorld, Host<SimRing>, LogId) {
    let world = SimWorld::new(5, SimOptions::default());
    let mut host = open(&world);
    let log = host.create(0);
    for count in 0..BATCHES {
        host.append_patiently(log, &batch(&[&vec![count as u8; VALUE_BYTES]]));
        host.flush(log);
    }
    host.shut_down();
    world.advance(Duration::from_secs(1));
    let options = SimOptions {
        disk_latency: LATENCY..=LATENCY,
        ..SimOptions::default()
    };
    let world = SimWorld::restart(&world.image(), 5, options);
    let mut host = open(&world);
    let log = host.logs().lookup(key(0)).unwrap();
    // The file is opened and its header checked with the first read.
    host.read(log, BATCHES - 2, 1).unwrap();
    (world, host, log)
}

fn open(world: &SimWorld) -> Host<SimRing> {
    Host::open(world.ring(), Path::new("/data"), &small_options(), 1).unwrap()
}

/// The places of segment files that are read from now on, but for the header of a file, where it begins.
fn reads_of(world: &SimWorld) -> Rc<RefCell<Vec<u64>>> {
    let reads = Rc::new(RefCell::new(Vec::new()));
    let noted = reads.clone();
    world.fail_when(move |op| {
        if op.kind == OpKind::Read && is_segment(op.path) && op.at > 0 {
            noted.borrow_mut().push(op.at);
        }
        None
    });
    reads
}

fn assert_each_once(reads: &RefCell<Vec<u64>>) {
    let mut once = reads.borrow().clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), reads.borrow().len(), "some are read twice: {reads:?}");
}

fn offsets(bytes: &[u8]) -> Vec<i64> {
    let batches = Batches::new(bytes).map(|batch| batch.expect("whole batches"));
    batches
        .flat_map(|batch| values(&batch))
        .map(|(offset, value)| {
            assert!(value == vec![offset as u8; VALUE_BYTES], "offset {offset}");
            offset
        })
        .collect()
}

const LATENCY: Duration = Duration::from_millis(20);
/// Of a host that waits for something.
const TURN: Duration = Duration::from_millis(1);
const BATCHES: i64 = 80;
const VALUE_BYTES: usize = 50_000;
const LOGS: usize = 48;
const LARGE: usize = 900_000;
const EROFS: i32 = 30;

/// Files that wait for space on a full disk give their descriptors to whoever reads.
#[test]
fn reads_go_on_while_other_files_wait_for_space() {
    let world = world();
    let mut options = small_options();
    options.open_segments_max = 2;
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    for partition in 0..4 {
        let log = host.create(partition);
        host.append(log, &batch(&[&[7; 60_000]])).unwrap();
        host.flush(log);
    }
    host.shut_down();
    let mut host = Host::open(world.ring(), Path::new(DIR), &options, 1).unwrap();
    world.fail_when(|op| (op.kind == OpKind::Allocate).then_some(IoError::new(ENOSPC)));
    let logs = [0, 1, 2, 3].map(|partition| host.logs().lookup(key(partition)).unwrap());
    // Enough that the journal wants the first two's written to their files.
    for log in [logs[0], logs[1], logs[2]] {
        for _ in 0..4 {
            host.append(log, &batch(&[&[7; 9_000]])).unwrap();
            host.flush(log);
        }
    }
    (0..50).for_each(|_| host.turn(Duration::from_millis(1)));
    assert_eq!(host.read_all(logs[3], 0, 1 << 20).unwrap().len(), 1);
    world.fail_when(|_| None);
    host.shut_down();
}

const ENOSPC: i32 = 28;
