//! What fetches may cost: the limits that they set, records that come from the disk, and a disk with too much to do.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use millstream_protocol::api::ApiKey;
use millstream_protocol::message::fetch::FetchRequest;
use millstream_ring::simulated::{DiskImage, Faults, OpKind, SimOptions};

use crate::support::records::{FETCH, PRODUCE, batch, fetch, fetched, produce, produced, values};
use crate::support::{Client, Setup, SimBroker, decoded, request, response};

/// Limits below a batch are exceeded once in a response, by its first batch, however many partitions and owners there
/// are; and no more is read than one batch for each owner.
#[test]
fn limits_below_a_batch_are_exceeded_once_and_read_no_more_than_that() {
    for shards in [1, 2, 3] {
        let disk = filled(shards);
        for (bytes_max, partition_bytes_max) in [(0, 1 << 20), (1, 1 << 20), (1 << 20, 0), (1 << 20, 1)] {
            let mut broker = SimBroker::restart(&disk, setup(shards));
            let mut client = broker.connect();
            for memory in ["from the disk", "from memory"] {
                let reads = count_reads(&broker);
                let body = limited(bytes_max, partition_bytes_max);
                let found = fetched(&mut client, &mut broker, &body);
                let case = format!("{shards} shards, {bytes_max} and {partition_bytes_max} bytes, {memory}");
                assert_eq!(found.len(), PARTITIONS as usize, "{case}");
                assert!(found.iter().all(|(_, error, _)| *error == 0), "{case}");
                let given = found.iter().filter(|(_, _, values)| !values.is_empty());
                assert_eq!(given.count(), 1, "{case}");
                match memory {
                    "from the disk" => assert!((1..=shards).contains(&reads.get()), "{case}: {reads:?}"),
                    _ => assert_eq!(reads.get(), 0, "{case}"),
                }
            }
        }
    }
}

/// A reader whose reads the storage has no room for is not told that anything is wrong, for nothing is.
#[test]
fn reads_that_find_the_disk_too_busy_wait_and_see_no_error() {
    let disk = filled(1);
    let mut broker = SimBroker::restart(&disk, setup(1));
    broker.world.set_faults(Faults {
        slow_operations: 1000,
        ..Faults::default()
    });
    let all = PARTITIONS * COLD_PIECE_BYTES;
    let waits = limited_by(Duration::from_secs(30), all, 6_000);
    let mut readers: Vec<Client> = (0..COLD_READS_MAX / PARTITIONS as usize + 3)
        .map(|_| {
            let mut client = broker.connect();
            client.send(&mut broker, ApiKey::Fetch, FETCH, &waits);
            client
        })
        .collect();
    broker.run_for(STALL / 2);
    let mut impatient = broker.connect();
    let began = broker.world.now();
    let found = fetched(&mut impatient, &mut broker, &limited(all, 6_000));
    assert!(
        broker.world.now() - began < STALL / 2,
        "it does not wait for the disk"
    );
    for (index, error, values) in found {
        assert_eq!((error, values.len()), (0, 0), "partition {index}");
    }
    for reader in &mut readers {
        assert!(reader.poll().is_none(), "nothing has come from the disk yet");
    }
    for reader in &mut readers {
        let frame = reader.receive(&mut broker);
        let (_, found) = response(&frame, ApiKey::Fetch, FETCH, |r| values(&decoded(r, FETCH)));
        assert_eq!(found.len(), PARTITIONS as usize);
        for (index, error, values) in found {
            assert_eq!(error, 0, "partition {index}");
            assert!(values == [value(index)], "partition {index}");
        }
    }
    assert!(
        broker.world.now() - began < Duration::from_secs(5),
        "they are served when the disk is, not when their time is up"
    );
}

/// However little a fetch wants of each partition, a piece of a segment is read for it.
#[test]
fn reads_that_wait_are_charged_what_they_take() {
    let disk = filled(1);
    let mut broker = SimBroker::restart(&disk, setup(1));
    let mut client = broker.connect();
    let reads = count_reads(&broker);
    let found = fetched(&mut client, &mut broker, &limited(8 * COLD_PIECE_BYTES, 6_000));
    let given = found.iter().filter(|(_, _, values)| !values.is_empty());
    assert_eq!((given.count(), reads.get()), (8, 8));
    // What is in memory is charged its bytes.
    let found = fetched(&mut client, &mut broker, &limited(8 * COLD_PIECE_BYTES, 6_000));
    let given = found.iter().filter(|(_, _, values)| !values.is_empty());
    assert_eq!((given.count(), reads.get()), (16, 16));
}

/// A turn looks at a share of what the disk has brought: who has nothing to do with that does not wait for it.
#[test]
fn a_write_goes_past_reads_that_stand_in_line() {
    let (mut broker, mut readers) = with_reads_in_line();
    let reads = |broker: &SimBroker| broker.shards[0].shard.reads.len();
    let all = reads(&broker);
    let mut writer = broker.connect();
    let batches = [(0, batch(&["new"]))];
    let frame = request(ApiKey::Produce, PRODUCE, 1, &produce("t", &batches, -1));
    let mut most_at_once = 0;
    let mut waited_behind_it = None;
    broker.run_until(Duration::from_secs(5), |broker| {
        let before = reads(broker);
        if before < all && waited_behind_it.is_none() {
            assert_eq!(writer.try_send_bytes(&frame), frame.len());
            broker.run_until(Duration::from_secs(1), |broker| {
                broker.shards[0].shard.awaiting_flush > 0
            });
            waited_behind_it = Some(reads(broker));
        }
        broker.step();
        most_at_once = most_at_once.max(before - reads(broker));
        reads(broker) == 0
    });
    assert!(
        waited_behind_it.is_some_and(|reads| reads > 0),
        "{waited_behind_it:?}"
    );
    assert!(most_at_once < all / 2, "{most_at_once} of {all} at once");
    for (index, reader) in readers.iter_mut().enumerate() {
        let frame = reader.receive(&mut broker);
        let (_, found) = response(&frame, ApiKey::Fetch, FETCH, |r| values(&decoded(r, FETCH)));
        assert_eq!(found, [(index as i32, 0, vec![value(index as i32)])]);
    }
}

#[test]
fn who_leaves_while_his_read_stands_in_line_leaves_nothing_behind() {
    let (mut broker, mut readers) = with_reads_in_line();
    let shard = |broker: &SimBroker| {
        (
            broker.shards[0].shard.reads.len(),
            broker.shards[0].shard.calls.len(),
        )
    };
    let (reads, _) = shard(&broker);
    broker.run_until(Duration::from_secs(1), |broker| shard(broker).0 < reads);
    let last = readers.pop().expect("some");
    readers.into_iter().for_each(Client::reset);
    readers = vec![last];
    assert!(shard(&broker).0 > 1, "some still wait");
    let frame = readers[0].receive(&mut broker);
    let (_, found) = response(&frame, ApiKey::Fetch, FETCH, |r| values(&decoded(r, FETCH)));
    assert_eq!(found[0].2, [value(PARTITIONS - 1)]);
    broker.run_for(Duration::from_millis(10));
    assert_eq!(shard(&broker), (0, 0));
}

/// Answers are made for who reads them.
#[test]
fn who_reads_no_answers_has_few_made_and_all_when_he_reads() {
    let disk = filled(1);
    let mut broker = SimBroker::restart(
        &disk,
        Setup {
            options: SimOptions {
                socket_buffer: 4 << 10,
                ..SimOptions::default()
            },
            ..setup(1)
        },
    );
    let mut client = broker.connect();
    let reads = count_reads(&broker);
    for index in 0..PARTITIONS {
        client.send(
            &mut broker,
            ApiKey::Fetch,
            FETCH,
            &fetch("t", &[(index, 0)], Duration::ZERO, 1),
        );
    }
    broker.run_for(Duration::from_secs(1));
    let most = REPLY_BACKLOG_MAX / VALUE_BYTES + 2;
    assert!((1..=most).contains(&reads.get()), "{reads:?}");
    for index in 0..PARTITIONS {
        let frame = client.receive(&mut broker);
        let (_, found) = response(&frame, ApiKey::Fetch, FETCH, |r| values(&decoded(r, FETCH)));
        assert_eq!(found, [(index, 0, vec![value(index)])]);
    }
}

/// A fetch of each partition, on a connection of its own, when the disk has brought what they need and before any was
/// answered.
fn with_reads_in_line() -> (SimBroker, Vec<Client>) {
    let disk = filled(1);
    let latency = Duration::from_millis(2);
    let mut broker = SimBroker::restart(
        &disk,
        Setup {
            options: SimOptions {
                disk_latency: latency..=latency,
                ..SimOptions::default()
            },
            ..setup(1)
        },
    );
    let readers: Vec<Client> = (0..PARTITIONS)
        .map(|index| {
            let mut client = broker.connect();
            client.send(
                &mut broker,
                ApiKey::Fetch,
                FETCH,
                &fetch("t", &[(index, 0)], Duration::ZERO, 1),
            );
            client
        })
        .collect();
    broker.run_until(Duration::from_secs(1), |broker| {
        broker.shards[0].shard.reads.len() == PARTITIONS as usize
    });
    (broker, readers)
}

/// The disk of a broker that ended in order: what a restart reads of it is in no memory.
fn filled(shards: usize) -> DiskImage {
    let mut broker = SimBroker::start(setup(shards));
    let mut client = broker.connect();
    let batches: Vec<_> = (0..PARTITIONS)
        .map(|index| (index, batch(&[&value(index)])))
        .collect();
    let found = produced(&mut client, &mut broker, &produce("t", &batches, -1));
    assert!(found.iter().all(|(_, error, _)| *error == 0));
    broker.shut_down();
    broker.run_until(Duration::from_secs(60), |broker| {
        broker.shards.iter().all(|shard| shard.finished)
    });
    broker.world.image()
}

fn setup(shards: usize) -> Setup {
    Setup {
        shards,
        topics: vec![("t", PARTITIONS as u32)],
        options: SimOptions {
            slow_latency: STALL..=STALL,
            socket_buffer: 1 << 20,
            ..SimOptions::default()
        },
        ..Setup::default()
    }
}

fn value(index: i32) -> String {
    format!("{index:02}").repeat(VALUE_BYTES / 2)
}

/// Of all partitions, from their start, and without waiting for more.
fn limited(bytes_max: i32, partition_bytes_max: i32) -> FetchRequest<'static> {
    limited_by(Duration::ZERO, bytes_max, partition_bytes_max)
}

fn limited_by(wait: Duration, bytes_max: i32, partition_bytes_max: i32) -> FetchRequest<'static> {
    let all: Vec<_> = (0..PARTITIONS).map(|index| (index, 0)).collect();
    let mut body = fetch("t", &all, wait, 1);
    body.max_bytes = bytes_max;
    for partition in &mut body.topics[0].partitions {
        partition.partition_max_bytes = partition_bytes_max;
    }
    body
}

/// The reads of records from the disk from now on; those of a file's header, where it begins, are none.
fn count_reads(broker: &SimBroker) -> Rc<Cell<usize>> {
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    broker.world.fail_when(move |op| {
        counted.set(counted.get() + usize::from(op.kind == OpKind::Read && op.at > 0));
        None
    });
    count
}

const PARTITIONS: i32 = 64;
/// More than a block: a restart brings the last one to memory.
const VALUE_BYTES: usize = 5_000;
const REPLY_BACKLOG_MAX: usize = millstream::limits::REPLY_BACKLOG_MAX;
const COLD_READS_MAX: usize = millstream_storage::limits::COLD_READS_MAX;
const COLD_PIECE_BYTES: i32 = millstream_storage::limits::COLD_PIECE_BYTES as i32;
const STALL: Duration = Duration::from_millis(60);
