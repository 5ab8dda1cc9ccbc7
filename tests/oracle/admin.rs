//! What administrators' tools ask about the cluster, its partitions and what is under way.

use std::thread::sleep;
use std::time::{Duration, Instant};

use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use millstream_protocol::message::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use millstream_protocol::message::describe_producers::{self, DescribeProducersRequest};
use millstream_protocol::message::describe_quorum::{self, DescribeQuorumRequest, PartitionRequest};
use millstream_protocol::message::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, TopicRequest,
};
use millstream_protocol::message::describe_transactions::DescribeTransactionsRequest;
use millstream_protocol::message::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, UserName,
};
use millstream_protocol::message::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use millstream_protocol::message::find_coordinator::FindCoordinatorRequest;
use millstream_protocol::message::init_producer_id::InitProducerIdRequest;
use millstream_protocol::message::list_config_resources::ListConfigResourcesRequest;
use millstream_protocol::message::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
};
use millstream_protocol::message::list_transactions::ListTransactionsRequest;
use millstream_protocol::message::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use millstream_tests::wire::{Reply, produce};

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    talk.topic("kept", 3, &[]);
    talk.topic("kept.too", 2, &[]);
    topic_partitions(talk);
    producers(talk);
    log_dirs(talk);
    quorum(talk);
    config_resources(talk);
    reassignments(talk);
    elections(talk);
    credentials(talk);
    features(talk);
    transactions(talk);
}

fn topic_partitions(talk: &mut Talk) {
    let none = None;
    for (case, names, limit, cursor) in [
        ("two topics", vec!["kept", "kept.too"], 2_000, none),
        ("the other way round", vec!["kept.too", "kept"], 2_000, none),
        ("a topic twice", vec!["kept", "kept"], 2_000, none),
        ("one that is none", vec!["kept", "unknown"], 2_000, none),
        ("one that can be none", vec!["kept", "a b"], 2_000, none),
        ("one without a name", vec!["kept", ""], 2_000, none),
        (
            "one without a name, from 1 on",
            vec!["kept", ""],
            2_000,
            Some(("kept", 1)),
        ),
        (
            "one without a name, from below",
            vec!["kept", ""],
            2_000,
            Some(("kept", -1)),
        ),
        ("a page of two", vec!["kept", "kept.too"], 2, none),
        ("a page of three", vec!["kept", "kept.too"], 3, none),
        ("a page of four", vec!["kept", "kept.too"], 4, none),
        ("a page of none", vec!["kept", "kept.too"], 0, none),
        ("a page below none", vec!["kept", "kept.too"], -1, none),
        (
            "a full page and a topic that is none",
            vec!["kept", "unknown"],
            3,
            none,
        ),
        ("from 1 on", vec!["kept", "kept.too"], 2_000, Some(("kept", 1))),
        (
            "from the second topic on",
            vec!["kept", "kept.too"],
            1,
            Some(("kept.too", 0)),
        ),
        (
            "from beyond the partitions on",
            vec!["kept", "kept.too"],
            2_000,
            Some(("kept", 7)),
        ),
        (
            "from below the partitions on",
            vec!["kept", "kept.too"],
            2_000,
            Some(("kept", -1)),
        ),
        (
            "from a topic that is not asked for",
            vec!["kept", "kept.too"],
            2_000,
            Some(("kept.", 0)),
        ),
        (
            "from a topic that is gone",
            vec!["kept", "unknown"],
            2_000,
            Some(("unknown", 1)),
        ),
        ("all from the first on", vec![], 3, Some(("kept", 0))),
        ("all from a topic that is gone on", vec![], 2, Some(("kep", 2))),
    ] {
        let request = DescribeTopicPartitionsRequest {
            topics: names.into_iter().map(|name| TopicRequest { name }).collect(),
            response_partition_limit: limit,
            cursor: cursor.map(|(topic_name, partition_index)| Cursor {
                topic_name,
                partition_index,
            }),
        };
        talk.ask(case, &request, 0);
    }
}

fn log_dirs(talk: &mut Talk) {
    let topic = |topic, partitions: &[i32]| DescribableLogDirTopic {
        topic,
        partitions: partitions.to_vec(),
    };
    for (case, topics) in [
        ("a topic", vec![topic("kept", &[0, 1, 2])]),
        ("a partition that is none", vec![topic("kept", &[1, 9])]),
        ("a topic that is none", vec![topic("unknown", &[0])]),
        ("no partition", vec![topic("kept", &[])]),
        ("nothing", vec![]),
    ] {
        talk.ask_in_all(case, &DescribeLogDirsRequest { topics: Some(topics) });
    }
}

fn producers(talk: &mut Talk) {
    // The first is 0, which is also what an answer about no producer says.
    talk.aside(&InitProducerIdRequest::default(), 4);
    let reply = talk.aside(&InitProducerIdRequest::default(), 4);
    let id = reply.read::<InitProducerIdRequest<'_>>().producer_id;
    let records = (0..3).fold(BatchBuilder::new(), |batch, _| {
        batch.record(TimestampMs::new(talk.then), None, Some(b"value"), &[])
    });
    let batch = records
        .producer(ProducerId::new(id), ProducerEpoch::new(0), Sequence::new(0))
        .build();
    talk.aside(&produce("kept", 1, &batch, -1), 8);
    let topic = |name, indexes: &[i32]| describe_producers::TopicRequest {
        name,
        partition_indexes: indexes.to_vec(),
    };
    for (case, topics) in [
        ("of two partitions", vec![topic("kept", &[0, 1])]),
        ("of a partition twice", vec![topic("kept", &[1, 0, 1])]),
        ("of a topic twice", vec![topic("kept", &[1]), topic("kept", &[1])]),
        ("of a partition that is none", vec![topic("kept", &[9, -1])]),
        ("of a topic that is none", vec![topic("unknown", &[0])]),
        ("of no partition", vec![topic("kept", &[])]),
        ("of nothing", vec![]),
    ] {
        talk.ask(case, &DescribeProducersRequest { topics }, 0);
    }
}

fn quorum(talk: &mut Talk) {
    let topic = |topic_name, indexes: &[i32]| describe_quorum::TopicRequest {
        topic_name,
        partitions: indexes
            .iter()
            .map(|index| PartitionRequest {
                partition_index: *index,
            })
            .collect(),
    };
    for (case, topics) in [
        ("the metadata", vec![topic("__cluster_metadata", &[0])]),
        ("another partition", vec![topic("__cluster_metadata", &[1])]),
        ("two partitions", vec![topic("__cluster_metadata", &[0, 1])]),
        ("another topic", vec![topic("kept", &[0])]),
        ("no partition", vec![topic("__cluster_metadata", &[])]),
        ("nothing", vec![]),
    ] {
        talk.ask_in_all(case, &DescribeQuorumRequest { topics });
    }
}

fn config_resources(talk: &mut Talk) {
    for (case, resource_types) in [
        ("clients' metrics", vec![16]),
        ("brokers and loggers", vec![4, 8]),
        ("groups", vec![32]),
        ("the unknown type", vec![0]),
        ("a type that is none", vec![99]),
        ("a type that is, and one that is none", vec![4, 3]),
    ] {
        talk.ask(case, &ListConfigResourcesRequest { resource_types }, 1);
    }
    talk.ask("as at first", &ListConfigResourcesRequest::default(), 0);
}

fn reassignments(talk: &mut Talk) {
    for (case, name, index, replicas, changes) in [
        ("to where it is", "kept", 0, Some(vec![1]), true),
        ("to nobody", "kept", 0, Some(vec![]), true),
        ("to a stranger", "kept", 0, Some(vec![9]), true),
        ("to a stranger besides", "kept", 0, Some(vec![1, 9]), true),
        ("to the same twice", "kept", 0, Some(vec![1, 1]), true),
        ("to nobody that can be", "kept", 0, Some(vec![-1]), true),
        ("to two where one is", "kept", 0, Some(vec![1, 9]), false),
        ("stopped", "kept", 0, None, true),
        ("of a partition that is none", "kept", 9, Some(vec![1]), true),
        ("stopped for none", "kept", 9, None, true),
        ("of a topic that is none", "unknown", 0, Some(vec![1]), true),
        ("of no topic", "", 0, Some(vec![1]), true),
    ] {
        let request = AlterPartitionReassignmentsRequest {
            allow_replication_factor_change: changes,
            topics: vec![ReassignableTopic {
                name,
                partitions: vec![ReassignablePartition {
                    partition_index: index,
                    replicas,
                }],
            }],
            ..AlterPartitionReassignmentsRequest::default()
        };
        talk.ask_in_all(case, &request);
    }
    talk.ask_in_all("of nothing", &AlterPartitionReassignmentsRequest::default());
    let named = |name, indexes: &[i32]| {
        Some(vec![ListPartitionReassignmentsTopics {
            name,
            partition_indexes: indexes.to_vec(),
        }])
    };
    for (case, topics) in [
        ("all", None),
        ("none", Some(vec![])),
        ("of a topic", named("kept", &[0, 9])),
        ("of a topic that is none", named("unknown", &[0])),
    ] {
        let request = ListPartitionReassignmentsRequest {
            topics,
            ..ListPartitionReassignmentsRequest::default()
        };
        talk.ask(case, &request, 0);
    }
}

fn elections(talk: &mut Talk) {
    let named = |topic, partitions: &[i32]| {
        Some(vec![TopicPartitions {
            topic,
            partitions: partitions.to_vec(),
        }])
    };
    for (case, election_type, topic_partitions) in [
        ("of a topic's", 0, named("kept", &[0, 1])),
        ("of partitions that are none", 0, named("kept", &[9, -1])),
        ("of a topic that is none", 0, named("unknown", &[0])),
        ("of no partition", 0, named("kept", &[])),
        ("of nothing", 0, Some(vec![])),
        ("of all", 0, None),
        ("unclean", 1, named("kept", &[0])),
        ("unclean, of all", 1, None),
        ("of a kind that is none", 2, named("kept", &[0])),
        ("of a kind that is none, of all", -1, None),
    ] {
        let request = ElectLeadersRequest {
            election_type,
            topic_partitions,
            ..ElectLeadersRequest::default()
        };
        talk.ask_in_all(case, &request);
    }
}

fn transactions(talk: &mut Talk) {
    let list = ListTransactionsRequest {
        duration_filter: -1,
        ..ListTransactionsRequest::default()
    };
    let states = ListTransactionsRequest {
        state_filters: vec![
            "Ongoing",
            "PrepareCommit",
            "PrepareEpochFence",
            "Dead",
            "ongoing",
            "no such",
            "",
        ],
        producer_id_filters: vec![1, -7],
        ..list.clone()
    };
    let pattern = |transactional_id_pattern| ListTransactionsRequest {
        transactional_id_pattern: Some(transactional_id_pattern),
        ..list.clone()
    };
    talk.ask_in_all("all", &list);
    talk.ask_in_all("of some states", &states);
    talk.ask("that match", &pattern("a.*"), 2);
    talk.ask("that match nothing", &pattern(""), 2);
    talk.ask("that match no expression", &pattern("a("), 2);
    let request = DescribeTransactionsRequest {
        transactional_ids: vec!["one", "two", ""],
    };
    // With the first question Kafka makes the topic that transactions are kept in.
    let find = FindCoordinatorRequest {
        key: "one",
        key_type: TRANSACTION,
        coordinator_keys: vec!["one", "two"],
    };
    let until = Instant::now() + PATIENCE;
    while talk
        .aside(&find, 1)
        .read::<FindCoordinatorRequest<'_>>()
        .error_code
        != 0
        || !knows_transactions(&talk.aside(&request, 0))
    {
        assert!(Instant::now() < until, "there is no coordinator");
        sleep(Duration::from_millis(100));
    }
    for version in 1..=6 {
        let key = if version < 4 { find.key } else { "" };
        let keys = if version < 4 {
            Vec::new()
        } else {
            find.coordinator_keys.clone()
        };
        let request = FindCoordinatorRequest {
            key,
            coordinator_keys: keys,
            ..find
        };
        talk.ask("of transactions", &request, version);
    }
    talk.ask("unknown ones", &request, 0);
    let begin = InitProducerIdRequest {
        transactional_id: Some("one"),
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    talk.ask("a transaction's", &begin, 4);
    talk.ask("none", &DescribeTransactionsRequest::default(), 0);
}

fn credentials(talk: &mut Talk) {
    for (case, users) in [
        ("of all", None),
        ("of nobody", Some(vec![])),
        ("of some", Some(vec!["anna", "bert"])),
        ("of one twice", Some(vec!["anna", "bert", "anna"])),
        ("of one without a name", Some(vec![""])),
    ] {
        let users = users.map(|names| names.into_iter().map(|name| UserName { name }).collect());
        talk.ask(case, &DescribeUserScramCredentialsRequest { users }, 0);
    }
}

fn features(talk: &mut Talk) {
    for (case, feature, max_version_level, upgrade_type) in [
        ("to where it is", "group.version", 1, 1),
        ("beyond what there is", "group.version", 2, 1),
        ("below what there is", "group.version", -1, 2),
        ("down as if it were up", "group.version", 0, 1),
        ("down", "group.version", 0, 2),
        ("down in any case", "group.version", 0, 3),
        ("in no way", "group.version", 1, 0),
        ("in a way that is none", "group.version", 1, 9),
        ("of what is none", "no.such", 1, 1),
        ("of what is none, to nothing", "no.such", 0, 2),
        ("of what has no name", "", 1, 1),
    ] {
        let request = UpdateFeaturesRequest {
            feature_updates: vec![FeatureUpdateKey {
                feature,
                max_version_level,
                upgrade_type,
                ..FeatureUpdateKey::default()
            }],
            validate_only: true,
            ..UpdateFeaturesRequest::default()
        };
        talk.ask_in_all(case, &request);
    }
    let one = FeatureUpdateKey {
        feature: "group.version",
        max_version_level: 1,
        ..FeatureUpdateKey::default()
    };
    let other = FeatureUpdateKey {
        feature: "no.such",
        ..one.clone()
    };
    let both = UpdateFeaturesRequest {
        feature_updates: vec![one, other],
        ..UpdateFeaturesRequest::default()
    };
    talk.ask_in_all("of one that is and one that is none", &both);
    talk.ask_in_all("of none", &UpdateFeaturesRequest::default());
    for upgrade_type in [2, 3] {
        for (case, max_version_level, upgrade_type) in [("done: down", 0, upgrade_type), ("done: up", 1, 1)] {
            let request = UpdateFeaturesRequest {
                feature_updates: vec![FeatureUpdateKey {
                    feature: "group.version",
                    max_version_level,
                    upgrade_type,
                    ..FeatureUpdateKey::default()
                }],
                ..UpdateFeaturesRequest::default()
            };
            talk.ask(case, &request, 2);
        }
    }
    // Kafka answers before it acts.
    sleep(Duration::from_millis(500));
}

fn knows_transactions(reply: &Reply) -> bool {
    let states = &reply.read::<DescribeTransactionsRequest<'_>>().transaction_states;
    states
        .iter()
        .all(|it| it.error_code != ErrorCode::NotCoordinator as i16)
}

const TRANSACTION: i8 = 1;
const PATIENCE: Duration = Duration::from_secs(30);
