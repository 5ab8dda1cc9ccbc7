//! Quotas of clients: how they are set, found and taken back, and what of topics they let a client change.

use std::thread::sleep;
use std::time::Duration;

use millstream_protocol::message::Float64;
use millstream_protocol::message::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use millstream_protocol::message::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use millstream_protocol::message::create_topics::{CreatableTopic, CreateTopicsRequest};
use millstream_protocol::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use millstream_protocol::message::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::types::TopicId;

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    values(talk);
    mutations(talk);
    made_on_the_way(talk);
}

fn values(talk: &mut Talk) {
    let user = |name| ("user", name);
    let client = |name| ("client-id", name);
    let byte_rate = ("producer_byte_rate", Some(1_000.0));
    for (case, entity, op) in [
        ("of a user", vec![user(Some("anna"))], byte_rate),
        (
            "of a client",
            vec![client(Some("c"))],
            ("request_percentage", Some(12.5)),
        ),
        (
            "of all clients",
            vec![client(None)],
            ("consumer_byte_rate", Some(2_000.0)),
        ),
        (
            "of a user's client",
            vec![user(Some("anna")), client(Some("c"))],
            ("controller_mutation_rate", Some(0.5)),
        ),
        (
            "of an address",
            vec![("ip", Some("127.0.0.9"))],
            ("connection_creation_rate", Some(5.0)),
        ),
        ("of nobody", vec![], byte_rate),
        ("of what is none", vec![("planet", Some("mars"))], byte_rate),
        ("of what has no name", vec![user(Some(""))], byte_rate),
        (
            "of a user at an address",
            vec![user(Some("anna")), ("ip", Some("127.0.0.9"))],
            byte_rate,
        ),
        (
            "a quota that is none",
            vec![user(Some("bert"))],
            ("speed", Some(1.0)),
        ),
        (
            "a user's connections",
            vec![user(Some("bert"))],
            ("connection_creation_rate", Some(1.0)),
        ),
        ("an address's bytes", vec![("ip", Some("127.0.0.9"))], byte_rate),
        (
            "nothing",
            vec![user(Some("bert"))],
            ("producer_byte_rate", Some(0.0)),
        ),
        (
            "less than nothing",
            vec![user(Some("bert"))],
            ("producer_byte_rate", Some(-1.0)),
        ),
        (
            "half a byte",
            vec![user(Some("bert"))],
            ("producer_byte_rate", Some(1.5)),
        ),
        (
            "half a connection",
            vec![("ip", None)],
            ("connection_creation_rate", Some(1.5)),
        ),
        (
            "back, what was never set",
            vec![user(Some("bert"))],
            ("producer_byte_rate", None),
        ),
    ] {
        talk.ask_in_all(format!("a quota {case}"), &altered(&entity, op));
    }
    // Kafka answers before what it altered is seen.
    sleep(Duration::from_millis(500));
    described_quotas(talk);
    for (entity, key) in [
        (vec![user(Some("anna"))], "producer_byte_rate"),
        (vec![client(Some("c"))], "request_percentage"),
        (vec![client(None)], "consumer_byte_rate"),
        (vec![("ip", Some("127.0.0.9"))], "connection_creation_rate"),
    ] {
        talk.ask("a quota back", &altered(&entity, (key, None)), 1);
    }
}

fn described_quotas(talk: &mut Talk) {
    for (case, parts, strict) in [
        ("all", vec![], false),
        ("none but", vec![], true),
        ("of any user", vec![("user", 2, None)], false),
        ("of any user alone", vec![("user", 2, None)], true),
        ("of a user", vec![("user", 0, Some("anna"))], false),
        ("of the default client", vec![("client-id", 1, None)], false),
        (
            "of users' clients",
            vec![("user", 2, None), ("client-id", 0, Some("c"))],
            true,
        ),
        ("of addresses", vec![("ip", 2, None)], false),
        (
            "of addresses and users",
            vec![("ip", 2, None), ("user", 2, None)],
            false,
        ),
        (
            "of a user twice",
            vec![("user", 2, None), ("user", 1, None)],
            false,
        ),
        ("of what is none", vec![("planet", 2, None)], false),
        ("of what has no type", vec![("", 2, None)], false),
        ("of a match that is none", vec![("user", 7, None)], false),
        ("of a name that is missing", vec![("user", 0, None)], false),
        ("of a default with a name", vec![("user", 1, Some("anna"))], false),
    ] {
        let components = parts
            .into_iter()
            .map(|(entity_type, match_type, name)| ComponentData {
                entity_type,
                match_type,
                r#match: name,
            });
        let request = DescribeClientQuotasRequest {
            components: components.collect(),
            strict,
        };
        talk.ask_in_all(format!("quotas {case}"), &request);
    }
}

fn altered<'a>(
    entity: &[(&'a str, Option<&'a str>)],
    (key, value): (&'a str, Option<f64>),
) -> AlterClientQuotasRequest<'a> {
    let parts = entity.iter().map(|(entity_type, entity_name)| EntityData {
        entity_type,
        entity_name: *entity_name,
    });
    AlterClientQuotasRequest {
        entries: vec![EntryData {
            entity: parts.collect(),
            ops: vec![OpData {
                key,
                value: Float64::new(value.unwrap_or_default()),
                remove: value.is_none(),
            }],
        }],
        validate_only: false,
    }
}

/// What a client may change of topics in a second.
fn mutations(talk: &mut Talk) {
    let client = [("client-id", Some("millstream-tests"))];
    limit_mutations(talk, &client, Some(10.0));
    // The bucket holds 110, and fills up again by 10 a second: each time 10 are owed, and 3 there a while later.
    talk.ask(
        "limited: many at once",
        &creating(&[("many", 120), ("more", 1)]),
        7,
    );
    sleep(Duration::from_millis(1_300));
    talk.ask(
        "limited: by who does not know the error",
        &creating(&[("other", 13)]),
        5,
    );
    sleep(Duration::from_millis(1_300));
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "other",
            count: 26,
            ..CreatePartitionsTopic::default()
        }],
        timeout_ms: 10_000,
        validate_only: false,
    };
    talk.ask("limited: more partitions", &request, 3);
    let request = DeleteTopicsRequest {
        topics: ["many", "other"].map(state).into(),
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    talk.ask("limited: fewer", &request, 6);
    limit_mutations(talk, &client, None);
}

/// Topics that come into being because somebody asks are his, as those are that he creates.
fn made_on_the_way(talk: &mut Talk) {
    // Counted apart from what was changed above. Of two and a fifth that the bucket holds the third owes four seconds'
    // worth.
    let everybody = [("user", None), ("client-id", None)];
    limit_mutations(talk, &everybody, Some(0.2));
    for name in ["made.1", "made.2", "made.3"] {
        // Kafka answers before it makes them.
        talk.aside(&asking(name, true), 12);
    }
    talk.ask("limited: made on the way", &asking("made.4", true), 12);
    sleep(Duration::from_millis(1_000));
    talk.ask("limited: the last that was made", &asking("made.3", false), 12);
    talk.ask("limited: the first that was not", &asking("made.4", false), 12);
    limit_mutations(talk, &everybody, None);
    let request = DeleteTopicsRequest {
        topics: ["made.1", "made.2", "made.3"].map(state).into(),
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    talk.ask("not limited: those made on the way", &request, 6);
}

fn asking(name: &str, allow_auto_topic_creation: bool) -> MetadataRequest<'_> {
    MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation,
        ..MetadataRequest::default()
    }
}

fn state(name: &str) -> DeleteTopicState<'_> {
    DeleteTopicState {
        name: Some(name),
        topic_id: TopicId::ZERO,
    }
}

fn creating<'a>(topics: &[(&'a str, i32)]) -> CreateTopicsRequest<'a> {
    let topics = topics.iter().map(|(name, num_partitions)| CreatableTopic {
        name,
        num_partitions: *num_partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    });
    CreateTopicsRequest {
        topics: topics.collect(),
        timeout_ms: 10_000,
        ..CreateTopicsRequest::default()
    }
}

fn limit_mutations(talk: &mut Talk, whom: &[(&str, Option<&str>)], rate: Option<f64>) {
    talk.aside(&altered(whom, ("controller_mutation_rate", rate)), 1);
    // Kafka answers before it acts.
    sleep(Duration::from_millis(500));
}
