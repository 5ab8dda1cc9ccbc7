//! Offsets: by time and by epoch, and records deleted up to one.

use millstream_protocol::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use millstream_protocol::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use millstream_protocol::message::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::TimestampMs;
use millstream_tests::wire::produce;

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    talk.topic("listed", 2, &[("retention.ms", "-1")]);
    let times = [1000, 3000, 2000, 3000].map(|after| TimestampMs::new(talk.then + after));
    let batch = times.into_iter().fold(BatchBuilder::new(), |batch, time| {
        batch.record(time, None, Some(b"value"), &[])
    });
    talk.aside(&produce("listed", 0, &batch.build(), -1), 9);
    list(talk, "");
    epochs(talk);
    delete(talk);
    list(talk, ", some deleted");
}

fn list(talk: &mut Talk, when: &str) {
    let then = talk.then;
    for after in [-1, -2, -3, -4, -5, -6, -7, 0, 1000, 1001, 2000, 3000, 3001] {
        let timestamp = if after <= 0 { after } else { then + after };
        for partition in [0, 1] {
            let case = format!("{partition} at {after}{when}");
            talk.ask_in_all(case, &listed("listed", partition, -1, timestamp));
        }
    }
    for (name, partition, epoch) in [
        ("listed", 9, -1),
        ("unknown", 0, -1),
        ("listed", 0, 0),
        ("listed", 0, 9),
    ] {
        let case = format!("{name} {partition} in epoch {epoch}{when}");
        talk.ask_in_all(case, &listed(name, partition, epoch, -1));
    }
    let mut committed = listed("listed", 0, -1, -1);
    committed.isolation_level = 1;
    talk.ask_in_all(format!("committed{when}"), &committed);
}

fn epochs(talk: &mut Talk) {
    for (topic, partition, current_leader_epoch, leader_epoch) in [
        ("listed", 0, -1, 0),
        ("listed", 0, 0, 0),
        ("listed", 0, 5, 0),
        ("listed", 0, -1, 5),
        ("listed", 0, -1, -1),
        ("listed", 1, -1, 0),
        ("listed", 9, -1, 0),
        ("unknown", 0, -1, 0),
    ] {
        let request = OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics: vec![OffsetForLeaderTopic {
                topic,
                partitions: vec![OffsetForLeaderPartition {
                    partition,
                    current_leader_epoch,
                    leader_epoch,
                }],
            }],
        };
        talk.ask_in_all(
            format!("{topic} {partition} {leader_epoch} in {current_leader_epoch}"),
            &request,
        );
    }
}

fn delete(talk: &mut Talk) {
    for (name, partition_index, offset) in [
        ("listed", 0, 2),
        ("listed", 0, 1),
        ("listed", 0, 5),
        ("listed", 0, -2),
        ("listed", 9, 0),
        ("unknown", 0, 0),
        ("no topic!", 0, 0),
        ("listed", 1, -1),
        ("listed", 1, 0),
    ] {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name,
                partitions: vec![DeleteRecordsPartition {
                    partition_index,
                    offset,
                }],
            }],
            timeout_ms: 5000,
        };
        talk.ask_in_all(format!("{name} {partition_index} up to {offset}"), &request);
    }
}

fn listed(
    name: &str,
    partition_index: i32,
    current_leader_epoch: i32,
    timestamp: i64,
) -> ListOffsetsRequest<'_> {
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name,
            partitions: vec![ListOffsetsPartition {
                partition_index,
                current_leader_epoch,
                timestamp,
            }],
        }],
        timeout_ms: 5000,
        ..ListOffsetsRequest::default()
    }
}
