//! Reads of what is in no memory: several pieces at once, and the next ones ahead of who reads on.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use millstream_protocol::record::batch::Batches;
use millstream_protocol::types::Offset;
use millstream_ring::simulated::{OpKind, SimOptions, SimRing, SimWorld};
use millstream_storage::limits::{COLD_PIECE_BYTES, READ_AHEAD_PIECES};
use millstream_storage::{LogId, ReadId, ReadOutcome};

use crate::common::{Host, batch, key, small_options, values};

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
        let is_segment = op.path.extension().is_some_and(|extension| extension == "seg");
        if op.kind == OpKind::Read && is_segment && op.at > 0 {
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
const BATCHES: i64 = 80;
const VALUE_BYTES: usize = 50_000;
