//! The levels of the log, changed while the broker runs: by Kafka's admin calls, and by SIGHUP.

use std::process::Command;

use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_protocol::message::metadata::MetadataRequest;
use millstream_tests::process::Broker;
use millstream_tests::wire::Connection;

#[test]
fn levels_change_by_admin_call_and_come_back_with_sighup() {
    let broker = Broker::start(&["--cores", "1", "--log-level", "warn"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(level(&mut client, "root"), "WARN");
    assert_eq!(level(&mut client, SHARD), "WARN");

    assert_eq!(alter(&mut client, SHARD, 0, "DEBUG", true), (0, String::new()));
    assert_eq!(level(&mut client, SHARD), "WARN", "only looked at");
    assert_eq!(alter(&mut client, SHARD, 0, "DEBUG", false), (0, String::new()));
    assert_eq!(level(&mut client, SHARD), "DEBUG");
    assert_eq!(
        level(&mut client, "millstream::shard"),
        "DEBUG",
        "as Rust names it"
    );
    assert_eq!(level(&mut client, "millstream.server"), "WARN");
    broker.must_have_said("the log level is now warn,millstream.shard=debug");
    let (code, message) = alter(&mut client, "root", 0, "LOUD", false);
    assert_eq!(code, 40);
    assert!(message.contains("Valid log levels are DEBUG, ERROR"), "{message}");

    let pid = broker.pid().to_string();
    let sent = Command::new("kill").args(["-HUP", &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill(1) works");
    broker.must_have_said("the log level is now warn (--log-level)");
    assert_eq!(level(&mut client, "root"), "WARN");
    assert_eq!(level(&mut client, SHARD), "WARN");
}

#[test]
fn a_level_decides_which_lines_are_written() {
    let broker = Broker::start(&["--cores", "1"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    let complaint = |length: i32| format!("a request of {length} bytes was announced");
    be_rude(&broker, -11);
    broker.must_have_said(&complaint(-11));

    assert_eq!(alter(&mut client, SHARD, 0, "ERROR", false).0, 0);
    be_rude(&broker, -12);
    assert_eq!(alter(&mut client, SHARD, 0, "WARN", false).0, 0);
    be_rude(&broker, -13);
    // One thread writes all lines: when the later one is there, an earlier one would be.
    broker.must_have_said(&complaint(-13));
    assert!(
        !broker.log().contains(&complaint(-12)),
        "written below its logger's level"
    );
}

/// Announces a request of an impossible length; returns when the broker has closed the connection for it.
fn be_rude(broker: &Broker, length: i32) {
    let mut client = Connection::open(broker.address()).expect("a connection");
    client
        .send_raw(&length.to_be_bytes())
        .expect("four bytes are taken");
    assert!(
        client.receive::<MetadataRequest<'_>>(9).is_err(),
        "no answer to that"
    );
}

fn level(client: &mut Connection, logger: &str) -> String {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: BROKER_LOGGER,
            resource_name: "1",
            configuration_keys: Some(vec![logger]),
        }],
        ..DescribeConfigsRequest::default()
    };
    let reply = client.call(&request, 4).expect("a reply");
    let response = reply.read::<DescribeConfigsRequest<'_>>();
    let found = &response.results[0].configs[0];
    assert_eq!(
        (found.name, found.config_source, found.read_only),
        (logger, DYNAMIC_BROKER_LOGGER, false)
    );
    found.value.expect("a level").to_owned()
}

fn alter(
    client: &mut Connection,
    logger: &str,
    operation: i8,
    level: &str,
    validate_only: bool,
) -> (i16, String) {
    let configs = vec![AlterableConfig {
        name: logger,
        config_operation: operation,
        value: Some(level),
    }];
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: BROKER_LOGGER,
            resource_name: "1",
            configs,
        }],
        validate_only,
    };
    let reply = client.call(&request, 1).expect("a reply");
    let response = reply.read::<IncrementalAlterConfigsRequest<'_>>();
    let answer = &response.responses[0];
    (
        answer.error_code,
        answer.error_message.unwrap_or_default().to_owned(),
    )
}

const SHARD: &str = "millstream.shard";
const BROKER_LOGGER: i8 = 8;
const DYNAMIC_BROKER_LOGGER: i8 = 6;
