//! What clients can make grow, and what they meet at the settings that bound it.

use std::time::Duration;

use millstream_protocol::api::ApiKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::fetch::FetchResponse;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use millstream_ring::simulated::SimOptions;

use crate::support::records::{FETCH, PRODUCE, batch, fetch, fetched, produce, produced};
use crate::support::{Client, Setup, SimBroker, decoded, request, response};

/// Requests beyond `max.in.flight.requests.per.connection` are begun when earlier ones are answered, and none is lost.
#[test]
fn a_connection_has_so_many_writes_in_progress() {
    let mut broker = SimBroker::start(Setup {
        settings: vec![("max.in.flight.requests.per.connection", "2")],
        options: SimOptions {
            disk_latency: Duration::from_millis(5)..=Duration::from_millis(5),
            ..SimOptions::default()
        },
        ..Setup::default()
    });
    let mut client = broker.connect();
    let batches = [(0, batch(&["v"]))];
    let frames = (0..9).map(|id| request(ApiKey::Produce, PRODUCE, id, &produce("t", &batches, -1)));
    client.send_bytes(&mut broker, &frames.collect::<Vec<_>>().concat());
    let (mut answered, mut most) = (0, 0);
    broker.run_until(Duration::from_secs(5), |broker| {
        most = most.max(broker.shards[0].shard.awaiting_flush);
        answered += i32::from(client.poll().is_some());
        answered == 9
    });
    assert_eq!(most, 2);
}

/// Who finds `max.waiting.requests.per.core` waiting is told to come again, and may when others were answered.
#[test]
fn a_shard_has_so_many_requests_waiting() {
    let mut broker = SimBroker::start(Setup {
        settings: vec![("max.waiting.requests.per.core", "3")],
        ..Setup::default()
    });
    let patient = fetch("t", &[(0, 0)], Duration::from_secs(1), 1);
    let mut clients: Vec<Client> = (0..8).map(|_| broker.connect()).collect();
    for client in &mut clients {
        client.send(&mut broker, ApiKey::Fetch, FETCH, &patient);
    }
    broker.run_for(Duration::from_millis(100));
    assert!((1..=3).contains(&broker.shards[0].shard.calls.len()));
    let refused = clients.iter_mut().filter_map(Client::poll).map(|frame| {
        let (_, code) = response(&frame, ApiKey::Fetch, FETCH, |r| {
            decoded::<FetchResponse<'_>>(r, FETCH).error_code
        });
        code
    });
    let refused: Vec<i16> = refused.collect();
    assert!(
        (5..8).contains(&refused.len()),
        "{} were answered at once",
        refused.len()
    );
    assert!(
        refused
            .iter()
            .all(|code| *code == ErrorCode::ThrottlingQuotaExceeded as i16)
    );
    broker.run_for(Duration::from_secs(2));
    let found = fetched(
        &mut broker.connect(),
        &mut broker,
        &fetch("t", &[(0, 0)], Duration::ZERO, 1),
    );
    assert_eq!(found[0].1, 0, "there is room again");
}

/// The shard's count is of all partitions: a newcomer to any is told to come again, and who is known goes on.
#[test]
fn a_shard_remembers_so_many_producers() {
    let mut broker = SimBroker::start(Setup {
        producers_max: Some(4),
        settings: vec![("connections.max.idle.ms", "-1")],
        ..Setup::default()
    });
    let mut client = broker.connect();
    let mut write = |broker: &mut SimBroker, id, partition, sequence| {
        let batch = BatchBuilder::new()
            .producer(
                ProducerId::new(id),
                ProducerEpoch::new(0),
                Sequence::new(sequence),
            )
            .record(TimestampMs::new(1_700_000_000_000), None, Some(b"v"), &[])
            .build();
        produced(&mut client, broker, &produce("t", &[(partition, batch)], -1))[0].1
    };
    for id in 0..2 {
        assert_eq!(write(&mut broker, id, 0, 0), 0);
        assert_eq!(write(&mut broker, id, 1, 0), 0);
    }
    let full = ErrorCode::NotEnoughReplicas as i16;
    assert_eq!(write(&mut broker, 2, 0, 0), full);
    assert_eq!(write(&mut broker, 0, 2, 0), full, "new to that partition");
    assert_eq!(write(&mut broker, 1, 1, 1), 0, "a known one");
    broker.run_for(Duration::from_secs(30));
    assert_eq!(write(&mut broker, 2, 0, 0), full, "nobody was silent for long");
    broker.run_for(Duration::from_secs(16 * 60));
    broker.run_until(Duration::from_secs(10), |broker| {
        broker.run_for(Duration::from_millis(500));
        write(broker, 2, 0, 0) == 0
    });
}
