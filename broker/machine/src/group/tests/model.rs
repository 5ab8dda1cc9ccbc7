//! Members that join, leave, die, lag and lie, by a seed: whatever they do, what must always hold holds after every
//! step, and when they are all gone nothing stays behind.

use std::string::{String, ToString};
use std::vec::Vec;

use millstream_protocol::error::ErrorCode;

use super::world::*;
use crate::group::*;
use crate::testing::Random;

struct Peer {
    member_id: String,
    instance_id: Option<String>,
    generation: i32,
    waits: Option<Ticket>,
}

#[test]
fn whatever_members_do_what_must_hold_holds() {
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
        }
        run.end();
    }
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let log = |seed| {
        let mut run = Run::new(seed);
        (0..STEPS).for_each(|_| run.step());
        run.world.records
    };
    assert_eq!(log(7), log(7));
    assert_ne!(log(7), log(8));
}

struct Run {
    random: Random,
    world: World,
    peers: Vec<Peer>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let settings = GroupSettings {
            initial_rebalance_delay: millstream_protocol::time::Duration::from_millis(random.below(2) * 500),
            group_max_size: 2 + random.below(5) as u32,
            group_record_bytes_max: 700 + random.below(4_000) as usize,
            state_bytes_max: 6_000 + random.below(30_000),
            ..GroupSettings::default()
        };
        let peers = (0..6).map(|index: u64| Peer {
            member_id: String::new(),
            instance_id: (index < 3).then(|| std::format!("i{}", index % 2)),
            generation: -1,
            waits: None,
        });
        let peers = peers.collect();
        Self {
            random,
            world: World::with(settings),
            peers,
        }
    }

    fn step(&mut self) {
        let index = self.random.below(self.peers.len() as u64) as usize;
        self.hear(index);
        match self.random.below(100) {
            0..30 => self.join(index),
            30..55 => self.sync(index),
            55..65 => self.heartbeat(index),
            65..71 => self.leave(index),
            71..80 => self.commit(index),
            80..82 => self.administer(),
            82 => self.forget_topic(),
            83 => self.restart(),
            84 => self.peers[index].member_id = std::format!("lie-{}", self.random.below(3)),
            _ => {
                let ms = self.random.of_any_size(17);
                self.world.pass(ms);
            }
        }
        let settings = *self.world.machine.settings();
        assert!(self.world.machine.live_bytes() <= settings.state_bytes_max + SLACK);
    }

    /// Everybody is silent from here on.
    fn end(&mut self) {
        self.world.pass(20 * 60 * 1000);
        assert!(self.world.open.is_empty(), "somebody waits for ever");
        assert!(self.world.machine.groups.values().all(|it| it.classic.is_empty()));
        self.world.pass(8 * 24 * 60 * 60 * 1000);
        assert!(self.world.machine.groups.is_empty(), "a group for ever");
        assert_eq!(self.world.machine.live_bytes(), 0);
    }

    /// Takes what a peer was answered, now and then wrongly.
    fn hear(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let Some(answer) = peer.waits.and_then(|ticket| self.world.answer(ticket)) else {
            return;
        };
        peer.waits = None;
        match answer {
            GroupAnswer::Join(answer) => {
                peer.member_id = answer.member_id.to_string();
                peer.generation = answer.generation_id;
            }
            GroupAnswer::Sync(answer) if answer.error == ErrorCode::None => {}
            _ if self.random.below(2) == 0 => peer.member_id.clear(),
            _ => {}
        }
    }

    fn join(&mut self, index: usize) {
        let protocols: [&[(&str, &[u8])]; 4] = [
            &[("range", b"\0\0\0\0\0\0")],
            &[("range", b"\0\0\0\0\0\x01\0\x01t"), ("sticky", b"x")],
            &[("sticky", b"y"), ("range", &[7; 200])],
            &[("alien", b"z")],
        ];
        let chosen = protocols[[0, 1, 2, 0, 1, 2, 0, 1, 2, 3][self.random.below(10) as usize]];
        let member_id = self.peers[index].member_id.clone();
        let mut request = join(&mut self.world, &member_id, chosen);
        request.group_instance_id = self.peers[index].instance_id.clone();
        request.requires_known_member_id = self.random.below(4) > 0;
        request.supports_skipping_assignment = self.random.below(2) > 0;
        request.session_timeout_ms = 6_000 + self.random.below(30_000) as i32;
        request.rebalance_timeout_ms = Some(self.random.below(60_000) as i32);
        self.peers[index].waits = Some(self.world.ask(GroupRequest::Join(request)));
    }

    fn sync(&mut self, index: usize) {
        let everybody: Vec<String> = self.peers.iter().map(|it| it.member_id.clone()).collect();
        let share = std::vec![1; self.random.of_any_size(10) as usize];
        let shares: Vec<(&str, &[u8])> = everybody.iter().map(|id| (id.as_str(), &share[..])).collect();
        let generation = self.generation(index);
        let mut request = sync(&everybody[index], generation, &shares);
        request.group_instance_id = self.peers[index].instance_id.clone();
        self.peers[index].waits = Some(self.world.ask(GroupRequest::Sync(request)));
    }

    fn heartbeat(&mut self, index: usize) {
        let generation = self.generation(index);
        let mut request = heartbeat(&self.peers[index].member_id, generation);
        request.group_instance_id = self.peers[index].instance_id.clone();
        self.world.told(GroupRequest::Heartbeat(request));
    }

    fn leave(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let request = leave(&peer.member_id, peer.instance_id.as_deref());
        self.world.told(GroupRequest::Leave(request));
        peer.member_id.clear();
    }

    fn commit(&mut self, index: usize) {
        let topic = ["t", "u", "v"][self.random.below(3) as usize];
        let generation = self.generation(index);
        let mut request = commit(&self.peers[index].member_id, generation, topic, 5);
        request.topics[0].partitions[0].metadata = "m".repeat(self.random.of_any_size(13) as usize);
        request.retention_ms = (self.random.below(2) == 0).then_some(60_000);
        self.world.told(GroupRequest::CommitOffsets(request));
    }

    fn administer(&mut self) {
        let group_id = "g".to_string();
        self.world.told(if self.random.below(2) == 0 {
            GroupRequest::Delete(DeleteRequest { group_id })
        } else {
            let topics = std::vec![partition_0("t"), partition_0("v")];
            GroupRequest::DeleteOffsets(DeleteOffsetsRequest { group_id, topics })
        });
    }

    fn forget_topic(&mut self) {
        self.world.forget("u");
    }

    fn restart(&mut self) {
        self.world.restart();
        self.peers.iter_mut().for_each(|peer| peer.waits = None);
    }

    fn generation(&mut self, index: usize) -> i32 {
        self.peers[index].generation - i32::from(self.random.below(8) == 0)
    }
}

const SEEDS: u64 = 150;
const STEPS: u64 = 300;
/// A group that goes on may grow by its record where no new member comes.
const SLACK: u64 = 2_000;
