//! Brokers, topics and who leads them; topics that come into being because somebody asks.

use millstream_protocol::message::describe_cluster::DescribeClusterRequest;
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::types::TopicId;

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    talk.topic("known", 3, &[]);
    let all = MetadataRequest {
        topics: None,
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    talk.ask_in_all("all topics", &all);
    talk.ask_in_all("no topics", &names(&[]));
    talk.ask_in_all("a topic", &names(&["known"]));
    talk.ask_in_all("the same topic twice", &names(&["known", "known"]));
    talk.ask_in_all(
        "authorized operations",
        &MetadataRequest {
            include_cluster_authorized_operations: true,
            include_topic_authorized_operations: true,
            ..names(&["known"])
        },
    );
    for name in ["unknown", "", "no topic!", ".", "..", &"x".repeat(250)] {
        // Versions below 4 create what they ask for.
        for version in 4..=13 {
            talk.ask(format!("unknown: {name:.9}"), &names(&[name]), version);
        }
    }
    for name in ["no topic!", "", &"x".repeat(250)] {
        let creating = MetadataRequest {
            allow_auto_topic_creation: true,
            ..names(&[name])
        };
        talk.ask(format!("created: {name:.9}"), &creating, 9);
    }
    by_id(talk);
    cluster(talk);
}

fn by_id(talk: &mut Talk) {
    talk.topic("known.too", 1, &[]);
    let reply = talk.aside(&names(&["known"]), 12);
    let known = reply.read::<MetadataRequest<'_>>().topics[0].topic_id;
    for version in 10..=13 {
        for (case, topic_id, name) in [
            ("by id", known, None),
            ("by id and name", known, Some("known")),
            ("by unknown id", TopicId::new([7; 16]), None),
            ("by no id", TopicId::ZERO, None),
        ] {
            let request = MetadataRequest {
                topics: Some(vec![MetadataRequestTopic { topic_id, name }]),
                allow_auto_topic_creation: false,
                ..MetadataRequest::default()
            };
            // Before version 12 no name may be null.
            talk.ask(case, &request, version);
        }
        for (case, topic_id, name) in [
            ("by id, another by name", TopicId::ZERO, Some("known.too")),
            ("by id, another by neither", TopicId::ZERO, None),
            ("by id twice, once by name", known, Some("known")),
            (
                "by id, another by an unknown id and a name",
                TopicId::new([7; 16]),
                Some("known.too"),
            ),
        ] {
            let [one, other] = [(known, None), (topic_id, name)]
                .map(|(topic_id, name)| MetadataRequestTopic { topic_id, name });
            let request = MetadataRequest {
                topics: Some(vec![one, other]),
                allow_auto_topic_creation: false,
                ..MetadataRequest::default()
            };
            talk.ask(case, &request, version);
        }
    }
}

fn cluster(talk: &mut Talk) {
    for endpoint_type in [1, 2, 0, 7] {
        for include in [false, true] {
            let request = DescribeClusterRequest {
                include_cluster_authorized_operations: include,
                endpoint_type,
                include_fenced_brokers: include,
            };
            talk.ask_in_all(format!("endpoints {endpoint_type}, {include}"), &request);
        }
    }
}

fn names<'a>(names: &[&'a str]) -> MetadataRequest<'a> {
    let topic = |name: &&'a str| MetadataRequestTopic {
        name: Some(name),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    }
}
