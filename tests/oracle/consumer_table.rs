//! Every request in every state of a group of the consumer protocol, from everybody: the rows of the table that the
//! group machine's test holds Millstream to. Each is asked of a group of its own.

use millstream_protocol::message::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use millstream_protocol::message::consumer_protocol::ConsumerProtocolSubscription;
use millstream_protocol::message::data::Data;
use millstream_protocol::message::delete_groups::DeleteGroupsRequest;
use millstream_protocol::message::describe_groups::DescribeGroupsRequest;
use millstream_protocol::message::heartbeat::HeartbeatRequest;
use millstream_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use millstream_protocol::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use millstream_protocol::message::leave_group::{LeaveGroupRequest, MemberIdentity};
use millstream_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use millstream_protocol::message::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use millstream_protocol::message::sync_group::SyncGroupRequest;
use millstream_protocol::primitive::Writer;
use millstream_protocol::types::TopicId;
use millstream_tests::wire::Reply;

use super::committed::{awake, committing};
use super::consumers::{alive, describe, owned, topic_id};
use super::talk::Talk;

const TABLE: &str = include_str!("../../broker/machine/src/group/tests/consumer_table.txt");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    None,
    Empty,
    Assigning,
    Reconciling,
    Stable,
}

const STATES: [State; 5] = [
    State::None,
    State::Empty,
    State::Assigning,
    State::Reconciling,
    State::Stable,
];

#[derive(Clone, Debug)]
struct Consumer {
    id: String,
    instance: Option<&'static str>,
    epoch: i32,
    has: Vec<i32>,
}

/// As the machine's test has them.
struct Cast {
    group: String,
    first: Consumer,
    fixed: Consumer,
    fenced: Consumer,
}

pub fn ask(talk: &mut Talk) {
    talk.topic(TOPIC, 6, &[]);
    let topic = topic_id(talk, TOPIC);
    for state in STATES {
        pause_between_targets(talk, "0");
        let rows = TABLE.lines().filter(|line| !line.is_empty());
        let cells: Vec<(&str, &str, Cast)> = rows
            .map(|row| {
                let mut words = row.split_whitespace();
                let (what, who) = (words.next().expect("a request"), words.next().expect("an asker"));
                let group = format!("{state:?} {what} {who}");
                (what, who, Cast::new(talk, topic, group, state))
            })
            .collect();
        if state == State::Assigning {
            pause_between_targets(talk, "15000");
            for (_, _, cast) in &cells {
                third_joins(talk, &cast.group);
            }
        }
        for (what, who, cast) in cells {
            cast.ask(talk, topic, what, who);
        }
    }
    mixed(talk, topic);
    pause_between_targets(talk, "1000");
}

/// Heartbeats of the consumer protocol in a group of members of both, of which the classic one waits for what the
/// other one has.
fn mixed(talk: &mut Talk, topic: TopicId) {
    for what in [
        "join",
        "beat",
        "beat-before",
        "beat-after",
        "greedy",
        "leave",
        "away",
    ] {
        for who in ["first", "classic", "misnamed", "unknown"] {
            let cast = Cast::new(talk, topic, format!("mixed {what} {who}"), State::None);
            let mut first = Consumer::new("first", None);
            first.joins(talk, &cast.group);
            let classic = Consumer::new("classic", None);
            let reply = cast.joins_classic(talk, &classic, "join").expect("an answer");
            let epoch = reply.read::<JoinGroupRequest<'_>>().generation_id;
            let asker = match who {
                "first" => first,
                "classic" => Consumer { epoch, ..classic },
                "misnamed" => Consumer {
                    epoch,
                    instance: Some("nobody's"),
                    ..classic
                },
                _ => Consumer {
                    epoch,
                    ..Consumer::new("who", None)
                },
            };
            cast.heartbeat(talk, topic, &asker, what);
        }
    }
}

fn pause_between_targets(talk: &mut Talk, milliseconds: &str) {
    let name = "group.consumer.assignment.interval.ms";
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 4,
            resource_name: "",
            configs: vec![AlterableConfig {
                name,
                config_operation: 0,
                value: Some(milliseconds),
            }],
        }],
        ..IncrementalAlterConfigsRequest::default()
    };
    talk.aside(&request, 1);
    talk.until_configured((4, ""), name, Some(milliseconds));
}

fn third_joins(talk: &mut Talk, group: &str) {
    let mut third = Consumer::new("third", None);
    third.joins(talk, group);
}

impl Consumer {
    fn new(id: &str, instance: Option<&'static str>) -> Self {
        Self {
            id: id.into(),
            instance,
            epoch: 0,
            has: Vec::new(),
        }
    }

    fn joining<'a>(&'a self, group: &'a str) -> ConsumerGroupHeartbeatRequest<'a> {
        ConsumerGroupHeartbeatRequest {
            instance_id: self.instance,
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec![TOPIC]),
            server_assignor: Some("range"),
            topic_partitions: Some(Vec::new()),
            ..alive(group, &self.id, 0)
        }
    }

    fn beating<'a>(&'a self, group: &'a str, topic: TopicId) -> ConsumerGroupHeartbeatRequest<'a> {
        ConsumerGroupHeartbeatRequest {
            instance_id: self.instance,
            topic_partitions: Some(owned(topic, &self.has)),
            ..alive(group, &self.id, self.epoch)
        }
    }

    fn joins(&mut self, talk: &mut Talk, group: &str) {
        let reply = talk.aside(&self.joining(group), 1);
        self.hears(&reply);
    }

    fn beats(&mut self, talk: &mut Talk, group: &str, topic: TopicId) {
        let reply = talk.aside(&self.beating(group, topic), 1);
        self.hears(&reply);
    }

    fn goes(&self, talk: &mut Talk, group: &str, epoch: i32) {
        let request = ConsumerGroupHeartbeatRequest {
            instance_id: self.instance,
            ..alive(group, &self.id, epoch)
        };
        talk.aside(&request, 1);
    }

    fn hears(&mut self, reply: &Reply) {
        let answer = reply.read::<ConsumerGroupHeartbeatRequest<'_>>();
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        self.epoch = answer.member_epoch;
        if let Some(assignment) = &answer.assignment {
            let partitions = assignment.topic_partitions.iter();
            self.has = partitions.flat_map(|it| it.partitions.iter().copied()).collect();
            self.has.sort_unstable();
        }
    }

    /// The epoch that a request of this name says.
    fn at(&self, what: &str) -> i32 {
        match what.rsplit_once('-').map(|(_, when)| when) {
            Some("before") => self.epoch - 1,
            Some("after") => self.epoch + 1,
            _ => self.epoch,
        }
    }
}

impl Cast {
    fn new(talk: &mut Talk, topic: TopicId, group: String, state: State) -> Self {
        awake(talk, &group);
        let mut cast = Self {
            first: Consumer::new("first", None),
            fixed: Consumer::new("fixed", Some("i")),
            fenced: Consumer::new("fenced", Some("i")),
            group,
        };
        if state == State::None {
            for consumer in [&mut cast.first, &mut cast.fixed, &mut cast.fenced] {
                consumer.epoch = 3;
            }
            return cast;
        }
        let group = &cast.group;
        cast.first.joins(talk, group);
        cast.fenced.joins(talk, group);
        for _ in 0..2 {
            cast.first.beats(talk, group, topic);
            cast.fenced.beats(talk, group, topic);
        }
        cast.fenced.goes(talk, group, -2);
        cast.fixed.joins(talk, group);
        cast.fixed.beats(talk, group, topic);
        match state {
            State::Empty => {
                cast.first.goes(talk, group, -1);
                cast.fixed.goes(talk, group, -1);
            }
            State::Reconciling => {
                third_joins(talk, group);
                for consumer in [&cast.first, &cast.fixed] {
                    talk.aside(&consumer.beating(group, topic), 1);
                }
            }
            _ => {}
        }
        cast
    }

    fn asker(&self, who: &str) -> Consumer {
        let under = |instance, consumer: &Consumer| Consumer {
            instance,
            ..consumer.clone()
        };
        match who {
            "first" => self.first.clone(),
            "fixed" => self.fixed.clone(),
            "fenced" => self.fenced.clone(),
            "returning" => Consumer::new("back", Some("i")),
            "new-fixed" => Consumer::new("who", Some("new")),
            "usurper" => under(Some("i"), &self.first),
            "misnamed" => under(Some("nobody's"), &self.fixed),
            "unnamed" => under(None, &self.fixed),
            "unknown" => Consumer {
                epoch: self.first.epoch,
                ..Consumer::new("who", None)
            },
            "nobody" => Consumer::new("", None),
            other => panic!("who is {other}?"),
        }
    }

    fn ask(&self, talk: &mut Talk, topic: TopicId, what: &str, who: &str) {
        if who == "returning" {
            self.fixed.goes(talk, &self.group, -2);
        }
        let (case, group) = (&self.group, self.group.as_str());
        let asker = self.asker(who);
        match what {
            "fetch" | "fetch-before" | "fetch-after" => {
                let is_member = who != "nobody";
                let group = OffsetFetchRequestGroup {
                    group_id: group,
                    member_id: is_member.then_some(&asker.id),
                    member_epoch: if is_member { asker.at(what) } else { -1 },
                    topics: None,
                };
                let request = OffsetFetchRequest {
                    groups: vec![group],
                    ..OffsetFetchRequest::default()
                };
                talk.ask(case, &request, 9);
            }
            "commit" | "commit-before" | "commit-after" | "commit-other" | "commit-old" => {
                self.commits(talk, &asker, what);
            }
            "drop" | "drop-other" => {
                let topic = OffsetDeleteRequestTopic {
                    name: if what == "drop" { TOPIC } else { "split" },
                    partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
                };
                let request = OffsetDeleteRequest {
                    group_id: group,
                    topics: vec![topic],
                };
                talk.ask(case, &request, 0);
            }
            "delete" => {
                let groups_names = vec![group];
                talk.ask(case, &DeleteGroupsRequest { groups_names }, 2);
            }
            "describe" => {
                talk.ask(case, &describe(&[group]), 1);
            }
            "describe-old" => self.describe_classic(talk, case),
            _ => match what.strip_prefix("classic-") {
                Some(what) => {
                    self.classic(talk, &asker, what);
                    // The group of its first member to come has just begun.
                    if case.starts_with("Empty") && who != "nobody" {
                        self.describe_classic(talk, &format!("{case}, and then"));
                    }
                }
                None => self.heartbeat(talk, topic, &asker, what),
            },
        }
    }

    fn describe_classic(&self, talk: &mut Talk, case: &str) {
        let request = DescribeGroupsRequest {
            groups: vec![&self.group],
            ..DescribeGroupsRequest::default()
        };
        talk.ask(case, &request, 6);
    }

    fn commits(&self, talk: &mut Talk, asker: &Consumer, what: &str) {
        let is_own = what != "commit-other";
        let index = (0..6)
            .find(|index| asker.has.contains(index) == is_own)
            .unwrap_or(0);
        let epoch = match asker.id.is_empty() {
            true => -1,
            false => asker.at(what) - i32::from(!is_own),
        };
        let commits = [(TOPIC, index, 7, None)];
        let mut request = committing(&self.group, epoch, &asker.id, &commits);
        request.group_instance_id = asker.instance;
        talk.ask(&self.group, &request, if what == "commit-old" { 8 } else { 9 });
    }

    fn heartbeat(&self, talk: &mut Talk, topic: TopicId, asker: &Consumer, what: &str) {
        let all = owned(topic, &[0, 1, 2, 3, 4, 5]);
        let beating = asker.beating(&self.group, topic);
        let joining = asker.joining(&self.group);
        let member_epoch = asker.at(what);
        let request = match what {
            "join" | "join-old" => joining,
            "join-holding" => ConsumerGroupHeartbeatRequest {
                topic_partitions: Some(all),
                ..joining
            },
            "join-hasty" => ConsumerGroupHeartbeatRequest {
                rebalance_timeout_ms: -1,
                ..joining
            },
            "join-aimless" => ConsumerGroupHeartbeatRequest {
                subscribed_topic_names: None,
                ..joining
            },
            "join-sharing" => ConsumerGroupHeartbeatRequest {
                server_assignor: Some("nobody's"),
                ..joining
            },
            "join-matching" => ConsumerGroupHeartbeatRequest {
                subscribed_topic_regex: Some("t("),
                ..joining
            },
            "beat" | "beat-before" | "beat-after" => ConsumerGroupHeartbeatRequest {
                member_epoch,
                ..beating
            },
            "silent" | "silent-before" => ConsumerGroupHeartbeatRequest {
                member_epoch,
                topic_partitions: None,
                ..beating
            },
            "greedy" | "greedy-before" => ConsumerGroupHeartbeatRequest {
                member_epoch,
                topic_partitions: Some(all),
                ..beating
            },
            _ => ConsumerGroupHeartbeatRequest {
                member_epoch: match what {
                    "leave" => -1,
                    "away" => -2,
                    "lost" => -3,
                    other => panic!("what is {other}?"),
                },
                ..beating
            },
        };
        talk.ask(&self.group, &request, if what == "join-old" { 0 } else { 1 });
    }

    fn classic(&self, talk: &mut Talk, asker: &Consumer, what: &str) {
        let (case, group) = (&self.group, self.group.as_str());
        let (member_id, group_instance_id) = (asker.id.as_str(), asker.instance);
        match what {
            "sync" => {
                let request = SyncGroupRequest {
                    group_id: group,
                    generation_id: asker.epoch,
                    member_id,
                    group_instance_id,
                    protocol_type: Some("consumer"),
                    protocol_name: Some("range"),
                    assignments: Vec::new(),
                };
                talk.ask(case, &request, 5);
            }
            "heartbeat" => {
                let request = HeartbeatRequest {
                    group_id: group,
                    generation_id: asker.epoch,
                    member_id,
                    group_instance_id,
                };
                talk.ask(case, &request, 4);
            }
            "leave" => {
                let request = LeaveGroupRequest {
                    group_id: group,
                    members: vec![MemberIdentity {
                        member_id,
                        group_instance_id,
                        ..MemberIdentity::default()
                    }],
                    ..LeaveGroupRequest::default()
                };
                talk.ask(case, &request, 5);
            }
            _ => {
                self.joins_classic(talk, asker, what);
            }
        }
    }

    fn joins_classic(&self, talk: &mut Talk, asker: &Consumer, what: &str) -> Option<Reply> {
        let subscription = ConsumerProtocolSubscription {
            topics: vec![TOPIC],
            ..ConsumerProtocolSubscription::default()
        };
        let mut w = Writer::new();
        subscription.encode(&mut w, 1).expect("a subscription");
        let metadata = match what {
            "join-unread" => &[0, 1, 7],
            _ => w.bytes(),
        };
        let protocols = match what {
            "join-nameless" => Vec::new(),
            _ => vec![JoinGroupRequestProtocol {
                name: "range",
                metadata,
            }],
        };
        let request = JoinGroupRequest {
            group_id: &self.group,
            session_timeout_ms: if what == "join-short" { 5 } else { 30_000 },
            rebalance_timeout_ms: 30_000,
            member_id: &asker.id,
            group_instance_id: asker.instance,
            protocol_type: if what == "join-alien" {
                "connect"
            } else {
                "consumer"
            },
            protocols,
            ..JoinGroupRequest::default()
        };
        // Before version 4 nobody is sent back for an id.
        talk.ask(&self.group, &request, if what == "join-old" { 3 } else { 9 })
    }
}

const TOPIC: &str = "tabled";
