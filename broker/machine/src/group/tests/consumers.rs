//! Groups of the consumer protocol: members join, move, are fenced and leave.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::{PartitionIndex, TopicId};

use super::world::*;
use crate::group::*;
use crate::testing::Random;

/// What a member keeps between two heartbeats.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub epoch: i32,
    pub has: Partitions,
}

impl Consumer {
    pub fn new(member_id: &str) -> Self {
        Self {
            member_id: member_id.into(),
            instance_id: None,
            epoch: 0,
            has: Partitions::new(),
        }
    }

    /// A request in which nothing changed but what it has.
    pub fn request(&self) -> ConsumerHeartbeatRequest {
        ConsumerHeartbeatRequest {
            group_id: "g".into(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rack_id: None,
            rebalance_timeout_ms: -1,
            subscribed_topic_names: None,
            subscribed_topic_regex: None,
            server_assignor: None,
            topic_partitions: Some(self.has.clone()),
            client: Client::default(),
            needs_member_id: true,
            draw: 7,
        }
    }

    /// A request that joins.
    pub fn joining(&self, topics: &[&str]) -> ConsumerHeartbeatRequest {
        ConsumerHeartbeatRequest {
            member_epoch: 0,
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(topics.iter().map(|it| it.to_string()).collect()),
            topic_partitions: Some(Partitions::new()),
            ..self.request()
        }
    }

    #[track_caller]
    pub fn joins(&mut self, world: &mut World, topics: &[&str]) {
        let request = self.joining(topics);
        self.hears(told(world, request));
    }

    /// Heartbeats, and gives up and takes at once what it is told to.
    #[track_caller]
    pub fn beats(&mut self, world: &mut World) {
        let request = self.request();
        self.hears(told(world, request));
    }

    #[track_caller]
    pub fn hears(&mut self, answer: ConsumerHeartbeatAnswer) {
        assert_eq!((answer.error, &answer.error_message), (ErrorCode::None, &None));
        self.member_id = answer.member_id.expect("a member's id").to_string();
        self.epoch = answer.member_epoch;
        self.has = answer.assignment.unwrap_or_else(|| self.has.clone());
    }
}

pub fn told(world: &mut World, request: ConsumerHeartbeatRequest) -> ConsumerHeartbeatAnswer {
    match world.told(GroupRequest::ConsumerHeartbeat(request)) {
        GroupAnswer::ConsumerHeartbeat(answer) => answer,
        other => panic!("{other:?}"),
    }
}

pub fn described(world: &mut World) -> ConsumerDescribeAnswer {
    let group_id = "g".into();
    match world.told(GroupRequest::ConsumerDescribe(DescribeRequest { group_id })) {
        GroupAnswer::ConsumerDescribe(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// The first topic has id 1 sixteen times, the next 2.
pub fn partition(topic: u8, index: i32) -> TopicPartition {
    (TopicId::new([topic; 16]), PartitionIndex::new(index))
}

/// A world with topics `t` of six and `u` of two partitions.
pub fn world() -> World {
    let mut world = World::with(assigning_every(Duration::ZERO, GroupSettings::default()));
    world.has_topics(&[("t", 6), ("u", 2)]);
    world
}

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut world = world();
    let mut first = Consumer::new("a");
    first.joins(&mut world, &["t", "u", "none"]);
    assert_eq!((first.epoch, first.has.len()), (2, 8));
    let group = described(&mut world);
    assert_eq!(
        (group.state, group.group_epoch, group.assignment_epoch),
        (GroupState::Stable, 2, 2)
    );
    assert_eq!(
        (group.assignor, &group.members[0].assigned),
        ("uniform", &first.has)
    );
    let again = told(
        &mut world,
        ConsumerHeartbeatRequest {
            topic_partitions: None,
            ..first.request()
        },
    );
    assert_eq!(
        (again.assignment, again.heartbeat_interval_ms),
        (None, 5_000),
        "nothing changed"
    );
}

#[test]
fn partitions_move_only_when_they_were_given_up() {
    let mut world = world();
    let (mut first, mut second) = (Consumer::new("a"), Consumer::new("b"));
    first.joins(&mut world, &["t"]);
    second.joins(&mut world, &["t"]);
    assert_eq!(
        (second.epoch, second.has.len()),
        (3, 0),
        "the first one has everything still"
    );
    assert_eq!(described(&mut world).state, GroupState::Reconciling);

    let told_less = told(&mut world, first.request());
    assert_eq!(told_less.member_epoch, 2, "it has to give up first");
    assert_eq!(told_less.assignment.as_ref().map(Partitions::len), Some(3));
    second.beats(&mut world);
    assert_eq!(second.has.len(), 0);
    first.hears(told_less);
    first.beats(&mut world);
    assert_eq!((first.epoch, first.has.len()), (3, 3));
    second.beats(&mut world);
    assert_eq!((second.epoch, second.has.len()), (3, 3));
    assert!(first.has.is_disjoint(&second.has));
    assert_eq!(described(&mut world).state, GroupState::Stable);
}

#[test]
fn who_has_nothing_any_more_need_not_give_up() {
    let mut world = world();
    let (mut first, mut second) = (Consumer::new("a"), Consumer::new("b"));
    first.joins(&mut world, &["t"]);
    second.joins(&mut world, &["t"]);
    first.joins(&mut world, &["t"]);
    assert_eq!((first.epoch, first.has.len()), (3, 3), "it began anew");
    second.beats(&mut world);
    assert_eq!((second.epoch, second.has.len()), (3, 3));
}

#[test]
fn who_gives_nothing_up_in_time_is_fenced() {
    let mut world = world();
    let (mut first, mut second) = (Consumer::new("a"), Consumer::new("b"));
    first.joins(&mut world, &["t"]);
    second.joins(&mut world, &["t"]);
    told(&mut world, first.request());
    for _ in 0..2 {
        world.pass(29_000);
        told(&mut world, first.request());
        second.beats(&mut world);
    }
    world.pass(2_000);
    let fenced = told(&mut world, first.request());
    assert_eq!(fenced.error, ErrorCode::UnknownMemberId);
    second.beats(&mut world);
    assert_eq!((second.epoch, second.has.len()), (4, 6));
}

#[test]
fn who_is_silent_for_its_session_is_out() {
    let mut world = world();
    let (mut first, mut second) = (Consumer::new("a"), Consumer::new("b"));
    first.joins(&mut world, &["t"]);
    second.joins(&mut world, &["u"]);
    world.pass(44_999);
    second.beats(&mut world);
    assert_eq!(described(&mut world).members.len(), 2);
    world.pass(1);
    assert_eq!(described(&mut world).members.len(), 1);
    assert_eq!(
        told(&mut world, first.request()).error,
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn epochs_that_do_not_fit_are_fenced() {
    let mut world = world();
    let mut first = Consumer::new("a");
    first.joins(&mut world, &["t"]);
    let mut second = Consumer::new("b");
    second.joins(&mut world, &["u"]);
    first.beats(&mut world);
    assert_eq!(first.epoch, 3);
    let mut at = |epoch: i32, has: Partitions| {
        let consumer = Consumer {
            epoch,
            has,
            ..first.clone()
        };
        let answer = told(&mut world, consumer.request());
        (answer.error, answer.assignment.map(|it| it.len()))
    };
    let nothing = Partitions::new;
    assert_eq!(at(4, nothing()), (ErrorCode::FencedMemberEpoch, None));
    assert_eq!(
        at(2, [partition(2, 0)].into()),
        (ErrorCode::FencedMemberEpoch, None),
        "it has what it may not"
    );
    assert_eq!(at(2, nothing()).0, ErrorCode::None, "an answer was lost");
    assert_eq!(
        at(0, nothing()).0,
        ErrorCode::InvalidRequest,
        "joining without a subscription"
    );
    let unknown = Consumer {
        epoch: 1,
        ..Consumer::new("who")
    };
    assert_eq!(
        told(&mut world, unknown.request()).error,
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn a_member_that_leaves_leaves_its_partitions() {
    let mut world = world();
    let (mut first, mut second) = (Consumer::new("a"), Consumer::new("b"));
    first.joins(&mut world, &["t"]);
    second.joins(&mut world, &["t"]);
    first.beats(&mut world);
    first.beats(&mut world);
    second.beats(&mut world);
    second.epoch = -1;
    let left = told(&mut world, second.request());
    assert_eq!((left.error, left.member_epoch), (ErrorCode::None, -1));
    first.beats(&mut world);
    assert_eq!((first.epoch, first.has.len()), (4, 6));
    first.epoch = -1;
    told(&mut world, first.request());
    assert_eq!(described(&mut world).state, GroupState::Empty);
    world.pass(600_000);
    assert_eq!(
        described(&mut world).error,
        ErrorCode::GroupIdNotFound,
        "empty, and nothing committed"
    );
    assert_eq!(world.machine.live_bytes(), 0);
}

#[test]
fn a_static_member_keeps_its_place_while_it_is_away() {
    let mut world = world();
    let mut first = Consumer {
        instance_id: Some("i".into()),
        ..Consumer::new("a")
    };
    first.joins(&mut world, &["t"]);
    let mut second = Consumer {
        instance_id: Some("i".into()),
        ..Consumer::new("b")
    };
    let refused = told(&mut world, second.joining(&["t"]));
    assert_eq!(refused.error, ErrorCode::UnreleasedInstanceId);
    first.epoch = -2;
    assert_eq!(told(&mut world, first.request()).member_epoch, -2);
    second.joins(&mut world, &["t"]);
    assert_eq!(
        (second.epoch, second.has.len()),
        (2, 6),
        "the group's epoch is the same"
    );
    first.epoch = 2;
    assert_eq!(
        told(&mut world, first.request()).error,
        ErrorCode::FencedInstanceId
    );
    second.epoch = -2;
    told(&mut world, second.request());
    world.pass(45_000);
    assert_eq!(
        described(&mut world).state,
        GroupState::Empty,
        "it did not come back"
    );
}

#[test]
fn who_goes_away_while_it_gives_up_has_given_up() {
    let mut world = world();
    let (mut first, mut second) = (Consumer::new("a"), Consumer::new("b"));
    first.instance_id = Some("i".into());
    first.joins(&mut world, &["t"]);
    second.joins(&mut world, &["t"]);
    first.beats(&mut world);
    first.epoch = -2;
    told(&mut world, first.request());
    second.beats(&mut world);
    assert_eq!(second.has.len(), 3);
    world.restart();
    world.pass(44_000);
    assert_eq!(
        described(&mut world).members.len(),
        2,
        "its place is its own for its session"
    );
}

#[test]
fn new_partitions_and_topics_are_assigned_with_the_next_heartbeat() {
    let mut world = world();
    let mut first = Consumer::new("a");
    first.joins(&mut world, &["t", "later"]);
    world.has_topics(&[("t", 8), ("u", 2), ("later", 1)]);
    first.beats(&mut world);
    assert_eq!((first.epoch, first.has.len()), (3, 9));
    world.has_topics(&[("u", 2)]);
    first.beats(&mut world);
    first.beats(&mut world);
    assert_eq!((first.epoch, first.has.len()), (4, 0));
}

#[test]
fn what_is_not_wanted_any_more_is_given_up_before_the_next_target() {
    let mut world = World::with(assigning_every(Duration::from_secs(10), GroupSettings::default()));
    world.has_topics(&[("t", 6), ("u", 2)]);
    let mut first = Consumer::new("a");
    first.joins(&mut world, &["t", "u"]);
    let answer = told(
        &mut world,
        ConsumerHeartbeatRequest {
            subscribed_topic_names: Some(vec!["u".into()]),
            ..first.request()
        },
    );
    assert_eq!(
        (
            answer.member_epoch,
            answer.assignment.as_ref().map(Partitions::len)
        ),
        (2, Some(2))
    );
    first.hears(answer);
    first.beats(&mut world);
    assert_eq!(
        (first.epoch, described(&mut world).state),
        (2, GroupState::Assigning)
    );
    world.pass(10_000);
    first.beats(&mut world);
    assert_eq!((first.epoch, first.has.len()), (3, 2));
}

/// With the long interval that the group began with, the second change would wait.
#[test]
fn the_pause_between_targets_may_be_altered() {
    let pause = |altered: Option<u64>| {
        let mut world = World::with(assigning_every(Duration::from_secs(10), GroupSettings::default()));
        world.has_topics(&[("t", 6)]);
        let mut first = Consumer::new("a");
        first.joins(&mut world, &["t"]);
        if let Some(seconds) = altered {
            world
                .machine
                .set_assignment_interval(Duration::from_secs(seconds));
        }
        world.pass(1_000);
        let mut second = Consumer::new("b");
        second.joins(&mut world, &["t"]);
        first.beats(&mut world);
        first.beats(&mut world);
        described(&mut world).state == GroupState::Assigning
    };
    assert_eq!([None, Some(20), Some(1)].map(pause), [true, true, false]);
}

#[test]
fn a_regular_expression_finds_topics_and_those_that_come_later() {
    let mut world = world();
    let mut first = Consumer::new("a");
    let by_regex = |regex: &str, consumer: &Consumer| ConsumerHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(regex.into()),
        ..consumer.joining(&[])
    };
    let refused = told(&mut world, by_regex("t(", &first));
    assert_eq!(refused.error, ErrorCode::InvalidRegularExpression);
    let request = by_regex("t.*", &first);
    first.hears(told(&mut world, request));
    assert_eq!((first.epoch, first.has.len()), (2, 6));
    assert!(
        described(&mut world).members[0]
            .subscription
            .topic_regex
            .is_some()
    );
    world.has_topics(&[("t", 6), ("u", 2), ("t2", 1)]);
    first.beats(&mut world);
    assert_eq!(first.has.len(), 6, "it looked just now");
    world.pass(10_000);
    first.beats(&mut world);
    assert_eq!((first.epoch, first.has.len()), (3, 7));
    world.restart();
    first.beats(&mut world);
    assert_eq!((first.epoch, first.has.len()), (3, 7), "nothing changed");
    let dropped = ConsumerHeartbeatRequest {
        subscribed_topic_names: Some(vec!["u".into()]),
        subscribed_topic_regex: Some(String::new()),
        ..first.request()
    };
    first.hears(told(&mut world, dropped));
    first.beats(&mut world);
    assert_eq!(first.has.len(), 2);
}

#[test]
fn members_choose_the_assignor() {
    let mut world = world();
    let (first, second) = (Consumer::new("a"), Consumer::new("b"));
    for consumer in [&first, &second] {
        told(
            &mut world,
            ConsumerHeartbeatRequest {
                server_assignor: Some("range".into()),
                ..consumer.joining(&["t", "u"])
            },
        );
    }
    let group = described(&mut world);
    assert_eq!(group.assignor, "range");
    let expected: Partitions = [partition(1, 0), partition(1, 1), partition(1, 2), partition(2, 0)].into();
    assert_eq!(*group.members[0].target, expected);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    type Change = fn(&mut ConsumerHeartbeatRequest);
    let changes: [(Change, ErrorCode); 10] = [
        (|it| it.member_id.clear(), ErrorCode::InvalidRequest),
        (|it| it.group_id.clear(), ErrorCode::InvalidRequest),
        (|it| it.instance_id = Some(" ".into()), ErrorCode::InvalidRequest),
        (|it| it.rack_id = Some(String::new()), ErrorCode::InvalidRequest),
        (|it| it.rebalance_timeout_ms = -1, ErrorCode::InvalidRequest),
        (|it| it.topic_partitions = None, ErrorCode::InvalidRequest),
        (|it| it.subscribed_topic_names = None, ErrorCode::InvalidRequest),
        (|it| it.member_epoch = -3, ErrorCode::InvalidRequest),
        (|it| it.member_epoch = -2, ErrorCode::InvalidRequest),
        (
            |it| it.server_assignor = Some("sticky".into()),
            ErrorCode::UnsupportedAssignor,
        ),
    ];
    for (index, (change, expected)) in changes.into_iter().enumerate() {
        let mut world = world();
        let mut request = Consumer::new("a").joining(&["t"]);
        change(&mut request);
        let answer = told(&mut world, request);
        assert_eq!(
            (answer.error, answer.error_message.is_some()),
            (expected, true),
            "request {index}"
        );
        assert_eq!(world.records.len(), 0);
    }
    let mut world = world();
    let stranger = Consumer {
        epoch: 4,
        ..Consumer::new("a")
    };
    assert_eq!(
        told(&mut world, stranger.request()).error,
        ErrorCode::GroupIdNotFound
    );
}

#[test]
fn what_is_too_much_is_refused_and_who_is_there_goes_on() {
    let settings = GroupSettings {
        consumer_group_max_size: 2,
        state_bytes_max: 20_000,
        group_record_bytes_max: 5_000,
        ..GroupSettings::default()
    };
    let mut world = World::with(settings);
    world.has_topics(&[("t", 6), ("u", 2), ("huge", 200), ("wide", 80)]);
    let long = || "x".repeat(32_768);
    let changes: [fn(&mut ConsumerHeartbeatRequest, String); 6] = [
        |it, long| it.group_id = long,
        |it, long| it.member_id = long,
        |it, long| it.instance_id = Some(long),
        |it, long| it.rack_id = Some(long),
        |it, long| it.subscribed_topic_names = Some(vec![long]),
        |it, long| it.client.id = long,
    ];
    for change in changes {
        let mut request = Consumer::new("a").joining(&["t"]);
        change(&mut request, long());
        assert_eq!(told(&mut world, request).error, ErrorCode::UnknownServerError);
    }
    assert_eq!(world.records.len(), 0);
    let mut first = Consumer::new("a");
    first.joins(&mut world, &["t"]);
    let names: Vec<String> = (0..200).map(|it| std::format!("topic-{it}")).collect();
    let subscribes = |names: Vec<String>, consumer: &Consumer| ConsumerHeartbeatRequest {
        subscribed_topic_names: Some(names),
        ..consumer.request()
    };
    let refused = told(&mut world, subscribes(names, &first));
    assert_eq!(
        refused.error,
        ErrorCode::UnknownServerError,
        "a record of its names"
    );
    world.pass(1_000);
    let refused = told(&mut world, subscribes(vec!["huge".into()], &first));
    assert_eq!(
        refused.error,
        ErrorCode::UnknownServerError,
        "a record of its partitions"
    );
    let newcomer = Consumer::new("n");
    let refused = told(&mut world, newcomer.joining(&["huge"]));
    assert_eq!(refused.error, ErrorCode::UnknownServerError);
    world.pass(44_000);
    told(&mut world, subscribes(vec!["t".into()], &first));
    world.pass(1_000);
    first.beats(&mut world);
    assert_eq!(
        described(&mut world).members.len(),
        1,
        "it is forgotten when its session is over"
    );
    let mut full = 0;
    for index in 0..20 {
        let request = ConsumerHeartbeatRequest {
            group_id: std::format!("g{index}"),
            ..Consumer::new("a").joining(&["wide"])
        };
        full += u32::from(told(&mut world, request).error == ErrorCode::CoordinatorNotAvailable);
        assert!(world.machine.live_bytes() <= 20_000 + 2_000);
    }
    assert!(full > 0, "no room for assignments");
    first.hears(told(&mut world, subscribes(vec!["u".into()], &first)));
    world.pass(1_000);
    first.beats(&mut world);
    assert_eq!(first.has.len(), 2);
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut world = World::with(GroupSettings {
        consumer_group_max_size: 1,
        ..GroupSettings::default()
    });
    let mut first = Consumer::new("a");
    first.joins(&mut world, &["t"]);
    let refused = told(&mut world, Consumer::new("b").joining(&["t"]));
    assert_eq!(refused.error, ErrorCode::GroupMaxSizeReached);
    first.joins(&mut world, &["t"]);
}

#[test]
fn commits_are_held_against_the_epochs_of_the_partitions() {
    let mut world = world();
    let (mut first, mut second) = (Consumer::new("a"), Consumer::new("b"));
    first.joins(&mut world, &["t"]);
    second.joins(&mut world, &["t"]);
    first.beats(&mut world);
    first.beats(&mut world);
    second.beats(&mut world);
    let mut commits = |member_id: &str, epoch: i32, index: i32| {
        let mut request = commit(member_id, epoch, "t", 1);
        request.topics[0].partitions[0].partition = PartitionIndex::new(index);
        error_of(&world.told(GroupRequest::CommitOffsets(request)))
    };
    let of_first = first.has.first().expect("a partition").1.get();
    let of_second = second.has.first().expect("a partition").1.get();
    assert_eq!(commits("a", 3, of_first), ErrorCode::None);
    assert_eq!(commits("a", 2, of_first), ErrorCode::None, "it has it since then");
    assert_eq!(commits("a", 2, of_second), ErrorCode::StaleMemberEpoch);
    assert_eq!(
        commits("b", 2, of_second),
        ErrorCode::StaleMemberEpoch,
        "it has it since later"
    );
    assert_eq!(commits("a", 4, of_first), ErrorCode::StaleMemberEpoch);
    assert_eq!(commits("who", 3, 0), ErrorCode::UnknownMemberId);
    assert_eq!(commits("", -1, 0), ErrorCode::UnknownMemberId);
    let mut fetches = |member_id: Option<&str>, member_epoch: i32| {
        let request = FetchRequest {
            member_id: member_id.map(String::from),
            member_epoch,
            ..fetch(None)
        };
        error_of(&world.told(GroupRequest::FetchOffsets(request)))
    };
    assert_eq!(fetches(None, -1), ErrorCode::None);
    assert_eq!(fetches(Some("a"), 3), ErrorCode::None);
    assert_eq!(fetches(Some("a"), 2), ErrorCode::StaleMemberEpoch);
    assert_eq!(fetches(Some("who"), 2), ErrorCode::UnknownMemberId);
}

#[test]
fn an_empty_group_changes_its_protocol_and_keeps_its_offsets() {
    let mut world = world();
    let mut first = Consumer::new("a");
    first.joins(&mut world, &["t"]);
    let mut classic = join(&mut world, "", &[("range", b"")]);
    classic.requires_known_member_id = false;
    assert_eq!(
        world.describe("g").error,
        ErrorCode::GroupIdNotFound,
        "not a classic group"
    );
    world.told(GroupRequest::Leave(leave("a", None)));
    world.told(GroupRequest::CommitOffsets(commit("", -1, "t", 3)));
    world.ask(GroupRequest::Join(classic));
    world.pass(3_000);
    assert_eq!(world.state("g"), GroupState::CompletingRebalance);
    first.epoch = 0;
    world.pass(60_000);
    first.joins(&mut world, &["t"]);
    assert_eq!(described(&mut world).state, GroupState::Stable);
    let GroupAnswer::FetchOffsets(kept) = world.told(GroupRequest::FetchOffsets(fetch(None))) else {
        panic!("a fetch");
    };
    assert_eq!(kept.topics.len(), 1, "its offsets outlive its protocols");
}

#[test]
fn an_empty_group_without_offsets_ends_with_a_classic_member_that_it_does_not_know() {
    for (has_offsets, left) in [(false, ErrorCode::GroupIdNotFound), (true, ErrorCode::None)] {
        let mut world = world();
        Consumer::new("a").joins(&mut world, &["t"]);
        world.told(GroupRequest::Leave(leave("a", None)));
        if has_offsets {
            world.told(GroupRequest::CommitOffsets(commit("", -1, "t", 3)));
        }
        let stranger = join(&mut world, "who", &[("range", b"")]);
        let refused = world.told(GroupRequest::Join(stranger));
        assert_eq!(error_of(&refused), ErrorCode::UnknownMemberId);
        assert_eq!(world.describe("g").error, left);
        world.restart();
        assert_eq!(world.describe("g").error, left);
        world.check();
    }
}

#[test]
fn a_restart_changes_nothing_but_the_sessions() {
    let mut world = world();
    let (mut first, mut second) = (Consumer::new("a"), Consumer::new("b"));
    first.joins(&mut world, &["t"]);
    second.joins(&mut world, &["t"]);
    told(&mut world, first.request());
    let before = described(&mut world);
    world.restart();
    assert_eq!(described(&mut world), before);
    world.check();
    world.pass(45_000);
    assert_eq!(described(&mut world).members.len(), 0);
}

/// Whatever members do, what must hold holds after every step, and when they keep still the group settles.
#[test]
fn members_at_random_settle() {
    for seed in 0..80 {
        let mut random = Random::new(seed);
        let mut world = world();
        let mut consumers: Vec<Consumer> = (0..5)
            .map(|index| Consumer::new(&std::format!("m{index}")))
            .collect();
        consumers[0].instance_id = Some("i".into());
        for _ in 0..200 {
            let index = random.below(5) as usize;
            step(&mut random, &mut world, &mut consumers[index]);
        }
        settle(&mut world, &mut consumers, seed);
        world.pass(60_000);
        assert!(described(&mut world).members.is_empty(), "seed {seed}");
        world.pass(600_000);
        assert_eq!(world.machine.live_bytes(), 0, "seed {seed}");
    }
}

fn step(random: &mut Random, world: &mut World, consumer: &mut Consumer) {
    let topics: [&[&str]; 4] = [&["t"], &["t", "u"], &["u"], &[]];
    let topics = topics[random.below(4) as usize];
    let mut request = match random.below(10) {
        0 | 1 => consumer.joining(topics),
        2 => ConsumerHeartbeatRequest {
            subscribed_topic_names: Some(topics.iter().map(|it| it.to_string()).collect()),
            ..consumer.request()
        },
        _ => consumer.request(),
    };
    match random.below(20) {
        0 => request.member_epoch = -1,
        1 if consumer.instance_id.is_some() => request.member_epoch = -2,
        2 => request.topic_partitions = request.topic_partitions.filter(|_| request.member_epoch == 0),
        3 => request.member_epoch += 1,
        4 => world.restart(),
        5 => world.has_topics(&[
            ("t", random.below(9) as u32 + 1),
            ("u", random.below(3) as u32 + 1),
        ]),
        6 => world.pass(random.of_any_size(16)),
        _ => {}
    }
    let joined = request.member_epoch >= 0;
    let answer = told(world, request);
    if answer.error != ErrorCode::None || !joined {
        consumer.epoch = 0;
        consumer.has.clear();
    } else if random.below(5) > 0 {
        consumer.hears(answer);
    }
}

/// Everybody rejoins and heartbeats until nothing moves.
fn settle(world: &mut World, consumers: &mut [Consumer], seed: u64) {
    world.has_topics(&[("t", 6), ("u", 2)]);
    world.pass(45_000);
    for consumer in consumers.iter_mut() {
        *consumer = Consumer {
            epoch: 0,
            has: Partitions::new(),
            ..consumer.clone()
        };
        consumer.joins(world, &["t", "u"]);
    }
    for _ in 0..6 {
        consumers.iter_mut().for_each(|consumer| consumer.beats(world));
    }
    assert_eq!(described(world).state, GroupState::Stable, "seed {seed}");
    let mut all = Partitions::new();
    for consumer in consumers {
        assert!((1..=2).contains(&consumer.has.len()), "seed {seed}: fair shares");
        all.append(&mut consumer.has.clone());
    }
    assert_eq!(all.len(), 8, "seed {seed}: every partition has an owner");
}
