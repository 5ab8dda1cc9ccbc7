//! Every request in every state from everybody: the answer that Kafka gives.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::world::*;
use crate::group::*;

/// Who is in the group `g`, or was.
struct Cast {
    world: World,
    leader: String,
    follower: String,
    /// Has the instance id `i`.
    fixed: String,
    /// Had the instance id `i` before.
    fenced: String,
    generation: i32,
}

const STATES: [Option<GroupState>; 5] = [
    None,
    Some(GroupState::Empty),
    Some(GroupState::PreparingRebalance),
    Some(GroupState::CompletingRebalance),
    Some(GroupState::Stable),
];

/// By request and asker: the answers without a group, then empty, preparing, completing, stable. `parked` waits; a code
/// stands with its beginning.
const TABLE: &str = "
join       nobody    MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED
join       unknown   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
join       leader    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  parked             NONE               parked
join       follower  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  parked             NONE               NONE
join       fixed     UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  parked             NONE               NONE
join       fenced    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  FENCED_INSTANCE_ID FENCED_INSTANCE_ID FENCED_INSTANCE_ID
join       returning parked             parked             parked             parked             NONE
changed    leader    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  parked             parked             parked
changed    follower  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  parked             parked             parked
changed    fixed     UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  parked             parked             parked
changed    returning parked             parked             parked             parked             NONE
alien      nobody    MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED INCONSISTENT       INCONSISTENT       INCONSISTENT
alien      follower  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  INCONSISTENT       INCONSISTENT       INCONSISTENT
other-type nobody    MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED INCONSISTENT       INCONSISTENT       INCONSISTENT
no-type    nobody    INCONSISTENT       INCONSISTENT       INCONSISTENT       INCONSISTENT       INCONSISTENT
no-names   nobody    INCONSISTENT       INCONSISTENT       INCONSISTENT       INCONSISTENT       INCONSISTENT
short      nobody    INVALID_SESSION    INVALID_SESSION    INVALID_SESSION    INVALID_SESSION    INVALID_SESSION
sync       unknown   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
sync       leader    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  REBALANCE          NONE               NONE
sync       follower  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  REBALANCE          parked             NONE
sync       fixed     UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  REBALANCE          parked             NONE
sync       fenced    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  FENCED_INSTANCE_ID FENCED_INSTANCE_ID FENCED_INSTANCE_ID
sync       stale     UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION
sync-as-x  leader    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  INCONSISTENT       INCONSISTENT       INCONSISTENT
sync-by-x  leader    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  INCONSISTENT       INCONSISTENT       INCONSISTENT
heartbeat  unknown   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
heartbeat  leader    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  REBALANCE          NONE               NONE
heartbeat  follower  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  REBALANCE          NONE               NONE
heartbeat  fixed     UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  REBALANCE          NONE               NONE
heartbeat  fenced    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  FENCED_INSTANCE_ID FENCED_INSTANCE_ID FENCED_INSTANCE_ID
heartbeat  stale     UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION
leave      unknown   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
leave      nobody    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
leave      leader    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  NONE               NONE               NONE
leave      follower  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  NONE               NONE               NONE
leave      fixed     UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  NONE               NONE               NONE
leave      returning UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  NONE               NONE               NONE
leave      fenced    UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  FENCED_INSTANCE_ID FENCED_INSTANCE_ID FENCED_INSTANCE_ID
commit     nobody    NONE               NONE               UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
commit     unknown   GROUP_ID_NOT_FOUND UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
commit     leader    GROUP_ID_NOT_FOUND UNKNOWN_MEMBER_ID  NONE               REBALANCE          NONE
commit     follower  GROUP_ID_NOT_FOUND UNKNOWN_MEMBER_ID  NONE               REBALANCE          NONE
commit     fixed     GROUP_ID_NOT_FOUND UNKNOWN_MEMBER_ID  NONE               REBALANCE          NONE
commit     fenced    GROUP_ID_NOT_FOUND UNKNOWN_MEMBER_ID  FENCED_INSTANCE_ID FENCED_INSTANCE_ID FENCED_INSTANCE_ID
commit     stale     GROUP_ID_NOT_FOUND UNKNOWN_MEMBER_ID  ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION
commit     timeless  NONE               NONE               ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION
old-commit leader    ILLEGAL_GENERATION UNKNOWN_MEMBER_ID  NONE               REBALANCE          NONE
fetch      nobody    NONE               NONE               NONE               NONE               NONE
drop       nobody    GROUP_ID_NOT_FOUND NONE               GROUP_SUBSCRIBED   GROUP_SUBSCRIBED   GROUP_SUBSCRIBED
drop-other nobody    GROUP_ID_NOT_FOUND NONE               NONE               NONE               NONE
describe   nobody    GROUP_ID_NOT_FOUND NONE               NONE               NONE               NONE
delete     nobody    GROUP_ID_NOT_FOUND NONE               NON_EMPTY_GROUP    NON_EMPTY_GROUP    NON_EMPTY_GROUP
";

#[test]
fn every_request_in_every_state_from_everybody() {
    hold_table(TABLE, &STATES, ask);
}

fn ask(state: Option<GroupState>, what: &str, who: &str) -> String {
    let mut cast = cast(state);
    let request = request(&mut cast, what, who);
    let ticket = cast.world.ask(request);
    match cast.world.answer(ticket) {
        Some(answer) => error_of(&answer).name().to_string(),
        None => "parked".to_string(),
    }
}

fn request(cast: &mut Cast, what: &str, who: &str) -> GroupRequest {
    let mut generation = cast.generation;
    let (member_id, instance_id) = match who {
        "leader" => (cast.leader.clone(), None),
        "follower" => (cast.follower.clone(), None),
        "fixed" => (cast.fixed.clone(), Some("i")),
        "fenced" => (cast.fenced.clone(), Some("i")),
        "returning" => (String::new(), Some("i")),
        "unknown" => ("who-1".to_string(), None),
        "nobody" => (String::new(), None),
        "stale" => {
            generation -= 1;
            (cast.follower.clone(), None)
        }
        "timeless" => {
            generation = -1;
            (cast.follower.clone(), None)
        }
        other => panic!("who is {other}?"),
    };
    let instance_id = instance_id.map(String::from);
    match what {
        "sync" | "sync-as-x" | "sync-by-x" => {
            let mut request = sync(&member_id, generation, &[(&member_id, b"share")]);
            request.group_instance_id = instance_id;
            request.protocol_type = (what == "sync-as-x").then(|| "x".into());
            request.protocol_name = (what == "sync-by-x").then(|| "x".into());
            GroupRequest::Sync(request)
        }
        "heartbeat" => {
            let mut request = heartbeat(&member_id, generation);
            request.group_instance_id = instance_id;
            GroupRequest::Heartbeat(request)
        }
        "leave" => GroupRequest::Leave(leave(&member_id, instance_id.as_deref())),
        "commit" | "old-commit" => {
            let generation = if who == "nobody" { -1 } else { generation };
            let mut request = commit(&member_id, generation, "t", 7);
            request.group_instance_id = instance_id;
            request.understands_new_errors = what == "commit";
            GroupRequest::CommitOffsets(request)
        }
        "fetch" => GroupRequest::FetchOffsets(fetch(Some(&["t"]))),
        "drop" | "drop-other" => GroupRequest::DeleteOffsets(DeleteOffsetsRequest {
            group_id: "g".into(),
            topics: vec![partition_0(if what == "drop" { "t" } else { "other" })],
        }),
        "describe" => GroupRequest::Describe(DescribeRequest { group_id: "g".into() }),
        "delete" => GroupRequest::Delete(DeleteRequest { group_id: "g".into() }),
        _ => join_request(cast, what, &member_id, instance_id),
    }
}

fn join_request(cast: &mut Cast, what: &str, member_id: &str, instance_id: Option<String>) -> GroupRequest {
    let known = subscription(&["t"]);
    let changed = subscription(&["t", "u"]);
    let protocols: &[(&str, &[u8])] = match what {
        "changed" => &[("range", &changed)],
        "alien" => &[("alien", &known)],
        "no-names" => &[],
        _ => &[("range", &known)],
    };
    let mut request = join(&mut cast.world, member_id, protocols);
    request.group_instance_id = instance_id;
    match what {
        "other-type" => request.protocol_type = "connect".into(),
        "no-type" => request.protocol_type = String::new(),
        "short" => request.session_timeout_ms = 5_999,
        _ => {}
    }
    GroupRequest::Join(request)
}

/// A group with a leader, a follower and a static member that came back once, in the state.
fn cast(state: Option<GroupState>) -> Cast {
    let mut cast = Cast {
        world: World::new(),
        leader: "client-gone".into(),
        follower: "client-gone-too".into(),
        fixed: "i-gone".into(),
        fenced: "i-gone-before".into(),
        generation: 1,
    };
    if state.is_none() {
        return cast;
    }
    let known = subscription(&["t"]);
    let protocols: &[(&str, &[u8])] = &[("range", &known)];
    let mut tickets = Vec::new();
    for instance_id in [None, None, Some("i")] {
        let mut request = join(&mut cast.world, "", protocols);
        request.group_instance_id = instance_id.map(String::from);
        request.requires_known_member_id = false;
        tickets.push(cast.world.ask(GroupRequest::Join(request)));
        cast.world.pass(1);
    }
    cast.world.pass(6_000);
    let mut joined = |index: usize| match cast.world.answer(tickets[index]) {
        Some(GroupAnswer::Join(answer)) => answer.member_id.to_string(),
        other => panic!("{other:?}"),
    };
    (cast.leader, cast.follower, cast.fenced) = (joined(0), joined(1), joined(2));
    let members = [cast.leader.clone(), cast.follower.clone(), cast.fenced.clone()];
    for member_id in members.iter() {
        cast.world.ask(GroupRequest::Sync(sync(member_id, 1, &[])));
    }
    let mut back = join(&mut cast.world, "", protocols);
    back.group_instance_id = Some("i".into());
    let GroupAnswer::Join(back) = cast.world.told(GroupRequest::Join(back)) else {
        panic!("a join is answered by a join");
    };
    cast.fixed = back.member_id.to_string();
    bring_to(state.expect("checked"), &mut cast, protocols);
    assert_eq!(cast.world.state("g"), state.expect("checked"));
    cast
}

/// From stable on.
fn bring_to(state: GroupState, cast: &mut Cast, protocols: &[(&str, &[u8])]) {
    let members = [cast.leader.clone(), cast.follower.clone(), cast.fixed.clone()];
    match state {
        GroupState::Empty => {
            for member_id in &members {
                cast.world.told(GroupRequest::Leave(leave(member_id, None)));
            }
            cast.generation = 2;
        }
        GroupState::PreparingRebalance => {
            let request = join(&mut cast.world, &cast.leader, protocols);
            cast.world.ask(GroupRequest::Join(request));
        }
        GroupState::CompletingRebalance => {
            for member_id in &members {
                let request = join(&mut cast.world, member_id, protocols);
                cast.world.ask(GroupRequest::Join(request));
            }
            cast.generation = 2;
        }
        GroupState::Stable => {}
        other => panic!("no classic group is {other:?}"),
    }
}
