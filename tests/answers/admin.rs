//! What administrators and clients ask about the cluster.

use millstream_machine::config::definition::ConfigType;
use millstream_protocol::message::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig,
};
use millstream_protocol::message::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use millstream_protocol::message::create_topics::{CreatableTopic, CreateTopicsRequest};
use millstream_protocol::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use millstream_protocol::message::describe_cluster::DescribeClusterRequest;
use millstream_protocol::message::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use millstream_protocol::message::init_producer_id::InitProducerIdRequest;
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::types::TopicId;
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
            cases.push((None, (7, -1), (42, false, EPOCH_OF_REFUSED)));
            cases.push((None, (-1, 3), (42, false, EPOCH_OF_REFUSED)));
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

#[test]
fn names_given_twice_are_answered_once() {
    let mut asked = Asked::new("twice");
    let topic = asked.topic("known", 1, &[]);
    let mut connection = asked.connect();
    let wanted = MetadataRequestTopic {
        name: Some(&topic),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![wanted.clone(), wanted]),
        ..MetadataRequest::default()
    };
    let reply = connection.call(&request, 12).expect("a reply");
    asked.check("Metadata", reply.read::<MetadataRequest<'_>>().topics.len(), 1);
    let new = CreatableTopic {
        name: "new",
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![new.clone(), new],
        validate_only: true,
        ..CreateTopicsRequest::default()
    };
    let reply = connection.call(&request, 7).expect("a reply");
    let answer = reply.read::<CreateTopicsRequest<'_>>();
    let codes: Vec<_> = answer.topics.iter().map(|topic| topic.error_code).collect();
    asked.check("CreateTopics", codes, vec![42]);
    let grown = CreatePartitionsTopic {
        name: &topic,
        count: 3,
        ..CreatePartitionsTopic::default()
    };
    let request = CreatePartitionsRequest {
        topics: vec![grown.clone(), grown],
        validate_only: true,
        ..CreatePartitionsRequest::default()
    };
    let reply = connection.call(&request, 3).expect("a reply");
    let answer = reply.read::<CreatePartitionsRequest<'_>>();
    let codes: Vec<_> = answer.results.iter().map(|topic| topic.error_code).collect();
    asked.check("CreatePartitions", codes, vec![42]);
    asked.finish();
}

#[test]
fn allowed_operations_are_all_that_there_are() {
    let mut asked = Asked::new("allowed");
    let topic = asked.topic("known", 1, &[]);
    let mut connection = asked.connect();
    for (included, cluster, of_topic) in [(true, 8096, 3576), (false, i32::MIN, i32::MIN)] {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(&topic),
                ..MetadataRequestTopic::default()
            }]),
            include_cluster_authorized_operations: included,
            include_topic_authorized_operations: included,
            ..MetadataRequest::default()
        };
        let reply = connection.call(&request, 10).expect("a reply");
        let answer = reply.read::<MetadataRequest<'_>>();
        let found = (
            answer.cluster_authorized_operations,
            answer.topics[0].topic_authorized_operations,
        );
        asked.check(("Metadata", included), found, (cluster, of_topic));
        let request = DescribeClusterRequest {
            include_cluster_authorized_operations: included,
            ..DescribeClusterRequest::default()
        };
        let reply = connection.call(&request, 1).expect("a reply");
        let answer = reply.read::<DescribeClusterRequest>();
        let found = answer.cluster_authorized_operations;
        asked.check(("DescribeCluster", included), found, cluster);
    }
    asked.finish();
}

#[test]
fn what_nobody_knows_is_told_by_its_code() {
    let mut asked = Asked::new("unknown");
    let mut connection = asked.connect();
    let id = TopicId::new([7; 16]);
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            topic_id: id,
            name: None,
        }]),
        ..MetadataRequest::default()
    };
    let reply = connection.call(&request, 12).expect("a reply");
    let topic = &reply.read::<MetadataRequest<'_>>().topics[0];
    asked.check("Metadata", (topic.error_code, topic.name.is_none()), (100, true));
    for (name, topic_id, kafka) in [(Some("nobody"), TopicId::ZERO, 3), (None, id, 100)] {
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState { name, topic_id }],
            timeout_ms: 5000,
            ..DeleteTopicsRequest::default()
        };
        let reply = connection.call(&request, 6).expect("a reply");
        let answer = &reply.read::<DeleteTopicsRequest<'_>>().responses[0];
        let found = (answer.error_code, answer.error_message.is_some());
        asked.check(("DeleteTopics", name), found, (kafka, true));
    }
    for (name, kafka) in [("nobody", 3), ("no topic!", 17), ("", 17)] {
        let reply = connection.call(&describe(name, None), 4).expect("a reply");
        let found = reply.read::<DescribeConfigsRequest<'_>>().results[0].error_code;
        asked.check(("DescribeConfigs", name), found, kafka);
    }
    asked.finish();
}

#[test]
fn no_names_of_configs_are_all_names() {
    let mut asked = Asked::new("all");
    let topic = asked.topic("described", 1, &[]);
    let mut connection = asked.connect();
    let counts: Vec<_> = [None, Some(vec![]), Some(vec!["retention.ms"])]
        .into_iter()
        .map(|names| {
            let reply = connection.call(&describe(&topic, names), 4).expect("a reply");
            reply.read::<DescribeConfigsRequest<'_>>().results[0]
                .configs
                .len()
        })
        .collect();
    asked.check("named and not", (counts[0] == counts[1], counts[2]), (true, 1));
    asked.finish();
}

fn describe<'a>(topic: &'a str, configuration_keys: Option<Vec<&'a str>>) -> DescribeConfigsRequest<'a> {
    DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: topic,
            configuration_keys,
        }],
        ..DescribeConfigsRequest::default()
    }
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
