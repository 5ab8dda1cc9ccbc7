//! How soon a hundred members on a hundred connections are together in the real process. It prints what
//! docs/benchmarks.md says of it.

use std::time::{Duration, Instant};

use millstream_protocol::message::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use millstream_protocol::message::find_coordinator::FindCoordinatorRequest;
use millstream_protocol::message::heartbeat::HeartbeatRequest;
use millstream_protocol::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use millstream_protocol::message::offset_fetch::OffsetFetchRequest;
use millstream_protocol::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use millstream_protocol::types::TopicId;
use millstream_tests::process::Broker;
use millstream_tests::wire::Connection;

const JOIN: i16 = 3;
const SYNC: i16 = 3;

/// A member of either protocol.
struct Member {
    connection: Connection,
    id: String,
    leader: String,
    epoch: i32,
    has: Vec<TopicPartitions>,
}

impl Member {
    fn new(broker: &Broker, id: String) -> Self {
        Self {
            connection: connect(broker),
            id,
            leader: String::new(),
            epoch: 0,
            has: Vec::new(),
        }
    }

    fn joins(&mut self, group_id: &str) {
        let request = JoinGroupRequest {
            group_id,
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            member_id: &self.id,
            protocol_type: "consumer",
            protocols: vec![JoinGroupRequestProtocol {
                name: "range",
                metadata: b"what I read",
            }],
            ..JoinGroupRequest::default()
        };
        self.connection.send(&request, JOIN).expect("a request");
    }

    fn has_joined(&mut self) {
        let reply = self
            .connection
            .receive::<JoinGroupRequest<'_>>(JOIN)
            .expect("a reply");
        let answer = reply.read::<JoinGroupRequest<'_>>();
        assert_eq!(answer.error_code, 0);
        answer.member_id.clone_into(&mut self.id);
        answer.leader.clone_into(&mut self.leader);
        self.epoch = answer.generation_id;
    }

    fn syncs(&mut self, group_id: &str, ids: &[String]) {
        let ids = ids.iter().filter(|_| self.id == self.leader);
        let assignments = ids.map(|member_id| SyncGroupRequestAssignment {
            member_id,
            assignment: member_id.as_bytes(),
        });
        let request = SyncGroupRequest {
            group_id,
            generation_id: self.epoch,
            member_id: &self.id,
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        self.connection.send(&request, SYNC).expect("a request");
    }

    fn has_synced(&mut self) {
        let reply = self
            .connection
            .receive::<SyncGroupRequest<'_>>(SYNC)
            .expect("a reply");
        let answer = reply.read::<SyncGroupRequest<'_>>();
        assert_eq!((answer.error_code, answer.assignment), (0, self.id.as_bytes()));
    }

    /// Learns that it has to join again.
    fn is_sent_back(&mut self, group_id: &str) {
        let request = HeartbeatRequest {
            group_id,
            generation_id: self.epoch,
            member_id: &self.id,
            group_instance_id: None,
        };
        loop {
            let reply = self.connection.call(&request, 3).expect("a reply");
            if reply.read::<HeartbeatRequest<'_>>().error_code != 0 {
                break;
            }
        }
    }

    /// A heartbeat of the consumer protocol; the first one joins.
    fn beats(&mut self, group_id: &str) {
        let joins = self.epoch == 0;
        let request = ConsumerGroupHeartbeatRequest {
            group_id,
            member_id: &self.id,
            member_epoch: self.epoch,
            rebalance_timeout_ms: if joins { 60_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec![TOPIC]),
            topic_partitions: Some(self.has.clone()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.connection.send(&request, 1).expect("a request");
    }

    /// Gives up at once what it is told to; says so with its next heartbeat.
    fn hears(&mut self) {
        let reply = self
            .connection
            .receive::<ConsumerGroupHeartbeatRequest<'_>>(1)
            .expect("a reply");
        let answer = reply.read::<ConsumerGroupHeartbeatRequest<'_>>();
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        self.epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment {
            self.has = assignment.topic_partitions;
        }
    }
}

#[test]
fn a_hundred_members_are_soon_together() {
    let broker = Broker::start(&["--cores", "2", "--set", "group.initial.rebalance.delay.ms=500"]);
    connect(&broker).create_topic(TOPIC, PARTITIONS as i32, &[]);
    let mut classic: Vec<Duration> = (0..ROUNDS).map(|round| of_classic(&broker, round)).collect();
    let mut consumer: Vec<Duration> = (0..ROUNDS).map(|round| of_consumer(&broker, round)).collect();
    for (what, took) in [
        (
            "classic, from the last JoinGroup to the last answer to a SyncGroup",
            &mut classic,
        ),
        (
            "KIP-848, from the hundredth's first heartbeat until all have their shares",
            &mut consumer,
        ),
    ] {
        took.sort_unstable();
        println!(
            "{what}: {:?} [{:?} – {:?}]",
            took[ROUNDS / 2],
            took[0],
            took[ROUNDS - 1]
        );
        assert!(took[ROUNDS / 2] <= SOON, "{what}: {took:?}");
    }
}

fn of_classic(broker: &Broker, round: usize) -> Duration {
    let group = format!("classic-{round}");
    wait_for_coordinator(broker, &group);
    let mut members: Vec<Member> = (1..100).map(|_| Member::new(broker, String::new())).collect();
    for member in &mut members {
        member.joins(&group);
    }
    share_out(&mut members, &group);
    let mut hundredth = Member::new(broker, String::new());
    hundredth.joins(&group);
    for member in &mut members {
        member.is_sent_back(&group);
    }
    let mut last_join = Instant::now();
    for member in &mut members {
        last_join = Instant::now();
        member.joins(&group);
    }
    members.push(hundredth);
    share_out(&mut members, &group);
    last_join.elapsed()
}

fn share_out(members: &mut [Member], group: &str) {
    members.iter_mut().for_each(Member::has_joined);
    let ids: Vec<String> = members.iter().map(|member| member.id.clone()).collect();
    for member in members.iter_mut() {
        member.syncs(group, &ids);
    }
    members.iter_mut().for_each(Member::has_synced);
}

/// With heartbeats back to back.
fn of_consumer(broker: &Broker, round: usize) -> Duration {
    let group = format!("consumer-{round}");
    let new = |number: usize| Member::new(broker, format!("member-{number:03}"));
    wait_for_coordinator(broker, &group);
    let mut members: Vec<Member> = (1..100).map(new).collect();
    while !is_settled(&members) {
        go_round(&mut members, &group);
    }
    std::thread::sleep(BETWEEN_TARGETS);
    let started = Instant::now();
    members.push(new(100));
    while !is_settled(&members) {
        go_round(&mut members, &group);
    }
    started.elapsed()
}

fn go_round(members: &mut [Member], group: &str) {
    for member in members.iter_mut() {
        member.beats(group);
    }
    members.iter_mut().for_each(Member::hears);
}

/// Whether all have come to the same target, nobody went without, and every partition has one of them.
fn is_settled(members: &[Member]) -> bool {
    let of = |member: &Member| -> Vec<(TopicId, i32)> {
        let topics = member.has.iter();
        topics
            .flat_map(|it| it.partitions.iter().map(|index| (it.topic_id, *index)))
            .collect()
    };
    let mut all: Vec<_> = members.iter().flat_map(of).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    count == PARTITIONS
        && all.len() == count
        && members
            .iter()
            .all(|it| it.epoch == members[0].epoch && !it.has.is_empty())
}

fn wait_for_coordinator(broker: &Broker, group: &str) {
    let mut connection = connect(broker);
    let find = FindCoordinatorRequest {
        key: group,
        ..FindCoordinatorRequest::default()
    };
    let fetch = OffsetFetchRequest {
        group_id: group,
        ..OffsetFetchRequest::default()
    };
    let until = Instant::now() + PATIENCE;
    loop {
        connection.call(&find, 3).expect("a reply");
        let reply = connection.call(&fetch, 5).expect("a reply");
        if reply.read::<OffsetFetchRequest<'_>>().error_code == 0 {
            break;
        }
        assert!(Instant::now() < until, "no coordinator for {group}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn connect(broker: &Broker) -> Connection {
    Connection::open(broker.address()).expect("a connection")
}

const TOPIC: &str = "shared";
const ROUNDS: usize = 5;
/// What is promised.
const SOON: Duration = Duration::from_secs(1);
const PARTITIONS: usize = 200;
/// `group.consumer.assignment.interval.ms`, by default, and a little: a target that is younger would delay the next.
const BETWEEN_TARGETS: Duration = Duration::from_millis(1_100);
const PATIENCE: Duration = Duration::from_secs(30);
