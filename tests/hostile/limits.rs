//! How many connections there may be, from where, and how long a silent one stays.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use millstream_protocol::message::api_versions::ApiVersionsRequest;
use millstream_protocol::message::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use millstream_protocol::message::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use millstream_protocol::message::delete_topics::DeleteTopicsRequest;
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use millstream_tests::process::{Broker, millstream};
use millstream_tests::wire::{CREATE_TOPICS, Connection};
use socket2::{Domain, Socket, Type};

use super::bystander::{send_batch, write};

/// Below the bound all goes on, at it Kafka's code comes, a start keeps it, and what is deleted makes room.
#[test]
fn topics_and_partitions_are_bounded() {
    let mut broker = Broker::start(&["--set", "max.topics=3", "--set", "max.partitions=8"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(create(&mut client, "one", 4), 0);
    assert_eq!(create(&mut client, "two", 5), POLICY_VIOLATION, "nine partitions");
    assert_eq!(create(&mut client, "two", 3), 0);
    assert_eq!(create(&mut client, "three", 1), 0);
    assert_eq!(create(&mut client, "four", 1), POLICY_VIOLATION, "four topics");
    assert_eq!(create(&mut client, &"x".repeat(250), 1), INVALID_TOPIC_EXCEPTION);
    broker.terminate();
    broker.restart();
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(create(&mut client, "four", 1), POLICY_VIOLATION, "after a start");
    assert_eq!(write(&mut client, "three", 0, "goes on"), (0, 0));
    delete(&mut client, "three");
    assert_eq!(create(&mut client, "four", 1), 0);
}

/// Names and configurations count for all topics together, by whichever request they come, and what is taken back makes
/// room; so it is after a start.
#[test]
fn configurations_of_all_topics_together_are_bounded() {
    let mut broker = Broker::start(&["--cores", "1", "--set", "max.metadata.bytes=20000"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    for name in ["one", "two", "three"] {
        assert_eq!(create(&mut client, name, 1), 0);
    }
    let long = format!("{}5", " ".repeat(9_000));
    let set = |client: &mut Connection, topic: &str, value: Option<&str>| {
        let operation = i8::from(value.is_none());
        alter_one(client, 2, topic, ("segment.ms", operation, value))
    };
    assert_eq!(set(&mut client, "one", Some(&long)), 0);
    assert_eq!(set(&mut client, "two", Some(&long)), 0);
    assert_eq!(set(&mut client, "three", Some(&long)), POLICY_VIOLATION);
    assert_eq!(
        create_with(&mut client, "four", 1, &[("segment.ms", &long)]),
        POLICY_VIOLATION
    );
    assert_eq!(
        alter_one(&mut client, 4, "", ("log.roll.ms", 0, Some(&long))),
        POLICY_VIOLATION
    );
    broker.terminate();
    broker.restart();
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(
        set(&mut client, "three", Some(&long)),
        POLICY_VIOLATION,
        "after a start"
    );
    assert_eq!(set(&mut client, "one", None), 0);
    assert_eq!(set(&mut client, "three", Some(&long)), 0);
}

/// What partitions take is memory: where there is little of it there may be fewer than the setting says, and the broker
/// says how many. What there is already is served.
#[test]
fn memory_bounds_partitions() {
    let least = [
        "--cores",
        "1",
        "--memory",
        "192MiB",
        "--set",
        "max.partitions=100000",
    ];
    let mut broker = Broker::start(&least);
    broker.must_have_said("max.partitions is larger than this broker's memory allows");
    let mut client = Connection::open(broker.address()).expect("a connection");
    let mut created = 0;
    while create(&mut client, &format!("t{created}"), 250) == 0 {
        created += 1;
        assert!(created < 40, "10,000 partitions do not fit");
    }
    assert!(created >= 4, "{created}");
    assert_eq!(create(&mut client, "another", 250), POLICY_VIOLATION);
    assert_eq!(grow(&mut client, "t0", 500), POLICY_VIOLATION);
    assert_eq!(write(&mut client, "t0", 249, "is served"), (0, 0));
    broker.terminate();
    broker.restart();
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(
        create(&mut client, "another", 250),
        POLICY_VIOLATION,
        "after a start"
    );
    assert_eq!(write(&mut client, "t0", 249, "is served"), (0, 1));
}

/// Who is known goes on, newcomers are told to come again, and writing without an id needs no place; a start changes
/// nothing of that.
#[test]
fn producers_of_all_partitions_together_are_bounded() {
    let flags = ["--cores", "1", "--set", "max.producers=6"];
    let mut broker = Broker::start(&flags);
    let mut client = Connection::open(broker.address()).expect("a connection");
    client.create_topic("crowd", 2, &[]);
    for id in 0..3 {
        assert_eq!(write_as(&mut client, id, 0, 0), 0);
        assert_eq!(write_as(&mut client, id, 1, 0), 0);
    }
    for round in 1..3 {
        assert_eq!(write_as(&mut client, 3, 0, 0), NOT_ENOUGH_REPLICAS);
        assert_eq!(write_as(&mut client, 2, 1, round), 0, "a known producer");
        assert_eq!(write(&mut client, "crowd", 0, "of nobody").0, 0);
        broker.terminate();
        broker.restart();
        client = Connection::open(broker.address()).expect("a connection");
    }
}

/// Every setting that the list of limits names is one that the broker prints.
#[test]
fn the_list_of_limits_names_settings_that_there_are() {
    let printed = millstream()
        .args(["start", "--print-config"])
        .output()
        .expect("a command that can be run");
    let printed = String::from_utf8(printed.stdout).expect("text");
    let list = include_str!("../../docs/limits.md");
    let (_, list) = list.split_once("| what |").expect("the list");
    let rows = list.lines().filter(|line| line.starts_with("| "));
    let settings: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(2)?.trim().strip_prefix('`')?.split('`').next())
        .collect();
    assert!(settings.len() >= 10, "{settings:?}");
    for setting in settings {
        let is_there = |line: &str| {
            line.trim_start_matches("# ")
                .trim_start_matches('"')
                .starts_with(setting)
        };
        assert!(printed.lines().any(is_there), "{setting} is not printed");
    }
}

#[test]
fn connections_are_counted_by_address_and_in_all_and_silent_ones_are_closed() {
    let broker = Broker::start(&[
        "--cores",
        "2",
        "--set",
        "max.connections=40",
        "--set",
        "max.connections.per.ip=25",
        "--set",
        "connections.max.idle.ms=5000",
    ]);
    let mut good = Connection::open(broker.address()).expect("a connection");
    // The harness's own look at whether the broker is ready is over.
    std::thread::sleep(Duration::from_millis(200));
    let ours = open_many(&broker, LOCAL, 30);
    assert_eq!(ours.len(), 24, "with the good one there are 25 from this address");
    broker.must_have_said("max.connections.per.ip");
    // The log takes five such lines a second.
    std::thread::sleep(Duration::from_millis(1_100));
    let others = open_many(&broker, ELSEWHERE, 30);
    assert_eq!(others.len(), 15, "40 in all");
    broker.must_have_said("as max.connections and");

    alter(&mut good, "max.connections", "45");
    let more = open_many(&broker, ELSEWHERE, 30);
    assert_eq!(more.len(), 5, "the limit can be altered while the broker runs");

    let started = Instant::now();
    while [&ours, &others, &more]
        .into_iter()
        .flatten()
        .any(|stream| !is_closed(stream))
    {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "a silent connection stays"
        );
        good.call(&ApiVersionsRequest::default(), 0)
            .expect("who speaks may stay");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        started.elapsed() > Duration::from_secs(2),
        "five seconds are allowed"
    );
    assert_eq!(
        open_many(&broker, LOCAL, 30).len(),
        24,
        "their places are free again"
    );
}

/// Those that the broker keeps of `count` connections from an address.
fn open_many(broker: &Broker, from: Ipv4Addr, count: usize) -> Vec<TcpStream> {
    let opened: Vec<TcpStream> = (0..count).map(|_| open_from(from, broker.address())).collect();
    // A refusal comes right behind the connection.
    std::thread::sleep(Duration::from_millis(300));
    opened.into_iter().filter(|stream| !is_closed(stream)).collect()
}

fn open_from(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let own = SocketAddr::new(IpAddr::V4(from), 0);
    socket.bind(&own.into()).expect("a local address");
    socket.connect(&to.into()).expect("a connection");
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(true).expect("a socket");
    stream
}

fn is_closed(mut stream: &TcpStream) -> bool {
    !matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn create(connection: &mut Connection, name: &str, num_partitions: i32) -> i16 {
    create_with(connection, name, num_partitions, &[])
}

fn create_with(
    connection: &mut Connection,
    name: &str,
    num_partitions: i32,
    configs: &[(&str, &str)],
) -> i16 {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name,
        value: Some(value),
    });
    let topic = CreatableTopic {
        name,
        num_partitions,
        replication_factor: 1,
        configs: configs.collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        ..CreateTopicsRequest::default()
    };
    let reply = connection.call(&request, CREATE_TOPICS).expect("a reply");
    reply.read::<CreateTopicsRequest<'_>>().topics[0].error_code
}

/// One record of an idempotent producer; its code.
fn write_as(connection: &mut Connection, id: i64, partition: i32, sequence: i32) -> i16 {
    let batch = BatchBuilder::new()
        .producer(
            ProducerId::new(id),
            ProducerEpoch::new(0),
            Sequence::new(sequence),
        )
        .record(TimestampMs::new(1_700_000_000_000), None, Some(b"value"), &[])
        .build();
    send_batch(connection, "crowd", partition, &batch).0
}

fn delete(connection: &mut Connection, name: &str) {
    let request = DeleteTopicsRequest {
        topic_names: vec![name],
        ..DeleteTopicsRequest::default()
    };
    let reply = connection.call(&request, 5).expect("a reply");
    assert_eq!(reply.read::<DeleteTopicsRequest<'_>>().responses[0].error_code, 0);
}

fn alter(connection: &mut Connection, name: &str, value: &str) {
    assert_eq!(alter_one(connection, 4, "", (name, 0, Some(value))), 0);
}

/// One change of a configuration (name, operation, value) of one resource; its code.
fn alter_one(
    connection: &mut Connection,
    resource_type: i8,
    resource_name: &str,
    (name, config_operation, value): (&str, i8, Option<&str>),
) -> i16 {
    let configs = vec![AlterableConfig {
        name,
        config_operation,
        value,
    }];
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name,
            configs,
        }],
        validate_only: false,
    };
    let reply = connection.call(&request, 1).expect("a reply");
    reply.read::<IncrementalAlterConfigsRequest<'_>>().responses[0].error_code
}

fn grow(connection: &mut Connection, name: &str, count: i32) -> i16 {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name,
            count,
            assignments: None,
        }],
        timeout_ms: 10_000,
        validate_only: false,
    };
    let reply = connection.call(&request, 3).expect("a reply");
    reply.read::<CreatePartitionsRequest<'_>>().results[0].error_code
}

const NOT_ENOUGH_REPLICAS: i16 = 19;
const POLICY_VIOLATION: i16 = 44;
const INVALID_TOPIC_EXCEPTION: i16 = 17;
const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
