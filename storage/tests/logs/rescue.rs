//! Where what only the journal holds of failed partitions goes, and that it keeps nobody waiting.

use std::path::Path;
use std::time::Duration;

use millstream_log::{JournalId, layout};
use millstream_ring::IoError;
use millstream_ring::simulated::{OpKind, SimOptions, SimWorld};
use millstream_storage::LogEvent;

use crate::common::{DIR, EIO, batch, is_segment, key, open, world};

/// What a fenced partition's journal held is in the rescue file as well, and no checkpoint says so before power goes:
/// the journal counts, of which the file holds a part.
#[test]
fn a_rescue_that_no_checkpoint_tells_of_counts_for_nothing() {
    let world = world();
    let mut host = open(&world);
    let log = host.create(0);
    host.append(log, &batch(&[b"first"])).unwrap();
    host.flush(log);
    world.fail_when(|op| {
        let fails = op.kind == OpKind::Write && is_segment(op.path) && op.at >= 8 << 12;
        fails.then_some(IoError::new(EIO))
    });
    while !host.has_fenced() {
        host.append(log, &batch(&[&[7; 9_000]])).unwrap();
        host.until("the flush or the fence", |host| {
            let offsets = host.logs().offsets(log);
            offsets.flushed == offsets.end || host.has_fenced()
        });
    }
    let acknowledged = host.logs().offsets(log).flushed.get();
    let mut unfenced = 0;
    for _ in 0..40 {
        host.turn(Duration::from_micros(50));
        let world = SimWorld::restart(&world.image(), 1, SimOptions::default());
        let mut host = open(&world);
        let log = host.logs().lookup(key(0)).unwrap();
        assert!(host.logs().offsets(log).end.get() >= acknowledged);
        if host.logs().fenced_at(key(0)).is_none() {
            let read = host.read_all(log, 0, 1 << 20).unwrap().len() as i64;
            assert!(read >= acknowledged, "{:?}", host.report);
            host.append(log, &batch(&[b"goes on"])).unwrap();
            host.flush(log);
            unfenced += 1;
        }
        host.shut_down();
    }
    assert!(unfenced > 0);
    let rescue = Path::new(DIR).join(layout::rescue(JournalId::new(1)));
    assert!(world.image().read(&rescue).is_some_and(|bytes| !bytes.is_empty()));
}

/// Files that cannot be made fence two partitions, each with an append that is larger than a round and nothing besides,
/// and the rescue file cannot be made either: both give up what they accepted, and the end is an orderly one.
#[test]
fn a_rescue_that_fails_keeps_nobody_from_the_end() {
    let world = world();
    let mut host = open(&world);
    let logs = [host.create(0), host.create(1)];
    world.fail_when(|op| {
        let name = op.path.to_string_lossy().into_owned();
        let fails = op.kind == OpKind::Open && (is_segment(op.path) || name.contains("rescue"));
        fails.then_some(IoError::new(EIO))
    });
    for log in logs {
        host.append(log, &batch(&[&[7; 60_000]])).unwrap();
    }
    host.until("both fences", |host| {
        let fences = |event: &&LogEvent| matches!(event, LogEvent::Fenced { .. });
        host.events.iter().filter(fences).count() == 2
    });
    host.shut_down();
    world.fail_when(|_| None);
    let mut host = open(&world);
    for partition in [0, 1] {
        let log = host.logs().lookup(key(partition)).unwrap();
        assert_eq!(host.logs().offsets(log).end.get(), 0, "{:?}", host.report);
    }
}
