//! A disk without room: what was asked for is answered in time, what gives room back goes on, the shard sleeps
//! meanwhile, and everything else goes on by itself once there is room.

use std::path::Path;
use std::time::Duration;

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use millstream_protocol::message::list_offsets::{
    EARLIEST_TIMESTAMP, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use millstream_ring::Ring;
use millstream_ring::simulated::{Faults, SimOptions};

use crate::support::records::{PRODUCE, batch, fetch, fetched, offsets, produce, produced};
use crate::support::{Client, Setup, SimBroker, decoded, response};

#[test]
fn a_batch_that_waits_for_space_is_answered_in_time_and_stored_when_there_is_some() {
    let mut broker = SimBroker::start(setup());
    let (mut client, mut reader) = (broker.connect(), broker.connect());
    write(&mut client, &mut broker, "small");
    fill(&broker);
    let large = large();
    let batches = [(0, batch(&[&large]))];
    let request = produce("t", &batches, -1);
    client.send(&mut broker, ApiKey::Produce, PRODUCE, &request);
    broker.run_for(TIMEOUT - SOON);
    assert!(client.poll().is_none());
    broker.run_for(2 * SOON);
    let frame = client.poll().expect("an answer in time");
    assert_eq!(acknowledged(&frame), (ErrorCode::RequestTimedOut as i16, -1));
    assert_eq!(read(&mut reader, &mut broker), ["small"]);

    make_room(&broker);
    broker.run_for(Duration::from_secs(3));
    assert_eq!(read(&mut reader, &mut broker), ["small".to_owned(), large]);
    write(&mut client, &mut broker, "next");
}

#[test]
fn records_are_deleted_while_a_batch_waits_for_space() {
    let mut broker = SimBroker::start(setup());
    let (mut client, mut admin) = (broker.connect(), broker.connect());
    write(&mut client, &mut broker, "small");
    fill(&broker);
    send_large(&mut client, &mut broker);
    admin.send(&mut broker, ApiKey::DeleteRecords, DELETE_RECORDS, &deletion(1));
    broker.run_for(SOON);
    let frame = admin.poll().expect("an answer without room");
    assert_eq!(deleted(&frame), (0, 1));
    let disk = broker.world.crash(7);
    let mut broker = SimBroker::restart(&disk, setup());
    let mut admin = broker.connect();
    assert_eq!(earliest(&mut admin, &mut broker), 1);
}

#[test]
fn a_deletion_of_records_that_the_disk_does_not_take_is_answered_in_time() {
    let (mut broker, mut admin) = deleting_on_a_stalled_disk();
    broker.run_for(TIMEOUT - SOON);
    assert!(admin.poll().is_none());
    broker.run_for(2 * SOON);
    let frame = admin.poll().expect("an answer in time");
    assert_eq!(deleted(&frame), (ErrorCode::RequestTimedOut as i16, -1));
    // The move itself goes on.
    broker.run_for(STALL);
    broker.world.set_faults(Faults::default());
    admin.send(&mut broker, ApiKey::DeleteRecords, DELETE_RECORDS, &deletion(1));
    assert_eq!(deleted(&admin.receive(&mut broker)), (0, 1));
}

#[test]
fn who_is_out_of_range_is_told_where_the_log_starts_before_that_is_durable() {
    let (mut broker, mut admin) = deleting_on_a_stalled_disk();
    let mut client = broker.connect();
    broker.run_for(Duration::from_millis(10));
    let gone = fetched(
        &mut client,
        &mut broker,
        &fetch("t", &[(0, 0)], Duration::ZERO, 1),
    );
    assert_eq!(gone[0].1, ErrorCode::OffsetOutOfRange as i16);
    assert_eq!(earliest(&mut client, &mut broker), 1);
    assert!(admin.poll().is_none(), "answered before it is durable");
}

#[test]
fn a_shard_that_waits_for_space_sleeps() {
    let mut broker = SimBroker::start(setup());
    let mut client = broker.connect();
    write(&mut client, &mut broker, "small");
    fill(&broker);
    send_large(&mut client, &mut broker);
    broker.run_for(Duration::from_secs(1));
    let busy = broker.turns_that_want_another(1_000);
    assert!(busy < 10, "{busy} of 1000 turns want another one at once");
}

fn setup() -> Setup {
    Setup {
        topics: vec![("t", 1)],
        options: SimOptions {
            slow_latency: STALL..=STALL,
            ..SimOptions::default()
        },
        ..Setup::default()
    }
}

/// A broker whose disk takes [`STALL`] for everything, and the client that asked it to delete the only record.
fn deleting_on_a_stalled_disk() -> (SimBroker, Client) {
    let mut broker = SimBroker::start(setup());
    let (mut client, mut admin) = (broker.connect(), broker.connect());
    write(&mut client, &mut broker, "one");
    broker.world.set_faults(Faults {
        slow_operations: 1000,
        ..Faults::default()
    });
    admin.send(&mut broker, ApiKey::DeleteRecords, DELETE_RECORDS, &deletion(1));
    (broker, admin)
}

/// Nothing is left on the disk.
fn fill(broker: &SimBroker) {
    let space = broker.world.ring().free_space(Path::new("/data")).unwrap();
    broker.world.set_capacity(space.total - space.free);
}

fn make_room(broker: &SimBroker) {
    broker.world.set_capacity(1 << 40);
}

/// More than a round of the journal takes.
fn large() -> String {
    "x".repeat(300 << 10)
}

fn send_large(client: &mut Client, broker: &mut SimBroker) {
    let batches = [(0, batch(&[&large()]))];
    let request = produce("t", &batches, -1);
    client.send(broker, ApiKey::Produce, PRODUCE, &request);
    broker.run_for(Duration::from_millis(10));
}

#[track_caller]
fn write(client: &mut Client, broker: &mut SimBroker, value: &str) {
    let answers = produced(client, broker, &produce("t", &[(0, batch(&[value]))], -1));
    assert_eq!(answers[0].1, 0);
}

/// Error and base offset of an acknowledgement.
#[track_caller]
fn acknowledged(frame: &[u8]) -> (i16, i64) {
    let (_, answers) = response(frame, ApiKey::Produce, PRODUCE, |r| offsets(&decoded(r, PRODUCE)));
    (answers[0].1, answers[0].2)
}

/// All values that a consumer sees.
#[track_caller]
fn read(client: &mut Client, broker: &mut SimBroker) -> Vec<String> {
    let answer = fetched(client, broker, &fetch("t", &[(0, 0)], Duration::ZERO, 1));
    assert_eq!(answer[0].1, 0);
    answer[0].2.clone()
}

fn deletion(before: i64) -> DeleteRecordsRequest<'static> {
    DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "t",
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset: before,
            }],
        }],
        timeout_ms: TIMEOUT.as_millis() as i32,
    }
}

/// Error and low watermark of an answer.
#[track_caller]
fn deleted(frame: &[u8]) -> (i16, i64) {
    let (_, answer) = response(frame, ApiKey::DeleteRecords, DELETE_RECORDS, |r| {
        let answer = decoded::<DeleteRecordsResponse<'_>>(r, DELETE_RECORDS);
        let partition = &answer.topics[0].partitions[0];
        (partition.error_code, partition.low_watermark)
    });
    answer
}

#[track_caller]
fn earliest(client: &mut Client, broker: &mut SimBroker) -> i64 {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "t",
            partitions: vec![ListOffsetsPartition {
                partition_index: 0,
                timestamp: EARLIEST_TIMESTAMP,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    client.call(broker, ApiKey::ListOffsets, LIST_OFFSETS, &request, |r| {
        let answer = decoded::<ListOffsetsResponse<'_>>(r, LIST_OFFSETS);
        answer.topics[0].partitions[0].offset
    })
}

/// As the requests say; those of [`produce`] too.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing that needs no room takes as long.
const SOON: Duration = Duration::from_millis(500);
const STALL: Duration = Duration::from_secs(30);
const DELETE_RECORDS: i16 = 2;
const LIST_OFFSETS: i16 = 7;
