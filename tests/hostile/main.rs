//! Hostile clients against the real process: every one of them costs itself its connection, and nobody else anything.
//!
//! After each attack a good client writes and reads on a connection that is as old as the test and on a new one, the
//! process is the same, its memory stays below what it was granted, and no descriptor is left behind.

mod bystander;
mod connections;
mod floods;
mod frames;
mod limits;
mod slow;

use std::time::{Duration, Instant};

use bystander::Bystander;
use millstream_tests::process::{Broker, Descriptors};
use slow::SlowClients;

#[test]
fn whatever_comes_on_the_port_others_go_on() {
    let broker = Broker::start(&["--cores", "2", "--memory", &MEMORY.to_string()]);
    let mut bystander = Bystander::new(&broker);
    let calm = bystander.pace(Duration::from_secs(2));
    let slow = SlowClients::start(broker.address());
    let beside_slow = bystander.pace(Duration::from_secs(2));
    beside_slow.must_keep_up_with(calm);
    let mut scene = Scene {
        descriptors: broker.descriptors(),
        pid: broker.pid(),
        bystander,
        broker,
    };
    let attacks: [(&str, Attack); 11] = [
        ("lengths that are none", frames::impossible_lengths),
        (
            "announcements of the largest request",
            frames::announced_and_not_sent,
        ),
        ("other protocols", frames::other_protocols),
        ("garbage", frames::garbage),
        ("unknown APIs and versions", frames::unknown_apis_and_versions),
        ("batches that are damaged", frames::damaged_batches),
        ("batches that inflate without end", frames::inflating_batches),
        ("mutated requests", frames::mutated_requests),
        ("a flood of requests", floods::pipelined_requests),
        ("clients that never read", floods::never_reading),
        ("a flood of connections", floods::connects),
    ];
    for (name, attack) in attacks {
        let started = Instant::now();
        attack(&mut scene);
        scene.all_is_well(name, started);
    }
    slow.must_all_have_been_closed();
    // The descriptors of the slow clients are free as well.
    scene.descriptors.sockets -= slow::CLIENTS;
    scene.all_is_well("slow clients", Instant::now());
}

/// What hostile clients do, and what must be true of the answers.
type Attack = fn(&mut Scene);

/// The broker, and what is known of it.
struct Scene {
    broker: Broker,
    bystander: Bystander,
    pid: u32,
    /// Open while only the bystander's old connection and the slow clients are there.
    descriptors: Descriptors,
}

impl Scene {
    fn all_is_well(&mut self, after: &str, started: Instant) {
        self.bystander.must_be_served(after);
        assert!(self.broker.is_running(), "the broker ended after {after}");
        assert_eq!(self.broker.pid(), self.pid);
        let resident = self.broker.resident_bytes();
        assert!(
            resident <= MEMORY + SLACK,
            "{} MiB are resident after {after}",
            resident >> 20
        );
        let until = Instant::now() + Duration::from_secs(20);
        let is_leaking = |open: Descriptors, before: Descriptors| {
            open.sockets > before.sockets || open.files > before.files + NEW_FILES
        };
        while is_leaking(self.broker.descriptors(), self.descriptors) {
            assert!(
                Instant::now() < until,
                "{:?} are open after {after}, {:?} before",
                self.broker.descriptors(),
                self.descriptors
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        println!(
            "{after}: {:?}, {} MiB resident",
            started.elapsed(),
            resident >> 20
        );
    }
}

/// Segments of the topics that the attacks make for themselves.
const NEW_FILES: usize = 40;
/// What the broker is granted: the least that two shards take.
const MEMORY: u64 = 320 << 20;
/// What an allocator keeps and code takes beyond it.
const SLACK: u64 = MEMORY / 10;
