//! Groups' offsets: where their coordinator is, what they commit and fetch, and how both are forgotten.

use std::thread::sleep;
use std::time::{Duration, Instant};

use millstream_protocol::message::delete_groups::DeleteGroupsRequest;
use millstream_protocol::message::find_coordinator::FindCoordinatorRequest;
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use millstream_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use millstream_protocol::types::TopicId;

use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    awake(talk, "g");
    talk.topic("consumed", 2, &[]);
    find(talk);
    commit(talk);
    fetch(talk);
    delete(talk);
}

/// Waits until a group's coordinator answers: the first who asks has the offsets topic made.
pub fn awake(talk: &mut Talk, group_id: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        talk.aside(&finding(0, &[group_id]), 4);
        let reply = talk.aside(&fetching(group_id, None), 5);
        if reply.read::<OffsetFetchRequest<'_>>().error_code == 0 {
            return;
        }
        assert!(Instant::now() < until, "no coordinator for {group_id}");
        sleep(Duration::from_millis(50));
    }
}

fn find(talk: &mut Talk) {
    for version in 0..=3 {
        for key in ["g", ""] {
            let request = FindCoordinatorRequest {
                key,
                ..FindCoordinatorRequest::default()
            };
            talk.ask(format!("the group '{key}'"), &request, version);
        }
    }
    for version in 4..=6 {
        talk.ask("groups", &finding(0, &["g", "another"]), version);
        talk.ask("the same group twice", &finding(0, &["g", "g"]), version);
        talk.ask("no groups", &finding(0, &[]), version);
        talk.ask("the group of no name", &finding(0, &[""]), version);
        talk.ask("a kind that is none", &finding(9, &["g"]), version);
        talk.ask("a share partition of no form", &finding(2, &["g"]), version);
    }
}

fn commit(talk: &mut Talk) {
    for version in 2..=9 {
        talk.ask(
            "by nobody",
            &committing("g", -1, "", &[("consumed", 0, i64::from(version), None)]),
            version,
        );
        talk.ask(
            "several",
            &committing(
                "g",
                -1,
                "",
                &[
                    ("consumed", 1, 5, Some("noted")),
                    ("consumed", 9, 5, None),
                    ("nobody", 0, 5, None),
                ],
            ),
            version,
        );
        for (case, group, generation, member) in [
            ("of a member that is none", "g", -1, "somebody"),
            ("in a generation that is none", "g", 3, ""),
            ("of a member in a generation that are none", "g", 3, "somebody"),
            ("of a group that is none", "new", 3, "somebody"),
            ("of no group", "", -1, ""),
        ] {
            talk.ask(
                case,
                &committing(group, generation, member, &[("consumed", 0, 1, None)]),
                version,
            );
        }
        let long = "x".repeat(4097);
        talk.ask(
            "too much metadata",
            &committing("g", -1, "", &[("consumed", 0, 1, Some(&long))]),
            version,
        );
        talk.ask(
            "a negative offset",
            &committing("negative", -1, "", &[("consumed", 0, -7, None)]),
            version,
        );
        talk.ask("nothing", &committing("g", -1, "", &[]), version);
        let mut twice = committing("g", -1, "", &[("consumed", 0, 1, None)]);
        twice.topics.push(twice.topics[0].clone());
        twice.topics[1].partitions[0].partition_index = 9;
        talk.ask("a topic twice, once in vain", &twice, version);
        let instance = OffsetCommitRequest {
            group_instance_id: Some("nobody"),
            ..committing("g", -1, "", &[("consumed", 0, 1, None)])
        };
        if version >= 7 {
            talk.ask("of an instance that is none", &instance, version);
        }
    }
    for (case, id) in [
        ("by id", consumed(talk)),
        ("by an unknown id", TopicId::new([7; 16])),
        ("by no id", TopicId::ZERO),
    ] {
        let mut request = committing("g", -1, "", &[("", 0, 77, None), ("", 9, 77, None)]);
        request.topics.iter_mut().for_each(|topic| topic.topic_id = id);
        talk.ask(case, &request, 10);
    }
}

fn fetch(talk: &mut Talk) {
    let some: &[(&str, &[i32])] = &[("consumed", &[0, 1, 9]), ("nobody", &[0])];
    for version in 1..=7 {
        if version >= 2 {
            talk.ask("all", &fetching("g", None), version);
            talk.ask("all of a group that is none", &fetching("nobody", None), version);
        }
        talk.ask("some", &fetching("g", Some(some)), version);
        talk.ask("none", &fetching("g", Some(&[])), version);
        talk.ask(
            "some of a group that is none",
            &fetching("nobody", Some(some)),
            version,
        );
        talk.ask("of no group", &fetching("", Some(some)), version);
    }
    let stable = OffsetFetchRequest {
        require_stable: true,
        ..fetching("g", Some(some))
    };
    talk.ask("stable", &stable, 7);
    let id = consumed(talk);
    for version in 8..=10 {
        let group = |group_id, topics: Option<&[(&'static str, TopicId)]>| OffsetFetchRequestGroup {
            group_id,
            topics: topics.map(|topics| {
                let topic = |&(name, topic_id): &(&'static str, TopicId)| OffsetFetchRequestTopics {
                    name,
                    topic_id,
                    partition_indexes: vec![0, 1, 9],
                };
                topics.iter().map(topic).collect()
            }),
            ..OffsetFetchRequestGroup::default()
        };
        let some = [("consumed", id), ("nobody", TopicId::new([7; 16]))];
        let ask = |groups| OffsetFetchRequest {
            groups,
            ..OffsetFetchRequest::default()
        };
        talk.ask("all", &ask(vec![group("g", None)]), version);
        talk.ask("some", &ask(vec![group("g", Some(&some))]), version);
        talk.ask(
            "of two groups",
            &ask(vec![group("g", Some(&some)), group("nobody", None)]),
            version,
        );
        talk.ask(
            "of the same group twice",
            &ask(vec![group("g", None), group("g", None)]),
            version,
        );
        talk.ask("of no groups", &ask(vec![]), version);
        talk.ask("of the group of no name", &ask(vec![group("", None)]), version);
        if version >= 9 {
            for (case, member_id, member_epoch) in [
                ("for a member that is none", Some("somebody"), 3),
                ("for an epoch alone", None, 3),
                ("for a member alone", Some("somebody"), -1),
            ] {
                let group = OffsetFetchRequestGroup {
                    member_id,
                    member_epoch,
                    ..group("g", None)
                };
                talk.ask(case, &ask(vec![group]), version);
            }
        }
    }
}

fn delete(talk: &mut Talk) {
    let partition = |partition_index| OffsetDeleteRequestPartition { partition_index };
    let topic = |name, partitions: &[i32]| OffsetDeleteRequestTopic {
        name,
        partitions: partitions.iter().copied().map(partition).collect(),
    };
    for (case, group_id, topics) in [
        (
            "some",
            "g",
            vec![topic("consumed", &[1, 9]), topic("nobody", &[0])],
        ),
        ("what is gone", "g", vec![topic("consumed", &[1])]),
        ("nothing", "g", vec![]),
        ("of a group that is none", "nobody", vec![topic("consumed", &[0])]),
        ("of no group", "", vec![topic("consumed", &[0])]),
    ] {
        talk.ask(case, &OffsetDeleteRequest { group_id, topics }, 0);
    }
    talk.ask("after a deletion", &fetching("g", None), 7);
    let groups = |names: &[&'static str]| DeleteGroupsRequest {
        groups_names: names.to_vec(),
    };
    talk.ask("some", &groups(&["g", "nobody", ""]), 2);
    for version in 0..=2 {
        talk.ask("what is gone", &groups(&["g"]), version);
        talk.ask("nothing", &groups(&[]), version);
        talk.ask("the same twice", &groups(&["negative", "negative"]), version);
    }
    talk.ask("of a group that was deleted", &fetching("g", None), 7);
}

fn consumed(talk: &mut Talk) -> TopicId {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("consumed"),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let reply = talk.aside(&request, 12);
    reply.read::<MetadataRequest<'_>>().topics[0].topic_id
}

fn finding<'a>(key_type: i8, keys: &[&'a str]) -> FindCoordinatorRequest<'a> {
    FindCoordinatorRequest {
        key_type,
        coordinator_keys: keys.to_vec(),
        ..FindCoordinatorRequest::default()
    }
}

/// Topic, partition, offset and metadata.
type Commit<'a> = (&'a str, i32, i64, Option<&'a str>);

/// Commits of the same topic lie beside each other.
pub fn committing<'a>(
    group_id: &'a str,
    generation: i32,
    member_id: &'a str,
    commits: &[Commit<'a>],
) -> OffsetCommitRequest<'a> {
    let mut topics: Vec<OffsetCommitRequestTopic<'a>> = Vec::new();
    for &(name, partition_index, committed_offset, committed_metadata) in commits {
        if topics.last().is_none_or(|topic| topic.name != name) {
            topics.push(OffsetCommitRequestTopic {
                name,
                ..OffsetCommitRequestTopic::default()
            });
        }
        let topic = topics.last_mut().expect("there is one");
        topic.partitions.push(OffsetCommitRequestPartition {
            partition_index,
            committed_offset,
            committed_metadata,
            ..OffsetCommitRequestPartition::default()
        });
    }
    OffsetCommitRequest {
        group_id,
        generation_id_or_member_epoch: generation,
        member_id,
        topics,
        ..OffsetCommitRequest::default()
    }
}

fn fetching<'a>(group_id: &'a str, topics: Option<&[(&'a str, &[i32])]>) -> OffsetFetchRequest<'a> {
    let topics = topics.map(|topics| {
        let topic = |&(name, partitions): &(&'a str, &[i32])| OffsetFetchRequestTopic {
            name,
            partition_indexes: partitions.to_vec(),
        };
        topics.iter().map(topic).collect()
    });
    OffsetFetchRequest {
        group_id,
        topics,
        ..OffsetFetchRequest::default()
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
