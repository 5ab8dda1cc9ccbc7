//! Classic groups and their members: joining, sharing out, staying and leaving, and how others see it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use millstream_protocol::message::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use millstream_protocol::message::data::Data;
use millstream_protocol::message::delete_groups::DeleteGroupsRequest;
use millstream_protocol::message::describe_groups::DescribeGroupsRequest;
use millstream_protocol::message::heartbeat::HeartbeatRequest;
use millstream_protocol::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use millstream_protocol::message::leave_group::{LeaveGroupRequest, MemberIdentity};
use millstream_protocol::message::list_groups::ListGroupsRequest;
use millstream_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use millstream_protocol::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use millstream_protocol::primitive::Writer;

use super::committed::{awake, committing};
use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    for group in ["refused", "alone", "pair", "static", "old-0", "old-3", "registry"] {
        awake(talk, group);
    }
    let metadata = Metadata::of_consumers();
    refusals(talk, &metadata);
    alone(talk, &metadata);
    pair(talk, &metadata);
    fixed(talk, &metadata);
    of_another_type(talk);
    outside(talk);
}

/// What members of a protocol type tell each other.
struct Metadata {
    protocol_type: &'static str,
    protocol: &'static str,
    subscription: Vec<u8>,
    assignment: Vec<u8>,
}

impl Metadata {
    fn of_consumers() -> Self {
        let written = |datum: &dyn Fn(&mut Writer)| {
            let mut w = Writer::new();
            datum(&mut w);
            w.into_parts().0
        };
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["consumed"],
            ..ConsumerProtocolSubscription::default()
        };
        let assignment = ConsumerProtocolAssignment::default();
        Self {
            protocol_type: "consumer",
            protocol: "range",
            subscription: written(&|w| subscription.encode(w, 1).expect("a subscription")),
            assignment: written(&|w| assignment.encode(w, 1).expect("an assignment")),
        }
    }

    /// As schema registries elect their leader: what they say to each other is no subscription and no assignment.
    fn of_registries() -> Self {
        Self {
            protocol_type: "sr",
            protocol: "v0",
            subscription: vec![0x00, 0xff, 0xc3, 0x28, 0x7f],
            assignment: vec![0xfe, 0x00],
        }
    }

    fn join<'a>(&'a self, group_id: &'a str, member_id: &'a str) -> JoinGroupRequest<'a> {
        JoinGroupRequest {
            group_id,
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            member_id,
            protocol_type: self.protocol_type,
            protocols: vec![JoinGroupRequestProtocol {
                name: self.protocol,
                metadata: &self.subscription,
            }],
            ..JoinGroupRequest::default()
        }
    }

    fn sync<'a>(
        &'a self,
        group_id: &'a str,
        generation: i32,
        member_id: &'a str,
        leads: &[&'a str],
    ) -> SyncGroupRequest<'a> {
        SyncGroupRequest {
            group_id,
            generation_id: generation,
            member_id,
            protocol_type: Some(self.protocol_type),
            protocol_name: Some(self.protocol),
            assignments: leads
                .iter()
                .map(|member_id| SyncGroupRequestAssignment {
                    member_id,
                    assignment: &self.assignment,
                })
                .collect(),
            ..SyncGroupRequest::default()
        }
    }
}

fn refusals(talk: &mut Talk, metadata: &Metadata) {
    for version in 0..=9 {
        for (case, request) in [
            ("no group", metadata.join("", "")),
            ("a member that is none", metadata.join("refused", "nobody")),
            (
                "a session too short",
                JoinGroupRequest {
                    session_timeout_ms: 1,
                    ..metadata.join("refused", "")
                },
            ),
            (
                "a session too long",
                JoinGroupRequest {
                    session_timeout_ms: i32::MAX,
                    ..metadata.join("refused", "")
                },
            ),
            (
                "a session below none",
                JoinGroupRequest {
                    session_timeout_ms: -1,
                    ..metadata.join("refused", "")
                },
            ),
            (
                "no protocols",
                JoinGroupRequest {
                    protocols: Vec::new(),
                    ..metadata.join("refused", "")
                },
            ),
            (
                "no protocol type",
                JoinGroupRequest {
                    protocol_type: "",
                    ..metadata.join("refused", "")
                },
            ),
        ] {
            talk.ask(case, &request, version);
        }
    }
    for version in 0..=4 {
        talk.ask(
            "of a group that is none",
            &heartbeat("refused", 1, "nobody"),
            version,
        );
        talk.ask("of no group", &heartbeat("", 1, "nobody"), version);
    }
    for version in 0..=5 {
        talk.ask(
            "of a group that is none",
            &metadata.sync("refused", 1, "nobody", &[]),
            version,
        );
        talk.ask("of no group", &metadata.sync("", 1, "nobody", &[]), version);
        talk.ask(
            "of a group that is none",
            &leave("refused", "nobody", None),
            version,
        );
        talk.ask("of no group", &leave("", "nobody", None), version);
    }
}

/// A group of one, in every version of joining.
fn alone(talk: &mut Talk, metadata: &Metadata) {
    for (group, version) in [("old-0", 0), ("old-3", 3), ("alone", 9)] {
        let (member, generation) = joined(talk, metadata, group, version);
        talk.ask("before the leader has decided", &describe(&[group]), 5);
        talk.ask(
            format!("first {group}"),
            &heartbeat(group, generation, &member),
            4,
        );
        talk.ask(
            "in another generation",
            &metadata.sync(group, generation + 1, &member, &[&member]),
            5,
        );
        let other = SyncGroupRequest {
            protocol_name: Some("roundrobin"),
            ..metadata.sync(group, generation, &member, &[&member])
        };
        talk.ask("by another protocol", &other, 5);
        let stranger = SyncGroupRequest {
            protocol_type: Some("connect"),
            ..metadata.sync(group, generation, &member, &[&member])
        };
        talk.ask("of another type", &stranger, 5);
        for version in 0..=5 {
            talk.ask(
                "the leader's",
                &metadata.sync(group, generation, &member, &[&member]),
                version,
            );
        }
        for version in 0..=4 {
            talk.ask("alive", &heartbeat(group, generation, &member), version);
            talk.ask(
                "in another generation",
                &heartbeat(group, generation + 1, &member),
                version,
            );
            talk.ask(
                "of another member",
                &heartbeat(group, generation, "nobody"),
                version,
            );
        }
        for version in [2, 7, 9] {
            for (case, generation, member) in [
                ("by a member", generation, &*member),
                ("by a member in another generation", generation + 1, &member),
                ("by another member", generation, "nobody"),
                ("by nobody, while there are members", -1, ""),
            ] {
                talk.ask(
                    case,
                    &committing(group, generation, member, &[("consumed", 0, 3, None)]),
                    version,
                );
            }
        }
        for version in 0..=6 {
            talk.ask("a stable group", &describe(&[group]), version);
        }
        let another = JoinGroupRequest {
            protocol_type: "connect",
            ..metadata.join(group, "")
        };
        talk.ask("of another type", &another, 3);
        let another = JoinGroupRequest {
            protocols: vec![JoinGroupRequestProtocol {
                name: "sticky",
                metadata: b"",
            }],
            ..metadata.join(group, "")
        };
        talk.ask("by another protocol", &another, 3);
        let request = OffsetDeleteRequest {
            group_id: group,
            topics: vec![OffsetDeleteRequestTopic {
                name: "consumed",
                partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
            }],
        };
        talk.ask("of what is being read", &request, 0);
        talk.ask(
            "with members",
            &DeleteGroupsRequest {
                groups_names: vec![group],
            },
            2,
        );
        talk.ask("somebody else", &leave(group, "nobody", None), 4);
        talk.ask(format!("{group} leaves"), &leave(group, &member, None), 2);
        talk.ask("after its end", &heartbeat(group, generation, &member), 4);
        talk.ask("an empty group", &describe(&[group]), 6);
    }
}

/// A second member comes and goes.
fn pair(talk: &mut Talk, metadata: &Metadata) {
    let (one, generation) = joined(talk, metadata, "pair", 9);
    talk.ask(
        "the leader's",
        &metadata.sync("pair", generation, &one, &[&one]),
        5,
    );
    let two = identified(talk, metadata, "pair", "two: an id", 9);
    talk.send("two", &metadata.join("pair", &two), 9);
    until_rebalance(talk, "pair", generation, &one);
    talk.ask("while others join", &heartbeat("pair", generation, &one), 4);
    talk.ask("while others join", &describe(&["pair"]), 6);
    talk.ask(
        "while others join",
        &metadata.sync("pair", generation, &one, &[]),
        5,
    );
    talk.ask(
        "while others join",
        &committing("pair", generation, &one, &[("consumed", 0, 4, None)]),
        8,
    );
    talk.ask("one: again", &metadata.join("pair", &one), 9);
    talk.hear::<JoinGroupRequest<'_>>("two", "two: in", 9);
    let generation = generation + 1;
    talk.ask(
        "before the leader has decided",
        &heartbeat("pair", generation, &two),
        4,
    );
    talk.ask(
        "before the leader has decided",
        &committing("pair", generation, &two, &[("consumed", 0, 5, None)]),
        8,
    );
    talk.send("two", &metadata.sync("pair", generation, &two, &[]), 5);
    talk.ask(
        "of two",
        &metadata.sync("pair", generation, &one, &[&one, &two]),
        5,
    );
    talk.hear::<SyncGroupRequest<'_>>("two", "of the other", 5);
    talk.ask("of two", &describe(&["pair"]), 6);
    talk.ask("the leader, with nothing new", &metadata.join("pair", &two), 9);
    talk.ask("two leaves", &leave("pair", &two, None), 5);
    talk.ask("after the other left", &heartbeat("pair", generation, &one), 4);
    talk.ask("one: alone again", &metadata.join("pair", &one), 9);
    talk.ask("one leaves", &leave("pair", &one, None), 5);
}

/// A static member, which comes back under its instance's name.
fn fixed(talk: &mut Talk, metadata: &Metadata) {
    let join = |member_id| JoinGroupRequest {
        group_instance_id: Some("i"),
        ..metadata.join("static", member_id)
    };
    let reply = talk
        .ask("static: the first time", &join(""), 9)
        .expect("an answer");
    let answer = reply.read::<JoinGroupRequest<'_>>();
    let (first, generation) = (answer.member_id.to_owned(), answer.generation_id);
    let sync = SyncGroupRequest {
        group_instance_id: Some("i"),
        ..metadata.sync("static", generation, &first, &[&first])
    };
    talk.ask("static", &sync, 5);
    talk.ask("a static member", &describe(&["static"]), 6);
    let reply = talk.ask("static: again", &join(""), 9).expect("an answer");
    let answer = reply.read::<JoinGroupRequest<'_>>();
    let (second, generation) = (answer.member_id.to_owned(), answer.generation_id);
    let alive = |member_id| HeartbeatRequest {
        group_instance_id: Some("i"),
        ..heartbeat("static", generation, member_id)
    };
    talk.ask("static: the one before", &alive(&first), 4);
    talk.ask("static: the one now", &alive(&second), 4);
    let unknown = HeartbeatRequest {
        group_instance_id: Some("nobody"),
        ..heartbeat("static", generation, &second)
    };
    talk.ask("static: an instance that is none", &unknown, 4);
    talk.ask("static: by the one before", &join(&first), 9);
    talk.ask("static: instances", &leave("static", "", Some("nobody")), 5);
    talk.ask(
        "static: another member's instance",
        &leave("static", &first, Some("i")),
        5,
    );
    talk.ask("static: its instance", &leave("static", "", Some("i")), 5);
}

/// A group that is not of consumers: the broker passes bytes on that it cannot read.
fn of_another_type(talk: &mut Talk) {
    let metadata = Metadata::of_registries();
    let (member, generation) = joined(talk, &metadata, "registry", 9);
    for version in 0..=5 {
        let sync = metadata.sync("registry", generation, &member, &[&member]);
        talk.ask("of another type: the leader's", &sync, version);
    }
    for version in 0..=6 {
        talk.ask("of another type: stable", &describe(&["registry"]), version);
    }
    for version in [5, 9] {
        let again = metadata.join("registry", &member);
        talk.ask("of another type: again", &again, version);
        let consumer = Metadata::of_consumers();
        talk.ask(
            "of another type: a consumer",
            &consumer.join("registry", ""),
            version,
        );
    }
    let listed = ListGroupsRequest {
        states_filter: vec!["CompletingRebalance"],
        ..ListGroupsRequest::default()
    };
    talk.ask("of another type: listed", &listed, 5);
    talk.ask("of another type: leaves", &leave("registry", &member, None), 5);
    talk.ask("of another type: empty", &describe(&["registry"]), 6);
    let gone = DeleteGroupsRequest {
        groups_names: vec!["registry"],
    };
    talk.ask("of another type", &gone, 2);
}

/// What who is no member asks about groups.
fn outside(talk: &mut Talk) {
    for version in 0..=6 {
        let operations = DescribeGroupsRequest {
            include_authorized_operations: true,
            ..describe(&["alone", "nobody", ""])
        };
        talk.ask("some", &operations, version);
        talk.ask("nothing", &describe(&[]), version);
    }
    for version in 0..=5 {
        talk.ask("all", &ListGroupsRequest::default(), version);
    }
    for states in [
        vec!["Empty"],
        vec!["stable"],
        vec!["Dead", "Empty"],
        vec!["Nothing"],
    ] {
        let request = ListGroupsRequest {
            states_filter: states.clone(),
            ..ListGroupsRequest::default()
        };
        talk.ask(format!("in {states:?}"), &request, 4);
    }
    for types in [
        vec!["classic"],
        vec!["consumer"],
        vec!["Classic"],
        vec!["nothing"],
    ] {
        let request = ListGroupsRequest {
            types_filter: types.clone(),
            ..ListGroupsRequest::default()
        };
        talk.ask(format!("of {types:?}"), &request, 5);
    }
    let gone = DeleteGroupsRequest {
        groups_names: vec!["alone", "pair", "static", "old-0", "old-3"],
    };
    talk.ask("all", &gone, 2);
    talk.ask("when all are gone", &ListGroupsRequest::default(), 5);
}

/// Joins as the first member; its id and generation.
fn joined(talk: &mut Talk, metadata: &Metadata, group: &str, version: i16) -> (String, i32) {
    let id = match version {
        ..=3 => String::new(),
        4.. => identified(talk, metadata, group, "one: an id", version),
    };
    let reply = talk.ask(format!("{group}: in"), &metadata.join(group, &id), version);
    let reply = reply.expect("an answer");
    let answer = reply.read::<JoinGroupRequest<'_>>();
    (answer.member_id.to_owned(), answer.generation_id)
}

/// The id that a new member is given and has to join with.
fn identified(talk: &mut Talk, metadata: &Metadata, group: &str, case: &str, version: i16) -> String {
    let reply = talk
        .ask(case, &metadata.join(group, ""), version)
        .expect("an answer");
    reply.read::<JoinGroupRequest<'_>>().member_id.to_owned()
}

fn until_rebalance(talk: &mut Talk, group: &str, generation: i32, member: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let reply = talk.aside(&heartbeat(group, generation, member), 4);
        if reply.read::<HeartbeatRequest<'_>>().error_code != 0 {
            return;
        }
        assert!(Instant::now() < until, "nobody joins {group}");
        sleep(Duration::from_millis(20));
    }
}

fn heartbeat<'a>(group_id: &'a str, generation_id: i32, member_id: &'a str) -> HeartbeatRequest<'a> {
    HeartbeatRequest {
        group_id,
        generation_id,
        member_id,
        group_instance_id: None,
    }
}

fn leave<'a>(
    group_id: &'a str,
    member_id: &'a str,
    group_instance_id: Option<&'a str>,
) -> LeaveGroupRequest<'a> {
    LeaveGroupRequest {
        group_id,
        member_id,
        members: vec![MemberIdentity {
            member_id,
            group_instance_id,
            reason: None,
        }],
    }
}

fn describe<'a>(groups: &[&'a str]) -> DescribeGroupsRequest<'a> {
    DescribeGroupsRequest {
        groups: groups.to_vec(),
        ..DescribeGroupsRequest::default()
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
