//! Groups of the consumer protocol (KIP-848): members, what they are given, and how others see it.

use millstream_protocol::message::consumer_group_describe::ConsumerGroupDescribeRequest;
use millstream_protocol::message::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use millstream_protocol::message::delete_groups::DeleteGroupsRequest;
use millstream_protocol::message::describe_groups::DescribeGroupsRequest;
use millstream_protocol::message::heartbeat::HeartbeatRequest;
use millstream_protocol::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use millstream_protocol::message::list_groups::ListGroupsRequest;
use millstream_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic};
use millstream_protocol::message::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use millstream_protocol::types::TopicId;
use millstream_tests::wire::Reply;

use super::committed::{awake, committing};
use super::talk::Talk;

pub fn ask(talk: &mut Talk) {
    for group in ["new", "made", "shared", "fixed", "matched", "even"] {
        awake(talk, group);
    }
    talk.topic("split", 2, &[]);
    talk.topic("wide", 5, &[]);
    talk.topic("narrow", 3, &[]);
    refusals(talk);
    alone(talk);
    shared(talk);
    even(talk);
    fixed(talk);
    matched(talk);
    outside(talk);
}

/// What makes a sound request to join one that is refused.
type Spoil = fn(&mut ConsumerGroupHeartbeatRequest<'_>);

const SPOILT: [(&str, Spoil); 12] = [
    ("no group", |it| it.group_id = ""),
    ("an epoch that is none", |it| it.member_epoch = -3),
    ("nothing to read", |it| it.subscribed_topic_names = None),
    ("no time to rebalance", |it| it.rebalance_timeout_ms = -1),
    ("no partitions told", |it| it.topic_partitions = None),
    ("partitions from before", |it| {
        it.topic_partitions = Some(owned(TopicId::new([7; 16]), &[0]))
    }),
    ("an assignor that is none", |it| {
        it.server_assignor = Some("nobody")
    }),
    ("an assignor of no name", |it| it.server_assignor = Some("")),
    ("an instance of no name", |it| it.instance_id = Some("")),
    ("a rack of no name", |it| it.rack_id = Some("")),
    ("a topic that can be none", |it| {
        it.subscribed_topic_names = Some(vec!["a b"])
    }),
    ("a topic of no name", |it| {
        it.subscribed_topic_names = Some(vec![""])
    }),
];

fn refusals(talk: &mut Talk) {
    for version in [0, 1] {
        for (case, spoil) in SPOILT {
            let mut request = join("new", ONE);
            spoil(&mut request);
            talk.ask(case, &request, version);
        }
        for (case, member, epoch) in [
            ("an epoch of a group that is none", ONE, 5),
            ("leaving a group that is none", ONE, -1),
            ("leaving for a while without an instance", ONE, -2),
            ("no member in its middle", "", 5),
        ] {
            talk.ask(case, &alive("new", member, epoch), version);
        }
    }
    talk.ask("no member", &join("new", ""), 1);
    for (case, regex) in [
        ("an expression that is none", "(a"),
        ("an expression beyond RE2", "(?=a)"),
    ] {
        let request = ConsumerGroupHeartbeatRequest {
            subscribed_topic_names: None,
            subscribed_topic_regex: Some(regex),
            ..join("new", ONE)
        };
        talk.ask(case, &request, 1);
    }
}

fn alone(talk: &mut Talk) {
    let id = topic_id(talk, "split");
    let reply = talk
        .ask("an id from the broker", &join("made", ""), 0)
        .expect("an answer");
    let member = reply
        .read::<ConsumerGroupHeartbeatRequest<'_>>()
        .member_id
        .unwrap_or_default()
        .to_owned();
    talk.ask("an id from the broker: leaves", &alive("made", &member, -1), 0);

    let reply = talk.ask("in", &join("made", ONE), 1).expect("an answer");
    let epoch = reply.read::<ConsumerGroupHeartbeatRequest<'_>>().member_epoch;
    let owning = |partitions: &[i32], epoch| ConsumerGroupHeartbeatRequest {
        topic_partitions: Some(owned(id, partitions)),
        ..alive("made", ONE, epoch)
    };
    talk.ask("alive", &alive("made", ONE, epoch), 1);
    talk.ask("with all", &owning(&[0, 1], epoch), 1);
    talk.ask("with all, again", &owning(&[0, 1], epoch), 1);
    talk.ask("an epoch too far", &alive("made", ONE, epoch + 5), 1);
    talk.ask("a member that is none", &alive("made", TWO, epoch), 1);
    talk.ask("the same member joins again", &join("made", ONE), 1);
    for version in [0, 1] {
        talk.ask("a stable group", &describe(&["made"]), version);
    }
    for (case, epoch, member) in [
        ("by a member", epoch, ONE),
        ("by a member in a later epoch", epoch + 5, ONE),
        ("by a member in no epoch", -1, ONE),
        ("by another member", epoch, TWO),
        ("by nobody, while there are members", -1, ""),
    ] {
        for version in [8, 9] {
            let case = format!("consumer: {case}");
            talk.ask(
                case,
                &committing("made", epoch, member, &[("split", 0, 3, None)]),
                version,
            );
        }
    }
    for (case, member_id, member_epoch) in [
        ("for a member", Some(ONE), epoch),
        ("for a member in a later epoch", Some(ONE), epoch + 5),
        ("for another member", Some(TWO), epoch),
        ("for nobody", None, -1),
    ] {
        let group = OffsetFetchRequestGroup {
            group_id: "made",
            member_id,
            member_epoch,
            topics: None,
        };
        let request = OffsetFetchRequest {
            groups: vec![group],
            ..OffsetFetchRequest::default()
        };
        talk.ask(format!("consumer: {case}"), &request, 9);
    }
    classic(talk, epoch);
    let gone = DeleteGroupsRequest {
        groups_names: vec!["made"],
    };
    talk.ask("consumer: with members", &gone, 2);
    talk.ask(
        "reads nothing any more",
        &ConsumerGroupHeartbeatRequest {
            subscribed_topic_names: Some(vec!["nobody"]),
            ..alive("made", ONE, epoch)
        },
        1,
    );
    talk.ask("leaves", &alive("made", ONE, -1), 1);
    talk.ask("after its end", &alive("made", ONE, epoch), 1);
    talk.ask("an empty group", &describe(&["made"]), 1);
}

/// Classic requests to a consumer group with a member.
fn classic(talk: &mut Talk, epoch: i32) {
    let join = JoinGroupRequest {
        group_id: "made",
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: "connect",
        protocols: vec![JoinGroupRequestProtocol {
            name: "range",
            metadata: b"",
        }],
        ..JoinGroupRequest::default()
    };
    talk.ask("consumer: another type", &join, 9);
    for (case, metadata) in [
        ("no subscription", &b""[..]),
        ("a subscription cut short", &[0, 1, 0, 0, 0, 9, 0]),
    ] {
        let broken = JoinGroupRequest {
            protocol_type: "consumer",
            member_id: "somebody",
            protocols: vec![JoinGroupRequestProtocol {
                name: "range",
                metadata,
            }],
            ..join.clone()
        };
        talk.ask(format!("consumer: {case}"), &broken, 9);
    }
    let heartbeat = HeartbeatRequest {
        group_id: "made",
        generation_id: epoch,
        member_id: ONE,
        group_instance_id: None,
    };
    talk.ask("consumer: a classic heartbeat", &heartbeat, 4);
    for version in [5, 6] {
        let request = DescribeGroupsRequest {
            groups: vec!["made"],
            ..DescribeGroupsRequest::default()
        };
        talk.ask("consumer: by the classic request", &request, version);
    }
}

/// Two members, step by step: what one has is given to the other when it was given up.
fn shared(talk: &mut Talk) {
    let id = topic_id(talk, "split");
    let owning = |member, partitions: &[i32], epoch| ConsumerGroupHeartbeatRequest {
        topic_partitions: Some(owned(id, partitions)),
        ..alive("shared", member, epoch)
    };
    let epoch_of = |reply: Option<Reply>| {
        let reply = reply.expect("an answer");
        reply.read::<ConsumerGroupHeartbeatRequest<'_>>().member_epoch
    };
    let range = |member| ConsumerGroupHeartbeatRequest {
        server_assignor: Some("range"),
        ..join("shared", member)
    };
    let one = epoch_of(talk.ask("shared: one joins", &range(ONE), 1));
    let one = epoch_of(talk.ask("shared: one has all", &owning(ONE, &[0, 1], one), 1));
    let two = epoch_of(talk.ask("shared: two joins", &range(TWO), 1));
    talk.ask("shared: two waits", &alive("shared", TWO, two), 1);
    talk.ask("shared: while it moves", &describe(&["shared"]), 1);
    let one = epoch_of(talk.ask("shared: one is to give up", &owning(ONE, &[0, 1], one), 1));
    talk.ask("shared: one has not yet given up", &owning(ONE, &[0, 1], one), 1);
    let one = epoch_of(talk.ask("shared: one has given up", &owning(ONE, &[0], one), 1));
    let two = epoch_of(talk.ask("shared: two is given", &alive("shared", TWO, two), 1));
    talk.ask("shared: two has", &owning(TWO, &[1], two), 1);
    talk.ask("shared: one has", &owning(ONE, &[0], one), 1);
    talk.ask("shared: both have", &describe(&["shared"]), 1);
    talk.ask("shared: two leaves", &alive("shared", TWO, -1), 1);
    talk.ask("shared: one is given all", &alive("shared", ONE, one), 1);
    talk.ask("shared: one leaves", &alive("shared", ONE, -1), 1);
}

/// Two members under the assignor that nobody has to name, which looks at all topics together.
fn even(talk: &mut Talk) {
    // Ids that brokers make up are told apart by who is seen first, so that it must be the same one.
    let [wide, narrow] = ["wide", "narrow"].map(|name| {
        talk.ask(format!("even: {name}"), &one_topic(name), 12);
        topic_id(talk, name)
    });
    let joining = |member| ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["wide", "narrow"]),
        server_assignor: Some("uniform"),
        ..join("even", member)
    };
    let given = |reply: Option<Reply>| {
        let reply = reply.expect("an answer");
        let answer = reply.read::<ConsumerGroupHeartbeatRequest<'_>>();
        let all = answer
            .assignment
            .map(|it| it.topic_partitions)
            .unwrap_or_default();
        (answer.member_epoch, all)
    };
    let owning = |member, epoch, partitions: &[TopicPartitions]| ConsumerGroupHeartbeatRequest {
        topic_partitions: Some(partitions.to_vec()),
        ..alive("even", member, epoch)
    };
    let all = [(wide, 5), (narrow, 3)].map(|(topic_id, count)| TopicPartitions {
        topic_id,
        partitions: (0..count).collect(),
    });
    let (one, _) = given(talk.ask("even: one joins", &joining(ONE), 1));
    let (one, _) = given(talk.ask("even: one has all", &owning(ONE, one, &all), 1));
    let (two, _) = given(talk.ask("even: two joins", &joining(TWO), 1));
    let (one, kept) = given(talk.ask("even: one is to give up", &owning(ONE, one, &all), 1));
    let (one, _) = given(talk.ask("even: one has given up", &owning(ONE, one, &kept), 1));
    let (two, got) = given(talk.ask("even: two is given", &alive("even", TWO, two), 1));
    talk.ask("even: two has", &owning(TWO, two, &got), 1);
    talk.ask("even: both have", &describe(&["even"]), 1);
    let fewer = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["narrow"]),
        ..alive("even", TWO, two)
    };
    let (two, left) = given(talk.ask("even: two reads less", &fewer, 1));
    talk.ask("even: two has less", &owning(TWO, two, &left), 1);
    talk.ask("even: one is given more", &alive("even", ONE, one), 1);
    talk.ask("even: each reads something else", &describe(&["even"]), 1);
    talk.ask("even: two leaves", &alive("even", TWO, -1), 1);
    talk.ask("even: one is given all", &alive("even", ONE, one), 1);
    talk.ask("even: one leaves", &alive("even", ONE, -1), 1);
}

fn fixed(talk: &mut Talk) {
    let instance = |member, epoch| ConsumerGroupHeartbeatRequest {
        instance_id: Some("i"),
        member_epoch: epoch,
        ..join("fixed", member)
    };
    let reply = talk.ask("static: in", &instance(ONE, 0), 1).expect("an answer");
    let epoch = reply.read::<ConsumerGroupHeartbeatRequest<'_>>().member_epoch;
    talk.ask("static: another under its name", &instance(TWO, 0), 1);
    let away = |member, epoch| ConsumerGroupHeartbeatRequest {
        instance_id: Some("i"),
        ..alive("fixed", member, epoch)
    };
    talk.ask("static: away", &away(ONE, -2), 1);
    talk.ask("static: while it is away", &describe(&["fixed"]), 1);
    talk.ask("static: back under another id", &instance(TWO, 0), 1);
    talk.ask("static: the id before", &away(ONE, epoch), 1);
    talk.ask(
        "static: an instance that is none",
        &ConsumerGroupHeartbeatRequest {
            instance_id: Some("nobody"),
            ..alive("fixed", TWO, -2)
        },
        1,
    );
    talk.ask("static: leaves for ever", &away(TWO, -1), 1);
}

/// A member that reads what an expression matches.
fn matched(talk: &mut Talk) {
    let request = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(Vec::new()),
        subscribed_topic_regex: Some("spl.*"),
        ..join("matched", ONE)
    };
    let reply = talk.ask("matched: in", &request, 1).expect("an answer");
    let epoch = reply.read::<ConsumerGroupHeartbeatRequest<'_>>().member_epoch;
    // Kafka looks for topics beside the heartbeats.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let reply = talk.aside(&alive("matched", ONE, epoch), 1);
    let epoch = epoch.max(reply.read::<ConsumerGroupHeartbeatRequest<'_>>().member_epoch);
    talk.ask(
        "matched: given",
        &ConsumerGroupHeartbeatRequest {
            topic_partitions: Some(Vec::new()),
            ..alive("matched", ONE, epoch)
        },
        1,
    );
    talk.ask("matched", &describe(&["matched"]), 1);
    talk.ask("matched: leaves", &alive("matched", ONE, -1), 1);
}

fn outside(talk: &mut Talk) {
    for version in [0, 1] {
        let request = ConsumerGroupDescribeRequest {
            include_authorized_operations: true,
            ..describe(&["made", "nobody", ""])
        };
        talk.ask("some", &request, version);
        talk.ask("nothing", &describe(&[]), version);
    }
    for types in [vec!["consumer"], vec!["Consumer"], vec!["classic", "consumer"]] {
        let request = ListGroupsRequest {
            types_filter: types.clone(),
            ..ListGroupsRequest::default()
        };
        talk.ask(format!("consumer: of {types:?}"), &request, 5);
    }
    for state in ["Empty", "Assigning", "Reconciling", "Stable"] {
        let request = ListGroupsRequest {
            states_filter: vec![state],
            ..ListGroupsRequest::default()
        };
        talk.ask(format!("consumer: {state}"), &request, 5);
    }
    let gone = DeleteGroupsRequest {
        groups_names: vec!["made", "shared", "fixed", "matched", "even"],
    };
    talk.ask("consumer: all", &gone, 2);
}

pub fn join<'a>(group_id: &'a str, member_id: &'a str) -> ConsumerGroupHeartbeatRequest<'a> {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec!["split"]),
        topic_partitions: Some(Vec::new()),
        ..alive(group_id, member_id, 0)
    }
}

/// Nothing has changed.
pub fn alive<'a>(
    group_id: &'a str,
    member_id: &'a str,
    member_epoch: i32,
) -> ConsumerGroupHeartbeatRequest<'a> {
    ConsumerGroupHeartbeatRequest {
        group_id,
        member_id,
        member_epoch,
        ..ConsumerGroupHeartbeatRequest::default()
    }
}

pub fn owned(topic_id: TopicId, partitions: &[i32]) -> Vec<TopicPartitions> {
    vec![TopicPartitions {
        topic_id,
        partitions: partitions.to_vec(),
    }]
}

pub fn describe<'a>(group_ids: &[&'a str]) -> ConsumerGroupDescribeRequest<'a> {
    ConsumerGroupDescribeRequest {
        group_ids: group_ids.to_vec(),
        ..ConsumerGroupDescribeRequest::default()
    }
}

pub fn topic_id(talk: &mut Talk, name: &str) -> TopicId {
    let reply = talk.aside(&one_topic(name), 12);
    reply.read::<MetadataRequest<'_>>().topics[0].topic_id
}

fn one_topic(name: &str) -> MetadataRequest<'_> {
    MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    }
}

/// Members make their own ids from version 1 on.
pub const ONE: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
pub const TWO: &str = "AAAAAAAAAAAAAAAAAAAAAg";
