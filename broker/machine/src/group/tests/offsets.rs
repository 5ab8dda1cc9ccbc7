//! Offsets are committed, fetched, deleted, and expire.

use std::string::String;
use std::vec;
use std::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::Duration;
use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TimestampMs, TopicId};

use super::consumers::{Consumer, described};
use super::world::*;
use crate::group::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The offsets of partition 0 of the topics, -1 where there is none.
fn fetched(world: &mut World, topics: Option<&[&str]>) -> Vec<i64> {
    let GroupAnswer::FetchOffsets(answer) = world.told(GroupRequest::FetchOffsets(fetch(topics))) else {
        panic!("a fetch");
    };
    assert_eq!(answer.error, ErrorCode::None);
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|it| it.committed.as_ref().map_or(-1, |it| it.offset))
        .collect()
}

fn commits(world: &mut World, topic: &str, offset: i64) {
    let answer = world.told(GroupRequest::CommitOffsets(commit("", -1, topic, offset)));
    assert_eq!(error_of(&answer), ErrorCode::None);
}

#[test]
fn what_is_committed_is_fetched_also_after_a_restart() {
    let mut world = World::new();
    let mut request = commit("", -1, "t", 5);
    let partition = &mut request.topics[0].partitions[0];
    partition.leader_epoch = Some(LeaderEpoch::new(3));
    partition.metadata = "where".into();
    world.told(GroupRequest::CommitOffsets(request));
    commits(&mut world, "a", 6);
    commits(&mut world, "a", 7);
    for _ in 0..2 {
        let GroupAnswer::FetchOffsets(answer) = world.told(GroupRequest::FetchOffsets(fetch(None))) else {
            panic!("a fetch");
        };
        let names: Vec<&str> = answer.topics.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["a", "t"]);
        let committed = answer.topics[1].partitions[0]
            .committed
            .clone()
            .expect("an offset");
        assert_eq!((committed.offset, &*committed.metadata), (5, "where"));
        assert_eq!(committed.leader_epoch, Some(LeaderEpoch::new(3)));
        assert_eq!(fetched(&mut world, Some(&["t", "none", "a"])), [5, -1, 7]);
        assert_eq!(world.state("g"), GroupState::Empty);
        world.restart();
    }
}

#[test]
fn metadata_counts_by_its_characters_as_kafka_counts_them() {
    let mut world = World::new();
    let mut told = |metadata: String| {
        let mut request = commit("", -1, "t", 5);
        request.topics[0].partitions[0].metadata = metadata;
        let answer = world.told(GroupRequest::CommitOffsets(request));
        error_of(&answer)
    };
    assert_eq!(told("m".repeat(4096)), ErrorCode::None);
    assert_eq!(told("m".repeat(4097)), ErrorCode::OffsetMetadataTooLarge);
    assert_eq!(told("ü".repeat(4096)), ErrorCode::None, "two bytes, one unit");
    assert_eq!(
        told("🦀".repeat(2049)),
        ErrorCode::OffsetMetadataTooLarge,
        "two units"
    );
}

#[test]
fn an_offset_of_an_earlier_topic_of_that_name_is_none() {
    let (one, two) = (TopicId::new([1; 16]), TopicId::new([2; 16]));
    let mut world = World::new();
    let mut request = commit("", -1, "t", 5);
    request.topics[0].topic_id = one;
    world.told(GroupRequest::CommitOffsets(request));
    for (id, expected) in [(one, 5), (two, -1), (TopicId::ZERO, 5)] {
        let mut request = fetch(Some(&["t"]));
        request.topics.as_mut().expect("topics")[0].topic_id = id;
        let GroupAnswer::FetchOffsets(answer) = world.told(GroupRequest::FetchOffsets(request)) else {
            panic!("a fetch");
        };
        assert_eq!(answer.topics[0].topic_id, id);
        let committed = answer.topics[0].partitions[0].committed.as_ref();
        assert_eq!(committed.map_or(-1, |it| it.offset), expected);
    }
    world.forget_id("t", two);
    assert_eq!(fetched(&mut world, None), [5]);
    world.forget_id("t", one);
    assert_eq!(fetched(&mut world, None), []);
}

#[test]
fn offsets_of_nobody_expire_after_the_retention() {
    let mut world = World::new();
    commits(&mut world, "old", 1);
    let mut request = commit("", -1, "brief", 2);
    request.retention_ms = Some(60_000);
    world.told(GroupRequest::CommitOffsets(request));
    world.pass(DAY_MS);
    commits(&mut world, "new", 3);
    assert_eq!(fetched(&mut world, None), [3, 1], "its own time is over for one");
    world.pass(6 * DAY_MS + 600_000);
    assert_eq!(fetched(&mut world, None), [3]);
    world.pass(DAY_MS);
    assert_eq!(world.describe("g").error, ErrorCode::GroupIdNotFound);
    assert_eq!(world.machine.live_bytes(), 0);
}

/// A member of a stable group that may be silent for half an hour and subscribes to the topics.
fn long_lived(world: &mut World, topics: &[&str]) -> String {
    let subscribed = subscription(topics);
    let mut request = join(world, "", &[("range", &subscribed)]);
    request.requires_known_member_id = false;
    request.session_timeout_ms = 1_800_000;
    let ticket = world.ask(GroupRequest::Join(request));
    world.pass(3_000);
    let Some(GroupAnswer::Join(joined)) = world.answer(ticket) else {
        panic!("a join");
    };
    world.told(GroupRequest::Sync(sync(&joined.member_id, 1, &[])));
    joined.member_id.as_ref().into()
}

#[test]
fn the_retention_of_a_group_that_had_members_counts_from_its_end() {
    let mut world = World::new();
    let member_id = long_lived(&mut world, &["t"]);
    for topic in ["t", "u"] {
        world.told(GroupRequest::CommitOffsets(commit(&member_id, 1, topic, 1)));
    }
    for _ in 0..8 * DAY_MS / 1_200_000 {
        world.told(GroupRequest::Heartbeat(heartbeat(&member_id, 1)));
        world.pass(1_200_000);
    }
    assert_eq!(
        fetched(&mut world, None),
        [1],
        "one is not subscribed to, and was committed 8 days ago"
    );
    world.pass(600_000);
    assert_eq!(world.state("g"), GroupState::Empty);
    world.pass(6 * DAY_MS);
    world.restart();
    world.pass(600_000);
    assert_eq!(fetched(&mut world, None), [1], "the time of its end is durable");
    world.pass(DAY_MS);
    assert_eq!(world.describe("g").error, ErrorCode::GroupIdNotFound);
    let gone = world.records.iter().rev().take(2);
    let tombstones = gone.filter(|it| {
        matches!(
            it,
            GroupRecord::Group { value: None, .. } | GroupRecord::Offset { value: None, .. }
        )
    });
    assert_eq!(tombstones.count(), 2);
}

#[test]
fn the_retention_of_a_group_of_consumers_counts_from_each_commit() {
    let mut world = World::with(GroupSettings {
        consumer: ConsumerTimes {
            session_timeout: Duration::from_secs(3_600),
            ..GroupSettings::default().consumer
        },
        ..GroupSettings::default()
    });
    world.has_topics(&[("t", 1)]);
    let classic = long_lived(&mut world, &["t"]);
    world.told(GroupRequest::Leave(leave(&classic, None)));
    let mut consumer = Consumer::new("a");
    consumer.joins(&mut world, &["t"]);
    let stays = |world: &mut World, consumer: &mut Consumer, days: u64| {
        for _ in 0..days * DAY_MS / 1_200_000 {
            consumer.beats(world);
            world.pass(1_200_000);
        }
    };
    let commits = |world: &mut World, consumer: &Consumer, topic| {
        let commit = commit("a", consumer.epoch, topic, 1);
        let answer = world.told(GroupRequest::CommitOffsets(commit));
        assert_eq!(error_of(&answer), ErrorCode::None);
    };
    commits(&mut world, &consumer, "t");
    stays(&mut world, &mut consumer, 6);
    commits(&mut world, &consumer, "u");
    stays(&mut world, &mut consumer, 6);
    assert_eq!(
        fetched(&mut world, Some(&["t", "u"])),
        [1, 1],
        "one is subscribed to, and the other was committed six days ago"
    );
    stays(&mut world, &mut consumer, 2);
    assert_eq!(fetched(&mut world, Some(&["t", "u"])), [1, -1]);
    commits(&mut world, &consumer, "u");
    world.told(GroupRequest::ConsumerHeartbeat(ConsumerHeartbeatRequest {
        member_epoch: -1,
        ..consumer.request()
    }));
    world.pass(600_000);
    assert_eq!(
        fetched(&mut world, Some(&["t", "u"])),
        [-1, 1],
        "nobody subscribes any more, and when the group became empty does not count"
    );
    world.pass(7 * DAY_MS + 600_000);
    assert_eq!(described(&mut world).error, ErrorCode::GroupIdNotFound);
}

#[test]
fn offsets_of_subscribed_topics_stay() {
    let mut world = World::new();
    let member_id = long_lived(&mut world, &["t"]);
    for topic in ["t", "u"] {
        let mut request = commit(&member_id, 1, topic, 4);
        request.retention_ms = Some(1);
        world.told(GroupRequest::CommitOffsets(request));
    }
    world.pass(600_000);
    assert_eq!(fetched(&mut world, Some(&["t", "u"])), [4, -1]);
    let request = DeleteOffsetsRequest {
        group_id: "g".into(),
        topics: vec![partition_0("t"), partition_0("u")],
    };
    let GroupAnswer::DeleteOffsets(answer) = world.told(GroupRequest::DeleteOffsets(request)) else {
        panic!("a deletion");
    };
    let errors: Vec<ErrorCode> = answer.topics.iter().map(|it| it.partitions[0].1).collect();
    assert_eq!(errors, [ErrorCode::GroupSubscribedToTopic, ErrorCode::None]);
}

#[test]
fn deletions_leave_tombstones_for_what_was_there_and_nothing_else() {
    let mut world = World::new();
    commits(&mut world, "t", 4);
    commits(&mut world, "u", 5);
    let written = world.records.len();
    let topics = vec![partition_0("t"), partition_0("never")];
    let group_id = String::from("g");
    world.told(GroupRequest::DeleteOffsets(DeleteOffsetsRequest {
        group_id,
        topics,
    }));
    assert_eq!(world.records.len(), written + 1);
    assert_eq!(fetched(&mut world, None), [5]);
    let group_id = String::from("g");
    let deleted = world.told(GroupRequest::Delete(DeleteRequest { group_id }));
    assert_eq!(error_of(&deleted), ErrorCode::None);
    assert_eq!(world.records.len(), written + 2);
    assert_eq!(world.describe("g").error, ErrorCode::GroupIdNotFound);
}

#[test]
fn times_are_those_of_the_wall() {
    let mut world = World::new();
    world.pass(5_000);
    let mut request = commit("", -1, "t", 5);
    request.retention_ms = Some(70);
    world.told(GroupRequest::CommitOffsets(request));
    let Some(GroupRecord::Offset {
        value: Some(value),
        partition,
        ..
    }) = world.records.last()
    else {
        panic!("an offset");
    };
    assert_eq!(*partition, PartitionIndex::new(0));
    assert_eq!(value.commit_timestamp, TimestampMs::new(1_005_000));
    assert_eq!(value.expire_timestamp, Some(TimestampMs::new(1_005_070)));
}
