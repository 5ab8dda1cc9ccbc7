//! Every request in every state of a group of the consumer protocol alone, from everybody: the answer that Kafka gives.

use std::string::{String, ToString};
use std::vec;

use millstream_protocol::time::Duration;

use super::classic_peer::ClassicPeer;
use super::consumers::{Consumer, partition, world};
use super::world::*;
use crate::group::*;

/// The group `g`, and who is in it, or was. All read `t`.
struct Cast {
    world: World,
    /// Came first; has what it had before the other came.
    first: Consumer,
    /// Has the instance id `i`, and what it has only since its last epoch.
    fixed: Consumer,
    /// Had the instance id `i` before.
    fenced: Consumer,
}

/// Reconciling is when both of them have to give something up for a third one; assigning, when it just came.
const STATES: [Option<GroupState>; 5] = [
    None,
    Some(GroupState::Empty),
    Some(GroupState::Assigning),
    Some(GroupState::Reconciling),
    Some(GroupState::Stable),
];

/// By request and asker: the answers without a group, then empty, assigning, reconciling, stable. `parked` waits; a
/// code stands with its beginning. tests/oracle asks Kafka the same.
const TABLE: &str = include_str!("consumer_table.txt");

#[test]
fn every_request_in_every_state_of_a_consumer_group() {
    hold_table(TABLE, &STATES, ask);
}

fn ask(state: Option<GroupState>, what: &str, who: &str) -> String {
    let mut cast = cast(state);
    if who == "returning" {
        goes_away(&mut cast);
    }
    let request = request(&mut cast, what, who);
    let ticket = cast.world.ask(request);
    match cast.world.answer(ticket) {
        Some(answer) => error_of(&answer).name().to_string(),
        None => "parked".to_string(),
    }
}

fn goes_away(cast: &mut Cast) {
    let away = Consumer {
        epoch: -2,
        ..cast.fixed.clone()
    };
    cast.world.told(GroupRequest::ConsumerHeartbeat(away.request()));
}

/// Who asks, by the name that the table has for it.
fn asker(cast: &Cast, who: &str) -> Consumer {
    let under = |instance_id: &str, consumer: &Consumer| Consumer {
        instance_id: Some(instance_id.into()),
        ..consumer.clone()
    };
    match who {
        "first" => cast.first.clone(),
        "fixed" => cast.fixed.clone(),
        "fenced" => cast.fenced.clone(),
        "returning" => under("i", &Consumer::new("back")),
        "new-fixed" => under("new", &Consumer::new("who")),
        // A member under another one's instance id, and under one that nobody has.
        "usurper" => under("i", &cast.first),
        "misnamed" => under("nobody's", &cast.fixed),
        // The static member without its instance id.
        "unnamed" => Consumer {
            instance_id: None,
            ..cast.fixed.clone()
        },
        "unknown" => Consumer {
            epoch: cast.first.epoch,
            ..Consumer::new("who")
        },
        "nobody" => Consumer::new(""),
        other => panic!("who is {other}?"),
    }
}

fn request(cast: &mut Cast, what: &str, who: &str) -> GroupRequest {
    let asker = asker(cast, who);
    let group_id = || "g".to_string();
    match what {
        "fetch" | "fetch-before" | "fetch-after" => {
            let is_member = who != "nobody";
            GroupRequest::FetchOffsets(FetchRequest {
                member_id: is_member.then(|| asker.member_id.clone()),
                member_epoch: if is_member { at(what, &asker) } else { -1 },
                ..fetch(Some(&["t"]))
            })
        }
        "commit" | "commit-before" | "commit-after" | "commit-other" | "commit-old" => {
            GroupRequest::CommitOffsets(commit_request(what, &asker))
        }
        "drop" | "drop-other" => GroupRequest::DeleteOffsets(DeleteOffsetsRequest {
            group_id: group_id(),
            topics: vec![partition_0(if what == "drop" { "t" } else { "other" })],
        }),
        "delete" => GroupRequest::Delete(DeleteRequest { group_id: group_id() }),
        "describe-old" => GroupRequest::Describe(DescribeRequest { group_id: group_id() }),
        "describe" => GroupRequest::ConsumerDescribe(DescribeRequest { group_id: group_id() }),
        _ => match what.strip_prefix("classic-") {
            Some(what) => classic_request(cast, what, &asker),
            None => GroupRequest::ConsumerHeartbeat(heartbeat_request(what, &asker)),
        },
    }
}

/// The epoch that a request of this name says.
fn at(what: &str, asker: &Consumer) -> i32 {
    match what.rsplit_once('-').map(|(_, when)| when) {
        Some("before") => asker.epoch - 1,
        Some("after") => asker.epoch + 1,
        _ => asker.epoch,
    }
}

fn heartbeat_request(what: &str, asker: &Consumer) -> ConsumerHeartbeatRequest {
    let greedy = Consumer {
        has: (0..6).map(|index| partition(1, index)).collect(),
        ..asker.clone()
    };
    let mut request = asker.joining(&["t"]);
    match what {
        "join" => {}
        "join-old" => request.needs_member_id = false,
        "join-holding" => request.topic_partitions = Some(greedy.has),
        "join-hasty" => request.rebalance_timeout_ms = -1,
        "join-aimless" => request.subscribed_topic_names = None,
        "join-sharing" => request.server_assignor = Some("nobody's".into()),
        "join-matching" => request.subscribed_topic_regex = Some("t(".into()),
        "beat" | "beat-before" | "beat-after" => {
            request = asker.request();
            request.member_epoch = at(what, asker);
        }
        "silent" | "silent-before" => {
            request = asker.request();
            request.topic_partitions = None;
            request.member_epoch = at(what, asker);
        }
        "greedy" | "greedy-before" => {
            request = greedy.request();
            request.member_epoch = at(what, asker);
        }
        "leave" | "away" | "lost" => {
            request = asker.request();
            request.member_epoch = match what {
                "leave" => -1,
                "away" => -2,
                _ => -3,
            };
        }
        other => panic!("what is {other}?"),
    }
    request
}

fn classic_request(cast: &mut Cast, what: &str, asker: &Consumer) -> GroupRequest {
    let (id, epoch) = (&asker.member_id, asker.epoch);
    let group_instance_id = asker.instance_id.clone();
    match what {
        "sync" => GroupRequest::Sync(SyncRequest {
            group_instance_id,
            ..sync(id, epoch, &[])
        }),
        "heartbeat" => GroupRequest::Heartbeat(HeartbeatRequest {
            group_instance_id,
            ..heartbeat(id, epoch)
        }),
        "leave" => GroupRequest::Leave(leave(id, group_instance_id.as_deref())),
        _ => {
            let peer = ClassicPeer {
                member_id: id.clone(),
                instance_id: group_instance_id,
                ..ClassicPeer::new()
            };
            let mut request = peer.joining(&mut cast.world, &["t"]);
            request.requires_known_member_id = what == "join";
            match what {
                "join" | "join-old" => {}
                "join-alien" => request.protocol_type = "connect".into(),
                "join-nameless" => request.protocols.clear(),
                "join-short" => request.session_timeout_ms = 5,
                "join-unread" => request.protocols[0].metadata = [0, 1, 7].into(),
                other => panic!("what is {other}?"),
            }
            GroupRequest::Join(request)
        }
    }
}

/// A commit of the first partition that the member has, or of one that it does not have.
fn commit_request(what: &str, asker: &Consumer) -> CommitRequest {
    let epoch = if asker.member_id.is_empty() {
        -1
    } else {
        at(what, asker)
    };
    let mut request = commit(&asker.member_id, epoch, "t", 7);
    let has = |index: &i32| asker.has.contains(&partition(1, *index));
    let is_own = what != "commit-other";
    let index = (0..6).find(|index| has(index) == is_own).unwrap_or(0);
    request.topics[0].partitions[0].partition = partition(1, index).1;
    request.group_instance_id = asker.instance_id.clone();
    request.understands_new_errors = what != "commit-old";
    if what == "commit-other" {
        request.generation_id -= 1;
    }
    request
}

fn cast(state: Option<GroupState>) -> Cast {
    let under_i = |id: &str| Consumer {
        instance_id: Some("i".into()),
        ..Consumer::new(id)
    };
    let mut cast = Cast {
        world: world(),
        first: Consumer::new("first"),
        fixed: under_i("fixed"),
        fenced: under_i("fenced"),
    };
    let Some(state) = state else {
        for consumer in [&mut cast.first, &mut cast.fixed, &mut cast.fenced] {
            consumer.epoch = 3;
        }
        return cast;
    };
    let world = &mut cast.world;
    cast.first.joins(world, &["t"]);
    cast.fenced.joins(world, &["t"]);
    for _ in 0..2 {
        cast.first.beats(world);
        cast.fenced.beats(world);
    }
    let away = Consumer {
        epoch: -2,
        ..cast.fenced.clone()
    };
    world.told(GroupRequest::ConsumerHeartbeat(away.request()));
    cast.fixed.joins(world, &["t"]);
    cast.fixed.beats(world);
    match state {
        GroupState::Empty => {
            for consumer in [&cast.first, &cast.fixed] {
                let leaving = Consumer {
                    epoch: -1,
                    ..consumer.clone()
                };
                world.told(GroupRequest::ConsumerHeartbeat(leaving.request()));
            }
        }
        GroupState::Assigning => {
            world.machine.set_assignment_interval(Duration::from_secs(10));
            Consumer::new("third").joins(world, &["t"]);
        }
        GroupState::Reconciling => {
            Consumer::new("third").joins(world, &["t"]);
            for consumer in [&cast.first, &cast.fixed] {
                world.told(GroupRequest::ConsumerHeartbeat(consumer.request()));
            }
        }
        GroupState::Stable => {}
        other => panic!("no consumer group is {other:?}"),
    }
    let described = super::consumers::described(&mut cast.world);
    assert_eq!(described.state, state);
    cast
}
