//! What is too much is refused, and what is there goes on.

use std::string::String;
use std::vec::Vec;

use millstream_protocol::error::ErrorCode;

use super::rebalances::stable;
use super::world::*;
use crate::group::*;

const RANGE: &[(&str, &[u8])] = &[("range", b"\0\0\0\0\0\0")];

fn told_join(world: &mut World, change: impl FnOnce(&mut JoinRequest)) -> Option<ErrorCode> {
    let mut request = join(world, "", RANGE);
    change(&mut request);
    let ticket = world.ask(GroupRequest::Join(request));
    world.answer(ticket).map(|answer| error_of(&answer))
}

#[test]
fn a_full_group_takes_no_more_members_and_keeps_its_own() {
    let mut world = World::with(GroupSettings {
        group_max_size: 2,
        ..GroupSettings::default()
    });
    let [leader, follower] = stable(&mut world);
    assert_eq!(
        told_join(&mut world, |_| ()),
        Some(ErrorCode::GroupMaxSizeReached)
    );
    let mut rejoin = |member_id: &String| {
        let request = join(&mut world, member_id, RANGE);
        world.ask(GroupRequest::Join(request))
    };
    let (first, second) = (rejoin(&leader), rejoin(&follower));
    for ticket in [first, second] {
        assert_eq!(
            world.answer(ticket).map(|it| error_of(&it)),
            Some(ErrorCode::None)
        );
    }
}

#[test]
fn a_group_that_was_larger_before_a_restart_shrinks() {
    let mut world = World::new();
    let members = stable(&mut world);
    let settings = GroupSettings {
        group_max_size: 1,
        ..GroupSettings::default()
    };
    world.machine = GroupCoordinator::new(settings);
    world.restart();
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
    let mut tickets = Vec::new();
    for member_id in &members {
        let request = join(&mut world, member_id, RANGE);
        tickets.push(world.ask(GroupRequest::Join(request)));
    }
    world.pass(60_000);
    let errors: Vec<_> = tickets
        .into_iter()
        .map(|it| world.answer(it).map(|it| error_of(&it)))
        .collect();
    assert_eq!(
        errors,
        [Some(ErrorCode::None), Some(ErrorCode::GroupMaxSizeReached)]
    );
}

#[test]
fn a_coordinator_that_is_full_serves_what_it_has() {
    let mut world = World::with(GroupSettings {
        state_bytes_max: 8_000,
        ..GroupSettings::default()
    });
    let [leader, follower] = stable(&mut world);
    let mut taken = 0;
    let refused = loop {
        let topic = std::format!("topic-{taken}");
        let answer = world.told(GroupRequest::CommitOffsets(commit(&leader, 1, &topic, 1)));
        if error_of(&answer) != ErrorCode::None {
            break error_of(&answer);
        }
        taken += 1;
    };
    assert_eq!(refused, ErrorCode::CoordinatorNotAvailable);
    assert!(world.machine.live_bytes() <= 8_000);
    let full = ErrorCode::CoordinatorNotAvailable;
    let again = world.told(GroupRequest::CommitOffsets(commit(&leader, 1, "topic-0", 2)));
    assert_eq!(error_of(&again), ErrorCode::None, "what is there may change");
    assert_eq!(told_join(&mut world, |_| ()), Some(full));
    assert_eq!(told_join(&mut world, |it| it.group_id = "h".into()), Some(full));
    let mut request = commit("", -1, "t", 1);
    request.group_id = "h".into();
    assert_eq!(error_of(&world.told(GroupRequest::CommitOffsets(request))), full);
    for member_id in [&leader, &follower] {
        let request = join(&mut world, member_id, RANGE);
        world.ask(GroupRequest::Join(request));
    }
    let shares: Vec<u8> = std::vec![7; 9_000];
    let told = world.told(GroupRequest::Sync(sync(&leader, 2, &[(&leader, &shares)])));
    assert_eq!(error_of(&told), full);
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
}

#[test]
fn a_group_whose_record_would_be_too_large_joins_again() {
    let mut world = World::with(GroupSettings {
        group_record_bytes_max: 1_000,
        ..GroupSettings::default()
    });
    let [leader, follower] = stable(&mut world);
    for member_id in [&leader, &follower] {
        let request = join(&mut world, member_id, RANGE);
        world.ask(GroupRequest::Join(request));
    }
    let waits = world.ask(GroupRequest::Sync(sync(&follower, 2, &[])));
    let share: Vec<u8> = std::vec![7; 1_000];
    let written = world.records.len();
    let told = world.told(GroupRequest::Sync(sync(&leader, 2, &[(&follower, &share)])));
    assert_eq!(error_of(&told), ErrorCode::UnknownServerError);
    let waited = world.answer(waits).expect("an answer");
    assert_eq!(error_of(&waited), ErrorCode::UnknownServerError);
    assert_eq!(
        (world.state("g"), world.records.len()),
        (GroupState::PreparingRebalance, written)
    );
}

#[test]
fn texts_that_no_record_can_hold_are_refused() {
    let long = || "x".repeat(32_768);
    let changes: [fn(&mut JoinRequest, String); 5] = [
        |it, long| it.group_id = long,
        |it, long| it.group_instance_id = Some(long),
        |it, long| it.protocol_type = long,
        |it, long| it.protocols[0].name = long,
        |it, long| it.client.id = long[30..].into(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut world = World::new();
        let error = told_join(&mut world, |it| change(it, long()));
        assert_eq!(error, Some(ErrorCode::UnknownServerError), "text {index}");
        assert_eq!(world.records.len(), 0, "text {index}");
    }
    let changes: [fn(&mut CommitRequest, String); 2] =
        [|it, long| it.group_id = long, |it, long| it.topics[0].name = long];
    for change in changes {
        let mut world = World::new();
        let mut request = commit("", -1, "t", 1);
        change(&mut request, long());
        let told = world.told(GroupRequest::CommitOffsets(request));
        assert_eq!(error_of(&told), ErrorCode::UnknownServerError);
        assert_eq!(world.records.len(), 0);
    }
}
