//! The levels of the log, changed while the broker runs: by Kafka's admin calls, and by SIGHUP.

use std::process::Command;

use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_tests::process::Broker;
use millstream_tests::wire::Connection;

#[test]
fn levels_change_by_admin_call_and_come_back_with_sighup() {
    let broker = Broker::start(&["--cores", "1", "--log-level", "warn"]);
    let mut client = Connection::open(broker.address()).expect("a connection");
    assert_eq!(level(&mut client, "root"), "WARN");
    assert_eq!(level(&mut client, "millstream::shard"), "WARN");

    assert_eq!(
        alter(&mut client, "millstream::shard", 0, "DEBUG", true),
        (0, String::new())
    );
    assert_eq!(level(&mut client, "millstream::shard"), "WARN", "only looked at");
    assert_eq!(
        alter(&mut client, "millstream::shard", 0, "DEBUG", false),
        (0, String::new())
    );
    assert_eq!(level(&mut client, "millstream::shard"), "DEBUG");
    assert_eq!(level(&mut client, "millstream::server"), "WARN");
    broker.must_have_said("the log level is now warn,millstream::shard=debug");
    let (code, message) = alter(&mut client, "root", 0, "LOUD", false);
    assert_eq!(code, 40);
    assert!(message.contains("Valid log levels are DEBUG, ERROR"), "{message}");

    // A connection that breaks is a line of that level.
    let before = broker.log().matches("DEBUG shard").count();
    let mut rude = Connection::open(broker.address()).expect("a connection");
    rude.send(&MetadataOfAll::default(), 9).expect("a request");
    drop(rude);
    assert_eq!(alter(&mut client, "root", 0, "DEBUG", false).0, 0);
    assert_eq!(level(&mut client, "root"), "DEBUG");
    assert!(broker.log().matches("DEBUG shard").count() >= before);

    let pid = broker.pid().to_string();
    let sent = Command::new("kill").args(["-HUP", &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill(1) works");
    broker.must_have_said("the log level is now warn (--log-level)");
    assert_eq!(level(&mut client, "root"), "WARN");
    assert_eq!(level(&mut client, "millstream::shard"), "WARN");
}

type MetadataOfAll<'a> = millstream_protocol::message::metadata::MetadataRequest<'a>;

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

const BROKER_LOGGER: i8 = 8;
const DYNAMIC_BROKER_LOGGER: i8 = 6;
