//! What brokers and groups have configured while they run: it acts at once, on what exists as well, in Kafka's
//! precedence, and outlives the process.

use std::time::{Duration, Instant};

use millstream_protocol::message::produce::ProduceRequest;
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::TimestampMs;
use millstream_tests::process::{Broker, millstream, tool};
use millstream_tests::wire::{Connection, produce};

#[test]
fn what_is_set_for_brokers_acts_on_topics_that_exist() {
    let mut broker = Broker::start(&["--cores", "2", "--set", "message.max.bytes=4000"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    client.create_topic("inherits", 4, &[]);
    client.create_topic("own", 1, &[("max.message.bytes", "5000")]);
    let fits = |client: &mut Connection, topic, bytes| {
        let all =
            (0..if topic == "own" { 1 } else { 4 }).map(|partition| write(client, topic, partition, bytes).0);
        let all: Vec<i16> = all.collect();
        assert!(
            all.iter().all(|code| *code == all[0]),
            "every core says the same: {all:?}"
        );
        assert!([NONE, MESSAGE_TOO_LARGE].contains(&all[0]), "{all:?}");
        all[0] == NONE
    };
    assert_eq!(
        [3_500, 4_500].map(|bytes| fits(&mut client, "inherits", bytes)),
        [true, false]
    );
    // Nearest first: the topic's own, the broker's, all brokers', what it was started with.
    tool(&broker, &["config", "alter", "--set", "message.max.bytes=3000"]);
    assert_eq!(
        [2_500, 3_500].map(|bytes| fits(&mut client, "inherits", bytes)),
        [true, false]
    );
    tool(
        &broker,
        &[
            "config",
            "alter",
            "--broker",
            "1",
            "--set",
            "message.max.bytes=2000",
        ],
    );
    assert_eq!(
        [1_500, 2_500].map(|bytes| fits(&mut client, "inherits", bytes)),
        [true, false]
    );
    assert_eq!(
        [4_500, 5_500].map(|bytes| fits(&mut client, "own", bytes)),
        [true, false]
    );
    broker.kill();
    broker.restart();
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(
        [1_500, 2_500].map(|bytes| fits(&mut client, "inherits", bytes)),
        [true, false]
    );
    let shown = tool(&broker, &["config", "describe", "message.max.bytes"]);
    assert!(shown.contains("2000  broker"), "{shown}");
    tool(
        &broker,
        &["config", "alter", "--broker", "1", "--unset", "message.max.bytes"],
    );
    assert_eq!(
        [2_500, 3_500].map(|bytes| fits(&mut client, "inherits", bytes)),
        [true, false]
    );
    tool(&broker, &["config", "alter", "--unset", "message.max.bytes"]);
    assert_eq!(
        [3_500, 4_500].map(|bytes| fits(&mut client, "inherits", bytes)),
        [true, false]
    );

    assert_eq!(write(&mut client, "inherits", 0, 10).1, -1);
    tool(
        &broker,
        &[
            "config",
            "alter",
            "--set",
            "log.message.timestamp.type=LogAppendTime",
        ],
    );
    assert!(
        write(&mut client, "inherits", 0, 10).1 > 0,
        "the broker's time is there at once"
    );
}

#[test]
fn connections_of_one_address_may_be_excepted() {
    let broker = Broker::start(&["--cores", "2"]);
    tool(
        &broker,
        &[
            "config",
            "alter",
            "--set",
            "max.connections.per.ip.overrides=127.0.0.1:5,10.0.0.1:1",
        ],
    );
    let open = || {
        let connections =
            (0..8).map(|_| Connection::open(broker.address()).expect("it is taken, or closed at once"));
        let mut connections: Vec<Connection> = connections.collect();
        let answered = connections.iter_mut().filter_map(|connection| {
            connection
                .call(&millstream_protocol::message::MetadataRequest::default(), 1)
                .ok()
        });
        answered.count()
    };
    // Those of the command line may still be counted.
    let until = Instant::now() + Duration::from_secs(30);
    while open() != 5 {
        assert!(Instant::now() < until, "there are five at last");
    }
    let mut one = Connection::open(broker.address()).expect("a connection");
    one.create_topic("t", 1, &[]);
    tool(
        &broker,
        &["config", "alter", "--unset", "max.connections.per.ip.overrides"],
    );
    assert_eq!(open(), 8);
}

/// What its members are told from then on is held against Kafka's by `tests/oracle`.
#[test]
fn a_group_has_its_own_configs_until_they_are_taken_back() {
    let mut broker = Broker::start(&["--cores", "2", "--set", "group.consumer.heartbeat.interval.ms=7s"]);
    let alter = ["config", "alter", "--group", "readers"];
    let described = |broker: &Broker| tool(broker, &["config", "describe", "--group", "readers"]);
    let set = [
        "--set",
        "consumer.session.timeout.ms=50s",
        "--set",
        "share.isolation.level=read_committed",
    ];
    tool(&broker, &[&alter[..], &set].concat());
    broker.kill();
    broker.restart();
    let shown = described(&broker);
    assert!(
        shown.contains("consumer.session.timeout.ms") && shown.contains("50000"),
        "{shown}"
    );
    assert!(shown.contains("7000") && shown.contains("file"), "{shown}");
    assert!(!tool(&broker, &["config", "describe", "--group", "others"]).contains("50000"));
    let take_back = [
        "--unset",
        "consumer.session.timeout.ms",
        "--unset",
        "share.isolation.level",
    ];
    tool(&broker, &[&alter[..], &take_back].concat());
    let shown = described(&broker);
    assert!(
        !shown.contains("50000") && !shown.contains("read_committed"),
        "{shown}"
    );
}

#[test]
fn what_cannot_change_is_refused_and_what_nobody_knows_is_not_set_by_mistake() {
    let broker = Broker::start(&["--cores", "1"]);
    for (setting, says) in [
        ("num.partitions=3", "Cannot update these configs dynamically"),
        (
            "log.retention.mss=3",
            "no config of brokers is called `log.retention.mss`",
        ),
        ("num.io.threads=100", "should not be greater than double"),
        ("max.connections.per.ip.overrides=x", "address:count"),
    ] {
        let output = millstream()
            .args([
                "config",
                "alter",
                "--set",
                setting,
                "--brokers",
                &broker.address().to_string(),
            ])
            .output()
            .expect("the tool can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(says),
            "{setting}: {said}"
        );
    }
}

/// The answer's code, and the time that the broker gave the record.
fn write(connection: &mut Connection, topic: &str, partition: i32, bytes: usize) -> (i16, i64) {
    let value = vec![7; bytes];
    let batch = BatchBuilder::new()
        .record(TimestampMs::new(1), None, Some(&value), &[])
        .build();
    let reply = connection
        .call(&produce(topic, partition, &batch, -1), 8)
        .expect("an answer");
    let response = reply.read::<ProduceRequest<'_>>();
    let answer = &response.responses[0].partition_responses[0];
    (answer.error_code, answer.log_append_time_ms)
}

const NONE: i16 = 0;
const MESSAGE_TOO_LARGE: i16 = 10;
