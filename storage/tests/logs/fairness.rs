//! What the many bytes of some partitions cost the others, and each other: a share of the disk's time.

use std::path::Path;
use std::time::Duration;

use millstream_ring::simulated::SimRing;
use millstream_storage::LogId;

use crate::common::{DIR, Host, batch, small_options, world};

#[test]
fn few_bytes_wait_for_a_share_of_many() {
    let mut host = host();
    let (much, little) = (with_space(&mut host, 0), with_space(&mut host, 1));
    let before = flushed(&mut host, much);
    (0..MANY).for_each(|_| append(&mut host, much));
    host.append(little, &batch(&[b"a few"])).unwrap();
    host.flush(little);
    let taken = flushed(&mut host, much) - before;
    assert!(taken <= 4, "{taken} batches went before a few bytes");
    host.flush(much);
    assert_eq!(flushed(&mut host, much) - before, MANY);
}

#[test]
fn partitions_with_many_bytes_take_turns() {
    let mut host = host();
    let logs = [0, 1, 2].map(|partition| with_space(&mut host, partition));
    let before = logs.map(|log| flushed(&mut host, log));
    for log in logs {
        (0..MANY).for_each(|_| append(&mut host, log));
    }
    // The first has all of it only after the others had their share.
    while flushed(&mut host, logs[0]) - before[0] < MANY {
        host.turn(Duration::from_micros(100));
    }
    for (log, before) in logs.into_iter().zip(before) {
        let taken = flushed(&mut host, log) - before;
        assert!(taken >= MANY / 2, "{taken} of {MANY}");
    }
}

fn host() -> Host<SimRing> {
    let mut options = small_options();
    options.journal_bytes = 16 << 20;
    Host::open(world().ring(), Path::new(DIR), &options, 1).unwrap()
}

/// A log whose next direct writes find their space reserved.
fn with_space(host: &mut Host<SimRing>, partition: i32) -> LogId {
    let log = host.create(partition);
    for _ in 0..20 {
        append(host, log);
        host.flush(log);
        (0..5).for_each(|_| host.turn(Duration::from_millis(1)));
    }
    log
}

fn append(host: &mut Host<SimRing>, log: LogId) {
    host.append(log, &batch(&[&[7; 700_000]])).unwrap();
}

fn flushed(host: &mut Host<SimRing>, log: LogId) -> i64 {
    host.logs().offsets(log).flushed.get()
}

const MANY: i64 = 16;
