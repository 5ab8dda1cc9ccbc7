//! Every request of the classic protocol, and the heartbeat of the consumer protocol, in every state of a group of
//! members of both: the answer that Kafka gives.

use std::string::{String, ToString};
use std::vec;

use super::classic_peer::*;
use super::consumers::{Consumer, partition, world};
use super::world::*;
use crate::group::*;

/// Where the classic member stands that asks.
#[derive(Clone, Copy, Debug)]
enum State {
    /// It has what it is to have.
    Settled,
    /// There is another target.
    Behind,
    /// It has to give something up.
    Revoking,
    /// Somebody else has to.
    Waiting,
}

const STATES: [State; 4] = [State::Settled, State::Behind, State::Revoking, State::Waiting];

/// By request and asker: the answers where the member is settled, behind, revoking, waiting. A code stands with its
/// beginning.
const TABLE: &str = "
join               nobody   MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED MEMBER_ID_REQUIRED
join               old      NONE               NONE               NONE               NONE
join               stranger NONE               NONE               NONE               NONE
join               member   NONE               NONE               NONE               NONE
join               consumer NONE               NONE               NONE               NONE
join               fenced   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
changed            member   NONE               NONE               NONE               NONE
alien              member   INCONSISTENT       INCONSISTENT       INCONSISTENT       INCONSISTENT
other-type         member   INCONSISTENT       INCONSISTENT       INCONSISTENT       INCONSISTENT
no-names           member   INCONSISTENT       INCONSISTENT       INCONSISTENT       INCONSISTENT
malformed          member   UNKNOWN_SERVER     UNKNOWN_SERVER     UNKNOWN_SERVER     UNKNOWN_SERVER
short              member   INVALID_SESSION    INVALID_SESSION    INVALID_SESSION    INVALID_SESSION
sync               member   NONE               REBALANCE          NONE               NONE
sync               stale    ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION
sync               stranger UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
sync               consumer UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
sync               fenced   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
sync-as-x          member   INCONSISTENT       INCONSISTENT       INCONSISTENT       INCONSISTENT
sync-by-x          member   INCONSISTENT       INCONSISTENT       INCONSISTENT       INCONSISTENT
heartbeat          member   NONE               REBALANCE          REBALANCE          NONE
heartbeat          stale    ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION
heartbeat          stranger UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
heartbeat          consumer UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
heartbeat          fenced   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
leave              member   NONE               NONE               NONE               NONE
leave              consumer NONE               NONE               NONE               NONE
leave              stranger UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
commit             member   NONE               NONE               NONE               NONE
commit             stale    ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION ILLEGAL_GENERATION
commit             stranger UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
describe           member   GROUP_ID_NOT_FOUND GROUP_ID_NOT_FOUND GROUP_ID_NOT_FOUND GROUP_ID_NOT_FOUND
delete             member   NON_EMPTY_GROUP    NON_EMPTY_GROUP    NON_EMPTY_GROUP    NON_EMPTY_GROUP
as-consumer        nobody   INVALID_REQUEST    INVALID_REQUEST    INVALID_REQUEST    INVALID_REQUEST
as-consumer        stranger NONE               NONE               NONE               NONE
as-consumer        member   NONE               NONE               NONE               NONE
as-consumer        consumer NONE               NONE               NONE               NONE
as-consumer        fenced   NONE               NONE               NONE               NONE
beat               stranger UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
beat               member   NONE               NONE               NONE               NONE
beat               consumer NONE               NONE               NONE               NONE
beat               fenced   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
beat-before        consumer FENCED_MEMBER      FENCED_MEMBER      FENCED_MEMBER      FENCED_MEMBER
beat-after         consumer FENCED_MEMBER      FENCED_MEMBER      FENCED_MEMBER      FENCED_MEMBER
beat-greedy        consumer NONE               NONE               NONE               NONE
beat-greedy        member   NONE               NONE               NONE               NONE
go                 stranger UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
go                 member   NONE               NONE               NONE               NONE
go                 consumer NONE               NONE               NONE               NONE
go                 fenced   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
go-away            member   INVALID_REQUEST    INVALID_REQUEST    INVALID_REQUEST    INVALID_REQUEST
go-away            consumer INVALID_REQUEST    INVALID_REQUEST    INVALID_REQUEST    INVALID_REQUEST
go-away            fenced   UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID  UNKNOWN_MEMBER_ID
describe-consumers consumer NONE               NONE               NONE               NONE
";

#[test]
fn every_request_in_every_state_of_a_mixed_group() {
    hold_table(TABLE, &STATES, |state, what, who| {
        let (mut world, member, consumer) = group(state);
        let request = match consumer_request(&member, &consumer, what, who) {
            Some(request) => request,
            None => request(&mut world, &member, what, who),
        };
        error_of(&world.told(request)).name().to_string()
    });
}

fn group(state: State) -> (World, ClassicPeer, Consumer) {
    let mut world = world();
    let mut member = ClassicPeer {
        is_eager: false,
        ..ClassicPeer::new()
    };
    let mut consumer = Consumer::new("c");
    match state {
        State::Settled => {
            consumer.joins(&mut world, &["u"]);
            member.joins(&mut world, &["t"]);
        }
        State::Behind => {
            stable(&mut world, core::slice::from_mut(&mut member), &["t"]);
            consumer.joins(&mut world, &["t"]);
        }
        State::Revoking => {
            stable(&mut world, core::slice::from_mut(&mut member), &["t"]);
            consumer.joins(&mut world, &["t"]);
            member.joins(&mut world, &["t"]);
        }
        State::Waiting => {
            consumer.joins(&mut world, &["t"]);
            member.joins(&mut world, &["t"]);
        }
    }
    (world, member, consumer)
}

/// A request of the consumer protocol; `None` where `kind` is none.
fn consumer_request(
    member: &ClassicPeer,
    consumer: &Consumer,
    kind: &str,
    who: &str,
) -> Option<GroupRequest> {
    let of_member = Consumer {
        epoch: member.generation,
        has: member.has.clone(),
        ..Consumer::new(&member.member_id)
    };
    let asker = match who {
        "nobody" => Consumer::new(""),
        "stranger" => Consumer {
            epoch: consumer.epoch,
            ..Consumer::new("who")
        },
        "member" => of_member,
        "fenced" => Consumer {
            instance_id: Some("nobody's".into()),
            ..of_member
        },
        _ => consumer.clone(),
    };
    let mut request = asker.request();
    match kind {
        "as-consumer" => request = asker.joining(&["t"]),
        "beat" => {}
        "beat-before" => request.member_epoch -= 1,
        "beat-after" => request.member_epoch += 1,
        "beat-greedy" => request.topic_partitions = Some((0..6).map(|index| partition(1, index)).collect()),
        "go" => request.member_epoch = -1,
        "go-away" => request.member_epoch = -2,
        "describe-consumers" => {
            let group_id = "g".into();
            return Some(GroupRequest::ConsumerDescribe(DescribeRequest { group_id }));
        }
        _ => return None,
    }
    Some(GroupRequest::ConsumerHeartbeat(request))
}

fn request(world: &mut World, member: &ClassicPeer, kind: &str, who: &str) -> GroupRequest {
    let id = match who {
        "nobody" | "old" => "",
        "stranger" => "who",
        "consumer" => "c",
        _ => &member.member_id,
    };
    let generation = member.generation - i32::from(who == "stale");
    let instance_id = (who == "fenced").then(|| String::from("nobody's"));
    match kind {
        "sync" | "sync-as-x" | "sync-by-x" => GroupRequest::Sync(SyncRequest {
            group_instance_id: instance_id,
            protocol_type: (kind == "sync-as-x").then(|| "x".into()),
            protocol_name: (kind == "sync-by-x").then(|| "x".into()),
            ..sync(id, generation, &[])
        }),
        "heartbeat" => GroupRequest::Heartbeat(HeartbeatRequest {
            group_instance_id: instance_id,
            ..heartbeat(id, generation)
        }),
        "leave" => GroupRequest::Leave(leave(id, None)),
        "commit" => GroupRequest::CommitOffsets(commit(id, generation, "none", 1)),
        "describe" => GroupRequest::Describe(DescribeRequest { group_id: "g".into() }),
        "delete" => GroupRequest::Delete(DeleteRequest { group_id: "g".into() }),
        _ => {
            let request = ClassicPeer {
                member_id: id.into(),
                instance_id,
                ..member.clone()
            }
            .joining(world, &["t"]);
            GroupRequest::Join(spoilt(request, kind, who))
        }
    }
}

fn spoilt(mut request: JoinRequest, kind: &str, who: &str) -> JoinRequest {
    request.requires_known_member_id = who != "old";
    match kind {
        "changed" => request.protocols[0].metadata = metadata(&["t", "u"], &Partitions::new()).into(),
        "alien" => request.protocols[0].name = "alien".into(),
        "other-type" => request.protocol_type = "connect".into(),
        "no-names" => request.protocols = vec![],
        "malformed" => request.protocols[0].metadata = [0, 1, 7].into(),
        "short" => request.session_timeout_ms = 5,
        _ => {}
    }
    request
}
