//! Clients' metrics with the real process: what is asked outlives it, what is told is seen from every core, and by the
//! command line.

use std::thread::sleep;
use std::time::Duration;

use millstream_protocol::message::api_versions::ApiVersionsRequest;
use millstream_protocol::message::get_telemetry_subscriptions::GetTelemetrySubscriptionsRequest;
use millstream_protocol::message::list_config_resources::ListConfigResourcesRequest;
use millstream_protocol::message::push_telemetry::PushTelemetryRequest;
use millstream_protocol::types::TopicId;
use millstream_tests::process::{Broker, tool};
use millstream_tests::wire::Connection;
use serde_json::Value;

#[test]
fn what_a_client_tells_is_seen() {
    let mut broker = Broker::start(&["--cores", "2"]);
    let subscribe = [
        "config",
        "alter",
        "--client-metrics",
        "some",
        "--set",
        "metrics=a.,b.",
    ];
    let as_often = [
        "--set",
        "interval.ms=100ms",
        "--set",
        "match=client_software_name=t.*",
    ];
    tool(&broker, &[&subscribe[..], &as_often[..]].concat());
    broker.kill();
    broker.restart();

    let mut clients = [0; 3].map(|_| connect(&broker));
    let asked = ask(&mut clients[0], TopicId::ZERO);
    assert_eq!(
        (asked.error, asked.metrics.join(" ").as_str(), asked.interval),
        (0, "a. b.", 100)
    );
    assert!(!asked.instance.is_zero());
    // A gauge "a.b" of 7, with an attribute "n" of "1".
    let metrics = [
        &b"\n\x20\x12\x1e\x12\x1c\n\x03a.b\x2a\x15\n\x13\x31\x07\0\0\0\0\0\0\0"[..],
        b"\x3a\x08\n\x01n\x12\x03\n\x011",
    ]
    .concat();
    assert_eq!(
        push(&mut clients[1], &asked, false, 0, &metrics),
        NONE,
        "by whatever core"
    );
    assert_eq!(
        push(&mut clients[2], &asked, false, 0, &metrics),
        THROTTLING_QUOTA_EXCEEDED
    );
    assert_eq!(
        ask(&mut clients[0], asked.instance).error,
        THROTTLING_QUOTA_EXCEEDED
    );

    let shown: Value = serde_json::from_str(&tool(&broker, &["client", "metrics", "--json"])).expect("JSON");
    let client = &shown[0];
    assert_eq!(client["client_instance_id"], asked.instance.to_string());
    assert_eq!(client["client_software_name"], "tests");
    assert_eq!(client["client_source_address"], "127.0.0.1");
    let metric = &client["metrics"][0];
    assert_eq!(
        (&metric["name"], &metric["points"][0]["value"]),
        (&"a.b".into(), &7.into())
    );
    assert_eq!(
        metric["points"][0]["attributes"][0],
        serde_json::json!(["n", "1"])
    );
    let page = tool(&broker, &["client", "metrics"]);
    assert!(page.contains("a.b     n=1             7"), "{page}");
    assert!(!tool(&broker, &["client", "metrics", "c."]).contains("a.b"));
    assert_eq!(
        tool(&broker, &["client", "metrics", "--client-id", "none", "--json"]).trim(),
        "[]"
    );

    let asked_of = |name: &str| ask(&mut connect_as(&broker, name), TopicId::ZERO).metrics.len();
    assert_eq!(
        [128, 129].map(|bytes| asked_of(&"t".repeat(bytes))),
        [2, 0],
        "a longer name is not remembered"
    );
    let mut other = Connection::open(broker.address()).expect("a connection");
    let unknown = ask(&mut other, TopicId::ZERO);
    assert_eq!(
        (unknown.metrics.len(), unknown.interval),
        (0, 300_000),
        "it did not say what it is"
    );
}

#[test]
fn pushes_that_cannot_be_are_refused() {
    let broker = Broker::start(&["--cores", "1", "--set", "telemetry.max.bytes=1000"]);
    let everything = ["config", "alter", "--client-metrics", "all", "--set", "metrics=*"];
    tool(
        &broker,
        &[&everything[..], &["--set", "interval.ms=100"]].concat(),
    );
    let mut client = connect(&broker);
    let asked = ask(&mut client, TopicId::ZERO);
    let other = Asked {
        subscription: asked.subscription ^ 1,
        ..asked.clone()
    };
    let nobody = Asked {
        instance: TopicId::ZERO,
        ..asked.clone()
    };
    let bomb =
        millstream_compress::compress(millstream_protocol::record::codec::Codec::Zstd, &vec![0; 2 << 20]);
    assert!(bomb.len() <= 1_000);
    let cases: [(&Asked, i8, &[u8], i16); 7] = [
        (&nobody, 0, &[], INVALID_REQUEST),
        (&other, 0, &[], UNKNOWN_SUBSCRIPTION_ID),
        (&asked, 5, &[], UNSUPPORTED_COMPRESSION_TYPE),
        (&asked, 0, &[0; 1_001], TELEMETRY_TOO_LARGE),
        (&asked, 4, &bomb, TELEMETRY_TOO_LARGE),
        (&asked, 4, &[1, 2, 3], INVALID_RECORD),
        (&asked, 0, &[0x0a, 99], INVALID_RECORD),
    ];
    for (asked, compression, metrics, expect) in cases {
        assert_eq!(push(&mut client, asked, false, compression, metrics), expect);
        sleep(Duration::from_millis(110));
    }
    assert_eq!(push(&mut client, &asked, true, 0, &[]), NONE);
    assert_eq!(push(&mut client, &asked, true, 0, &[]), INVALID_REQUEST);
}

#[test]
fn who_is_asked_for_nothing_costs_nothing() {
    let broker = Broker::start(&["--cores", "1"]);
    let mut client = connect(&broker);
    let asked = ask(&mut client, TopicId::ZERO);
    assert_eq!(
        (asked.error, asked.metrics.len(), asked.interval),
        (0, 0, 300_000)
    );
    assert_eq!(push(&mut client, &asked, false, 0, &[]), NONE);
    let again = ask(&mut client, asked.instance);
    assert_eq!((again.error, again.subscription), (0, asked.subscription));
    assert_eq!(tool(&broker, &["client", "metrics", "--json"]).trim(), "[]");
    // What is asked and taken back is nothing again.
    tool(
        &broker,
        &["config", "alter", "--client-metrics", "s", "--set", "metrics=*"],
    );
    assert_eq!(resources(&mut client), ["s"]);
    assert_ne!(ask(&mut client, asked.instance).subscription, asked.subscription);
    let shown = tool(&broker, &["config", "describe", "--client-metrics", "s"]);
    assert!(shown.contains("metrics  *      subscription"), "{shown}");
    tool(
        &broker,
        &["config", "alter", "--client-metrics", "s", "--unset", "metrics"],
    );
    assert_eq!(resources(&mut client), [""; 0]);
    assert_eq!(ask(&mut client, asked.instance).subscription, asked.subscription);
}

#[derive(Clone)]
struct Asked {
    error: i16,
    instance: TopicId,
    subscription: i32,
    interval: i32,
    metrics: Vec<String>,
}

/// A client that says what it runs.
fn connect(broker: &Broker) -> Connection {
    connect_as(broker, "tests")
}

fn connect_as(broker: &Broker, client_software_name: &str) -> Connection {
    let mut connection = Connection::open(broker.address()).expect("a connection");
    let named = ApiVersionsRequest {
        client_software_name,
        client_software_version: "1",
    };
    connection.call(&named, 3).expect("an answer");
    connection
}

fn ask(connection: &mut Connection, client_instance_id: TopicId) -> Asked {
    let request = GetTelemetrySubscriptionsRequest { client_instance_id };
    let reply = connection.call(&request, 0).expect("an answer");
    let answer = reply.read::<GetTelemetrySubscriptionsRequest>();
    Asked {
        error: answer.error_code,
        instance: answer.client_instance_id,
        subscription: answer.subscription_id,
        interval: answer.push_interval_ms,
        metrics: answer
            .requested_metrics
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
    }
}

fn push(
    connection: &mut Connection,
    asked: &Asked,
    terminating: bool,
    compression_type: i8,
    metrics: &[u8],
) -> i16 {
    let request = PushTelemetryRequest {
        client_instance_id: asked.instance,
        subscription_id: asked.subscription,
        terminating,
        compression_type,
        metrics,
    };
    let reply = connection.call(&request, 0).expect("an answer");
    reply.read::<PushTelemetryRequest<'_>>().error_code
}

fn resources(connection: &mut Connection) -> Vec<String> {
    let reply = connection
        .call(&ListConfigResourcesRequest::default(), 0)
        .expect("an answer");
    let answer = reply.read::<ListConfigResourcesRequest>();
    let names = answer.config_resources.iter();
    names.map(|resource| resource.resource_name.to_owned()).collect()
}

const NONE: i16 = 0;
const INVALID_REQUEST: i16 = 42;
const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
const INVALID_RECORD: i16 = 87;
const THROTTLING_QUOTA_EXCEEDED: i16 = 89;
const UNKNOWN_SUBSCRIPTION_ID: i16 = 117;
const TELEMETRY_TOO_LARGE: i16 = 118;
