//! Partitions that a start found damaged: what clients are told of them.

use std::path::Path;
use std::time::Duration;

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::list_offsets::{
    EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopic,
};
use millstream_ring::simulated::DiskImage;

use crate::support::records::{batch, fetch, fetched, produce, produced};
use crate::support::{Client, Setup, SimBroker, decoded};

/// A round of the journal that held acknowledged records cannot be read. Where the partition ends nobody knows: a
/// reader that was there is not told that it went too far, nor anybody that the partition is shorter.
#[test]
fn a_partition_that_has_lost_its_end_tells_nobody_another_one() {
    let mut broker = SimBroker::start(setup());
    let mut client = broker.connect();
    for (partition, value) in [(0, "first"), (0, "second"), (1, "other")] {
        let found = produced(
            &mut client,
            &mut broker,
            &produce("t", &[(partition, batch(&[value]))], -1),
        );
        assert_eq!(found[0].1, 0);
    }
    let mut image = broker.world.image();
    drop(broker);
    lose(&mut image, b"second");
    let mut broker = SimBroker::restart(&image, setup());
    let mut client = broker.connect();
    let storage_error = ErrorCode::KafkaStorageError as i16;
    for at in [EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, 0] {
        assert_eq!(listed(&mut client, &mut broker, 0, at).0, storage_error, "{at}");
    }
    for from in [1, 2, 3] {
        let found = fetched(
            &mut client,
            &mut broker,
            &fetch("t", &[(0, from)], Duration::ZERO, 1),
        );
        assert_eq!(found[0].1, storage_error, "from {from}");
    }
    let found = fetched(
        &mut client,
        &mut broker,
        &fetch("t", &[(1, 0)], Duration::ZERO, 1),
    );
    assert_eq!(
        found,
        [(1, 0, vec!["other".into()])],
        "what lost nothing is served"
    );
    assert_eq!(listed(&mut client, &mut broker, 1, LATEST_TIMESTAMP), (0, 1));
}

fn setup() -> Setup {
    Setup {
        topics: vec![("t", 2)],
        ..Setup::default()
    }
}

/// Overwrites the journal's only copy of this value.
fn lose(image: &mut DiskImage, value: &[u8]) {
    let paths = image.paths();
    let name = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("journal-"))
    };
    let journal = paths.iter().find(|path| name(path)).expect("a journal");
    let bytes = image.read(journal).expect("it can be read");
    let at = bytes.windows(value.len()).position(|window| window == value);
    image.overwrite(
        journal,
        at.expect("the value is there") as u64,
        &vec![0; value.len()],
    );
}

/// The error and the offset for a time.
fn listed(client: &mut Client, broker: &mut SimBroker, partition: i32, timestamp: i64) -> (i16, i64) {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "t",
            partitions: vec![ListOffsetsPartition {
                partition_index: partition,
                timestamp,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    client.call(broker, ApiKey::ListOffsets, LIST_OFFSETS, &request, |r| {
        let answer: ListOffsetsResponse<'_> = decoded(r, LIST_OFFSETS);
        let found = &answer.topics[0].partitions[0];
        (found.error_code, found.offset)
    })
}

const LIST_OFFSETS: i16 = 7;
