//! The first batches of a producer that a log does not know: none is taken ahead of one that was turned away.

use std::path::Path;
use std::time::Duration;

use millstream_log::{AppendError as AppendRefusal, SequenceError};
use millstream_protocol::time::Duration as Span;
use millstream_ring::simulated::SimRing;
use millstream_storage::{AppendError, LogId};

use crate::common::{DIR, Host, batch, batch_of, small_options, world};

#[test]
fn nothing_overtakes_a_first_batch_that_found_no_room() {
    let mut host = host(usize::MAX);
    let (log, other) = (host.create(0), host.create(1));
    let first = batch_of(7, 0, &[&[1; 60_000]]);
    fill(&mut host, other);
    assert_eq!(host.append(log, &first), Err(AppendError::Busy));
    // There is room for this one, and for others.
    let second = batch_of(7, 1, &[b"small"]);
    assert_eq!(host.append(log, &second), Err(AppendError::Busy));
    host.append(log, &batch_of(8, 0, &[b"small"])).unwrap();
    host.flush(other);
    assert_eq!(host.append(log, &second), Err(AppendError::Busy));
    assert_eq!(host.append_patiently(log, &first).base_offset.get(), 1);
    assert_eq!(host.append(log, &second).unwrap().base_offset.get(), 2);
    host.flush(log);
}

#[test]
fn nothing_overtakes_a_first_batch_that_was_one_producer_too_many() {
    let mut host = host(1);
    let log = host.create(0);
    host.append(log, &batch_of(7, 0, &[b"the only one"])).unwrap();
    host.flush(log);
    let crowd = AppendRefusal::Sequence(SequenceError::TooManyProducers);
    let newcomer = batch_of(8, 0, &[b"first"]);
    assert_eq!(host.append(log, &newcomer), Err(AppendError::Refused(crowd)));
    assert_eq!(
        host.append(log, &batch_of(8, 1, &[b"second"])),
        Err(AppendError::Busy)
    );
}

#[test]
fn who_gives_the_first_batch_up_may_go_on_after_a_while() {
    let mut host = host(usize::MAX);
    let (log, other) = (host.create(0), host.create(1));
    fill(&mut host, other);
    assert_eq!(
        host.append(log, &batch_of(7, 0, &[&[1; 60_000]])),
        Err(AppendError::Busy)
    );
    host.flush(other);
    let later = batch_of(7, 1, &[b"small"]);
    assert_eq!(host.append(log, &later), Err(AppendError::Busy));
    host.now.monotonic += Span::from_secs(60);
    assert_eq!(host.append(log, &later).unwrap().base_offset.get(), 0);
    host.flush(log);
}

/// Until large batches find no room.
fn fill(host: &mut Host<SimRing>, log: LogId) {
    let full = (0..10_000).find_map(|_| host.append(log, &batch(&[&[1; 50_000]])).err());
    assert_eq!(full, Some(AppendError::Busy));
}

fn host(producers_max: usize) -> Host<SimRing> {
    let mut options = small_options();
    options.producers_max = producers_max;
    options.journal_bytes = 16 << 20;
    options.dirty_bytes_max = 1 << 20;
    let mut host = Host::open(world().ring(), Path::new(DIR), &options, 1).unwrap();
    host.turn(Duration::from_millis(1));
    host
}
