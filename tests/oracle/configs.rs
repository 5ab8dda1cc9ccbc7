//! Configs: described and altered, whole and one by one.

use std::thread::sleep;
use std::time::Duration;

use millstream_protocol::message::alter_configs::{self, AlterConfigsRequest};
use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_protocol::message::incremental_alter_configs::{self, IncrementalAlterConfigsRequest};

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    talk.topic(
        "described",
        1,
        &[("retention.ms", "100000"), ("cleanup.policy", "compact")],
    );
    describe(talk);
    alter(talk);
    alter_one_by_one(talk);
}

fn describe(talk: &mut Talk) {
    for version in 1..=4 {
        for synonyms in [false, true] {
            let case = format!("a topic, synonyms {synonyms}");
            talk.ask(case, &described(TOPIC, "described", None, synonyms), version);
        }
    }
    talk.ask("a broker", &described(BROKER, "1", None, true), 4);
    for (case, kind, name, keys) in [
        (
            "some of a topic",
            TOPIC,
            "described",
            Some(vec!["retention.ms", "no.such"]),
        ),
        ("none of a topic", TOPIC, "described", Some(vec![])),
        ("an unknown topic", TOPIC, "unknown", None),
        ("an empty topic", TOPIC, "", None),
        ("a topic that can be none", TOPIC, "a b", None),
        ("all brokers", BROKER, "", None),
        ("another broker", BROKER, "9", None),
        ("a broker with a name", BROKER, "x", None),
        ("another logger", LOGGER, "9", None),
        ("a kind that is none", 99, "x", None),
        ("the unknown kind", 0, "x", None),
        ("a kind below", -1, "x", None),
    ] {
        talk.ask_in_all(case, &described(kind, name, keys, false));
    }
}

fn alter(talk: &mut Talk) {
    for (case, kind, name, config, value) in [
        ("an unknown topic", TOPIC, "unknown", "retention.ms", Some("1")),
        ("an empty topic", TOPIC, "", "retention.ms", Some("1")),
        ("an unknown config", TOPIC, "described", "no.such", Some("1")),
        ("no number", TOPIC, "described", "retention.ms", Some("x")),
        ("null", TOPIC, "described", "retention.ms", None),
        ("too small", TOPIC, "described", "segment.bytes", Some("10")),
        ("a kind that is none", 99, "x", "retention.ms", Some("1")),
        ("another broker", BROKER, "9", "log.retention.ms", Some("1")),
        ("a read-only config", BROKER, "1", "node.id", Some("7")),
    ] {
        let request = AlterConfigsRequest {
            resources: vec![alter_configs::AlterConfigsResource {
                resource_type: kind,
                resource_name: name,
                configs: vec![alter_configs::AlterableConfig { name: config, value }],
            }],
            validate_only: false,
        };
        talk.ask_in_all(case, &request);
    }
}

fn alter_one_by_one(talk: &mut Talk) {
    for (case, kind, name, config, operation, value) in [
        ("set", TOPIC, "described", "retention.ms", 0, Some("200000")),
        ("delete", TOPIC, "described", "retention.ms", 1, None),
        (
            "delete what is not set",
            TOPIC,
            "described",
            "retention.bytes",
            1,
            None,
        ),
        ("append", TOPIC, "described", "cleanup.policy", 2, Some("delete")),
        (
            "append what is there",
            TOPIC,
            "described",
            "cleanup.policy",
            2,
            Some("delete"),
        ),
        (
            "subtract",
            TOPIC,
            "described",
            "cleanup.policy",
            3,
            Some("compact"),
        ),
        (
            "subtract what is not there",
            TOPIC,
            "described",
            "cleanup.policy",
            3,
            Some("compact"),
        ),
        (
            "append to what is no list",
            TOPIC,
            "described",
            "retention.ms",
            2,
            Some("1"),
        ),
        (
            "an operation that is none",
            TOPIC,
            "described",
            "retention.ms",
            9,
            Some("1"),
        ),
        ("null", TOPIC, "described", "retention.ms", 0, None),
        ("an unknown config", TOPIC, "described", "no.such", 0, Some("1")),
        ("an unknown topic", TOPIC, "unknown", "retention.ms", 0, Some("1")),
        ("a kind that is none", 99, "x", "retention.ms", 0, Some("1")),
        (
            "a dynamic broker config",
            BROKER,
            "1",
            "log.cleaner.threads",
            0,
            Some("2"),
        ),
        ("of all brokers", BROKER, "", "log.cleaner.threads", 0, Some("2")),
        ("a read-only config", BROKER, "1", "node.id", 0, Some("7")),
        ("another broker", BROKER, "9", "log.cleaner.threads", 0, Some("2")),
    ] {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![incremental_alter_configs::AlterConfigsResource {
                resource_type: kind,
                resource_name: name,
                configs: vec![incremental_alter_configs::AlterableConfig {
                    name: config,
                    config_operation: operation,
                    value,
                }],
            }],
            validate_only: false,
        };
        talk.ask_in_all(case, &request);
    }
    // Kafka answers before what it altered is seen.
    sleep(Duration::from_millis(500));
    talk.ask("a topic, altered", &described(TOPIC, "described", None, true), 4);
    talk.ask(
        "a broker, altered",
        &described(BROKER, "1", Some(vec!["log.cleaner.threads"]), true),
        4,
    );
    talk.ask("all brokers, altered", &described(BROKER, "", None, true), 4);
}

pub fn described<'a>(
    resource_type: i8,
    resource_name: &'a str,
    configuration_keys: Option<Vec<&'a str>>,
    include_synonyms: bool,
) -> DescribeConfigsRequest<'a> {
    DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys,
        }],
        include_synonyms,
        include_documentation: include_synonyms,
    }
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
