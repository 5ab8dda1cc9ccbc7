//! A client of the classic protocol that reads topics, as consumers do: it says what it has, and takes what it is told.

use std::string::{String, ToString};
use std::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::message::consumer_protocol::{ConsumerProtocolSubscription, TopicPartition};
use millstream_protocol::message::data::Data;
use millstream_protocol::primitive::Writer;
use millstream_protocol::types::PartitionIndex;

use super::consumers::partition;
use super::world::*;
use crate::group::embedded;
use crate::group::*;

#[derive(Clone, Debug)]
pub struct ClassicPeer {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
    pub has: Partitions,
    /// Gives everything up before it joins; else only what it is told to.
    pub is_eager: bool,
    pub session_timeout_ms: i32,
    pub waits: Option<Ticket>,
}

impl ClassicPeer {
    pub fn new() -> Self {
        Self {
            member_id: String::new(),
            instance_id: None,
            generation: -1,
            has: Partitions::new(),
            is_eager: true,
            session_timeout_ms: 10_000,
            waits: None,
        }
    }

    pub fn fixed(instance_id: &str) -> Self {
        Self {
            instance_id: Some(instance_id.into()),
            ..Self::new()
        }
    }

    /// A JoinGroup that is not sent back for an id.
    pub fn joining(&self, world: &mut World, topics: &[&str]) -> JoinRequest {
        let metadata = metadata(topics, &self.has);
        let request = join(world, &self.member_id, &[("range", &metadata)]);
        JoinRequest {
            group_instance_id: self.instance_id.clone(),
            requires_known_member_id: false,
            session_timeout_ms: self.session_timeout_ms,
            ..request
        }
    }

    /// Joins; waits where the group has to meet.
    pub fn joins(&mut self, world: &mut World, topics: &[&str]) -> Option<ErrorCode> {
        if self.is_eager {
            self.has.clear();
        }
        let request = self.joining(world, topics);
        self.waits = Some(world.ask(GroupRequest::Join(request)));
        self.hears(world)
    }

    /// Takes the answer that it waits for: of a JoinGroup it syncs at once, and leads where it is told to.
    pub fn hears(&mut self, world: &mut World) -> Option<ErrorCode> {
        let answer = world.answer(self.waits?)?;
        self.waits = None;
        match answer {
            GroupAnswer::Join(answer) => {
                if !answer.member_id.is_empty() {
                    self.member_id = answer.member_id.to_string();
                }
                if answer.error != ErrorCode::None {
                    return Some(answer.error);
                }
                self.generation = answer.generation_id;
                let shares = shares(world, &answer);
                self.syncs(world, &shares)
            }
            GroupAnswer::Sync(answer) => {
                if answer.error == ErrorCode::None {
                    self.has = embedded::read_assignment(&answer.assignment, &world.machine.image)
                        .expect("an assignment of this test");
                }
                Some(answer.error)
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn syncs(&mut self, world: &mut World, shares: &[(String, Vec<u8>)]) -> Option<ErrorCode> {
        let shares: Vec<(&str, &[u8])> = shares
            .iter()
            .map(|(id, share)| (id.as_str(), &share[..]))
            .collect();
        let mut request = sync(&self.member_id, self.generation, &shares);
        request.group_instance_id = self.instance_id.clone();
        self.waits = Some(world.ask(GroupRequest::Sync(request)));
        self.hears(world)
    }

    #[track_caller]
    pub fn beats(&self, world: &mut World) -> ErrorCode {
        let mut request = heartbeat(&self.member_id, self.generation);
        request.group_instance_id = self.instance_id.clone();
        error_of(&world.told(GroupRequest::Heartbeat(request)))
    }

    /// Goes, whether it is there or not.
    pub fn leaves(&mut self, world: &mut World) {
        world.told(GroupRequest::Leave(leave(
            &self.member_id,
            self.instance_id.as_deref(),
        )));
        *self = Self {
            instance_id: self.instance_id.clone(),
            is_eager: self.is_eager,
            session_timeout_ms: self.session_timeout_ms,
            ..Self::new()
        };
    }
}

/// A subscription to the topics of somebody who has these partitions.
pub fn metadata(topics: &[&str], has: &Partitions) -> Vec<u8> {
    let owned = has.iter().map(|(topic, index)| TopicPartition {
        topic: if *topic == partition(1, 0).0 { "t" } else { "u" },
        partitions: [index.get()].into(),
    });
    let subscription = ConsumerProtocolSubscription {
        topics: topics.to_vec(),
        owned_partitions: owned.collect(),
        ..ConsumerProtocolSubscription::default()
    };
    let mut w = Writer::new();
    subscription.encode(&mut w, 1).expect("a subscription");
    w.bytes().into()
}

/// What a leader hands out: to each in turn one partition of the topics that all subscribe to, but nothing to anybody
/// else that a member says it has.
fn shares(world: &World, answer: &JoinAnswer) -> Vec<(String, Vec<u8>)> {
    let image = &world.machine.image;
    let members: Vec<_> = answer.members.iter().collect();
    let mut shares: Vec<Partitions> = members.iter().map(|_| Partitions::new()).collect();
    let read = |metadata| embedded::read_subscription(metadata).expect("a subscription");
    let owned: Vec<Partitions> = members
        .iter()
        .map(|it| embedded::partitions(&read(&it.metadata).owned_partitions, image))
        .collect();
    for topic in image.topics() {
        for index in 0..topic.partitions {
            let partition = (topic.id, PartitionIndex::new(index as i32));
            let wants = |place: &usize| read(&members[*place].metadata).topics.contains(&&*topic.name);
            let keeper = (0..members.len()).find(|place| owned[*place].contains(&partition));
            let takers: Vec<usize> = (0..members.len()).filter(wants).collect();
            let taker = takers.get(index as usize % takers.len().max(1)).copied();
            if let Some(taker) = keeper.filter(|it| takers.contains(it)).or(taker) {
                shares[taker].insert(partition);
            }
        }
    }
    let shares = members.iter().zip(shares);
    shares
        .map(|(member, share)| {
            let share = embedded::assignment(&share, &member.metadata, image);
            (member.member_id.to_string(), share.to_vec())
        })
        .collect()
}

/// A stable classic group of so many members that read the topics, each with its share.
pub fn stable(world: &mut World, peers: &mut [ClassicPeer], topics: &[&str]) {
    for peer in peers.iter_mut() {
        assert_eq!(peer.joins(world, topics), None);
    }
    world.pass(3_000 * peers.len() as u64);
    for _ in 0..2 {
        peers.iter_mut().for_each(|peer| {
            peer.hears(world);
        });
    }
    assert!(peers.iter().all(|it| it.waits.is_none() && !it.has.is_empty()));
    assert_eq!(world.state("g"), GroupState::Stable);
}
