//! Quotas on the shard's turn: whose time is used up is told so with every answer and waits; what is put off.

use std::cell::Cell;
use std::iter;

use millstream_protocol::message::Float64;
use millstream_protocol::message::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityData, EntryData, OpData,
};
use millstream_protocol::message::fetch::FetchResponse;
use millstream_protocol::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use millstream_protocol::message::offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
use millstream_protocol::message::produce::ProduceResponse;
use millstream_protocol::time::Instant;

use super::*;

thread_local! {
    static READS: Cell<u64> = const { Cell::new(0) };
}

/// Goes on by ten milliseconds with every look at it.
fn ticking() -> Instant {
    READS.set(READS.get() + 1);
    Instant::from_nanos(READS.get() * 10_000_000)
}

fn start(shards: usize) -> SimBroker {
    SimBroker::start(Setup {
        shards,
        clock: ticking,
        ..Setup::default()
    })
}

/// For the clients of these tests.
fn set(client: &mut Client, broker: &mut SimBroker, key: &str, value: f64) {
    set_for(("client-id", Some("test")), client, broker, key, value);
}

fn set_for(whom: (&str, Option<&str>), client: &mut Client, broker: &mut SimBroker, key: &str, value: f64) {
    let (entity_type, entity_name) = whom;
    let body = AlterClientQuotasRequest {
        entries: vec![EntryData {
            entity: vec![EntityData {
                entity_type,
                entity_name,
            }],
            ops: vec![OpData {
                key,
                value: Float64::new(value),
                remove: false,
            }],
        }],
        validate_only: false,
    };
    let error = client.call(broker, ApiKey::AlterClientQuotas, 1, &body, |r| {
        decoded::<AlterClientQuotasResponse<'_>>(r, 1).entries[0].error_code
    });
    assert_eq!(error, 0);
}

fn metadata(client: &mut Client, broker: &mut SimBroker) -> i32 {
    let body = MetadataRequest::default();
    client.call(broker, ApiKey::Metadata, 12, &body, |r| {
        decoded::<MetadataResponse<'_>>(r, 12).throttle_time_ms
    })
}

#[test]
fn whose_time_is_used_up_is_told_and_waits() {
    let mut broker = start(2);
    let mut client = broker.connect();
    // Nobody who has no quota is timed.
    let before = READS.get();
    assert_eq!(metadata(&mut client, &mut broker), 0);
    assert_eq!(READS.get(), before);
    // Ten seconds' worth of a hundredth is a tenth of a second: five requests of two looks at the clock each.
    set(&mut client, &mut broker, "request_percentage", 1.0);
    let told: Vec<i32> = (0..5).map(|_| metadata(&mut client, &mut broker)).collect();
    assert_eq!(told, [0; 5]);
    let waits = metadata(&mut client, &mut broker);
    // What is used would be worth more, but nobody waits longer.
    assert!((950..=1_000).contains(&waits), "{waits} ms");
    let muted = broker.world.now();
    // Wherever the answer says it.
    let group = OffsetDeleteRequest {
        group_id: "g",
        ..OffsetDeleteRequest::default()
    };
    let waits = client.call(&mut broker, ApiKey::OffsetDelete, 0, &group, |r| {
        let answer = decoded::<OffsetDeleteResponse<'_>>(r, 0);
        assert_ne!(answer.error_code, 0);
        answer.throttle_time_ms
    });
    let waited = broker.world.now().saturating_sub(muted);
    assert!(
        waits > 0 && waited >= Duration::from_millis(999),
        "{waits} {waited:?}"
    );
    broker.run_for(Duration::from_secs(20));
    assert_eq!(metadata(&mut client, &mut broker), 0, "it is forgotten in time");
}

#[test]
fn the_time_of_a_partitions_owner_counts() {
    let mut owners = Vec::new();
    for partition in 0..4 {
        let mut broker = start(2);
        let mut client = broker.connect();
        set(&mut client, &mut broker, "request_percentage", 1.0);
        let forwarded = |broker: &SimBroker| -> u64 {
            let shards = broker.shards.iter();
            shards.map(|it| it.shard.counters.forwarded).sum()
        };
        let before = forwarded(&broker);
        let batches = [(partition, batch(&["v"]))];
        let write = produce("t", &batches, -1);
        let written = until_told(|| {
            client.call(&mut broker, ApiKey::Produce, PRODUCE, &write, |r| {
                decoded::<ProduceResponse<'_>>(r, PRODUCE).throttle_time_ms
            })
        });
        let is_remote = forwarded(&broker) > before;
        // A hundredth of a second on the shard that is asked, and another one on the partition's own.
        assert_eq!(written, if is_remote { 5 } else { 10 }, "partition {partition}");
        broker.run_for(Duration::from_secs(20));
        let read = fetch("t", &[(partition, 0)], Duration::ZERO, 1);
        let read = until_told(|| {
            client.call(&mut broker, ApiKey::Fetch, FETCH, &read, |r| {
                decoded::<FetchResponse<'_>>(r, FETCH).throttle_time_ms
            })
        });
        // Where it is answered at once, what follows the answer is another hundredth.
        assert_eq!(read, 5, "partition {partition}");
        owners.push(is_remote);
    }
    assert!(owners.contains(&true) && owners.contains(&false));
}

/// How many are asked without being told to wait.
fn until_told(ask: impl FnMut() -> i32) -> usize {
    iter::repeat_with(ask).take_while(|told| *told == 0).count()
}

#[test]
fn a_fetch_over_the_quota_is_empty_and_its_records_come_later() {
    let mut broker = start(1);
    let mut client = broker.connect();
    let value = "v".repeat(6_000);
    produced(
        &mut client,
        &mut broker,
        &produce("t", &[(0, batch(&[&value]))], -1),
    );
    set(&mut client, &mut broker, "consumer_byte_rate", 1_000.0);
    let mut read = |broker: &mut SimBroker, session: (i32, i32)| {
        let mut body = fetch("t", &[(0, 0)], Duration::ZERO, 1);
        (body.session_id, body.session_epoch) = session;
        client.call(broker, ApiKey::Fetch, 12, &body, |r| {
            let answer = decoded::<FetchResponse<'_>>(r, 12);
            assert_eq!(answer.error_code, 0);
            (answer.throttle_time_ms, answer.session_id, answer.responses.len())
        })
    };
    let (told, session, topics) = read(&mut broker, (0, 0));
    assert!(told == 0 && session > 0 && topics == 1);
    // Of what may be read in ten seconds more than a half is read: the rest of it is not enough for as much again.
    let (told, same, topics) = read(&mut broker, (session, 1));
    assert!((1_500..=3_000).contains(&told), "{told} ms");
    assert_eq!((same, topics), (session, 0));
    let asked = broker.world.now();
    // A session does not begin with nothing.
    let (again, none, topics) = read(&mut broker, (0, 0));
    assert_eq!((none, topics), (0, 0));
    let waited = broker.world.now().saturating_sub(asked);
    assert!(
        waited >= Duration::from_millis(told as u64 - 1),
        "{waited:?} of {told} ms"
    );
    assert!(again > 0);
    broker.run_for(Duration::from_secs(12));
    let (told, same, topics) = read(&mut broker, (session, 2));
    assert_eq!((told, same, topics), (0, session, 1));
}

#[test]
fn changes_of_topics_over_the_quota_are_refused_to_who_knows_the_error() {
    let mut broker = start(1);
    let mut client = broker.connect();
    set(&mut client, &mut broker, "controller_mutation_rate", 2.0);
    let mut create =
        |broker: &mut SimBroker, version, names: &[(&str, i32)]| create(&mut client, broker, version, names);
    let exceeded = ErrorCode::ThrottlingQuotaExceeded as i16;
    let (codes, wait) = create(&mut broker, 7, &[("a", 20), ("b", 6), ("c", 1)]);
    assert_eq!(codes, [0, 0, exceeded]);
    assert!((1_900..=2_000).contains(&wait), "{wait} ms");
    let asked = broker.world.now();
    let (codes, wait) = create(&mut broker, 7, &[("c", 12)]);
    let waited = broker.world.now().saturating_sub(asked);
    assert!(waited >= Duration::from_millis(1_900), "{waited:?}");
    assert_eq!((codes, wait), (vec![0], 0));
    // Older versions do not know it: what they ask is done, and waited for.
    let (codes, wait) = create(&mut broker, 5, &[("d", 1)]);
    assert_eq!(codes, [0]);
    assert!(wait > 5_000, "{wait} ms");
}

#[test]
fn topics_made_on_the_way_count_and_are_not_made_over_the_quota() {
    let mut broker = start(1);
    let mut client = broker.connect();
    set(&mut client, &mut broker, "controller_mutation_rate", 1.0);
    let mut ask = |broker: &mut SimBroker, names: &[&str], creates| {
        let topics = names.iter().map(|name| MetadataRequestTopic {
            name: Some(name),
            ..MetadataRequestTopic::default()
        });
        let body = MetadataRequest {
            topics: Some(topics.collect()),
            allow_auto_topic_creation: creates,
            ..MetadataRequest::default()
        };
        client.call(broker, ApiKey::Metadata, 12, &body, |r| {
            let answer = decoded::<MetadataResponse<'_>>(r, 12);
            let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
            (codes, answer.throttle_time_ms)
        })
    };
    let unknown = ErrorCode::UnknownTopicOrPartition as i16;
    // Eleven seconds' worth may be made at once, and one more is owed.
    let names: Vec<String> = (0..14).map(|number| format!("made-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let expected: Vec<i16> = (0..14)
        .map(|number| if number < 12 { 0 } else { unknown })
        .collect();
    assert_eq!(
        ask(&mut broker, &names, true),
        (expected, 0),
        "and nobody is told to wait"
    );
    assert_eq!(ask(&mut broker, &["made-13"], true), (vec![unknown], 0));
    broker.run_for(Duration::from_millis(1_100));
    assert_eq!(ask(&mut broker, &["made-13"], false), (vec![unknown], 0));
    assert_eq!(ask(&mut broker, &["made-13"], true), (vec![0], 0));
}

#[test]
fn the_offsets_topic_is_counted_for_the_broker() {
    for (whom, refused) in [
        (("user", None), true),
        (("client-id", None), false),
        (("client-id", Some("1")), false),
    ] {
        let mut broker = start(1);
        let mut client = broker.connect();
        set_for(whom, &mut client, &mut broker, "controller_mutation_rate", 1.0);
        assert_eq!(create(&mut client, &mut broker, 7, &[("a", 12)]).0, [0]);
        let mut find = |broker: &mut SimBroker| {
            let body = FindCoordinatorRequest {
                key: "g",
                ..FindCoordinatorRequest::default()
            };
            client.call(broker, ApiKey::FindCoordinator, 3, &body, |r| {
                let answer = decoded::<FindCoordinatorResponse<'_>>(r, 3);
                (answer.error_code, answer.throttle_time_ms)
            })
        };
        let unavailable = ErrorCode::CoordinatorNotAvailable as i16;
        let expected = if refused { unavailable } else { 0 };
        assert_eq!(find(&mut broker), (expected, 0), "{whom:?}");
        broker.run_for(Duration::from_millis(1_100));
        assert_eq!(find(&mut broker), (0, 0), "{whom:?}");
        // Its fifty partitions are owed by whom they are counted for.
        let codes = create(&mut client, &mut broker, 7, &[("b", 1)]).0;
        let exceeded = ErrorCode::ThrottlingQuotaExceeded as i16;
        assert_eq!(codes, [if refused { exceeded } else { 0 }], "{whom:?}");
    }
}

#[test]
fn connections_over_the_rate_are_not_heard_and_closed_after_a_while() {
    let mut broker = start(2);
    let mut client = broker.connect();
    let here = ("ip", Some("127.0.0.1"));
    set_for(here, &mut client, &mut broker, "connection_creation_rate", 1.0);
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut other = broker.connect();
        assert_eq!(metadata(&mut other, &mut broker), 0);
        open.push(other);
    }
    let asked = broker.world.now();
    let received = |broker: &SimBroker| -> u64 {
        let shards = broker.shards.iter();
        shards.map(|it| it.shard.counters.bytes_in).sum()
    };
    let before = received(&broker);
    let body = MetadataRequest::default();
    let mut many: Vec<Client> = (0..3).map(|_| broker.connect()).collect();
    for one in &mut many {
        one.send(&mut broker, ApiKey::Metadata, 12, &body);
    }
    broker.run_for(Duration::from_millis(900));
    for one in &mut many {
        assert!(one.poll().is_none() && !one.ended, "it waits");
    }
    assert_eq!(received(&broker), before);
    broker.run_until(Duration::from_millis(200), |_| {
        many.iter_mut().all(|one| {
            assert!(one.poll().is_none(), "it is not heard");
            one.ended
        })
    });
    let waited = broker.world.now().saturating_sub(asked);
    assert!(waited >= Duration::from_millis(990), "{waited:?}");
    assert_eq!(metadata(&mut client, &mut broker), 0, "others are heard");
    // Those that were refused do not count.
    broker.run_for(Duration::from_millis(10_100));
    let mut other = broker.connect();
    assert_eq!(metadata(&mut other, &mut broker), 0);
}

/// What becomes of topics of so many partitions, and the wait in milliseconds.
fn create(
    client: &mut Client,
    broker: &mut SimBroker,
    version: i16,
    names: &[(&str, i32)],
) -> (Vec<i16>, i32) {
    let topics = names.iter().map(|(name, num_partitions)| CreatableTopic {
        name,
        num_partitions: *num_partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    });
    let body = CreateTopicsRequest {
        topics: topics.collect(),
        ..CreateTopicsRequest::default()
    };
    client.call(broker, ApiKey::CreateTopics, version, &body, |r| {
        let answer = decoded::<CreateTopicsResponse<'_>>(r, version);
        let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
        (codes, answer.throttle_time_ms)
    })
}
