//! What administrators and clients ask about the cluster.

use millstream_machine::config::definition::ConfigType;
use millstream_protocol::message::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig,
};
use millstream_protocol::message::describe_cluster::DescribeClusterRequest;
use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_protocol::message::init_producer_id::InitProducerIdRequest;
use millstream_tests::wire::Connection;

use super::{Asked, new_producer};

#[test]
fn alter_configs() {
    let mut asked = Asked::new("alter");
    let topic = asked.topic("configured", 1, &[]);
    let mut connection = asked.connect();
    for version in 0..=2 {
        for (name, config, value, kafka) in [
            ("unknown", "retention.ms", Some("1"), 3),
            (&topic, "no.such", Some("1"), 40),
            (&topic, "retention.ms", Some("x"), 40),
            (&topic, "retention.ms", None, 42),
            (&topic, "segment.bytes", Some("10"), 40),
            (&topic, "retention.ms", Some("1000000"), 0),
        ] {
            let found = alter(&mut connection, version, (TOPIC, name), config, value);
            asked.check(("AlterConfigs", version, name, config, value), found, kafka);
        }
        let found = alter(&mut connection, version, (99, "x"), "retention.ms", Some("1"));
        asked.check(("AlterConfigs of no kind", version), found, 42);
    }
    let set = described(&mut connection, &topic);
    let line = set.iter().find(|line| line.starts_with("retention.ms "));
    asked.check("retention.ms", line.expect("a line").ends_with("=1000000"), true);
    asked.finish();
}

#[test]
fn describe_cluster() {
    let mut asked = Asked::new("cluster");
    let mut connection = asked.connect();
    for (version, endpoint_type, kafka) in [
        (0, 2, (0, 1, 1)),
        (1, 1, (0, 1, 1)),
        (1, 2, (114, 1, 0)),
        (1, 7, (115, 1, 0)),
        (1, 0, (115, 1, 0)),
        (2, 1, (0, 1, 1)),
        (2, 2, (114, 1, 0)),
    ] {
        let request = DescribeClusterRequest {
            endpoint_type,
            ..DescribeClusterRequest::default()
        };
        let reply = connection.call(&request, version).expect("a reply");
        let answer = reply.read::<DescribeClusterRequest>();
        let found = (answer.error_code, answer.endpoint_type, answer.brokers.len());
        asked.check(("DescribeCluster", version, endpoint_type), found, kafka);
    }
    asked.finish();
}

#[test]
fn init_producer_id() {
    let mut asked = Asked::new("init");
    let mut connection = asked.connect();
    new_producer(&mut connection);
    for version in 0..=5 {
        let mut cases = vec![
            (None, (-1, -1), (0, true, 0)),
            (Some(""), (-1, -1), (42, false, EPOCH_OF_REFUSED)),
        ];
        if version >= 3 {
            cases.push((None, (7, 3), (0, true, 0)));
        }
        if asked.is_ours() {
            // Without transactions nobody has a transactional id.
            cases.push((Some("tx"), (-1, -1), (53, false, -1)));
        }
        for (transactional_id, (producer_id, producer_epoch), kafka) in cases {
            let request = InitProducerIdRequest {
                transactional_id,
                transaction_timeout_ms: 60_000,
                producer_id,
                producer_epoch,
            };
            let reply = connection.call(&request, version).expect("a reply");
            let answer = reply.read::<InitProducerIdRequest<'_>>();
            let found = (answer.error_code, answer.producer_id >= 0, answer.producer_epoch);
            asked.check(
                ("InitProducerId", version, transactional_id, producer_id),
                found,
                kafka,
            );
        }
    }
    asked.finish();
}

/// The golden lines are what Kafka 4.3.1 said of a topic that nobody configured (tests/wire/generator, TopicConfigs).
#[test]
fn topic_configs_are_kafkas() {
    let asked = Asked::new("golden");
    let topic = asked.topic("fresh", 1, &[]);
    let found = described(&mut asked.connect(), &topic);
    let kafka: Vec<&str> = include_str!("topic_configs.txt").lines().collect();
    assert!(kafka.len() > 30, "the golden lines are there");
    let differing: Vec<&str> = found
        .iter()
        .map(String::as_str)
        .filter(|line| !kafka.contains(line))
        .collect();
    let missing = kafka
        .iter()
        .filter(|line| !found.iter().any(|found| found == *line));
    let decided: &[(&str, &str)] = if asked.is_ours() { DEVIATIONS } else { &[] };
    assert_eq!(
        missing.copied().collect::<Vec<_>>(),
        decided.iter().map(|(kafka, _)| *kafka).collect::<Vec<_>>()
    );
    assert_eq!(
        differing,
        decided.iter().map(|(_, ours)| *ours).collect::<Vec<_>>()
    );
}

fn alter(
    connection: &mut Connection,
    version: i16,
    (resource_type, resource_name): (i8, &str),
    name: &str,
    value: Option<&str>,
) -> i16 {
    let request = AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name,
            configs: vec![AlterableConfig { name, value }],
        }],
        validate_only: false,
    };
    let reply = connection.call(&request, version).expect("a reply");
    reply.read::<AlterConfigsRequest<'_>>().responses[0].error_code
}

/// A topic's configurations in the form of the golden lines, by name.
fn described(connection: &mut Connection, topic: &str) -> Vec<String> {
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: topic,
            configuration_keys: None,
        }],
        ..DescribeConfigsRequest::default()
    };
    let reply = connection.call(&request, 4).expect("a reply");
    let response = reply.read::<DescribeConfigsRequest<'_>>();
    let mut lines: Vec<String> = response.results[0]
        .configs
        .iter()
        .map(|config| {
            format!(
                "{} {} read_only={} sensitive={} default={}",
                config.name,
                type_name(config.config_type),
                config.read_only,
                config.is_sensitive,
                config.value.unwrap_or("null")
            )
        })
        .collect();
    lines.sort();
    lines
}

fn type_name(code: i8) -> &'static str {
    let names = [
        (ConfigType::Boolean, "BOOLEAN"),
        (ConfigType::String, "STRING"),
        (ConfigType::Int, "INT"),
        (ConfigType::Long, "LONG"),
        (ConfigType::Double, "DOUBLE"),
        (ConfigType::List, "LIST"),
    ];
    let found = names.iter().find(|(kind, _)| *kind as i8 == code);
    found.expect("a type that topics use").1
}

/// Where ours differ on purpose: Kafka's line, and ours.
const DEVIATIONS: &[(&str, &str)] = &[(
    "flush.messages LONG read_only=false sensitive=false default=9223372036854775807",
    "flush.messages LONG read_only=false sensitive=false default=1",
)];
const TOPIC: i8 = 2;
/// Kafka leaves the field at its default where it refuses.
const EPOCH_OF_REFUSED: i16 = -1;
