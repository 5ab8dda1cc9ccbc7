//! Members of both protocols at random, by a seed: they join, leave, die, go over and come back. Whatever they do, what
//! must hold holds after every step; when they keep still the group settles; and nothing stays behind.

use std::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::Duration;

use super::classic_peer::ClassicPeer;
use super::consumers::{Consumer, told};
use super::world::*;
use crate::group::*;
use crate::testing::Random;

/// One application, which is restarted with the one protocol or the other.
struct Peer {
    classic: ClassicPeer,
    consumer: Consumer,
    speaks_consumer: bool,
}

struct Run {
    random: Random,
    world: World,
    peers: Vec<Peer>,
}

#[test]
fn members_of_both_protocols_at_random_settle() {
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for _ in 0..STEPS {
            run.step();
        }
        run.settle(seed);
        run.end(seed);
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let migration = match random.below(8) {
            0 => MigrationPolicy::Upgrade,
            1 => MigrationPolicy::Downgrade,
            2 => MigrationPolicy::Disabled,
            _ => MigrationPolicy::Bidirectional,
        };
        let settings = GroupSettings {
            migration,
            ..GroupSettings::default()
        };
        let pause = Duration::from_millis(random.below(2) * 2_000);
        let mut world = World::with(assigning_every(pause, settings));
        world.has_topics(&[("t", 6), ("u", 2)]);
        let peers = (0..5).map(|index| {
            let instance_id = (index < 2).then(|| std::format!("i{index}"));
            Peer {
                classic: ClassicPeer {
                    instance_id: instance_id.clone(),
                    is_eager: random.below(3) > 0,
                    ..ClassicPeer::new()
                },
                consumer: Consumer {
                    instance_id,
                    ..Consumer::new(&std::format!("m{index}"))
                },
                speaks_consumer: random.below(2) == 0,
            }
        });
        let peers = peers.collect();
        Self { random, world, peers }
    }

    fn step(&mut self) {
        let index = self.random.below(self.peers.len() as u64) as usize;
        match self.random.below(40) {
            0 => self.peers[index].stops(&mut self.world),
            1 => self.peers[index].is_restarted(&mut self.world),
            2 => self.peers[index].forgets(),
            3 => {
                self.world.restart();
                self.peers.iter_mut().for_each(|peer| peer.classic.waits = None);
            }
            4 => {
                let counts = [self.random.below(9) as u32 + 1, self.random.below(3) as u32 + 1];
                self.world.has_topics(&[("t", counts[0]), ("u", counts[1])]);
            }
            5..12 => {
                let ms = self.random.of_any_size(16);
                self.world.pass(ms);
            }
            12 => {
                let topics: [&[&str]; 3] = [&["t"], &["u"], &["t", "u"]];
                let topics = topics[self.random.below(3) as usize];
                self.peers[index].goes_on(&mut self.world, topics, true);
            }
            _ => self.peers[index].goes_on(&mut self.world, &["t", "u"], false),
        }
        self.check_owners();
    }

    /// Who is a member at its epoch has nothing but what the group knows it to have, and that nobody else has. A
    /// cooperative member of a classic group that was in the middle of a rebalance may have more, as with Kafka, until
    /// it has heard of the next one.
    fn check_owners(&self) {
        let group = self.world.machine.groups.get("g");
        let Some(consumer) = group.and_then(|it| it.consumer.as_ref()) else {
            return;
        };
        let members = consumer.describe("g".into()).members;
        for peer in self
            .peers
            .iter()
            .filter(|it| it.speaks_consumer || it.classic.is_eager)
        {
            let (id, epoch) = match peer.speaks_consumer {
                true => (&peer.consumer.member_id, peer.consumer.epoch),
                false => (&peer.classic.member_id, peer.classic.generation),
            };
            let member = members
                .iter()
                .find(|it| *it.member_id == **id && it.member_epoch == epoch);
            let more = member.map(|it| peer.has().difference(&it.assigned).count());
            assert!(
                more.is_none_or(|it| it == 0),
                "{id} has more than the group knows"
            );
        }
    }

    /// Everybody does as it is told until nothing moves: all partitions have one owner.
    fn settle(&mut self, seed: u64) {
        self.world.has_topics(&[("t", 6), ("u", 2)]);
        self.world.pass(61_000);
        let may_mix = self.world.machine.settings().migration == MigrationPolicy::Bidirectional;
        let first = self.peers[0].speaks_consumer;
        for peer in &mut self.peers {
            peer.forgets();
            peer.speaks_consumer = if may_mix { peer.speaks_consumer } else { first };
        }
        for _ in 0..60 {
            for peer in &mut self.peers {
                peer.goes_on(&mut self.world, &["t", "u"], false);
            }
            self.world.pass(1_000);
        }
        let mut all = Partitions::new();
        let mut each = 0;
        for peer in &self.peers {
            each += peer.has().len();
            all.extend(peer.has().iter().copied());
        }
        assert_eq!(
            (each, all.len()),
            (8, 8),
            "seed {seed}: every partition has one owner"
        );
    }

    /// Everybody is silent from here on.
    fn end(&mut self, seed: u64) {
        self.world.pass(20 * 60 * 1000);
        assert!(self.world.open.is_empty(), "seed {seed}: somebody waits for ever");
        assert!(
            self.world.machine.groups.values().all(Group::is_empty),
            "seed {seed}"
        );
        self.world.pass(8 * 24 * 60 * 60 * 1000);
        assert_eq!(self.world.machine.live_bytes(), 0, "seed {seed}");
    }
}

impl Peer {
    fn has(&self) -> &Partitions {
        if self.speaks_consumer {
            &self.consumer.has
        } else {
            &self.classic.has
        }
    }

    /// The next thing that its protocol asks of it; `anew` joins whatever it thinks.
    fn goes_on(&mut self, world: &mut World, topics: &[&str], anew: bool) {
        if self.speaks_consumer {
            let request = if self.consumer.epoch == 0 || anew {
                self.consumer.epoch = 0;
                self.consumer.joining(topics)
            } else {
                self.consumer.request()
            };
            let answer = told(world, request);
            match answer.error {
                ErrorCode::None => self.consumer.hears(answer),
                _ => self.forgets_its_place(),
            }
            return;
        }
        let heard = self.classic.hears(world);
        if self.classic.waits.is_some() {
            return;
        }
        let beat = match heard {
            Some(error) => error,
            None if self.classic.generation < 0 || anew => ErrorCode::RebalanceInProgress,
            None => self.classic.beats(world),
        };
        match beat {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => {
                if self.classic.joins(world, topics).is_some_and(is_lost) {
                    self.forgets_its_place();
                }
            }
            _ => self.forgets_its_place(),
        }
    }

    /// Leaves, and is started again with the other protocol.
    fn is_restarted(&mut self, world: &mut World) {
        self.stops(world);
        self.speaks_consumer = !self.speaks_consumer;
    }

    fn stops(&mut self, world: &mut World) {
        if self.speaks_consumer && self.consumer.epoch > 0 {
            self.consumer.epoch = if self.consumer.instance_id.is_some() {
                -2
            } else {
                -1
            };
            let request = self.consumer.request();
            told(world, request);
        } else if !self.speaks_consumer {
            self.classic.leaves(world);
        }
        self.forgets();
    }

    /// Dies, and is started again.
    fn forgets(&mut self) {
        self.forgets_its_place();
        self.classic.member_id.clear();
        self.consumer.member_id = std::format!("{}'", self.consumer.member_id);
    }

    fn forgets_its_place(&mut self) {
        self.classic = ClassicPeer {
            instance_id: self.classic.instance_id.clone(),
            is_eager: self.classic.is_eager,
            ..ClassicPeer::new()
        };
        self.consumer.epoch = 0;
        self.consumer.has.clear();
    }
}

/// Whether a member that is told so begins anew.
fn is_lost(error: ErrorCode) -> bool {
    !matches!(error, ErrorCode::None | ErrorCode::RebalanceInProgress)
}

const SEEDS: u64 = 50;
const STEPS: u64 = 200;
