//! Groups that go from the classic protocol to the consumer protocol and back while they have members.

use std::string::{String, ToString};
use std::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::Duration;
use millstream_protocol::types::PartitionIndex;

use super::classic_peer::*;
use super::consumers::{Consumer, described, partition, told, world};
use super::world::*;
use crate::group::*;

const REBALANCE: ErrorCode = ErrorCode::RebalanceInProgress;
const NONE: Option<ErrorCode> = Some(ErrorCode::None);

fn world_with(settings: GroupSettings) -> World {
    let mut world = World::with(assigning_every(Duration::ZERO, settings));
    world.has_topics(&[("t", 6), ("u", 2)]);
    world
}

/// Everybody heartbeats and does as told until nothing moves: then each partition of `t` has one owner.
fn settle(world: &mut World, classics: &mut [&mut ClassicPeer], consumers: &mut [&mut Consumer]) {
    for _ in 0..6 {
        consumers.iter_mut().for_each(|it| it.beats(world));
        for peer in classics.iter_mut() {
            peer.hears(world);
            if peer.waits.is_none() && peer.beats(world) != ErrorCode::None {
                peer.joins(world, &["t"]);
            }
        }
        classics.iter_mut().for_each(|peer| {
            peer.hears(world);
        });
    }
    let classics = classics.iter().map(|it| &it.has);
    let all: Vec<&Partitions> = classics.chain(consumers.iter().map(|it| &it.has)).collect();
    let each: usize = all.iter().map(|it| it.len()).sum();
    let union: Partitions = all.into_iter().flatten().copied().collect();
    assert_eq!((each, union.len()), (6, 6));
}

#[test]
fn a_group_goes_over_member_by_member_and_back() {
    let mut world = world();
    let mut classics = [ClassicPeer::new(), ClassicPeer::new()];
    stable(&mut world, &mut classics, &["t"]);
    let [mut a, mut b] = classics;
    let (had_a, had_b) = (a.has.clone(), b.has.clone());
    let mut c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    let group = described(&mut world);
    assert_eq!((group.group_epoch, group.assignment_epoch, c.epoch), (2, 2, 2));
    assert_eq!(c.has.len(), 0, "the others have everything still");
    let of = |id: &str| {
        group
            .members
            .iter()
            .find(|it| *it.member_id == *id)
            .expect("a member")
    };
    assert_eq!(
        (of(&a.member_id).member_epoch, &of(&a.member_id).assigned),
        (1, &had_a)
    );
    assert_eq!(
        (of(&b.member_id).member_epoch, &of(&b.member_id).assigned),
        (1, &had_b)
    );
    assert_eq!(
        of(&a.member_id)
            .subscription
            .classic
            .as_ref()
            .map(|it| it.session_timeout_ms),
        Some(10_000)
    );
    assert_eq!(of("c").subscription.classic, None);
    assert_eq!(
        world.describe("g").error,
        ErrorCode::GroupIdNotFound,
        "no classic group"
    );

    assert_eq!(a.beats(&mut world), REBALANCE);
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    assert_eq!((a.generation, a.has.len()), (2, 2));
    settle(&mut world, &mut [&mut a, &mut b], &mut [&mut c]);
    assert_eq!((a.has.len(), b.has.len(), c.has.len()), (2, 2, 2));

    a.leaves(&mut world);
    let mut d = Consumer::new("d");
    d.joins(&mut world, &["t"]);
    b.leaves(&mut world);
    settle(&mut world, &mut [], &mut [&mut c, &mut d]);

    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    settle(&mut world, &mut [&mut a], &mut [&mut c, &mut d]);
    c.epoch = -1;
    told(&mut world, c.request());
    assert_eq!(b.joins(&mut world, &["t"]), NONE);
    settle(&mut world, &mut [&mut a, &mut b], &mut [&mut d]);
    let epoch = described(&mut world).group_epoch;
    d.epoch = -1;
    told(&mut world, d.request());
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
    assert_eq!(
        (a.generation, a.beats(&mut world)),
        (epoch, REBALANCE),
        "the generation is the epoch"
    );
    settle(&mut world, &mut [&mut a, &mut b], &mut []);
    assert_eq!((world.state("g"), a.generation), (GroupState::Stable, epoch + 1));
}

#[test]
fn who_waits_in_a_classic_group_is_told_to_join_the_other() {
    let mut world = world();
    let mut classics = [ClassicPeer::new(), ClassicPeer::new()];
    stable(&mut world, &mut classics, &["t"]);
    let [mut a, mut b] = classics;
    let mut late = ClassicPeer::new();
    assert_eq!(
        late.joins(&mut world, &["t"]),
        None,
        "the others have to join first"
    );
    let mut c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    assert_eq!(late.hears(&mut world), Some(REBALANCE));
    assert_eq!(late.joins(&mut world, &["t"]), NONE);
    settle(&mut world, &mut [&mut a, &mut b, &mut late], &mut [&mut c]);

    let mut world = self::world();
    let mut classics = [ClassicPeer::new(), ClassicPeer::new()];
    stable(&mut world, &mut classics, &["t"]);
    let [mut a, mut b] = classics;
    a.joins(&mut world, &["u"]);
    b.joins(&mut world, &["u"]);
    assert!(b.waits.is_some(), "for the leader's assignment");
    c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    assert_eq!(b.hears(&mut world), Some(REBALANCE));
}

#[test]
fn what_cannot_be_a_consumer_group_stays_a_classic_one() {
    let refused = |settings: GroupSettings, spoil: &dyn Fn(&mut World), words: &str, error: ErrorCode| {
        let mut world = world_with(settings);
        spoil(&mut world);
        let before = world.records.len();
        let answer = told(&mut world, Consumer::new("c").joining(&["t"]));
        let message = answer.error_message.expect("words");
        assert_eq!(answer.error, error, "{words}");
        assert!(message.ends_with(words), "{message}");
        assert_eq!(
            (world.records.len(), world.state("g")),
            (before, GroupState::Stable)
        );
    };
    let not_found = ErrorCode::GroupIdNotFound;
    let sound = |world: &mut World| stable(world, &mut [ClassicPeer::new(), ClassicPeer::new()], &["t"]);
    let settings = GroupSettings::default();
    for migration in [MigrationPolicy::Disabled, MigrationPolicy::Downgrade] {
        let settings = GroupSettings {
            migration,
            ..settings
        };
        refused(settings, &sound, "because online upgrade is disabled.", not_found);
    }
    let small = GroupSettings {
        consumer_group_max_size: 1,
        ..settings
    };
    let words = "because the group size exceeds the consumer group maximum size.";
    refused(small, &sound, words, not_found);
    let small = GroupSettings {
        consumer_group_max_size: 2,
        ..settings
    };
    let words = "has reached its maximum capacity of 2 members.";
    refused(small, &sound, words, ErrorCode::GroupMaxSizeReached);
    let full = GroupSettings {
        state_bytes_max: 5_000,
        ..settings
    };
    let words = "has no room for more members or subscriptions.";
    refused(full, &sound, words, ErrorCode::CoordinatorNotAvailable);

    let sole = |kind: &'static str, metadata: &'static [u8], share: &'static [u8]| {
        move |world: &mut World| {
            let mut request = join(world, "", &[("range", metadata)]);
            request.protocol_type = kind.into();
            request.requires_known_member_id = false;
            let ticket = world.ask(GroupRequest::Join(request));
            world.pass(3_000);
            let Some(GroupAnswer::Join(answer)) = world.answer(ticket) else {
                panic!("a member");
            };
            let id = answer.member_id.to_string();
            world.told(GroupRequest::Sync(sync(&id, 1, &[(&id, share)])));
        }
    };
    let sound = b"\0\0\0\0\0\0\xff\xff\xff\xff";
    let words = "because the group does not use the consumer embedded protocol.";
    refused(settings, &sole("connect", sound, b""), words, not_found);
    let words = "because the embedded consumer protocol is malformed.";
    refused(settings, &sole("consumer", b"\0\x01x", b""), words, not_found);
    refused(settings, &sole("consumer", sound, b"\0\x01x"), words, not_found);
    let words = "to a default assignor before re-attempting the upgrade.";
    refused(
        settings,
        &sole("consumer", sound, b"\0\x01\0\0\0\0\0\0\0\x01x"),
        words,
        not_found,
    );
}

#[test]
fn partitions_that_two_members_have_are_no_upgrade() {
    let mut world = world();
    let mut classics = [ClassicPeer::new(), ClassicPeer::new()];
    stable(&mut world, &mut classics, &["t"]);
    let [mut a, mut b] = classics;
    assert_eq!(
        (a.joins(&mut world, &["u"]), b.joins(&mut world, &["u"])),
        (None, None)
    );
    let all = b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\xff\xff\xff\xff".to_vec();
    let shares = [(a.member_id.clone(), all.clone()), (b.member_id.clone(), all)];
    for peer in [&mut a, &mut b] {
        if let Some(GroupAnswer::Join(answer)) = peer.waits.and_then(|it| world.answer(it)) {
            peer.generation = answer.generation_id;
        }
    }
    for peer in [&mut a, &mut b] {
        if peer.generation == 2 {
            peer.syncs(&mut world, &shares);
        }
    }
    let answer = told(&mut world, Consumer::new("c").joining(&["t"]));
    assert_eq!(answer.error, ErrorCode::UnknownServerError);
    assert_eq!(world.state("g"), GroupState::Stable);
}

#[test]
fn a_cooperative_member_gives_up_before_others_take_over() {
    let mut world = world();
    let mut classics = [ClassicPeer {
        is_eager: false,
        ..ClassicPeer::new()
    }];
    stable(&mut world, &mut classics, &["t"]);
    let [mut a] = classics;
    let mut c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    assert_eq!((a.has.len(), a.beats(&mut world)), (6, REBALANCE));
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    assert_eq!(
        (a.generation, a.has.len()),
        (1, 3),
        "it has to give three up first"
    );
    c.beats(&mut world);
    assert_eq!(c.has.len(), 0);
    assert_eq!(a.beats(&mut world), REBALANCE, "it has to say that it gave up");
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    assert_eq!(
        (a.generation, a.has.len(), a.beats(&mut world)),
        (2, 3, ErrorCode::None)
    );
    c.beats(&mut world);
    assert_eq!((c.has.len(), c.has.is_disjoint(&a.has)), (3, true));
}

#[test]
fn a_classic_member_that_waits_for_partitions_is_told_when_they_are_free() {
    let mut world = world();
    let mut c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    let mut a = ClassicPeer::new();
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    assert_eq!(
        (a.generation, a.has.len(), a.beats(&mut world)),
        (3, 0, ErrorCode::None)
    );
    c.beats(&mut world);
    assert_eq!(a.beats(&mut world), ErrorCode::None, "not yet");
    c.beats(&mut world);
    assert_eq!(a.beats(&mut world), REBALANCE);
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    assert_eq!(a.has.len(), 3);
}

#[test]
fn classic_members_have_their_own_times() {
    let group = || {
        let mut world = world();
        let mut a = ClassicPeer {
            session_timeout_ms: 20_000,
            ..ClassicPeer::new()
        };
        let mut c = Consumer::new("c");
        c.joins(&mut world, &["t"]);
        assert_eq!(a.joins(&mut world, &["t"]), NONE);
        settle(&mut world, &mut [&mut a], &mut [&mut c]);
        (world, a, c)
    };
    let is_there = |world: &mut World, a: &ClassicPeer| a.beats(world) != ErrorCode::UnknownMemberId;

    let (mut world, a, _) = group();
    world.pass(19_999);
    assert!(is_there(&mut world, &a));
    world.pass(20_000);
    assert!(!is_there(&mut world, &a), "its session");

    let (mut world, a, mut c) = group();
    let mut d = Consumer::new("d");
    d.joins(&mut world, &["t"]);
    for _ in 0..6 {
        assert!(is_there(&mut world, &a));
        c.beats(&mut world);
        d.beats(&mut world);
        world.pass(10_000);
    }
    assert!(
        !is_there(&mut world, &a),
        "its time to join again, from when it was told first"
    );

    let (mut world, a, mut c) = group();
    let request = a.joining(&mut world, &["t"]);
    world.told(GroupRequest::Join(request));
    for _ in 0..6 {
        assert!(is_there(&mut world, &a));
        c.beats(&mut world);
        world.pass(10_000);
    }
    assert!(!is_there(&mut world, &a), "its time to sync");
}

#[test]
fn a_static_member_goes_over_under_its_instance_id_and_back() {
    let mut world = world();
    let mut classics = [ClassicPeer::fixed("i"), ClassicPeer::new()];
    stable(&mut world, &mut classics, &["t"]);
    let [mut a, mut b] = classics;
    let mut c = Consumer::new("c");
    c.instance_id = Some("i".into());
    let had = a.has.clone();
    c.joins(&mut world, &["t"]);
    assert_eq!(
        (&c.has, c.epoch),
        (&had, 1),
        "it takes its own place over, and nobody else moves"
    );
    assert_eq!((b.beats(&mut world), b.generation), (ErrorCode::None, 1));
    assert_eq!(a.beats(&mut world), ErrorCode::FencedInstanceId);

    a = ClassicPeer::fixed("i");
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    assert_eq!(
        world.state("g"),
        GroupState::Stable,
        "a classic group at once, that need not meet"
    );
    assert_eq!((&a.has, a.generation), (&had, 1));
    assert_eq!(
        (a.beats(&mut world), b.beats(&mut world)),
        (ErrorCode::None, ErrorCode::None)
    );
    assert_eq!(told(&mut world, c.request()).error, ErrorCode::GroupIdNotFound);

    c.epoch = 0;
    c.joins(&mut world, &["t"]);
    a = ClassicPeer::fixed("i");
    assert_eq!(
        a.joins(&mut world, &["t", "u"]),
        Some(ErrorCode::IllegalGeneration),
        "another subscription: all have to meet"
    );
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
    b.joins(&mut world, &["t", "u"]);
    a.joins(&mut world, &["t", "u"]);
    b.hears(&mut world);
    b.hears(&mut world);
    assert_eq!(
        (a.has.len() + b.has.len(), world.state("g")),
        (8, GroupState::Stable)
    );
}

#[test]
fn a_member_that_goes_on_in_the_consumer_protocol_owes_nothing_of_the_other() {
    let mut world = world();
    let mut c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    let mut a = ClassicPeer {
        member_id: "a".into(),
        is_eager: false,
        ..ClassicPeer::new()
    };
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    settle(&mut world, &mut [&mut a], &mut [&mut c]);
    let mut d = Consumer::new("d");
    d.joins(&mut world, &["t"]);
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    assert_eq!(
        a.beats(&mut world),
        REBALANCE,
        "it has to give one up, and to join again"
    );
    let mut on = Consumer::new("a");
    on.joins(&mut world, &["t"]);
    for _ in 0..8 {
        world.pass(10_000);
        for member in [&mut on, &mut c, &mut d] {
            member.beats(&mut world);
        }
    }
    settle(&mut world, &mut [], &mut [&mut on, &mut c, &mut d]);
    assert_eq!(
        a.beats(&mut world),
        ErrorCode::UnknownMemberId,
        "it is none of that protocol any more"
    );
}

#[test]
fn a_group_becomes_classic_only_where_it_may() {
    for (settings, becomes) in [
        (GroupSettings::default(), true),
        (
            GroupSettings {
                migration: MigrationPolicy::Downgrade,
                ..GroupSettings::default()
            },
            true,
        ),
        (
            GroupSettings {
                migration: MigrationPolicy::Upgrade,
                ..GroupSettings::default()
            },
            false,
        ),
        (
            GroupSettings {
                group_max_size: 1,
                ..GroupSettings::default()
            },
            false,
        ),
        (
            GroupSettings {
                group_record_bytes_max: 3_000,
                state_bytes_max: 60_000,
                ..GroupSettings::default()
            },
            true,
        ),
        (
            GroupSettings {
                group_record_bytes_max: 2_900,
                ..GroupSettings::default()
            },
            true,
        ),
    ] {
        let mut world = world_with(settings);
        let mut c = Consumer::new("c");
        c.joins(&mut world, &["t"]);
        let (mut a, mut b) = (ClassicPeer::new(), ClassicPeer::new());
        assert_eq!(
            (a.joins(&mut world, &["t"]), b.joins(&mut world, &["t"])),
            (NONE, NONE)
        );
        settle(&mut world, &mut [&mut a, &mut b], &mut [&mut c]);
        c.epoch = -1;
        told(&mut world, c.request());
        let is_classic = world.describe("g").error == ErrorCode::None;
        assert_eq!(is_classic, becomes, "{settings:?}");
        settle(&mut world, &mut [&mut a, &mut b], &mut []);
    }
}

#[test]
fn a_member_that_dies_is_as_one_that_leaves() {
    let mut world = world();
    let mut c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    let mut a = ClassicPeer {
        session_timeout_ms: 60_000,
        ..ClassicPeer::new()
    };
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    world.pass(45_000);
    assert_eq!(
        world.state("g"),
        GroupState::PreparingRebalance,
        "the last consumer died"
    );
    settle(&mut world, &mut [&mut a], &mut []);
    world.pass(60_000);
    assert_eq!(world.state("g"), GroupState::Empty);
}

#[test]
fn commits_of_classic_members_are_at_their_generation() {
    let mut world = world();
    let mut c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    let mut a = ClassicPeer::new();
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    settle(&mut world, &mut [&mut a], &mut [&mut c]);
    let index = a.has.first().expect("a partition").1;
    let mut commits = |generation: i32, index: PartitionIndex, is_new: bool| {
        let mut request = commit(&a.member_id, generation, "t", 1);
        request.topics[0].partitions[0].partition = index;
        request.understands_new_errors = is_new;
        error_of(&world.told(GroupRequest::CommitOffsets(request)))
    };
    assert_eq!(commits(3, index, true), ErrorCode::None);
    assert_eq!(commits(3, index, false), ErrorCode::None, "in any version");
    assert_eq!(commits(4, index, true), ErrorCode::IllegalGeneration);
    assert_eq!(
        commits(2, index, true),
        ErrorCode::IllegalGeneration,
        "it has it since later"
    );
    let fetches = FetchRequest {
        member_id: Some(a.member_id.clone()),
        member_epoch: 2,
        ..fetch(None)
    };
    let answer = world.told(GroupRequest::FetchOffsets(fetches));
    assert_eq!(error_of(&answer), ErrorCode::IllegalGeneration);
}

#[test]
fn a_restart_keeps_both_kinds_of_members() {
    let mut world = world();
    let mut classics = [ClassicPeer::new(), ClassicPeer::new()];
    stable(&mut world, &mut classics, &["t"]);
    let [mut a, mut b] = classics;
    let mut c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    a.is_eager = false;
    assert_eq!(a.joins(&mut world, &["t"]), NONE);
    let before = described(&mut world);
    world.restart();
    assert_eq!(described(&mut world), before);
    world.check();
    settle(&mut world, &mut [&mut a, &mut b], &mut [&mut c]);
    world.pass(9_999);
    assert_eq!(described(&mut world).members.len(), 3);
    c.beats(&mut world);
    world.pass(2);
    assert_eq!(described(&mut world).members.len(), 1, "sessions of their own");
    world.pass(1_000_000);
    assert_eq!(world.machine.live_bytes(), 0);
}

#[test]
fn subscriptions_too_large_are_refused_and_who_is_there_goes_on() {
    let settings = GroupSettings {
        group_record_bytes_max: 5_000,
        state_bytes_max: 14_000,
        ..GroupSettings::default()
    };
    let mut world = world_with(settings);
    let mut c = Consumer::new("c");
    c.joins(&mut world, &["t"]);
    let names: Vec<String> = (0..60).map(|it| std::format!("topic-{it}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut a = ClassicPeer::new();
    assert_eq!(a.joins(&mut world, &names), Some(ErrorCode::UnknownServerError));
    let mut full = 0;
    for _ in 0..8 {
        let mut peer = ClassicPeer::new();
        full += u32::from(peer.joins(&mut world, &["t"]) == Some(ErrorCode::CoordinatorNotAvailable));
        assert!(world.machine.live_bytes() <= 14_000);
    }
    assert!(full > 0, "no room");
    c.beats(&mut world);
    assert!(c.has.contains(&partition(1, 0)) || c.has.len() < 6);
}
