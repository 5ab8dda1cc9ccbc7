//! What an acknowledgement waits for, on a simulated disk whose flush stalls: `flush.messages`, `flush.ms`, a crash in
//! between, and a change of mind.

use std::time::Duration;

use crate::support::records::{PRODUCE, batch, fetch, fetched, offsets, produce, produced};
use crate::support::{Client, Setup, SimBroker, decoded, response};
use millstream_protocol::api::ApiKey;
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use millstream_protocol::message::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use millstream_ring::simulated::{Faults, SimOptions};

#[test]
fn by_default_records_are_neither_acknowledged_nor_seen_before_their_flush() {
    let mut broker = SimBroker::start(setup(&[]));
    let mut client = broker.connect();
    write(&mut client, &mut broker, "flushed");
    stall(&broker);
    let begun = broker.world.now();
    let request = send(&mut client, &mut broker, "stalled");
    broker.run_for(STALL / 2);
    assert!(client.poll().is_none(), "acknowledged before the flush");
    let mut reader = broker.connect();
    assert_eq!(read(&mut reader, &mut broker), ["flushed"]);
    assert_eq!(acknowledged(&mut client, &mut broker), (request, 0, 1));
    assert!(broker.world.now() - begun >= STALL);
    assert_eq!(read(&mut reader, &mut broker), ["flushed", "stalled"]);
}

#[test]
fn a_topic_that_relaxes_the_flush_answers_and_shows_at_once() {
    for configs in [("flush.messages", "2"), ("flush.ms", "1000")] {
        for shards in [1, 2] {
            let mut broker = SimBroker::start(Setup {
                shards,
                ..setup(&[configs])
            });
            let mut client = broker.connect();
            write(&mut client, &mut broker, "flushed");
            stall(&broker);
            let begun = broker.world.now();
            let request = send(&mut client, &mut broker, "stalled");
            assert_eq!(acknowledged(&mut client, &mut broker), (request, 0, 1));
            let mut reader = broker.connect();
            assert_eq!(read(&mut reader, &mut broker), ["flushed", "stalled"]);
            assert!(broker.world.now() - begun < STALL / 2, "{configs:?}");
        }
    }
}

#[test]
fn flush_messages_of_one_prevails_over_flush_ms() {
    let mut broker = SimBroker::start(setup(&[("flush.messages", "1"), ("flush.ms", "1000")]));
    let mut client = broker.connect();
    write(&mut client, &mut broker, "flushed");
    stall(&broker);
    send(&mut client, &mut broker, "stalled");
    broker.run_for(STALL / 2);
    assert!(client.poll().is_none());
}

#[test]
fn a_crash_takes_the_unflushed_end_and_the_epoch_tells() {
    let relaxed = || setup(&[("flush.messages", "1000")]);
    let mut broker = SimBroker::start(relaxed());
    let mut client = broker.connect();
    write(&mut client, &mut broker, "flushed");
    broker.run_for(STALL);
    stall(&broker);
    send(&mut client, &mut broker, "lost");
    assert_eq!(acknowledged(&mut client, &mut broker).2, 1);
    assert_eq!(read(&mut client, &mut broker), ["flushed", "lost"]);
    let epoch = 0;
    assert_eq!(end_of_epoch(&mut client, &mut broker, epoch), (epoch, 2));

    let disk = broker.world.crash(7);
    let mut broker = SimBroker::restart(&disk, relaxed());
    let mut client = broker.connect();
    assert_eq!(
        read(&mut client, &mut broker),
        ["flushed"],
        "that suffix and nothing else"
    );
    write(&mut client, &mut broker, "other");
    // Who has read "lost" at offset 1 of the old epoch learns that the old epoch ended before it.
    assert_eq!(end_of_epoch(&mut client, &mut broker, epoch), (epoch, 1));
    assert_eq!(end_of_epoch(&mut client, &mut broker, epoch + 1), (epoch + 1, 2));
    assert_eq!(read(&mut client, &mut broker), ["flushed", "other"]);
}

#[test]
fn a_crash_takes_nothing_that_a_strict_topic_acknowledged() {
    let mut broker = SimBroker::start(setup(&[]));
    let mut client = broker.connect();
    write(&mut client, &mut broker, "flushed");
    stall(&broker);
    send(&mut client, &mut broker, "never acknowledged");
    broker.run_for(STALL / 2);
    let disk = broker.world.crash(7);
    let mut broker = SimBroker::restart(&disk, setup(&[]));
    let mut client = broker.connect();
    assert_eq!(read(&mut client, &mut broker)[..1], ["flushed"]);
}

#[test]
fn relaxing_a_live_topic_releases_what_waits_and_tightening_makes_the_next_wait() {
    let mut broker = SimBroker::start(setup(&[]));
    let (mut client, mut admin) = (broker.connect(), broker.connect());
    write(&mut client, &mut broker, "flushed");
    stall(&broker);
    let begun = broker.world.now();
    let waits = send(&mut client, &mut broker, "waits");
    broker.run_for(STALL / 10);
    assert!(client.poll().is_none());
    alter(&mut admin, &mut broker, "flush.messages", Some("1000"));
    assert_eq!(acknowledged(&mut client, &mut broker), (waits, 0, 1));
    assert_eq!(read(&mut admin, &mut broker), ["flushed", "waits"]);

    alter(&mut admin, &mut broker, "flush.messages", None);
    let waits = send(&mut client, &mut broker, "waits again");
    broker.run_for(STALL / 10);
    assert!(
        client.poll().is_none(),
        "strict again, though an earlier flush is still under way"
    );
    assert_eq!(
        read(&mut admin, &mut broker),
        ["flushed", "waits"],
        "seen is seen, new is not shown"
    );
    assert!(broker.world.now() - begun < STALL);
    assert_eq!(acknowledged(&mut client, &mut broker), (waits, 0, 2));
    assert!(broker.world.now() - begun >= STALL);
}

fn setup(configs: &[(&'static str, &'static str)]) -> Setup {
    Setup {
        topics: vec![("t", 1)],
        configs: configs.to_vec(),
        options: SimOptions {
            slow_latency: STALL..=STALL,
            ..SimOptions::default()
        },
        ..Setup::default()
    }
}

/// From now on everything that is asked of the disk takes [`STALL`].
fn stall(broker: &SimBroker) {
    broker.world.set_faults(Faults {
        slow_operations: 1000,
        ..Faults::default()
    });
}

fn send(client: &mut Client, broker: &mut SimBroker, value: &str) -> i32 {
    client.send(
        broker,
        ApiKey::Produce,
        PRODUCE,
        &produce("t", &[(0, batch(&[value]))], -1),
    )
}

/// Correlation, error and base offset of the next acknowledgement.
#[track_caller]
fn acknowledged(client: &mut Client, broker: &mut SimBroker) -> (i32, i16, i64) {
    let frame = client.receive(broker);
    let (correlation, answers) = response(&frame, ApiKey::Produce, PRODUCE, |r| {
        offsets(&decoded(r, PRODUCE))
    });
    (correlation, answers[0].1, answers[0].2)
}

#[track_caller]
fn write(client: &mut Client, broker: &mut SimBroker, value: &str) {
    let answers = produced(client, broker, &produce("t", &[(0, batch(&[value]))], -1));
    assert_eq!(answers[0].1, 0);
}

/// All values that a consumer sees.
#[track_caller]
fn read(client: &mut Client, broker: &mut SimBroker) -> Vec<String> {
    let answer = fetched(client, broker, &fetch("t", &[(0, 0)], Duration::ZERO, 1));
    assert_eq!(answer[0].1, 0);
    answer[0].2.clone()
}

fn alter(client: &mut Client, broker: &mut SimBroker, name: &str, value: Option<&str>) {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: "t",
            configs: vec![AlterableConfig {
                name,
                config_operation: if value.is_some() { SET } else { DELETE },
                value,
            }],
        }],
        validate_only: false,
    };
    let error = client.call(broker, ApiKey::IncrementalAlterConfigs, 1, &request, |r| {
        decoded::<IncrementalAlterConfigsResponse<'_>>(r, 1).responses[0].error_code
    });
    assert_eq!(error, 0);
}

/// The epoch and its end, exclusive.
fn end_of_epoch(client: &mut Client, broker: &mut SimBroker, leader_epoch: i32) -> (i32, i64) {
    let request = OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: "t",
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                leader_epoch,
                ..Default::default()
            }],
        }],
    };
    client.call(broker, ApiKey::OffsetForLeaderEpoch, 4, &request, |r| {
        let answer = decoded::<OffsetForLeaderEpochResponse<'_>>(r, 4);
        let end = &answer.topics[0].partitions[0];
        assert_eq!(end.error_code, 0);
        (end.leader_epoch, end.end_offset)
    })
}

const STALL: Duration = Duration::from_millis(100);
const TOPIC: i8 = 2;
const SET: i8 = 0;
const DELETE: i8 = 1;
