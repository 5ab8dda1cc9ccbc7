//! Fetch with its sessions, ListOffsets, OffsetForLeaderEpoch.

use millstream_compress::compress;
use millstream_protocol::message::Records;
use millstream_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
use millstream_protocol::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use millstream_protocol::message::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use millstream_protocol::record::codec::Codec;
use millstream_protocol::types::TopicId;
use millstream_tests::wire::{Connection, fetch};

use super::{Asked, batch, now, put, topic_id};

#[test]
fn list_offsets() {
    let mut asked = Asked::new("offsets");
    let topic = asked.topic("listed", 2, &[]);
    let mut connection = asked.connect();
    let now = now();
    let times = batch(&[now + 1000, now + 3000, now + 2000, now + 3000]);
    let plain = times.clone().build();
    let gzip = times.build_with(Codec::Gzip, |body| compress(Codec::Gzip, body));
    for (partition, bytes) in [(0, &plain), (1, &gzip)] {
        assert_eq!(put(&mut connection, &topic, partition, bytes), (0, 0));
    }
    // Asked for, the first version with it, and error, time, offset, epoch.
    let cases = [
        (-1, 1, (0, -1, 4, 0)),
        (-2, 1, (0, -1, 0, 0)),
        (-3, 7, (0, 3000, 1, 0)),
        (-4, 8, (0, -1, 0, 0)),
        (-5, 9, (0, -1, -1, -1)),
        (-6, 11, (0, -1, -1, -1)),
        (-7, 12, (35, -1, -1, -1)),
        (0, 1, (0, 1000, 0, 0)),
        (now + 1000, 1, (0, 1000, 0, 0)),
        (now + 1001, 1, (0, 3000, 1, 0)),
        (now + 2000, 1, (0, 3000, 1, 0)),
        (now + 3000, 1, (0, 3000, 1, 0)),
        (now + 3001, 1, (0, -1, -1, -1)),
    ];
    for version in 1..=11 {
        for (timestamp, since, kafka) in cases {
            for partition in 0..2 {
                let at = (partition, -1, timestamp);
                let (error, time, offset, epoch) = offset_of(&mut connection, version, &topic, at);
                let time = if time < 0 { time } else { time - now };
                let (kafka, epoch_sent) = match version < since {
                    true => ((35, -1, -1, -1), true),
                    false => (kafka, version >= 4),
                };
                let kafka = if epoch_sent {
                    kafka
                } else {
                    (kafka.0, kafka.1, kafka.2, -1)
                };
                let case = ("ListOffsets", version, partition, timestamp.min(timestamp - now));
                asked.check(case, (error, time, offset, epoch), kafka);
            }
        }
    }
    for (name, at, kafka) in [
        (&*topic, (99, -1, -1), 3),
        ("unknown", (0, -1, -1), 3),
        (&topic, (0, 0, -1), 0),
        (&topic, (0, 99, -1), 75),
    ] {
        let found = offset_of(&mut connection, 5, name, at).0;
        asked.check(("ListOffsets", name, at), found, kafka);
    }
    asked.finish();
}

#[test]
fn fetch_sessions() {
    let mut asked = Asked::new("sessions");
    let topic = asked.topic("watched", 4, &[]);
    let mut connection = asked.connect();
    for partition in 0..4 {
        assert_eq!(
            put(&mut connection, &topic, partition, &batch(&[now()]).build()),
            (0, 0)
        );
    }
    let all = [0, 1, 2, 3];
    let (error, session, partitions) = in_session(&mut connection, &topic, (0, 0), &all, 0, &[]);
    asked.check(
        "a new session",
        (error, session > 0, partitions),
        (0, true, all.to_vec()),
    );

    let other = session ^ 0x55;
    let cases: [SessionCase<'_>; 11] = [
        ("the same again", (session, 1), &[], 0, &[], (0, true, &all)),
        ("moved to the end", (session, 2), &all, 1, &[], (0, true, &[])),
        ("nothing new", (session, 3), &[], 0, &[], (0, true, &[])),
        ("an epoch too far", (session, 9), &[], 0, &[], (71, false, &[])),
        ("an epoch again", (session, 3), &[], 0, &[], (71, false, &[])),
        ("another's id", (other, 4), &[], 0, &[], (70, false, &[])),
        ("one moved back", (session, 4), &[2], 0, &[], (0, true, &[2])),
        ("it is forgotten", (session, 5), &[], 0, &[2], (0, true, &[])),
        ("a negative epoch", (5, -7), &[0], 0, &[], (70, false, &[])),
        ("closed", (session, -1), &[0], 0, &[], (0, false, &[0])),
        ("after its end", (session, 6), &[0], 0, &[], (70, false, &[])),
    ];
    for (case, id_and_epoch, wanted, offset, forgotten, kafka) in cases {
        let (error, id, partitions) =
            in_session(&mut connection, &topic, id_and_epoch, wanted, offset, forgotten);
        if id != session {
            asked.check((case, "the id"), id, 0);
        }
        let kafka = (kafka.0, kafka.1, kafka.2.to_vec());
        asked.check(case, (error, id == session, partitions), kafka);
    }
    asked.finish();
}

#[test]
fn fetches_that_find_nothing() {
    let mut asked = Asked::new("fetches");
    let topic = asked.topic("fetched", 1, &[]);
    let mut connection = asked.connect();
    assert_eq!(put(&mut connection, &topic, 0, &batch(&[now()]).build()), (0, 0));
    for version in 4..=12 {
        for (name, partition, offset, kafka) in [
            (&*topic, 0, 0, (0, 1, true)),
            (&topic, 0, 1, (0, 1, false)),
            (&topic, 0, 99_999, (1, -1, false)),
            (&topic, 0, -5, (1, -1, false)),
            (&topic, 55, 0, (3, -1, false)),
            ("unknown", 0, 0, (3, -1, false)),
        ] {
            let found = fetched(&mut connection, version, &fetch(name, partition, offset));
            asked.check(("Fetch", version, name, partition, offset), found, kafka);
        }
    }
    let id = topic_id(&mut connection, &topic);
    for version in 13..=18 {
        for (case, topic_id, partition, kafka) in [
            ("its id", id, 0, (0, 1, true)),
            ("a partition too many", id, 1, (3, -1, false)),
            ("an unknown id", TopicId::new([7; 16]), 0, (100, -1, false)),
            ("the zero id", TopicId::ZERO, 0, (100, -1, false)),
        ] {
            let mut request = fetch("", partition, 0);
            request.topics[0].topic_id = topic_id;
            let found = fetched(&mut connection, version, &request);
            asked.check(("Fetch", version, case), found, kafka);
        }
    }
    asked.finish();
}

#[test]
fn offsets_and_aborted_transactions_that_are_not_known() {
    let mut asked = Asked::new("fields");
    let topic = asked.topic("read", 1, &[]);
    let mut connection = asked.connect();
    assert_eq!(put(&mut connection, &topic, 0, &batch(&[now()]).build()), (0, 0));
    // Error, the offsets, and how many transactions were aborted.
    for (name, partition, offset, isolation_level, kafka) in [
        (&*topic, 0, 0, 0, (0, [1, 1, 0], None)),
        (&topic, 0, 0, 1, (0, [1, 1, 0], Some(0))),
        (&topic, 0, 9, 0, (1, [-1, -1, -1], None)),
        (&topic, 0, 9, 1, (1, [-1, -1, -1], None)),
        (&topic, 7, 0, 0, (3, [-1, -1, -1], Some(0))),
        ("nobody", 0, 0, 0, (3, [-1, -1, -1], Some(0))),
    ] {
        let request = FetchRequest {
            isolation_level,
            ..fetch(name, partition, offset)
        };
        let reply = connection.call(&request, 11).expect("a reply");
        let answer = reply.read::<FetchRequest<'_>>();
        let found = &answer.responses[0].partitions[0];
        let found = (
            found.error_code,
            [
                found.high_watermark,
                found.last_stable_offset,
                found.log_start_offset,
            ],
            found.aborted_transactions.as_ref().map(Vec::len),
        );
        asked.check(("Fetch", name, partition, offset, isolation_level), found, kafka);
    }
    asked.finish();
}

#[test]
fn offset_for_leader_epoch() {
    let mut asked = Asked::new("epochs");
    let topic = asked.topic("led", 1, &[]);
    let mut connection = asked.connect();
    assert_eq!(put(&mut connection, &topic, 0, &batch(&[now()]).build()), (0, 0));
    for version in 2..=4 {
        // The current epoch as the client knows it, and the one asked about; error, epoch, end offset.
        for (partition, current_leader_epoch, leader_epoch, kafka) in [
            (0, -1, 0, (0, 0, 1)),
            (0, 0, 0, (0, 0, 1)),
            (0, 5, 0, (75, -1, -1)),
            (0, -1, 5, (0, -1, -1)),
            (0, -1, -1, (0, -1, -1)),
            (9, -1, 0, (3, -1, -1)),
        ] {
            let request = OffsetForLeaderEpochRequest {
                replica_id: -1,
                topics: vec![OffsetForLeaderTopic {
                    topic: &topic,
                    partitions: vec![OffsetForLeaderPartition {
                        partition,
                        current_leader_epoch,
                        leader_epoch,
                    }],
                }],
            };
            let reply = connection.call(&request, version).expect("a reply");
            let response = reply.read::<OffsetForLeaderEpochRequest<'_>>();
            let end = &response.topics[0].partitions[0];
            let found = (end.error_code, end.leader_epoch, end.end_offset);
            let case = (
                "OffsetForLeaderEpoch",
                version,
                partition,
                current_leader_epoch,
                leader_epoch,
            );
            asked.check(case, found, kafka);
        }
    }
    asked.finish();
}

/// Session id and epoch, the partitions that are asked for and from where, those that are forgotten; then the error,
/// whether it is answered with the session's id, and the partitions that come.
type SessionCase<'a> = (
    &'a str,
    (i32, i32),
    &'a [i32],
    i64,
    &'a [i32],
    (i16, bool, &'a [i32]),
);

/// Error, time, offset and leader epoch for a partition, the current epoch and a timestamp.
fn offset_of(
    connection: &mut Connection,
    version: i16,
    name: &str,
    (partition_index, current_leader_epoch, timestamp): (i32, i32, i64),
) -> (i16, i64, i64, i32) {
    let request = ListOffsetsRequest {
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
    };
    let reply = connection.call(&request, version).expect("a reply");
    let response = reply.read::<ListOffsetsRequest<'_>>();
    let answer = &response.topics[0].partitions[0];
    (
        answer.error_code,
        answer.timestamp,
        answer.offset,
        answer.leader_epoch,
    )
}

/// One fetch of a session: the error, the session's id, and the partitions that are in the response.
fn in_session(
    connection: &mut Connection,
    topic: &str,
    (session_id, session_epoch): (i32, i32),
    wanted: &[i32],
    fetch_offset: i64,
    forgotten: &[i32],
) -> (i16, i32, Vec<i32>) {
    let mut request = fetch(topic, 0, 0);
    request.max_wait_ms = 10;
    request.session_id = session_id;
    request.session_epoch = session_epoch;
    let partition = |partition: &i32| FetchPartition {
        partition: *partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    request.topics = match wanted {
        [] => Vec::new(),
        wanted => vec![FetchTopic {
            topic,
            partitions: wanted.iter().map(partition).collect(),
            ..FetchTopic::default()
        }],
    };
    request.forgotten_topics_data = match forgotten {
        [] => Vec::new(),
        forgotten => vec![ForgottenTopic {
            topic,
            partitions: forgotten.to_vec(),
            ..ForgottenTopic::default()
        }],
    };
    let reply = connection.call(&request, 11).expect("a reply");
    let response = reply.read::<FetchRequest<'_>>();
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let mut partitions: Vec<i32> = partitions.map(|data| data.partition_index).collect();
    partitions.sort_unstable();
    (response.error_code, response.session_id, partitions)
}

/// The error, the high watermark, and whether there are records. Beside an error the watermark says nothing: to those
/// who are out of range we tell it, Kafka does not.
fn fetched(connection: &mut Connection, version: i16, request: &FetchRequest<'_>) -> (i16, i64, bool) {
    let reply = connection.call(request, version).expect("a reply");
    let response = reply.read::<FetchRequest<'_>>();
    assert_eq!(response.error_code, 0);
    let data = &response.responses[0].partitions[0];
    let has_records = matches!(data.records, Records::Bytes(bytes) if !bytes.is_empty());
    let watermark = if data.error_code == 0 {
        data.high_watermark
    } else {
        -1
    };
    (data.error_code, watermark, has_records)
}
