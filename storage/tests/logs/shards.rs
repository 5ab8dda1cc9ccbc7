//! Directories of several shards: with another number of them, and with an end that not all of them reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_log::{Checkpoint, CheckpointBuilder, CheckpointHead, JournalId, SegmentId, layout};
use millstream_ring::IoError;
use millstream_ring::simulated::{DiskImage, OpKind, PowerCut, SimOptions, SimWorld};
use millstream_storage::shard_of;

use crate::common::{DIR, EIO, Host, batch, key, open, small_options, world};

#[test]
fn the_number_of_shards_may_change() {
    let world = world();
    let mut host = open(&world);
    let logs: Vec<_> = (0..7).map(|partition| host.create(partition)).collect();
    for round in 0..30 {
        for log in &logs {
            host.append_patiently(*log, &batch(&[&vec![round; 400 + 100 * usize::from(round)]]));
        }
        logs.iter().for_each(|log| host.flush(*log));
    }
    drop(host);
    for shards in [3, 2, 2, 1] {
        world.advance(Duration::from_secs(1));
        let host = Host::open(world.ring(), Path::new(DIR), &small_options(), shards).unwrap();
        for partition in 0..7 {
            let owner = shard_of(key(partition), shards);
            let found: Vec<usize> = (0..shards)
                .filter(|shard| host.shards[*shard].lookup(key(partition)).is_some())
                .collect();
            assert_eq!(found, [owner], "partition {partition} of {shards} shards");
        }
    }
    let mut host = open(&world);
    for partition in 0..7 {
        let log = host.logs().lookup(key(partition)).unwrap();
        let records = host.read_all(log, 0, 1 << 20).unwrap();
        assert_eq!(records.len(), 30);
        assert_eq!(records[29].1, vec![29; 3300]);
        host.append(log, &batch(&[b"goes on"])).unwrap();
        host.flush(log);
    }
}

/// A start that was removing the journals of other shards is interrupted anywhere: the next one goes on with it, and
/// has nothing to warn of.
#[test]
fn an_interrupted_change_of_the_number_of_shards_is_nothing_to_speak_of() {
    let world = world();
    let mut host = open(&world);
    let log = host.create(0);
    host.append(log, &batch(&[b"kept"])).unwrap();
    host.flush(log);
    drop(host);
    let before = world.image();
    let mut removals = 0;
    loop {
        let world = SimWorld::restart(&before, 1, SimOptions::default());
        let mut left = removals;
        world.fail_when(move |op| {
            let fails = op.kind == OpKind::Unlink && left == 0;
            left -= u64::from(op.kind == OpKind::Unlink && !fails);
            fails.then_some(IoError::new(EIO))
        });
        let opened = Host::open(world.ring(), Path::new(DIR), &small_options(), 2);
        let is_whole = opened.is_ok();
        drop(opened);
        let image = world.image();
        let world = SimWorld::restart(&image, 1, SimOptions::default());
        let mut host = Host::open(world.ring(), Path::new(DIR), &small_options(), 2).unwrap();
        assert!(host.report.is_empty(), "{removals}: {:?}", host.report);
        let owner = &mut host.shards[shard_of(key(0), 2)];
        let log = owner.lookup(key(0)).unwrap();
        assert_eq!(owner.offsets(log).end.get(), 1);
        if is_whole {
            break;
        }
        removals += 1;
    }
    assert_eq!(removals, 3, "the ring and two slots");
}

/// One shard had said that nothing follows when the power went, the other had not; the next start is interrupted
/// anywhere. What it leaves of a slot that it was writing is nothing to speak of.
#[test]
fn a_start_that_is_cut_off_after_half_an_orderly_end_is_nothing_to_speak_of() {
    for ended in [1, 2] {
        let image = two_shards(&[ended]);
        let mut torn = 0;
        for boundary in 0.. {
            let world = SimWorld::restart(&image, boundary, SimOptions::default());
            world.cut_power_at(PowerCut::AtBoundary(boundary));
            let opened = Host::open(world.ring(), Path::new(DIR), &small_options(), 2);
            if opened.is_ok() && !world.is_off() {
                break;
            }
            for seed in 0..8 {
                let after = world.crash(seed);
                let read = |number: usize| after.read(&slot(ended, number)).unwrap();
                torn += (0..2)
                    .filter(|number| Checkpoint::decode(&read(*number)).is_err())
                    .count();
                let world = SimWorld::restart(&after, 1, SimOptions::default());
                let host = Host::open(world.ring(), Path::new(DIR), &small_options(), 2).unwrap();
                assert!(
                    host.report.is_empty(),
                    "journal {ended}, boundary {boundary}, seed {seed}: {:?}",
                    host.report
                );
            }
        }
        assert!(torn > 0, "journal {ended}: the cuts tear a slot");
    }
}

/// After an orderly end of all shards there was nothing left to write.
#[test]
fn a_damaged_slot_after_an_orderly_end_is_told() {
    let mut image = two_shards(&[1, 2]);
    image.overwrite(&slot(2, 1), 100, &[0xFF; 8]);
    let world = SimWorld::restart(&image, 1, SimOptions::default());
    let host = Host::open(world.ring(), Path::new(DIR), &small_options(), 2).unwrap();
    assert_eq!(host.report.len(), 1, "{:?}", host.report);
    assert!(host.report[0].contains("checkpoint-2-b"), "{:?}", host.report);
}

/// A directory of two shards without records, of which these journals were closed in good order.
fn two_shards(ended: &[u64]) -> DiskImage {
    let world = world();
    drop(Host::open(world.ring(), Path::new(DIR), &small_options(), 2).unwrap());
    let mut image = world.image();
    for id in ended {
        let first = Checkpoint::decode(&image.read(&slot(*id, 1)).unwrap())
            .unwrap()
            .head;
        // It takes several sectors, which the next one does not.
        let gone: Vec<SegmentId> = (1..300).map(SegmentId::new).collect();
        let bytes = CheckpointBuilder::new(0).finish(&first, &gone).unwrap();
        image.overwrite(&slot(*id, 1), 0, &bytes);
        let last = CheckpointHead {
            generation: first.generation + 1,
            clean: true,
            ..first
        };
        let bytes = CheckpointBuilder::new(0).finish(&last, &[]).unwrap();
        image.overwrite(&slot(*id, 0), 0, &bytes);
    }
    image
}

fn slot(journal: u64, number: usize) -> PathBuf {
    Path::new(DIR).join(layout::checkpoint(JournalId::new(journal), number))
}
