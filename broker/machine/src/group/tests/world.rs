//! A coordinator, its clients' tickets and its log, with everything that must always hold checked after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{PartitionIndex, TimestampMs, TopicId};

use crate::cluster::record::{ConfigChange, MetadataRecord};
use crate::group::state::ClassicState;
use crate::group::timers::{Timer, TimerKind};
use crate::group::*;
use crate::testing::topic_created;

pub struct World {
    pub machine: GroupCoordinator,
    pub now: Now,
    /// Everything that was ever written.
    pub records: Vec<GroupRecord>,
    /// What the records give, without time or members.
    durable: GroupCoordinator,
    answers: BTreeMap<Ticket, GroupAnswer>,
    pub open: BTreeSet<Ticket>,
    /// As far as they got since the start.
    generations: BTreeMap<Arc<str>, i32>,
    next: u64,
}

/// Targets may follow one another after so long.
pub fn assigning_every(assignment_interval: Duration, settings: GroupSettings) -> GroupSettings {
    GroupSettings {
        consumer: ConsumerTimes {
            assignment_interval,
            ..settings.consumer
        },
        ..settings
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(GroupSettings::default())
    }

    pub fn with(settings: GroupSettings) -> Self {
        let now = Now {
            monotonic: Instant::from_nanos(1),
            wall: TimestampMs::new(1_000_000),
        };
        let mut machine = GroupCoordinator::new(settings);
        machine.loaded(now, &mut Effects::default());
        Self {
            machine,
            now,
            records: Vec::new(),
            durable: GroupCoordinator::new(settings),
            answers: BTreeMap::new(),
            open: BTreeSet::new(),
            generations: BTreeMap::new(),
            next: 0,
        }
    }

    /// A number that was not drawn before.
    pub fn draw(&mut self) -> u128 {
        self.next += 1;
        u128::from(self.next) << 80 | u128::from(self.next)
    }

    pub fn ask(&mut self, request: GroupRequest) -> Ticket {
        self.next += 1;
        let ticket = Ticket::new(self.next);
        self.open.insert(ticket);
        let mut effects = Effects::default();
        self.machine.handle(self.now, ticket, request, &mut effects);
        self.take(effects);
        ticket
    }

    /// The answer that a ticket has got since it was asked for last.
    pub fn answer(&mut self, ticket: Ticket) -> Option<GroupAnswer> {
        self.answers.remove(&ticket)
    }

    /// Asks what is answered at once.
    #[track_caller]
    pub fn told(&mut self, request: GroupRequest) -> GroupAnswer {
        let ticket = self.ask(request);
        self.answer(ticket).expect("an answer at once")
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now.monotonic + Duration::from_millis(ms);
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= end) {
            self.set_time(due.max(self.now.monotonic));
            let mut effects = Effects::default();
            self.machine.expire(self.now, &mut effects);
            self.take(effects);
        }
        self.set_time(end);
    }

    /// The process ends and starts again: nobody who waits is answered.
    pub fn restart(&mut self) {
        self.open.clear();
        self.generations.clear();
        let mut machine = GroupCoordinator::new(*self.machine.settings());
        machine.set_image(Arc::clone(&self.machine.image));
        for record in &self.records {
            machine.replay(record.clone());
        }
        self.machine = machine;
        let mut effects = Effects::default();
        self.machine.loaded(self.now, &mut effects);
        self.take(effects);
    }

    /// The cluster has these topics, with so many partitions each.
    pub fn has_topics(&mut self, topics: &[(&str, u32)]) {
        let records: Vec<MetadataRecord> = (1..)
            .zip(topics)
            .map(|(number, (name, count))| topic_created(number, name, *count))
            .collect();
        self.machine
            .set_image(Arc::new(ClusterImage::empty().apply(&records)));
    }

    /// The group has this configured, or no more.
    pub fn configures(&mut self, name: &str, value: Option<&str>) {
        let change = ConfigChange {
            name: name.to_string(),
            value: value.map(str::to_string),
        };
        let record = MetadataRecord::GroupConfigChanged {
            group: "g".to_string(),
            changes: vec![change],
        };
        let image = self.machine.image.apply(&[record]);
        self.machine.set_image(Arc::new(image));
    }

    /// The topic is deleted.
    pub fn forget(&mut self, name: &str) {
        self.forget_id(name, TopicId::ZERO);
    }

    pub fn forget_id(&mut self, name: &str, id: TopicId) {
        let mut effects = Effects::default();
        let deleted = DeletedTopic { name, id };
        self.machine.forget_topics(&[deleted], &mut effects);
        self.take(effects);
    }

    pub fn describe(&mut self, group_id: &str) -> DescribeAnswer {
        let group_id = group_id.to_string();
        match self.told(GroupRequest::Describe(DescribeRequest { group_id })) {
            GroupAnswer::Describe(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub fn state(&mut self, group_id: &str) -> GroupState {
        self.describe(group_id).state.expect("a state")
    }

    fn set_time(&mut self, monotonic: Instant) {
        let passed = (monotonic - Instant::from_nanos(1)).as_millis() as i64;
        self.now = Now {
            monotonic,
            wall: TimestampMs::new(1_000_000 + passed),
        };
    }

    fn take(&mut self, effects: Effects) {
        for (ticket, answer) in effects.replies {
            assert!(
                self.open.remove(&ticket),
                "{ticket:?} is answered twice: {answer:?}"
            );
            self.answers.insert(ticket, answer);
        }
        for record in effects.records {
            self.durable.replay(record.clone());
            self.records.push(record);
        }
        self.check();
    }

    pub fn check(&mut self) {
        assert_eq!(
            snapshot(&self.machine),
            snapshot(&self.durable),
            "what is durable"
        );
        let groups = self.machine.groups.values();
        let bytes: u64 = groups.clone().map(Group::bytes).sum();
        for group in groups.clone() {
            let offsets = group.offsets.after(None);
            let bytes: u64 = offsets.map(|(key, value)| offsets::bytes_of(key, value)).sum();
            assert_eq!(group.offsets.bytes(), bytes, "bytes of offsets");
        }
        assert_eq!(self.machine.live_bytes(), bytes, "bytes of all groups");
        let timers: BTreeSet<Timer> = groups.clone().flat_map(expected_timers).collect();
        assert!(self.machine.timers.iter().eq(timers.iter()), "timers");
        let parked: BTreeSet<Ticket> = groups.flat_map(parked).collect();
        assert_eq!(parked, self.open, "who waits");
        for group in self.machine.groups.values() {
            check_group(&group.classic);
            group.consumer.iter().for_each(ConsumerGroup::check);
            let (group_id, generation) = (&group.classic.group_id, group.classic.generation);
            let before = self.generations.insert(Arc::clone(group_id), generation);
            let is_new = generation == 0;
            assert!(
                is_new || before <= Some(generation),
                "{group_id} goes back from {before:?}"
            );
        }
    }
}

pub fn snapshot(machine: &GroupCoordinator) -> Vec<GroupRecord> {
    let mut records = Vec::new();
    assert_eq!(machine.snapshot(None, usize::MAX, &mut records), None);
    records
}

fn check_group(group: &ClassicGroup) {
    let (members, state) = (&group.members, group.state);
    assert_eq!(
        state == ClassicState::Empty,
        members.is_empty() && state != ClassicState::PreparingRebalance
    );
    let count =
        |condition: &dyn Fn(&member::Member) -> bool| members.iter().filter(|it| condition(it)).count();
    assert_eq!(members.joined(), count(&|it| it.has_joined()));
    assert_eq!(members.all_synced(), count(&|it| it.owes_sync) == 0);
    assert_eq!(
        members.bytes(),
        members.iter().map(member::Member::bytes).sum::<u64>()
    );
    assert!(members.joined() == 0 || state == ClassicState::PreparingRebalance);
    assert!(count(&|it| it.parked_sync.is_some()) == 0 || state == ClassicState::CompletingRebalance);
    assert!(
        count(&|it| it.session.is_none() && !it.is_kept_waiting()) == 0,
        "an immortal member"
    );
    assert_eq!(
        state == ClassicState::PreparingRebalance,
        group.join_timer.is_some()
    );
    assert!(
        members.all_synced() || group.sync_timer.is_some(),
        "nobody waits for syncs"
    );
    let leader = group.leader.as_deref();
    assert_eq!(leader.is_some(), !members.is_empty());
    assert!(
        leader.is_none_or(|id| members.contains(id)),
        "the leader is a member"
    );
    if matches!(state, ClassicState::CompletingRebalance | ClassicState::Stable) {
        let protocol = group.protocol_name.as_deref().expect("a protocol");
        assert!(
            members.iter().all(|it| it.metadata(protocol).is_some()),
            "all know it"
        );
    }
}

fn parked(group: &Group) -> Vec<Ticket> {
    let members = group.classic.members.iter();
    members
        .flat_map(|it| [it.parked_join, it.parked_sync])
        .flatten()
        .collect()
}

fn expected_timers(group: &Group) -> Vec<Timer> {
    let classic = &group.classic;
    let members = classic.members.iter().map(|it| (&it.member_id, it.session));
    let sessions = members.chain(classic.pending.iter().map(|(id, slot)| (id, *slot)));
    let sessions = sessions.map(|(id, slot)| (slot, TimerKind::Session(Arc::clone(id))));
    let others = [
        (classic.join_timer, TimerKind::Join),
        (classic.sync_timer, TimerKind::Sync),
    ];
    let consumers = group.consumer.iter().flat_map(ConsumerGroup::timers);
    let timers = sessions
        .chain(others)
        .chain(consumers)
        .filter_map(|(slot, kind)| {
            Some(Timer {
                due: slot?,
                group_id: Arc::clone(&classic.group_id),
                kind,
            })
        });
    timers.collect()
}

/// A JoinGroup of version 4 or 5 to the group `g`, of a consumer that knows the protocols.
pub fn join(world: &mut World, member_id: &str, protocols: &[(&str, &[u8])]) -> JoinRequest {
    JoinRequest {
        group_id: "g".into(),
        member_id: member_id.into(),
        group_instance_id: None,
        protocol_type: "consumer".into(),
        protocols: protocols
            .iter()
            .map(|&(name, metadata)| protocol(name, metadata))
            .collect(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: Some(60_000),
        reason: None,
        client: Client {
            id: "client".into(),
            host: "/192.0.2.1".into(),
        },
        requires_known_member_id: true,
        supports_skipping_assignment: false,
        draw: world.draw(),
    }
}

fn protocol(name: &str, metadata: &[u8]) -> Protocol {
    Protocol {
        name: name.into(),
        metadata: metadata.into(),
    }
}

pub fn sync(member_id: &str, generation_id: i32, assignments: &[(&str, &[u8])]) -> SyncRequest {
    let assignments = assignments
        .iter()
        .map(|&(member_id, assignment)| MemberAssignment {
            member_id: member_id.into(),
            assignment: assignment.into(),
        });
    SyncRequest {
        group_id: "g".into(),
        generation_id,
        member_id: member_id.into(),
        group_instance_id: None,
        protocol_type: None,
        protocol_name: None,
        assignments: assignments.collect(),
    }
}

pub fn heartbeat(member_id: &str, generation_id: i32) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: "g".into(),
        generation_id,
        member_id: member_id.into(),
        group_instance_id: None,
    }
}

pub fn leave(member_id: &str, group_instance_id: Option<&str>) -> LeaveRequest {
    LeaveRequest {
        group_id: "g".into(),
        members: vec![LeavingMember {
            member_id: member_id.into(),
            group_instance_id: group_instance_id.map(String::from),
            reason: None,
        }],
    }
}

/// A commit of one offset of partition 0 by somebody.
pub fn commit(member_id: &str, generation_id: i32, topic: &str, offset: i64) -> CommitRequest {
    CommitRequest {
        group_id: "g".into(),
        member_id: member_id.into(),
        group_instance_id: None,
        generation_id,
        retention_ms: None,
        understands_new_errors: true,
        topics: vec![CommitTopic {
            name: topic.into(),
            topic_id: TopicId::ZERO,
            partitions: vec![CommitPartition {
                partition: PartitionIndex::new(0),
                offset,
                leader_epoch: None,
                metadata: String::new(),
            }],
        }],
    }
}

pub fn fetch(topics: Option<&[&str]>) -> FetchRequest {
    FetchRequest {
        group_id: "g".into(),
        member_id: None,
        member_epoch: -1,
        require_stable: true,
        topics: topics.map(|names| names.iter().map(|name| partition_0(name)).collect()),
    }
}

pub fn partition_0(topic: &str) -> TopicPartitions {
    TopicPartitions {
        name: topic.into(),
        topic_id: TopicId::ZERO,
        partitions: vec![PartitionIndex::new(0)],
    }
}

/// The one error of an answer, of its first member or partition where it is about one.
pub fn error_of(answer: &GroupAnswer) -> ErrorCode {
    match answer {
        GroupAnswer::Join(answer) => answer.error,
        GroupAnswer::Sync(answer) => answer.error,
        GroupAnswer::Heartbeat(error) | GroupAnswer::Delete(error) => *error,
        GroupAnswer::Leave(answer) => answer.members.first().map_or(answer.error, |it| it.error),
        GroupAnswer::CommitOffsets(topics) => topics[0].partitions[0].1,
        GroupAnswer::FetchOffsets(answer) => answer.error,
        GroupAnswer::DeleteOffsets(answer) => answer
            .topics
            .first()
            .map_or(answer.error, |it| it.partitions[0].1),
        GroupAnswer::Describe(answer) => answer.error,
        GroupAnswer::List(answer) => answer.error,
        GroupAnswer::ConsumerHeartbeat(answer) => answer.error,
        GroupAnswer::ConsumerDescribe(answer) => answer.error,
    }
}

/// A subscription of version 0 to the topics.
pub fn subscription(topics: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend(b"\xff\xff\xff\xff");
    bytes
}

/// Holds a table of requests to what is answered: a line for each request and asker, with an answer for each state; a
/// code stands with its beginning.
pub fn hold_table<S: Copy + core::fmt::Debug>(
    table: &str,
    states: &[S],
    answer: impl Fn(S, &str, &str) -> String,
) {
    let mut wrong = String::new();
    for line in table.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.len(), 2 + states.len(), "{line}");
        for (state, expected) in states.iter().zip(&words[2..]) {
            let got = answer(*state, words[0], words[1]);
            if !got.starts_with(expected) {
                wrong += &std::format!(
                    "{} by {} in {state:?}: {got}, not {expected}\n",
                    words[0],
                    words[1]
                );
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
