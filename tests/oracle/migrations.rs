//! Groups that go from the classic protocol to the consumer protocol and back while they have members.

use millstream_protocol::message::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use millstream_protocol::message::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use millstream_protocol::message::data::Data;
use millstream_protocol::message::describe_groups::DescribeGroupsRequest;
use millstream_protocol::message::heartbeat::HeartbeatRequest;
use millstream_protocol::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use millstream_protocol::message::leave_group::{LeaveGroupRequest, MemberIdentity};
use millstream_protocol::message::list_groups::ListGroupsRequest;
use millstream_protocol::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use millstream_protocol::primitive::Writer;
use millstream_protocol::types::TopicId;

use super::committed::{awake, committing};
use super::consumers::{ONE, TWO, alive, describe, join, owned, topic_id};
use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    for group in [
        "rolled", "down", "refusing", "foreign", "custom", "same", "twice", "waiting", "stale",
    ] {
        awake(talk, group);
    }
    talk.topic(TOPIC, 2, &[]);
    let topic = topic_id(talk, TOPIC);
    over(talk, topic);
    refused(talk, topic);
    back(talk);
    newcomers(talk);
    no_upgrades(talk);
    waiting(talk);
    stale(talk);
}

/// A static member of a classic group, so that both brokers put it in the same place.
struct Member {
    group: &'static str,
    id: String,
    generation: i32,
}

impl Member {
    /// Alone in a new classic group, with both partitions.
    fn alone(talk: &mut Talk, group: &'static str) -> Self {
        let mut member = Self {
            group,
            id: String::new(),
            generation: 0,
        };
        let reply = talk.aside(&member.joining(&subscription(&[])), 9);
        member.hear(&reply.read::<JoinGroupRequest<'_>>());
        talk.aside(&member.syncing(&assignment(&[0, 1], None)), 5);
        member
    }

    fn hear(
        &mut self,
        answer: &<JoinGroupRequest<'_> as millstream_protocol::message::Request>::Response<'_>,
    ) {
        self.id = answer.member_id.to_owned();
        self.generation = answer.generation_id;
    }

    fn joins(&mut self, talk: &mut Talk, case: &str, owned: &[i32]) {
        let reply = talk.ask(case, &self.joining(&subscription(owned)), 9);
        self.hear(&reply.expect("an answer").read::<JoinGroupRequest<'_>>());
    }

    fn joining<'a>(&'a self, metadata: &'a [u8]) -> JoinGroupRequest<'a> {
        JoinGroupRequest {
            group_instance_id: Some("a"),
            member_id: &self.id,
            ..classic(self.group, metadata)
        }
    }

    fn syncing<'a>(&'a self, share: &'a [u8]) -> SyncGroupRequest<'a> {
        SyncGroupRequest {
            group_id: self.group,
            generation_id: self.generation,
            member_id: &self.id,
            group_instance_id: Some("a"),
            protocol_type: Some("consumer"),
            protocol_name: Some("range"),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: &self.id,
                assignment: share,
            }],
        }
    }

    fn beating(&self) -> HeartbeatRequest<'_> {
        HeartbeatRequest {
            group_id: self.group,
            generation_id: self.generation,
            member_id: &self.id,
            group_instance_id: Some("a"),
        }
    }
}

/// A member of the consumer protocol joins, and the classic one gives it its share, step by step.
fn over(talk: &mut Talk, topic: TopicId) {
    let mut member = Member::alone(talk, "rolled");
    let request = ConsumerGroupHeartbeatRequest {
        instance_id: Some("b"),
        server_assignor: Some("range"),
        ..consumer("rolled", ONE)
    };
    let reply = talk
        .ask("over: a consumer joins", &request, 1)
        .expect("an answer");
    let epoch = reply.read::<ConsumerGroupHeartbeatRequest<'_>>().member_epoch;
    talk.ask("over: one of each", &describe(&["rolled"]), 1);
    talk.ask("over: by the classic request", &described("rolled"), 6);
    talk.ask("over: listed", &ListGroupsRequest::default(), 5);
    talk.ask("over: behind, alive", &member.beating(), 4);
    talk.ask("over: behind, syncs", &member.syncing(b""), 5);
    member.joins(talk, "over: has all, joins", &[0, 1]);
    talk.ask("over: is to give up", &describe(&["rolled"]), 1);
    talk.ask("over: is to give up, syncs", &member.syncing(b""), 5);
    talk.ask("over: is to give up, alive", &member.beating(), 4);
    talk.ask("over: the consumer waits", &told(topic, &[], epoch), 1);
    member.joins(talk, "over: has given up, joins", &[0]);
    talk.ask("over: has given up, syncs", &member.syncing(b""), 5);
    talk.ask("over: has given up, alive", &member.beating(), 4);
    talk.ask("over: the consumer is given", &told(topic, &[], epoch), 1);
    talk.ask("over: the consumer has", &told(topic, &[1], epoch), 1);
    talk.ask("over: both have", &describe(&["rolled"]), 1);
    member.joins(talk, "over: joins for nothing", &[0]);
    talk.ask("over: the same again", &member.syncing(b""), 5);
    in_the_middle(talk, &member);
    apart(talk, &member);
}

/// Requests that are wrong, to the group with a member of each protocol.
fn in_the_middle(talk: &mut Talk, member: &Member) {
    for (case, member_id, instance, generation) in [
        (
            "of a later generation",
            &*member.id,
            Some("a"),
            member.generation + 1,
        ),
        (
            "of an earlier generation",
            &*member.id,
            Some("a"),
            member.generation - 1,
        ),
        ("of nobody", "nobody", None, member.generation),
        ("of a consumer", ONE, None, member.generation),
        (
            "of an instance that is none",
            &*member.id,
            Some("x"),
            member.generation,
        ),
        ("of another's instance", &*member.id, Some("b"), member.generation),
    ] {
        let beat = HeartbeatRequest {
            group_instance_id: instance,
            member_id,
            generation_id: generation,
            ..member.beating()
        };
        talk.ask(format!("mixed: alive {case}"), &beat, 4);
        let sync = SyncGroupRequest {
            group_instance_id: instance,
            member_id,
            generation_id: generation,
            ..member.syncing(b"")
        };
        talk.ask(format!("mixed: syncs {case}"), &sync, 5);
        if instance != Some("b") && instance != Some("x") {
            for version in [8, 9] {
                let commit = committing("rolled", generation, member_id, &[(TOPIC, 0, 3, None)]);
                talk.ask(format!("mixed: commits {case}"), &commit, version);
            }
        }
    }
    for (case, kind, name) in [
        ("as another type", Some("connect"), Some("range")),
        ("by another protocol", Some("consumer"), Some("sticky")),
        ("by no name", None, None),
    ] {
        let sync = SyncGroupRequest {
            protocol_type: kind,
            protocol_name: name,
            ..member.syncing(b"")
        };
        talk.ask(format!("mixed: syncs {case}"), &sync, 5);
    }
}

/// The members leave in turn: the consumer last but one.
fn apart(talk: &mut Talk, member: &Member) {
    talk.ask("apart: the consumer leaves", &leaving("rolled", "", Some("b")), 5);
    talk.ask("apart: a classic group", &described("rolled"), 6);
    talk.ask("apart: no consumer group", &describe(&["rolled"]), 1);
    talk.ask("apart: alive", &member.beating(), 4);
    talk.ask("apart: syncs", &member.syncing(b""), 5);
    let mut member = Member {
        id: member.id.clone(),
        ..*member
    };
    member.joins(talk, "apart: joins", &[0]);
    talk.ask(
        "apart: shares out",
        &member.syncing(&assignment(&[0, 1], None)),
        5,
    );
    talk.ask("apart: alive at last", &member.beating(), 4);
    talk.ask("apart: stable", &described("rolled"), 6);
    talk.ask("apart: all leave", &leaving("rolled", "", Some("a")), 5);
}

/// A static member changes its protocol under its instance id, and again.
fn back(talk: &mut Talk) {
    let mut member = Member::alone(talk, "same");
    let request = ConsumerGroupHeartbeatRequest {
        instance_id: Some("a"),
        ..consumer("same", ONE)
    };
    talk.ask("same: as a consumer", &request, 1);
    talk.ask("same: one", &describe(&["same"]), 1);
    talk.ask("same: the id before", &member.beating(), 4);
    member.id.clear();
    member.joins(talk, "same: as a classic member", &[]);
    talk.ask("same: syncs", &member.syncing(b""), 5);
    talk.ask("same: alive", &member.beating(), 4);
    talk.ask("same: stable at once", &described("same"), 6);
    talk.ask("same: leaves", &leaving("same", "", Some("a")), 5);
}

/// Members that join a group of the consumer protocol without having been there.
fn newcomers(talk: &mut Talk) {
    talk.aside(&join("down", ONE), 1);
    let metadata = subscription(&[]);
    for version in [3, 4, 9] {
        talk.ask("down: nobody yet", &classic("down", &metadata), version);
    }
    let with = |member_id| JoinGroupRequest {
        member_id,
        ..classic("down", &metadata)
    };
    let reply = talk.ask("down: an id of its own", &with("somebody"), 9);
    let reply = reply.expect("an answer");
    let generation = reply.read::<JoinGroupRequest<'_>>().generation_id;
    let unknown = JoinGroupRequest {
        group_instance_id: Some("x"),
        ..with("else")
    };
    talk.ask("down: an instance with an id that is none", &unknown, 9);
    let alien = JoinGroupRequest {
        protocols: vec![JoinGroupRequestProtocol {
            name: "alien",
            metadata: &metadata,
        }],
        ..with("else")
    };
    talk.ask("down: a protocol that the other lacks", &alien, 9);
    let short = JoinGroupRequest {
        session_timeout_ms: 1,
        ..with("else")
    };
    talk.ask("down: a session too short", &short, 9);
    let beat = HeartbeatRequest {
        group_id: "down",
        generation_id: generation,
        member_id: "somebody",
        group_instance_id: None,
    };
    talk.ask("down: alive", &beat, 4);
    talk.ask("down: leaves", &leaving("down", "somebody", None), 5);
    talk.ask("down: after that", &beat, 4);
    talk.aside(&alive("down", ONE, -1), 1);
}

/// What is asked of a classic group by those who are not to make a consumer group of it.
fn refused(talk: &mut Talk, topic: TopicId) {
    let member = Member::alone(talk, "refusing");
    for (case, epoch) in [("in its middle", 3), ("that leaves", -1)] {
        talk.ask(
            format!("refusing: a consumer {case}"),
            &alive("refusing", ONE, epoch),
            1,
        );
    }
    let spoilt = ConsumerGroupHeartbeatRequest {
        topic_partitions: Some(owned(topic, &[0])),
        ..consumer("refusing", ONE)
    };
    talk.ask("refusing: a consumer that has something", &spoilt, 1);
    talk.ask("refusing: nothing has changed", &member.beating(), 4);
}

fn no_upgrades(talk: &mut Talk) {
    let sound = subscription(&[]);
    for (group, kind, metadata, share) in [
        ("foreign", "connect", &sound[..], assignment(&[0], None)),
        ("custom", "consumer", &sound[..], assignment(&[0], Some(b"own"))),
    ] {
        let request = |member_id| JoinGroupRequest {
            protocol_type: kind,
            member_id,
            group_instance_id: Some("a"),
            ..classic(group, metadata)
        };
        let reply = talk.aside(&request(""), 9);
        let reply = reply.read::<JoinGroupRequest<'_>>();
        let member = Member {
            group,
            id: reply.member_id.to_owned(),
            generation: reply.generation_id,
        };
        let sync = SyncGroupRequest {
            protocol_type: Some(kind),
            ..member.syncing(&share)
        };
        talk.aside(&sync, 5);
        talk.ask(format!("no upgrade: {group}"), &consumer(group, TWO), 1);
        talk.ask(format!("no upgrade: {group}, as it was"), &described(group), 6);
        talk.ask(format!("no upgrade: {group}, alive"), &member.beating(), 4);
    }
}

/// Two members of a classic group: what the leader has given both, and one who waits while the group goes over.
fn waiting(talk: &mut Talk) {
    for group in ["twice", "waiting"] {
        let mut leader = Member::alone(talk, group);
        let metadata = subscription(&[]);
        let second = |member_id| JoinGroupRequest {
            group_instance_id: Some("z"),
            member_id,
            ..classic(group, &metadata)
        };
        talk.send("second", &second(""), 9);
        std::thread::sleep(std::time::Duration::from_millis(300));
        if group == "waiting" {
            talk.ask("waiting: a consumer joins", &consumer(group, ONE), 1);
            talk.hear::<JoinGroupRequest<'_>>("second", "waiting: is told to join again", 9);
            talk.ask("waiting: the other one, alive", &leader.beating(), 4);
            talk.ask("waiting: joins", &second(""), 9);
            continue;
        }
        let reply = talk.aside(&leader.joining(&metadata), 9);
        leader.hear(&reply.read::<JoinGroupRequest<'_>>());
        let reply = talk.hear::<JoinGroupRequest<'_>>("second", "twice: joins", 9);
        let other = reply
            .expect("an answer")
            .read::<JoinGroupRequest<'_>>()
            .member_id
            .to_owned();
        let share = assignment(&[0, 1], None);
        let mut sync = leader.syncing(&share);
        sync.assignments.push(SyncGroupRequestAssignment {
            member_id: &other,
            assignment: &share,
        });
        talk.aside(&sync, 5);
        talk.ask("twice: a consumer joins", &consumer(group, ONE), 1);
        talk.ask("twice: alive", &leader.beating(), 4);
    }
}

/// The last consumer's place is taken by a classic member that reads something else: all have to meet.
fn stale(talk: &mut Talk) {
    let mut member = Member::alone(talk, "stale");
    let request = ConsumerGroupHeartbeatRequest {
        instance_id: Some("a"),
        ..consumer("stale", ONE)
    };
    talk.aside(&request, 1);
    member.id.clear();
    let other = ConsumerProtocolSubscription {
        topics: vec![TOPIC, "nobody"],
        ..ConsumerProtocolSubscription::default()
    };
    let mut w = Writer::new();
    other.encode(&mut w, 1).expect("a subscription");
    let reply = talk.ask("stale: reads something else", &member.joining(w.bytes()), 9);
    member.hear(&reply.expect("an answer").read::<JoinGroupRequest<'_>>());
    talk.ask("stale: as it is then", &described("stale"), 6);
    talk.ask("stale: syncs", &member.syncing(b""), 5);
    talk.ask("stale: joins again", &member.joining(w.bytes()), 9);
}

fn classic<'a>(group_id: &'a str, metadata: &'a [u8]) -> JoinGroupRequest<'a> {
    JoinGroupRequest {
        group_id,
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "consumer",
        protocols: vec![JoinGroupRequestProtocol {
            name: "range",
            metadata,
        }],
        ..JoinGroupRequest::default()
    }
}

fn consumer<'a>(group_id: &'a str, member_id: &'a str) -> ConsumerGroupHeartbeatRequest<'a> {
    ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec![TOPIC]),
        ..join(group_id, member_id)
    }
}

fn told<'a>(topic: TopicId, partitions: &[i32], epoch: i32) -> ConsumerGroupHeartbeatRequest<'a> {
    ConsumerGroupHeartbeatRequest {
        instance_id: Some("b"),
        topic_partitions: Some(if partitions.is_empty() {
            Vec::new()
        } else {
            owned(topic, partitions)
        }),
        ..alive("rolled", ONE, epoch)
    }
}

fn described(group: &str) -> DescribeGroupsRequest<'_> {
    DescribeGroupsRequest {
        groups: vec![group],
        ..DescribeGroupsRequest::default()
    }
}

fn leaving<'a>(group_id: &'a str, member_id: &'a str, instance: Option<&'a str>) -> LeaveGroupRequest<'a> {
    LeaveGroupRequest {
        group_id,
        members: vec![MemberIdentity {
            member_id,
            group_instance_id: instance,
            ..MemberIdentity::default()
        }],
        ..LeaveGroupRequest::default()
    }
}

fn subscription(owned: &[i32]) -> Vec<u8> {
    let subscription = ConsumerProtocolSubscription {
        topics: vec![TOPIC],
        owned_partitions: vec![partitions(owned)],
        ..ConsumerProtocolSubscription::default()
    };
    let mut w = Writer::new();
    subscription.encode(&mut w, 1).expect("a subscription");
    w.into_parts().0
}

fn assignment(assigned: &[i32], user_data: Option<&[u8]>) -> Vec<u8> {
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: vec![partitions(assigned)],
        user_data,
    };
    let mut w = Writer::new();
    assignment.encode(&mut w, 1).expect("an assignment");
    w.into_parts().0
}

fn partitions(indexes: &[i32]) -> TopicPartition<'static> {
    TopicPartition {
        topic: TOPIC,
        partitions: indexes.to_vec(),
    }
}

const TOPIC: &str = "rolled";
