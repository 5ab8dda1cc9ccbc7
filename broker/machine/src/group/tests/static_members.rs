//! Static members come back under their instance id.

use std::string::{String, ToString};

use millstream_protocol::error::ErrorCode;

use super::world::*;
use crate::group::*;

const RANGE: &[(&str, &[u8])] = &[("range", b"\0\0\0\0\0\0")];
const BOTH: &[(&str, &[u8])] = &[("range", b"\0\0\0\0\0\0"), ("sticky", b"s")];

fn comes(world: &mut World, instance_id: &str, protocols: &[(&str, &[u8])], skips: bool) -> Ticket {
    let mut request = join(world, "", protocols);
    request.group_instance_id = Some(instance_id.into());
    request.supports_skipping_assignment = skips;
    world.ask(GroupRequest::Join(request))
}

#[track_caller]
fn joined(world: &mut World, ticket: Ticket) -> JoinAnswer {
    match world.answer(ticket) {
        Some(GroupAnswer::Join(answer)) => answer,
        other => panic!("no join: {other:?}"),
    }
}

/// The instances `a`, which leads, and `b` in a stable group.
fn stable(world: &mut World) -> [String; 2] {
    let tickets = ["a", "b"].map(|instance| comes(world, instance, BOTH, false));
    world.pass(6_000);
    let ids = tickets.map(|ticket| joined(world, ticket).member_id.to_string());
    assert!(ids[0].starts_with("a-") && ids[1].starts_with("b-"));
    let shares: [(&str, &[u8]); 2] = [(&ids[0], b"one"), (&ids[1], b"two")];
    for id in [&ids[1], &ids[0]] {
        world.ask(GroupRequest::Sync(sync(id, 1, &shares)));
    }
    assert_eq!(world.state("g"), GroupState::Stable);
    ids
}

#[test]
fn a_follower_takes_its_place_over_and_nobody_notices() {
    let mut world = World::new();
    let [leader, old] = stable(&mut world);
    let ticket = comes(&mut world, "b", BOTH, false);
    let answer = joined(&mut world, ticket);
    assert_eq!((answer.error, answer.generation_id), (ErrorCode::None, 1));
    assert_eq!((&*answer.leader, answer.skip_assignment), (&*leader, false));
    assert_ne!(*answer.member_id, *old);
    assert_eq!(world.state("g"), GroupState::Stable);
    world.restart();
    let described = world.describe("g");
    let taken = described
        .members
        .iter()
        .find(|it| it.member_id == answer.member_id);
    assert_eq!(&*taken.expect("the new id is durable").assignment, b"two");
    let mut beat = heartbeat(&old, 1);
    beat.group_instance_id = Some("b".into());
    assert_eq!(
        error_of(&world.told(GroupRequest::Heartbeat(beat))),
        ErrorCode::FencedInstanceId
    );
}

#[test]
fn a_leader_that_comes_back_is_told_not_to_assign() {
    for skips in [false, true] {
        let mut world = World::new();
        let [old, _] = stable(&mut world);
        let ticket = comes(&mut world, "a", BOTH, skips);
        let answer = joined(&mut world, ticket);
        assert_eq!(answer.skip_assignment, skips);
        if skips {
            assert_eq!((&answer.leader, answer.members.len()), (&answer.member_id, 2));
        } else {
            assert_eq!(
                (&*answer.leader, answer.members.len()),
                (&*old, 0),
                "it takes itself for a follower"
            );
        }
        let share = world.told(GroupRequest::Sync(sync(&answer.member_id, 1, &[])));
        let GroupAnswer::Sync(share) = share else {
            panic!("a sync")
        };
        assert_eq!(&*share.assignment, b"one");
    }
}

#[test]
fn a_change_of_the_chosen_protocol_is_a_rebalance() {
    let mut world = World::new();
    stable(&mut world);
    let sticky_first: &[(&str, &[u8])] = &[("sticky", b"s")];
    let ticket = comes(&mut world, "b", sticky_first, false);
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
    assert!(world.open.contains(&ticket));
}

#[test]
fn who_waits_under_an_instance_id_is_fenced_by_its_successor() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    let mut request = join(&mut world, &leader, RANGE);
    request.group_instance_id = Some("a".into());
    let old = world.ask(GroupRequest::Join(request));
    let new = comes(&mut world, "a", RANGE, false);
    let fenced = joined(&mut world, old);
    assert_eq!(
        (fenced.error, &*fenced.member_id),
        (ErrorCode::FencedInstanceId, &*leader)
    );
    let mut request = join(&mut world, &follower, RANGE);
    request.group_instance_id = Some("b".into());
    let other = world.ask(GroupRequest::Join(request));
    assert_eq!(joined(&mut world, new).generation_id, 2);
    joined(&mut world, other);

    let mut request = sync(&follower, 2, &[]);
    request.group_instance_id = Some("b".into());
    let waits = world.ask(GroupRequest::Sync(request));
    comes(&mut world, "b", RANGE, false);
    let fenced = world.answer(waits).expect("an answer");
    assert_eq!(error_of(&fenced), ErrorCode::FencedInstanceId);
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
}

#[test]
fn a_static_member_keeps_its_place_while_others_rebalance() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    let mut request = join(&mut world, &leader, RANGE);
    request.session_timeout_ms = 1_800_000;
    request.group_instance_id = Some("a".into());
    let ticket = world.ask(GroupRequest::Join(request));
    for _ in 0..12 {
        let mut beat = heartbeat(&follower, 1);
        beat.group_instance_id = Some("b".into());
        world.told(GroupRequest::Heartbeat(beat));
        world.pass(5_000);
    }
    let answer = joined(&mut world, ticket);
    assert_eq!((answer.generation_id, answer.members.len()), (2, 2));
}

#[test]
fn an_administrator_sends_a_static_member_away_by_its_instance_id() {
    let mut world = World::new();
    let [leader, _] = stable(&mut world);
    for (instance_id, expected) in [("b", ErrorCode::None), ("b", ErrorCode::UnknownMemberId)] {
        let left = world.told(GroupRequest::Leave(leave("", Some(instance_id))));
        assert_eq!(error_of(&left), expected);
    }
    let described = world.describe("g");
    assert_eq!(
        (described.members.len(), &*described.members[0].member_id),
        (1, &*leader)
    );
}
