//! Quotas as a client feels them: it is told to wait, and is not listened to meanwhile, on whatever core; they outlive
//! the broker.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use millstream_protocol::message::Float64;
use millstream_protocol::message::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use millstream_protocol::message::describe_client_quotas::DescribeClientQuotasRequest;
use millstream_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::TimestampMs;
use millstream_tests::process::Broker;
use millstream_tests::wire::{Connection, produce};

#[test]
fn who_writes_too_much_waits_on_every_core() {
    let broker = Broker::start(&["--cores", "2"]);
    let mut admin = Connection::open(broker.address()).expect("a connection");
    admin.create_topic("t", 1, &[]);
    set(&mut admin, "producer_byte_rate", Some(100_000.0));
    let mut clients = [0; 2].map(|_| Connection::open(broker.address()).expect("a connection"));
    // Ten seconds' worth may be used at once, whichever connections it comes by.
    assert_eq!(write(&mut clients[0], 600_000), 0);
    let told = write(&mut clients[1], 500_000);
    assert!((900..1_500).contains(&told), "{told} ms");
    let waits = Instant::now();
    write(&mut clients[1], 1);
    let waited = waits.elapsed();
    assert!(waited >= Duration::from_millis(900), "{waited:?}");
    set(&mut admin, "producer_byte_rate", None);
    let others = Instant::now();
    assert_eq!(write(&mut clients[0], 1), 0, "without a quota nobody waits");
    assert!(others.elapsed() < Duration::from_millis(900));
}

#[test]
fn who_reads_too_much_waits() {
    let broker = Broker::start(&["--cores", "1"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    client.create_topic("t", 1, &[]);
    write(&mut client, 600_000);
    set(&mut client, "consumer_byte_rate", Some(100_000.0));
    assert_eq!(read(&mut client), 0);
    let told = read(&mut client);
    assert!((1_900..2_500).contains(&told), "{told} ms");
    let waits = Instant::now();
    describe(&mut client);
    assert!(waits.elapsed() >= Duration::from_millis(1_900));
}

#[test]
fn connections_over_the_rate_of_their_address_are_closed_on_every_core() {
    let broker = Broker::start(&["--cores", "2"]);
    let mut admin = Connection::open(broker.address()).expect("a connection");
    let rate = "connection_creation_rate";
    set_for("ip", &mut admin, rate, Some(1.0));
    let connect = || Connection::open(broker.address()).expect("a connection");
    let is_heard = |connection: &mut Connection| {
        let answer = connection.call(&DescribeClientQuotasRequest::default(), 1);
        let closed = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
        assert!(
            answer
                .as_ref()
                .err()
                .is_none_or(|error| closed.contains(&error.kind()))
        );
        answer.is_ok()
    };
    // Ten seconds' worth, which the shards have between them.
    let mut open: Vec<_> = (0..10).map(|_| connect()).collect();
    assert!(open.iter_mut().all(is_heard));
    let mut many: Vec<_> = (0..3).map(|_| connect()).collect();
    assert!(!many.iter_mut().any(is_heard));
    assert!(open.iter_mut().all(is_heard));
    set_for("ip", &mut admin, rate, None);
    assert!(is_heard(&mut connect()));
}

#[test]
fn quotas_outlive_the_broker() {
    let mut broker = Broker::start(&["--cores", "1"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    set(&mut client, "consumer_byte_rate", Some(5.0));
    set(&mut client, "request_percentage", Some(1.5));
    let expected = [("consumer_byte_rate", 5.0), ("request_percentage", 1.5)];
    let expected: Vec<_> = expected.map(|(key, value)| (key.to_owned(), value)).into();
    assert_eq!(describe(&mut client), expected);
    broker.kill();
    broker.restart();
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(describe(&mut client), expected);
}

/// For every client that has none by name.
fn set(connection: &mut Connection, key: &str, value: Option<f64>) {
    set_for("client-id", connection, key, value);
}

fn set_for(entity_type: &str, connection: &mut Connection, key: &str, value: Option<f64>) {
    let request = AlterClientQuotasRequest {
        entries: vec![EntryData {
            entity: vec![EntityData {
                entity_type,
                entity_name: None,
            }],
            ops: vec![OpData {
                key,
                value: Float64::new(value.unwrap_or(0.0)),
                remove: value.is_none(),
            }],
        }],
        validate_only: false,
    };
    let reply = connection.call(&request, 1).expect("an answer");
    assert_eq!(
        reply.read::<AlterClientQuotasRequest<'_>>().entries[0].error_code,
        0
    );
}

fn describe(connection: &mut Connection) -> Vec<(String, f64)> {
    let request = DescribeClientQuotasRequest::default();
    let reply = connection.call(&request, 1).expect("an answer");
    let response = reply.read::<DescribeClientQuotasRequest<'_>>();
    let entries = response.entries.iter().flatten();
    let values = entries.flat_map(|entry| &entry.values);
    values
        .map(|value| (value.key.to_owned(), value.value.get()))
        .collect()
}

/// Writes a record of so many bytes; how long the client is told to wait, in milliseconds.
fn write(connection: &mut Connection, bytes: usize) -> i32 {
    let value = vec![7; bytes];
    let batch = BatchBuilder::new()
        .record(TimestampMs::new(1), None, Some(&value), &[])
        .build();
    let reply = connection
        .call(&produce("t", 0, &batch, -1), 8)
        .expect("an answer");
    let response = reply.read::<ProduceRequest<'_>>();
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    response.throttle_time_ms
}

/// Reads the topic from its beginning on.
fn read(connection: &mut Connection) -> i32 {
    let request = FetchRequest {
        max_bytes: i32::MAX,
        topics: vec![FetchTopic {
            topic: "t",
            partitions: vec![FetchPartition {
                partition_max_bytes: i32::MAX,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let reply = connection.call(&request, 12).expect("an answer");
    reply.read::<FetchRequest<'_>>().throttle_time_ms
}
