//! What fetches may cost: the limits that they set, and records that come from the disk.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use millstream_protocol::message::fetch::FetchRequest;
use millstream_ring::simulated::{DiskImage, OpKind};

use crate::support::records::{batch, fetch, fetched, produce, produced};
use crate::support::{Setup, SimBroker};

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
        ..Setup::default()
    }
}

fn value(index: i32) -> String {
    format!("{index:02}").repeat(VALUE_BYTES / 2)
}

/// Of all partitions, from their start, and without waiting for more.
fn limited(bytes_max: i32, partition_bytes_max: i32) -> FetchRequest<'static> {
    let all: Vec<_> = (0..PARTITIONS).map(|index| (index, 0)).collect();
    let mut body = fetch("t", &all, Duration::ZERO, 1);
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
