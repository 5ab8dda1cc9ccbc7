//! The shard's turn on a simulated ring: order, forwarding, long polling and the end. Hostile clients, the
//! flush and a full disk have files of their own.

mod allocations;
mod bounds;
mod damage;
mod fetching;
mod flushing;
mod full_disk;
mod groups;
mod hostile;
mod quotas;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::api_versions::ApiVersionsRequest;
use millstream_protocol::message::create_topics::{
    CreatableTopic, CreateTopicsRequest, CreateTopicsResponse,
};
use millstream_protocol::message::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use millstream_ring::simulated::{Faults, SimOptions};
use support::records::{FETCH, PRODUCE, batch, fetch, fetched, offsets, produce, produced, values};
use support::{Client, Setup, SimBroker, decoded, request, response};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn records_come_back_from_every_partition_whatever_the_shards() {
    for (shards, seed) in [(1, 1), (2, 2), (3, 3), (4, 4)] {
        let mut broker = SimBroker::start(Setup {
            shards,
            seed,
            ..Setup::default()
        });
        let mut client = broker.connect();
        for round in 0..3i64 {
            let batches: Vec<_> = (0..4)
                .map(|index| (index, batch(&[&format!("{index}-{round}"), "x"])))
                .collect();
            let expected: Vec<_> = (0..4).map(|index| (index, 0, 2 * round)).collect();
            assert_eq!(
                produced(&mut client, &mut broker, &produce("t", &batches, -1)),
                expected
            );
        }
        let from: Vec<_> = (0..4).map(|index| (index, 2)).collect();
        let found = fetched(&mut client, &mut broker, &fetch("t", &from, Duration::ZERO, 1));
        for (place, (index, error, values)) in found.into_iter().enumerate() {
            assert_eq!((index, error), (place as i32, 0));
            assert_eq!(
                values,
                [format!("{index}-1"), "x".into(), format!("{index}-2"), "x".into()]
            );
        }
    }
}

#[test]
fn replies_leave_in_request_order_through_short_transfers() {
    for seed in 0..20 {
        let options = SimOptions {
            socket_buffer: 700,
            ..SimOptions::default()
        };
        let mut broker = SimBroker::start(Setup {
            shards: 3,
            seed,
            options,
            ..Setup::default()
        });
        let mut client = broker.connect();
        let mut wire = Vec::new();
        for correlation in 0..60 {
            // Different sizes and owners, and a barrier now and then.
            if correlation % 13 == 12 {
                let body = ApiVersionsRequest {
                    client_software_name: "t",
                    client_software_version: "1",
                };
                wire.extend(request(ApiKey::ApiVersions, 3, correlation, &body));
            } else {
                let batches = [(correlation % 4, batch(&vec!["v"; 1 + 7 * correlation as usize]))];
                wire.extend(request(
                    ApiKey::Produce,
                    PRODUCE,
                    correlation,
                    &produce("t", &batches, 1),
                ));
            }
        }
        client.send_bytes(&mut broker, &wire);
        for expected in 0..60 {
            let frame = client.receive(&mut broker);
            let found = i32::from_be_bytes(*frame.first_chunk::<4>().unwrap());
            assert_eq!(found, expected, "seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut broker = SimBroker::start(Setup {
            shards: 2,
            seed,
            ..Setup::default()
        });
        let mut client = broker.connect();
        for index in 0..4 {
            produced(
                &mut client,
                &mut broker,
                &produce("t", &[(index, batch(&["a", "b"]))], -1),
            );
        }
        broker.world.trace()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_fetch_waits_for_records_wherever_they_are_written() {
    for seed in 0..10 {
        let mut broker = SimBroker::start(Setup {
            shards: 2,
            seed,
            ..Setup::default()
        });
        let (mut reader, mut writer) = (broker.connect(), broker.connect());
        for index in 0..4 {
            let all: Vec<_> = (0..4)
                .map(|partition| (partition, i64::from(partition < index)))
                .collect();
            reader.send(
                &mut broker,
                ApiKey::Fetch,
                FETCH,
                &fetch("t", &all, Duration::from_secs(30), 1),
            );
            broker.run_for(Duration::from_millis(20));
            assert!(reader.poll().is_none(), "nothing to tell yet");
            produced(
                &mut writer,
                &mut broker,
                &produce("t", &[(index, batch(&["new"]))], -1),
            );
            let began = broker.world.now();
            let frame = reader.receive(&mut broker);
            assert!(
                broker.world.now() - began < Duration::from_millis(50),
                "it is woken, not timed out"
            );
            let (_, found) = response(&frame, ApiKey::Fetch, FETCH, |r| values(&decoded(r, FETCH)));
            assert_eq!(found[index as usize].2, ["new"]);
        }
    }
}

#[test]
fn a_reader_gets_on_whatever_limits_it_sets() {
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        ..Setup::default()
    });
    let mut client = broker.connect();
    for _ in 0..2 {
        produced(
            &mut client,
            &mut broker,
            &produce("t", &[(0, batch(&["large"; 50]))], -1),
        );
    }
    let mut body = fetch("t", &[(0, 0)], Duration::ZERO, 1);
    body.max_bytes = 0;
    body.topics[0].partitions[0].partition_max_bytes = 0;
    let found = fetched(&mut client, &mut broker, &body);
    assert_eq!(found[0].2.len(), 50, "one batch, and no more");
}

#[test]
fn a_short_journal_slows_writers_down_and_refuses_nothing() {
    let options = SimOptions {
        disk_latency: Duration::from_millis(5)..=Duration::from_millis(20),
        ..SimOptions::default()
    };
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        options,
        ..Setup::default()
    });
    let mut client = broker.connect();
    let value = "x".repeat(60_000);
    let batches: Vec<_> = (0..4).map(|index| (index, batch(&[&value]))).collect();
    let frame = request(ApiKey::Produce, PRODUCE, 7, &produce("t", &batches, -1));
    let mut sent = 0;
    let mut codes = Vec::new();
    broker.run_until(Duration::from_secs(60), |broker| {
        if sent < 40 * frame.len() {
            let within = sent % frame.len();
            sent += client.try_send_bytes(&frame[within..]);
        }
        if let Some(answer) = client.poll() {
            let (_, found) = response(&answer, ApiKey::Produce, PRODUCE, |r| {
                offsets(&decoded(r, PRODUCE))
            });
            codes.extend(found.into_iter().map(|(_, code, _)| code));
        }
        broker.step();
        codes.len() == 40 * 4
    });
    assert!(codes.iter().all(|code| *code == 0), "{codes:?}");
}

/// Many partitions, each of which has too little to be worth a write of its own: room comes only when somebody presses
/// for it, and those who wait add nothing that would.
#[test]
fn writers_that_wait_for_room_are_never_forgotten() {
    let mut broker = SimBroker::start(Setup {
        shards: 1,
        topics: vec![("t", 200)],
        ..Setup::default()
    });
    let mut client = broker.connect();
    let value = "x".repeat(900);
    let frames: Vec<Vec<u8>> = (0..200)
        .map(|index| {
            let batches = [(index, batch(&[&value]))];
            request(ApiKey::Produce, PRODUCE, 7, &produce("t", &batches, -1))
        })
        .collect();
    let stream: Vec<u8> = frames.concat();
    let (mut sent, mut answered) = (0, 0);
    let mut last = broker.world.now();
    while answered < 1_500 {
        let within = sent % stream.len();
        sent += client.try_send_bytes(&stream[within..]);
        while client.poll().is_some() {
            answered += 1;
            last = broker.world.now();
        }
        broker.step();
        broker.world.advance(Duration::from_nanos(100));
        let silence = broker.world.now() - last;
        assert!(
            silence < Duration::from_millis(100),
            "after {answered} writes nothing is acknowledged for {silence:?}"
        );
    }
}

#[test]
fn a_fetch_ends_at_its_deadline() {
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        ..Setup::default()
    });
    let mut client = broker.connect();
    let began = broker.world.now();
    let found = fetched(
        &mut client,
        &mut broker,
        &fetch("t", &[(0, 0), (1, 0)], Duration::from_millis(300), 1),
    );
    let waited = broker.world.now() - began;
    assert!(
        (Duration::from_millis(300)..Duration::from_millis(400)).contains(&waited),
        "{waited:?}"
    );
    assert_eq!(found, [(0, 0, vec![]), (1, 0, vec![])]);
}

#[test]
fn fewer_bytes_than_asked_for_wait() {
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        ..Setup::default()
    });
    let (mut reader, mut writer) = (broker.connect(), broker.connect());
    reader.send(
        &mut broker,
        ApiKey::Fetch,
        FETCH,
        &fetch("t", &[(0, 0), (1, 0)], Duration::from_secs(20), 200),
    );
    for round in 0..2 {
        assert!(reader.poll().is_none());
        produced(
            &mut writer,
            &mut broker,
            &produce("t", &[(round, batch(&["0123456789"; 5]))], -1),
        );
        broker.run_for(Duration::from_millis(10));
    }
    let frame = reader.receive(&mut broker);
    let (_, found) = response(&frame, ApiKey::Fetch, FETCH, |r| values(&decoded(r, FETCH)));
    assert_eq!(
        found
            .iter()
            .map(|(_, _, values)| values.len())
            .collect::<Vec<_>>(),
        [5, 5]
    );
}

#[test]
fn unacknowledged_produce_is_silent_and_its_error_closes_after_earlier_replies() {
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        ..Setup::default()
    });
    let mut client = broker.connect();
    let (good, bad) = ([(0, batch(&["a"]))], [(77, batch(&["a"]))]);
    client.send(&mut broker, ApiKey::Produce, PRODUCE, &produce("t", &good, 0));
    let answered = client.send(&mut broker, ApiKey::Produce, PRODUCE, &produce("t", &good, -1));
    client.send(&mut broker, ApiKey::Produce, PRODUCE, &produce("t", &bad, 0));
    client.send(&mut broker, ApiKey::Produce, PRODUCE, &produce("t", &good, -1));
    let frames = client.receive_end(&mut broker, SOON);
    assert_eq!(frames.len(), 1, "one reply, then the end");
    let (correlation, found) = response(&frames[0], ApiKey::Produce, PRODUCE, |r| {
        offsets(&decoded(r, PRODUCE))
    });
    assert_eq!((correlation, found), (answered, vec![(0, 0, 1)]));
}

#[test]
fn topics_are_created_for_all_shards_before_the_answer() {
    let mut broker = SimBroker::start(Setup {
        shards: 3,
        ..Setup::default()
    });
    let mut client = broker.connect();
    let body = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "new",
            num_partitions: 5,
            replication_factor: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let code = client.call(&mut broker, ApiKey::CreateTopics, 5, &body, |r| {
        decoded::<CreateTopicsResponse<'_>>(r, 5).topics[0].error_code
    });
    assert_eq!(code, 0);
    let batches: Vec<_> = (0..5).map(|index| (index, batch(&["first"]))).collect();
    let found = produced(&mut client, &mut broker, &produce("new", &batches, -1));
    assert_eq!(found, (0..5).map(|index| (index, 0, 0)).collect::<Vec<_>>());
}

#[test]
fn a_deleted_topic_is_gone_for_clients_and_forgotten_when_its_files_are() {
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        ..Setup::default()
    });
    let mut client = broker.connect();
    let batches: Vec<_> = (0..4).map(|index| (index, batch(&["a"]))).collect();
    produced(&mut client, &mut broker, &produce("t", &batches, -1));
    let body = DeleteTopicsRequest {
        topic_names: vec!["t"],
        ..Default::default()
    };
    let code = client.call(&mut broker, ApiKey::DeleteTopics, 5, &body, |r| {
        decoded::<DeleteTopicsResponse<'_>>(r, 5).responses[0].error_code
    });
    assert_eq!(code, 0);
    let gone = ErrorCode::UnknownTopicOrPartition as i16;
    let found = produced(&mut client, &mut broker, &produce("t", &batches, -1));
    assert!(found.iter().all(|(_, code, _)| *code == gone), "{found:?}");
    broker.run_for(Duration::from_secs(120));
    assert_eq!(broker.controller.image().deleted_topics().count(), 0);
}

#[test]
fn metadata_creates_what_is_missing() {
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        ..Setup::default()
    });
    let mut client = broker.connect();
    let mut ask = |broker: &mut SimBroker, name, create| {
        let topics = vec![MetadataRequestTopic {
            name: Some(name),
            ..Default::default()
        }];
        let body = MetadataRequest {
            topics: Some(topics),
            allow_auto_topic_creation: create,
            ..Default::default()
        };
        client.call(broker, ApiKey::Metadata, 9, &body, |r| {
            let answer = decoded::<MetadataResponse<'_>>(r, 9);
            (answer.topics[0].error_code, answer.topics[0].partitions.len())
        })
    };
    assert_eq!(
        ask(&mut broker, "auto", false),
        (ErrorCode::UnknownTopicOrPartition as i16, 0)
    );
    assert_eq!(ask(&mut broker, "auto", true), (0, 1));
    assert_eq!(
        ask(&mut broker, "a b", true),
        (ErrorCode::InvalidTopicException as i16, 0)
    );
}

#[test]
fn the_end_answers_what_is_in_progress_and_flushes() {
    let mut broker = SimBroker::start(Setup {
        shards: 2,
        ..Setup::default()
    });
    let (mut reader, mut writer) = (broker.connect(), broker.connect());
    produced(&mut writer, &mut broker, &produce("t", &[(0, batch(&["a"]))], -1));
    reader.send(
        &mut broker,
        ApiKey::Fetch,
        FETCH,
        &fetch("t", &[(0, 1), (1, 0)], Duration::from_secs(100), 1),
    );
    writer.send(
        &mut broker,
        ApiKey::Produce,
        PRODUCE,
        &produce("t", &[(1, batch(&["b"]))], -1),
    );
    broker.run_for(Duration::from_millis(3));
    broker.shut_down();
    broker.run_until(SOON, |broker| broker.shards.iter().all(|shard| shard.finished));
    assert!(reader.poll().is_some(), "the parked fetch was answered");
    assert!(writer.poll().is_some(), "the produce was acknowledged");
    assert!(
        broker.world.connect(broker.address).is_err(),
        "nobody listens any more"
    );
}
