//! Committing offsets, and why not.

use millstream_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_protocol::types::TopicId;

use super::Story;

#[test]
fn commits() {
    let mut story = Story::new("commit");
    for version in 2..=10 {
        let group = story.group(version);
        from_outside(&mut story, version, &group);
        from_members(&mut story, version, &format!("{group}-active"));
    }
    story.finish(include_str!("commit.txt"), "commit");
}

fn from_outside(story: &mut Story, version: i16, group: &str) {
    let (topic, id) = (story.topic.clone(), story.topic_id);
    let long = "x".repeat(4097);
    let good = commit(group, vec![of(&topic, id, vec![one(0, 7)])]);
    let with = |topics| OffsetCommitRequest {
        topics,
        ..good.clone()
    };
    let metadata = |partition, text| OffsetCommitRequestPartition {
        committed_metadata: Some(text),
        ..partition
    };
    for (case, request) in [
        ("nothing", with(Vec::new())),
        (
            "a topic without partitions",
            with(vec![of(&topic, id, Vec::new())]),
        ),
        (
            "an unknown topic",
            with(vec![of("unknown", STRANGE, vec![one(0, 1), one(1, 1)])]),
        ),
        ("no topic", with(vec![of("", TopicId::ZERO, vec![one(0, 1)])])),
        (
            "unknown partitions",
            with(vec![of(&topic, id, vec![one(3, 1), one(-1, 1), one(0, 1)])]),
        ),
        (
            "a partition twice",
            with(vec![of(&topic, id, vec![one(0, 1), one(0, 2)])]),
        ),
        (
            "a topic twice",
            with(vec![
                of(&topic, id, vec![one(0, 3)]),
                of(&topic, id, vec![one(1, 4)]),
            ]),
        ),
        (
            "negative offsets",
            with(vec![of(&topic, id, vec![one(0, -1), one(1, i64::MIN)])]),
        ),
        (
            "long metadata",
            with(vec![of(
                &topic,
                id,
                vec![metadata(one(0, 5), &long[1..]), metadata(one(1, 5), &long)],
            )]),
        ),
        (
            "no group",
            OffsetCommitRequest {
                group_id: "",
                ..good.clone()
            },
        ),
        (
            "a strange generation",
            OffsetCommitRequest {
                generation_id_or_member_epoch: 3,
                ..good.clone()
            },
        ),
        (
            "a strange member",
            OffsetCommitRequest {
                member_id: "stranger",
                ..good.clone()
            },
        ),
        ("good", good.clone()),
    ] {
        story.tell(case, version, &request);
    }
}

fn from_members(story: &mut Story, version: i16, group: &str) {
    let (topic, id) = (story.topic.clone(), story.topic_id);
    let in_group = commit(group, vec![of(&topic, id, vec![one(0, 7)])]);
    let strangers = OffsetCommitRequest {
        generation_id_or_member_epoch: 1,
        member_id: "stranger",
        ..in_group.clone()
    };
    story.tell("a group that nobody knows", version, &strangers);
    let member = story.member(group, 5);
    let own = OffsetCommitRequest {
        generation_id_or_member_epoch: 1,
        member_id: &member,
        ..in_group.clone()
    };
    story.tell("before the group is in sync", version, &own);
    story.tell_sync("the leader", 5, (group, 1, &member));
    let stale = OffsetCommitRequest {
        generation_id_or_member_epoch: 0,
        ..own.clone()
    };
    let unknown = of("unknown", STRANGE, vec![one(0, 1)]);
    let mixed = vec![of(&topic, id, vec![one(0, 9), one(9, 9)]), unknown];
    for (case, request) in [
        ("from outside", in_group),
        ("a stranger", strangers),
        ("a former generation", stale.clone()),
        (
            "a former generation of more",
            OffsetCommitRequest {
                topics: mixed.clone(),
                ..stale
            },
        ),
        (
            "a member's, of more",
            OffsetCommitRequest {
                topics: mixed,
                ..own.clone()
            },
        ),
        ("a member's", own),
    ] {
        story.tell(case, version, &request);
    }
}

fn commit<'a>(group_id: &'a str, topics: Vec<OffsetCommitRequestTopic<'a>>) -> OffsetCommitRequest<'a> {
    OffsetCommitRequest {
        group_id,
        topics,
        ..OffsetCommitRequest::default()
    }
}

fn of<'a>(
    name: &'a str,
    topic_id: TopicId,
    partitions: Vec<OffsetCommitRequestPartition<'a>>,
) -> OffsetCommitRequestTopic<'a> {
    OffsetCommitRequestTopic {
        name,
        topic_id,
        partitions,
    }
}

fn one<'a>(partition_index: i32, committed_offset: i64) -> OffsetCommitRequestPartition<'a> {
    OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        ..OffsetCommitRequestPartition::default()
    }
}

/// No topic has it. It comes before every id that is drawn: answers are held together in the order of ids.
const STRANGE: TopicId = TopicId::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
