//! Topics: made, made larger, and deleted.

use millstream_protocol::message::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use millstream_protocol::message::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use millstream_protocol::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::types::TopicId;

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    create(talk);
    create_partitions(talk);
    delete(talk);
}

fn create(talk: &mut Talk) {
    for version in 2..=7 {
        let name = format!("made-{version}");
        create_one(talk, "a topic", version, topic(&name, 2, 1), false);
        create_one(talk, "a topic that exists", version, topic(&name, 2, 1), false);
        create_one(talk, "a check", version, topic("checked", 2, 1), true);
        create_one(
            talk,
            "a check of one that exists",
            version,
            topic(&name, 2, 1),
            true,
        );
    }
    for (case, name) in [
        ("an empty name", ""),
        ("a name of dots", ".."),
        ("a name with a space", "a b"),
        ("a name too long", &*"x".repeat(250)),
        ("a name that collides", "made.7"),
    ] {
        create_one(talk, case, 7, topic(name, 1, 1), true);
    }
    for (case, partitions, replicas) in [
        ("no partitions", 0, 1),
        ("partitions below none", -2, 1),
        ("the default of partitions", -1, 1),
        ("no replicas", 1, 0),
        ("two replicas", 1, 2),
        ("the default of replicas", 1, -1),
        ("replicas below none", 1, -2),
        ("all defaults", -1, -1),
    ] {
        create_one(talk, case, 7, topic("counted", partitions, replicas), true);
        create_one(talk, case, 2, topic("counted", partitions, replicas), true);
    }
    for (name, value) in [
        ("retention.ms", Some("1000")),
        ("retention.ms", Some("x")),
        ("retention.ms", Some("-2")),
        ("retention.ms", None),
        ("cleanup.policy", Some("compact,delete")),
        ("cleanup.policy", Some("none")),
        ("cleanup.policy", Some("")),
        ("compression.type", Some("brotli")),
        ("segment.bytes", Some("13")),
        ("min.insync.replicas", Some("2")),
        ("min.insync.replicas", Some("0")),
        ("no.such.config", Some("1")),
        ("message.format.version", Some("3.0")),
        ("remote.storage.enable", Some("true")),
    ] {
        let configured = CreatableTopic {
            configs: vec![CreatableTopicConfig { name, value }],
            ..topic("configured", 1, 1)
        };
        create_one(talk, &format!("{name}={value:?}"), 7, configured, true);
    }
    assignments(talk);
    let twice = CreateTopicsRequest {
        topics: vec![topic("twice", 1, 1), topic("twice", 1, 1), topic("once", 1, 1)],
        validate_only: true,
        ..CreateTopicsRequest::default()
    };
    talk.ask_in_all("the same name twice", &twice);
    talk.ask_in_all("nothing", &CreateTopicsRequest::default());
}

fn assignments(talk: &mut Talk) {
    for (case, assigned) in [
        ("assigned", &[(0, &[1][..]), (1, &[1])][..]),
        ("assigned to nobody", &[(0, &[])]),
        ("assigned to a stranger", &[(0, &[9])]),
        ("assigned twice", &[(0, &[1, 1])]),
        ("assigned with a gap", &[(0, &[1]), (2, &[1])]),
        ("assigned the same twice", &[(0, &[1]), (0, &[1])]),
    ] {
        let assignments = assigned
            .iter()
            .map(|&(partition_index, brokers)| CreatableReplicaAssignment {
                partition_index,
                broker_ids: brokers.to_vec(),
            });
        let assignments: Vec<_> = assignments.collect();
        for (count, partitions) in [("", -1), (" and counted", 1)] {
            let topic = CreatableTopic {
                assignments: assignments.clone(),
                ..topic("assigned", partitions, -1)
            };
            create_one(talk, &format!("{case}{count}"), 7, topic, true);
        }
    }
}

fn create_partitions(talk: &mut Talk) {
    talk.topic("growing", 2, &[]);
    for (case, name, count, assignments) in [
        ("more", "growing", 4, None),
        ("as many", "growing", 2, None),
        ("fewer", "growing", 1, None),
        ("none", "growing", 0, None),
        ("below none", "growing", -1, None),
        ("of an unknown topic", "unknown", 4, None),
        ("assigned", "growing", 3, Some(vec![vec![1]])),
        ("assigned too few", "growing", 4, Some(vec![vec![1]])),
        ("assigned to a stranger", "growing", 3, Some(vec![vec![9]])),
        ("assigned to nobody", "growing", 3, Some(vec![vec![]])),
    ] {
        let assignments = assignments.map(|all| {
            let one = |broker_ids| CreatePartitionsAssignment { broker_ids };
            all.into_iter().map(one).collect()
        });
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name,
                count,
                assignments,
            }],
            timeout_ms: 10_000,
            validate_only: true,
        };
        talk.ask_in_all(case, &request);
    }
    let wanted = |count| CreatePartitionsTopic {
        name: "growing",
        count,
        ..CreatePartitionsTopic::default()
    };
    let request = |topics| CreatePartitionsRequest {
        topics,
        timeout_ms: 10_000,
        validate_only: false,
    };
    talk.ask_in_all("the same topic twice", &request(vec![wanted(3), wanted(4)]));
    talk.ask("more, really", &request(vec![wanted(4)]), 3);
    talk.ask("as many as there are now", &request(vec![wanted(4)]), 3);
}

fn delete(talk: &mut Talk) {
    for version in 1..=5 {
        let name = format!("gone-{version}");
        talk.topic(&name, 1, &[]);
        let request = DeleteTopicsRequest {
            topic_names: vec![&name, "unknown", ""],
            timeout_ms: 10_000,
            ..DeleteTopicsRequest::default()
        };
        talk.ask("by name", &request, version);
    }
    talk.topic("gone-6", 1, &[]);
    talk.topic("gone-7", 1, &[]);
    let known = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("gone-7"),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let reply = talk.aside(&known, 12);
    let id = reply.read::<MetadataRequest<'_>>().topics[0].topic_id;
    let state = |name, topic_id| DeleteTopicState { name, topic_id };
    for (case, states) in [
        ("by name", vec![state(Some("gone-6"), TopicId::ZERO)]),
        (
            "by a name that is gone",
            vec![state(Some("gone-6"), TopicId::ZERO)],
        ),
        ("by id and name", vec![state(Some("gone-7"), id)]),
        ("by id", vec![state(None, id)]),
        ("by an id that is gone", vec![state(None, id)]),
        ("by neither", vec![state(None, TopicId::ZERO)]),
        ("by an unknown id", vec![state(None, TopicId::new([7; 16]))]),
    ] {
        let request = DeleteTopicsRequest {
            topics: states,
            timeout_ms: 10_000,
            ..DeleteTopicsRequest::default()
        };
        talk.ask(case, &request, 6);
    }
}

fn create_one(talk: &mut Talk, case: &str, version: i16, topic: CreatableTopic<'_>, validate_only: bool) {
    let request = CreateTopicsRequest {
        topics: vec![topic],
        validate_only,
        ..CreateTopicsRequest::default()
    };
    talk.ask(case, &request, version);
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic<'_> {
    CreatableTopic {
        name,
        num_partitions,
        replication_factor,
        ..CreatableTopic::default()
    }
}
