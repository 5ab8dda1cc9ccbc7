//! A directory that goes on with another number of shards.

use std::path::Path;
use std::time::Duration;

use millstream_ring::IoError;
use millstream_ring::simulated::{OpKind, SimOptions, SimWorld};
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
