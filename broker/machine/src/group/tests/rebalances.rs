//! How generations begin and end.

use std::string::{String, ToString};
use std::vec::Vec;

use millstream_protocol::error::ErrorCode;

use super::world::*;
use crate::group::*;

const RANGE: &[(&str, &[u8])] = &[("range", b"\0\0\0\0\0\0")];

/// A member joins as old clients do, and waits.
fn comes(world: &mut World, protocols: &[(&str, &[u8])]) -> Ticket {
    let mut request = join(world, "", protocols);
    request.requires_known_member_id = false;
    world.ask(GroupRequest::Join(request))
}

fn rejoins(world: &mut World, member_id: &str) -> Ticket {
    let request = join(world, member_id, RANGE);
    world.ask(GroupRequest::Join(request))
}

#[track_caller]
fn joined(world: &mut World, ticket: Ticket) -> JoinAnswer {
    match world.answer(ticket) {
        Some(GroupAnswer::Join(answer)) => answer,
        other => panic!("no join: {other:?}"),
    }
}

#[track_caller]
fn synced(world: &mut World, ticket: Ticket) -> SyncAnswer {
    match world.answer(ticket) {
        Some(GroupAnswer::Sync(answer)) => answer,
        other => panic!("no sync: {other:?}"),
    }
}

/// Two members of a stable group, the leader first.
pub fn stable(world: &mut World) -> [String; 2] {
    let tickets = [comes(world, RANGE), comes(world, RANGE)];
    world.pass(6_000);
    let ids = tickets.map(|ticket| joined(world, ticket).member_id.to_string());
    let [leader, follower] = &ids;
    let waits = world.ask(GroupRequest::Sync(sync(follower, 1, &[])));
    let shares: [(&str, &[u8]); 2] = [(leader, b"one"), (follower, b"two")];
    let leads = world.ask(GroupRequest::Sync(sync(leader, 1, &shares)));
    assert_eq!(&*synced(world, leads).assignment, b"one");
    assert_eq!(&*synced(world, waits).assignment, b"two");
    ids
}

#[test]
fn the_first_rebalance_waits_for_members_and_no_longer_than_they_allow() {
    let mut world = World::new();
    let first = comes(&mut world, RANGE);
    world.pass(2_999);
    assert!(world.open.contains(&first), "the delay is not over");
    let second = comes(&mut world, RANGE);
    world.pass(1);
    assert!(world.open.contains(&first), "somebody came: another delay");
    world.pass(2_999);
    assert_eq!(world.open.len(), 2);
    world.pass(1);
    let (first, second) = (joined(&mut world, first), joined(&mut world, second));
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(
        (first.members.len(), second.members.len()),
        (2, 0),
        "the leader alone is told"
    );
    assert_eq!(
        (&first.leader, &second.leader),
        (&first.member_id, &first.member_id)
    );
    assert_eq!(first.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(first.protocol_name.as_deref(), Some("range"));

    let mut world = World::new();
    let first = comes(&mut world, RANGE);
    let mut waited = 0;
    while world.open.contains(&first) {
        world.pass(2_000);
        comes(&mut world, RANGE);
        waited += 2_000;
        assert!(waited <= 62_000, "beyond the rebalance timeout");
    }
    assert!(waited >= 58_000, "{waited} ms");
}

#[test]
fn a_new_member_comes_again_with_its_id_or_is_forgotten() {
    let mut world = World::new();
    let request = join(&mut world, "", RANGE);
    let GroupAnswer::Join(answer) = world.told(GroupRequest::Join(request)) else {
        panic!("a join");
    };
    assert_eq!(answer.error, ErrorCode::MemberIdRequired);
    let (client, uuid) = answer.member_id.split_at(7);
    let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert_eq!((client, &parts[..]), ("client-", &[8, 4, 4, 4, 12][..]));
    assert_eq!((&uuid[14..15], &uuid[19..20]), ("4", "8"), "a random UUID");
    assert_eq!(world.state("g"), GroupState::Empty);
    world.pass(9_999);
    let ticket = rejoins(&mut world, &answer.member_id);
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
    world.pass(3_000);
    assert_eq!(joined(&mut world, ticket).generation_id, 1);

    let request = join(&mut world, "", RANGE);
    let late = world.told(GroupRequest::Join(request));
    let GroupAnswer::Join(late) = late else {
        panic!("a join")
    };
    world.pass(10_000);
    let ticket = rejoins(&mut world, &late.member_id);
    assert_eq!(joined(&mut world, ticket).error, ErrorCode::UnknownMemberId);
}

#[test]
fn a_pending_member_holds_a_rebalance_up_until_its_time_is_over() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    let request = join(&mut world, "", RANGE);
    world.told(GroupRequest::Join(request));
    let tickets = [rejoins(&mut world, &leader), rejoins(&mut world, &follower)];
    world.pass(9_999);
    assert_eq!(world.open.len(), 2);
    world.pass(1);
    assert_eq!(tickets.map(|it| joined(&mut world, it).generation_id), [2, 2]);
}

#[test]
fn who_does_not_join_in_time_is_out_and_another_one_leads() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    let third = comes(&mut world, RANGE);
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
    let follows = rejoins(&mut world, &follower);
    for _ in 0..11 {
        world.pass(5_000);
        let beat = world.told(GroupRequest::Heartbeat(heartbeat(&leader, 1)));
        assert_eq!(error_of(&beat), ErrorCode::RebalanceInProgress);
    }
    world.pass(5_000);
    let (third, second) = (joined(&mut world, third), joined(&mut world, follows));
    assert_eq!((third.generation_id, second.generation_id), (2, 2));
    assert_ne!(*third.leader, *leader);
    assert_eq!(third.members.len() + second.members.len(), 2, "one of them leads");
    let beat = world.told(GroupRequest::Heartbeat(heartbeat(&leader, 1)));
    assert_eq!(error_of(&beat), ErrorCode::UnknownMemberId);
}

#[test]
fn a_silent_member_is_out_after_its_session_and_not_before() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    world.pass(9_999);
    world.told(GroupRequest::Heartbeat(heartbeat(&leader, 1)));
    assert_eq!(world.describe("g").members.len(), 2);
    world.pass(1);
    assert_eq!(
        world.describe("g").members.len(),
        1,
        "{follower} is silent for 10 s"
    );
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
    let ticket = rejoins(&mut world, &leader);
    assert_eq!(joined(&mut world, ticket).generation_id, 2);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    world.pass(9_000);
    world.told(GroupRequest::CommitOffsets(commit(&follower, 1, "t", 1)));
    world.told(GroupRequest::Heartbeat(heartbeat(&leader, 1)));
    world.pass(9_000);
    assert_eq!(world.state("g"), GroupState::Stable);
}

#[test]
fn who_never_syncs_is_out_after_the_rebalance_timeout() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    let tickets = [rejoins(&mut world, &leader), rejoins(&mut world, &follower)];
    for ticket in tickets {
        joined(&mut world, ticket);
    }
    let waits = world.ask(GroupRequest::Sync(sync(&follower, 2, &[])));
    for _ in 0..12 {
        assert_eq!(world.describe("g").members.len(), 2);
        world.told(GroupRequest::Heartbeat(heartbeat(&leader, 2)));
        world.pass(5_000);
    }
    assert_eq!(synced(&mut world, waits).error, ErrorCode::RebalanceInProgress);
    let described = world.describe("g");
    assert_eq!(described.state, Some(GroupState::PreparingRebalance));
    assert_eq!(*described.members[0].member_id, *follower);
}

#[test]
fn a_new_member_does_not_wait_longer_than_five_minutes() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    for member_id in [&leader, &follower] {
        let mut request = join(&mut world, member_id, RANGE);
        request.rebalance_timeout_ms = Some(600_000);
        world.ask(GroupRequest::Join(request));
    }
    let newcomer = comes(&mut world, RANGE);
    for _ in 0..59 {
        world.pass(5_000);
        world.told(GroupRequest::Heartbeat(heartbeat(&leader, 2)));
        world.told(GroupRequest::Heartbeat(heartbeat(&follower, 2)));
    }
    assert!(
        world.open.contains(&newcomer),
        "its session does not count while it waits"
    );
    world.pass(5_000);
    assert_eq!(joined(&mut world, newcomer).error, ErrorCode::UnknownMemberId);
    assert_eq!(world.state("g"), GroupState::PreparingRebalance);
}

#[test]
fn most_votes_win_among_what_all_know() {
    let protocols: [&[(&str, &[u8])]; 3] = [
        &[("a", b"1"), ("b", b"1"), ("c", b"1")],
        &[("d", b"2"), ("c", b"2"), ("b", b"2")],
        &[("c", b"3"), ("b", b"3"), ("a", b"3")],
    ];
    let mut world = World::new();
    let tickets = protocols.map(|known| comes(&mut world, known));
    world.pass(10_000);
    let answers = tickets.map(|ticket| joined(&mut world, ticket));
    assert_eq!(answers[0].protocol_name.as_deref(), Some("c"));
    let metadata: Vec<u8> = answers[0].members.iter().map(|it| it.metadata[0]).collect();
    assert_eq!(metadata, b"123");
}

#[test]
fn among_equal_votes_the_first_name_wins() {
    let mut world = World::new();
    let tickets = [
        comes(&mut world, &[("b", b""), ("a", b"")]),
        comes(&mut world, &[("a", b""), ("b", b"")]),
    ];
    world.pass(6_000);
    assert_eq!(joined(&mut world, tickets[0]).protocol_name.as_deref(), Some("a"));
}

#[test]
fn a_group_that_somebody_may_come_back_to_is_not_tidied_away() {
    let mut world = World::new();
    let mut request = join(&mut world, "", RANGE);
    request.session_timeout_ms = 1_800_000;
    let GroupAnswer::Join(answer) = world.told(GroupRequest::Join(request)) else {
        panic!("a join");
    };
    world.pass(1_200_000);
    let ticket = rejoins(&mut world, &answer.member_id);
    assert!(world.open.contains(&ticket));
}

#[test]
fn a_newcomer_breaks_a_generation_that_is_not_complete() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    let tickets = [rejoins(&mut world, &leader), rejoins(&mut world, &follower)];
    for ticket in tickets {
        joined(&mut world, ticket);
    }
    let waits = world.ask(GroupRequest::Sync(sync(&follower, 2, &[])));
    comes(&mut world, RANGE);
    assert_eq!(synced(&mut world, waits).error, ErrorCode::RebalanceInProgress);
    let described = world.describe("g");
    assert!(described.members.iter().all(|it| it.assignment.is_empty()));
    world.restart();
    let described = world.describe("g");
    assert_eq!(
        described.state,
        Some(GroupState::Stable),
        "the log knows the last one that was"
    );
    assert_eq!(&*described.members[0].assignment, b"one");
}

#[test]
fn the_last_one_to_leave_empties_the_group() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    let left = world.told(GroupRequest::Leave(LeaveRequest {
        group_id: "g".into(),
        members: [&*leader, "who", &*follower]
            .map(|id| leave(id, None).members.remove(0))
            .into(),
    }));
    let GroupAnswer::Leave(left) = left else {
        panic!("a leave")
    };
    let errors: Vec<ErrorCode> = left.members.iter().map(|it| it.error).collect();
    let unknown = ErrorCode::UnknownMemberId;
    assert_eq!(
        (left.error, &errors[..]),
        (ErrorCode::None, &[ErrorCode::None, unknown, ErrorCode::None][..])
    );
    let described = world.describe("g");
    assert_eq!(
        (described.state, &*described.protocol_type),
        (Some(GroupState::Empty), "consumer")
    );
    let Some(GroupRecord::Group {
        value: Some(last), ..
    }) = world.records.last()
    else {
        panic!("an empty group is written");
    };
    assert_eq!(
        (last.generation, last.members.len(), &last.protocol),
        (2, 0, &None)
    );
    assert_eq!(last.current_state_timestamp, Some(world.now.wall));
}

#[test]
fn a_second_request_of_a_member_overtakes_its_first() {
    let mut world = World::new();
    let [leader, _] = stable(&mut world);
    let first = rejoins(&mut world, &leader);
    let second = rejoins(&mut world, &leader);
    assert_eq!(joined(&mut world, first).error, ErrorCode::RebalanceInProgress);
    assert!(world.open.contains(&second));
}

#[test]
fn a_stable_group_survives_a_restart_and_its_members_have_their_sessions_anew() {
    let mut world = World::new();
    let [leader, follower] = stable(&mut world);
    let before = world.describe("g");
    world.pass(9_000);
    world.restart();
    assert_eq!(world.describe("g"), before);
    world.pass(9_000);
    for member_id in [&leader, &follower] {
        let beat = world.told(GroupRequest::Heartbeat(heartbeat(member_id, 1)));
        assert_eq!(error_of(&beat), ErrorCode::None);
    }
    let again = world.ask(GroupRequest::Sync(sync(&follower, 1, &[])));
    assert_eq!(&*synced(&mut world, again).assignment, b"two");
    world.pass(10_000);
    assert_eq!(world.describe("g").members.len(), 0);
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut world = World::new();
    stable(&mut world);
    let mut request = commit("", -1, "t", 1);
    request.group_id = "a".into();
    world.told(GroupRequest::CommitOffsets(request));
    let mut list = |states: &[&str], types: &[&str]| -> String {
        let texts = |texts: &[&str]| texts.iter().map(|it| it.to_string()).collect();
        let request = ListRequest {
            states: texts(states),
            types: texts(types),
        };
        let GroupAnswer::List(answer) = world.told(GroupRequest::List(request)) else {
            panic!("a list");
        };
        let groups = answer.groups.iter();
        groups
            .map(|it| std::format!("{}/{}/{} ", it.group_id, it.protocol_type, it.state.name()))
            .collect()
    };
    assert_eq!(list(&[], &[]), "a//Empty g/consumer/Stable ");
    assert_eq!(list(&["stable"], &["CLASSIC"]), "g/consumer/Stable ");
    assert_eq!(list(&["Dead"], &[]), "");
    assert_eq!(list(&[], &["consumer"]), "");
}
