//! One seed's run: some lives of a broker, each ended by a power cut, a kill or an orderly end, and everything looked
//! at after each.

mod device;

use std::time::Duration;

use millstream_fuzz::memory::measure;
use millstream_ring::Ring;
use millstream_ring::simulated::{DiskImage, OpKind, PowerCut, SimRing, SimWorld};

use crate::aside::Aside;
use crate::boundaries::{self, Boundaries};
use crate::checker::{Checker, Found, POWER_LOST};
use crate::eyes::{Armed, Eyes};
use crate::machine::{self, Machine};
use crate::media::{Place, is_closed};
use crate::prng::Prng;
use crate::swarm::{Swarm, Trouble};
use crate::workload::Workload;

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Equal for equal seeds.
    pub trace: u64,
    pub requests: u64,
    pub acknowledged: u64,
    /// Power cuts and kills, those of recoveries among them.
    pub crashes: u64,
    /// States of the disk that were started from and looked at whole.
    pub images: u64,
    /// Those of a life that was crashed at every one.
    pub boundaries: u64,
    /// The most that a start read, in bytes, and took of memory.
    pub start_read_max: u64,
    pub start_memory_max: u64,
}

pub struct Run {
    seed: u64,
    prng: Prng,
    eyes: Eyes,
    work: Workload,
    /// What has passed on machines before this one, in ms.
    ended: Ended,
    /// Turns of this life.
    turns: u64,
    /// Faults that fired before this life.
    fired: u64,
    /// Opens that found no descriptor before this life's start.
    starved: u64,
    /// Lies of the device so far, and changes at rest.
    lies: u64,
    lies_seen: u64,
    /// What lies is of the kind for which the next start may refuse the directory.
    may_refuse: bool,
    /// A start since the last life ended may have written down what it found.
    judged: bool,
    is_full: bool,
    /// Since when.
    full_since: Duration,
    /// Operations of this machine that had found the disk full before it was.
    refused_before: u64,
    /// There is room again; so many batches had been acknowledged before.
    room_since: Option<u64>,
    /// Of a life that is crashed at every boundary.
    boundaries: Option<Boundaries>,
}

impl Run {
    pub fn new(seed: u64, eyes: &Eyes) -> Run {
        machine::forget_topic_ids();
        eyes.arm(None);
        let mut prng = Prng::new(seed, 1);
        let swarm = Swarm::new(seed, &mut prng);
        Run {
            seed,
            prng,
            eyes: eyes.clone(),
            work: Workload::new(swarm, Prng::new(seed, 2), eyes.clone()),
            ended: Ended::default(),
            turns: 0,
            fired: eyes.fired(),
            starved: 0,
            lies: 0,
            lies_seen: eyes.lies(),
            may_refuse: false,
            judged: false,
            is_full: false,
            full_since: Duration::ZERO,
            refused_before: 0,
            room_since: None,
            boundaries: None,
        }
    }

    /// Lives all lives; the error says what was not as it must be.
    pub fn go(mut self) -> Result<Ended, String> {
        let world = SimWorld::new(self.prng.next(), self.work.swarm.disk.clone());
        self.watch(&world);
        let mut machine = self
            .start(&world)
            .map_err(|error| format!("an empty disk does not open: {error}"))?;
        for life in 0.. {
            if self.work.requests >= REQUESTS_MIN && self.ended.crashes >= CRASHES_MIN {
                break;
            }
            if life == LIVES_MAX {
                return Err(format!(
                    "{life} lives, and no more than {} requests",
                    self.work.requests
                ));
            }
            self.arm_cut(&machine.world);
            // What a device lied about is judged where a life ends.
            let is_honest = self.work.swarm.trouble != Trouble::Media;
            if self.seed.is_multiple_of(boundaries::SEEDS) && life == boundaries::LIFE && is_honest {
                self.boundaries = Some(Boundaries::watch(&machine.world));
            }
            self.live(&mut machine)
                .map_err(|error| format!("life {life}: {error}"))?;
            machine = self
                .end_life(machine)
                .map_err(|error| format!("the end of life {life}: {error}"))?;
        }
        self.ended.trace ^= machine.world.trace();
        self.ended.requests = self.work.requests;
        self.ended.acknowledged = self.work.acknowledged;
        Ok(self.ended)
    }

    /// The power will go at some moment of this life, or it will not.
    fn arm_cut(&mut self, world: &SimWorld) {
        match self.prng.range(0, 4) {
            0 | 1 => world.cut_power_at(PowerCut::AtBoundary(world.boundaries() + self.prng.range(0, 400))),
            2 => world.cut_power_at(PowerCut::AtEvent(world.events() + self.prng.range(0, 8_000))),
            _ => {}
        }
    }

    fn live(&mut self, machine: &mut Machine) -> Result<(), String> {
        self.turns = 0;
        let mut probe = machine.world.ring();
        let requests = match self.boundaries {
            Some(_) => boundaries::REQUESTS,
            None => self.work.swarm.requests,
        };
        let until = self.work.requests + requests;
        let end = machine.world.now() + PATIENCE;
        let (mut asked, mut asked_at) = (self.work.requests, machine.world.now());
        while self.work.requests < until && !machine.world.is_off() {
            let now = machine.world.now();
            // Clients that wait for room ask for nothing else: somebody makes some at last.
            if self.is_full && now > self.full_since + FULL_TIME_MAX {
                self.make_room(machine, &probe);
            }
            if self.work.requests > asked {
                (asked, asked_at) = (self.work.requests, now);
            }
            // Where nobody knows what became of the topics there is nothing to ask.
            if now > end && (self.work.model.hurt || self.work.is_quiet()) {
                return Ok(());
            }
            if now > end.max(asked_at + PATIENCE) {
                let left = until - self.work.requests;
                return Err(format!(
                    "the clients do not get on: {left} requests are left; {}; {}",
                    self.work.describe(),
                    machine.describe()
                ));
            }
            if self.work.act(machine) {
                self.trouble(machine, &mut probe);
            }
            for _ in 0..self.prng.range(0, 4) {
                self.turn(machine)?;
            }
        }
        if self.prng.one_in(3) {
            self.come_to_rest(machine, &probe)?;
        }
        Ok(())
    }

    fn turn(&mut self, machine: &mut Machine) -> Result<(), String> {
        machine.turn(Duration::from_micros(300));
        self.work.model.hurt |= self.eyes.fired() > self.fired;
        self.look_at_boundaries(machine.wall())?;
        if machine.world.is_off() {
            return Ok(());
        }
        self.turns += 1;
        if self.turns > TURNS_MAX {
            let now = machine.world.now();
            return Err(format!("turns without end, at {now:?}: {}", machine.describe()));
        }
        if machine.turns_idly {
            return Err(format!(
                "a shard turns although nothing happens: {}",
                machine.describe()
            ));
        }
        self.note_lies(&machine.world);
        self.work.listen(machine.world.now())?;
        if self
            .room_since
            .is_some_and(|before| self.work.acknowledged > before)
        {
            self.room_since = None;
            self.eyes.mark("append acknowledged after a full disk");
        }
        Ok(())
    }

    /// Images of the boundaries that were passed since the last look. What clients know is what they knew before.
    fn look_at_boundaries(&mut self, wall: i64) -> Result<(), String> {
        let images = self.boundaries.as_ref().map(Boundaries::take);
        for image in images.unwrap_or_default() {
            self.ended.images += 1;
            self.ended.boundaries += 1;
            let (number, mut aside) = (self.ended.boundaries, self.aside(wall, self.ended.boundaries));
            let result = aside.look(&image);
            let result = result.and_then(|()| match aside.prng.one_in(4) {
                true => aside
                    .recover_twice(&image)
                    .and_then(|()| aside.check_sidecars(&image)),
                false => Ok(()),
            });
            result.map_err(|error| format!("crashed at boundary {number} of its life: {error}"))?;
        }
        Ok(())
    }

    fn aside(&self, wall: i64, salt: u64) -> Aside<'_> {
        Aside {
            work: &self.work,
            wall,
            prng: Prng::new(self.seed, 4 + salt),
            eyes: &self.eyes,
        }
    }

    /// Everything that was asked is answered.
    fn come_to_rest(&mut self, machine: &mut Machine, probe: &SimRing) -> Result<(), String> {
        self.make_room(machine, probe);
        let end = machine.world.now() + PATIENCE;
        while !self.work.is_quiet() && !machine.world.is_off() {
            if machine.world.now() > end {
                return Err("requests are not answered".into());
            }
            self.turn(machine)?;
        }
        Ok(())
    }

    fn trouble(&mut self, machine: &mut Machine, probe: &mut SimRing) {
        match self.work.swarm.trouble {
            Trouble::None => {}
            Trouble::FullDisk if self.is_full => self.make_room(machine, probe),
            Trouble::FullDisk => {
                let room = self.prng.range(0, 1 << 20);
                machine.world.set_capacity(used_bytes(probe) + room);
                self.is_full = true;
                self.full_since = machine.world.now();
                self.work.full_until = Duration::MAX;
                self.refused_before = machine.world.met().full;
            }
            Trouble::DeviceErrors => {
                let (kind, place) = FAILING[self.prng.index(FAILING.len())];
                self.eyes.arm(Some(Armed {
                    kind,
                    place,
                    errno: EIO,
                    after: self.prng.range(0, 6),
                }));
            }
            Trouble::SlowDevice => {}
            Trouble::Media => self.arm_lie(),
            Trouble::Shortage => self.arm_shortage(),
        }
        // Time goes by: retention, idle partitions, what is settled.
        let end = machine.world.now() + Duration::from_millis(self.prng.range(1, 3_000));
        let mut turns = 0;
        while machine.world.now() < end && turns < 2_000 && !machine.world.is_off() {
            machine.turn(Duration::from_millis(500));
            // A lie may be written over before the trouble is done.
            self.note_lies(&machine.world);
            turns += 1;
        }
    }

    fn make_room(&mut self, machine: &Machine, _probe: &SimRing) {
        machine.world.set_capacity(CAPACITY);
        if self.is_full {
            self.work.full_until = machine.world.now() + ROOM_UNNOTICED_MAX;
            let was_met = machine.world.met().full > self.refused_before;
            self.room_since = was_met.then_some(self.work.acknowledged);
        }
        self.is_full = false;
    }

    /// One life ends and another begins.
    fn end_life(&mut self, mut machine: Machine) -> Result<Machine, String> {
        self.eyes.arm(None);
        self.eyes.arm_meddling(None);
        // The power may have gone with the fault.
        self.work.model.hurt |= self.eyes.fired() > self.fired;
        self.look_at_boundaries(machine.wall())?;
        self.note_met(&machine.world);
        if self.boundaries.take().is_some() {
            self.eyes.mark("life crashed at every boundary");
        }
        let was_off = machine.world.is_off();
        let draw = if was_off { 0 } else { self.prng.range(0, 4) };
        let world = machine.world.clone();
        let mut orderly = false;
        match draw {
            0 | 1 => self.eyes.mark(match was_off {
                true => "power cut at a boundary",
                false => "power cut between boundaries",
            }),
            2 => self.eyes.mark("killed without a power cut"),
            _ => {
                world.set_capacity(CAPACITY);
                self.is_full = false;
                if !machine.shut_down() {
                    return Err(format!("the broker does not end: {}", machine.describe()));
                }
                orderly = !world.is_off();
                self.work.model.hurt |= self.eyes.fired() > self.fired;
                if orderly {
                    self.eyes.mark("orderly end");
                }
            }
        }
        self.ended.trace = self.ended.trace.rotate_left(7) ^ world.trace();
        self.ended.crashes += u64::from(!orderly);
        self.work.swarm.build.wall = machine.wall() + 10;
        self.work.disconnect_all();
        drop(machine);
        self.change_build();
        let world = match draw {
            2 | 3 if !world.is_off() => {
                // Whoever ended in good order left nothing to a power cut.
                let mut image = match orderly && self.prng.one_in(2) {
                    true => world.crash(self.prng.next()),
                    false => world.kill(self.prng.next()),
                };
                self.spoil(&mut image);
                self.restarted(&image)
            }
            _ => {
                let mut image = world.crash(self.prng.next());
                self.spoil(&mut image);
                let is_sound = !self.work.model.hurt && self.lies == 0;
                if self.seed.is_multiple_of(ASIDE_SEEDS) && is_sound {
                    let mut aside = self.aside(self.work.swarm.build.wall, self.ended.crashes);
                    aside.check_sidecars(&image)?;
                    aside.recover_twice(&image)?;
                }
                self.restarted(&image)
            }
        };
        self.watch(&world);
        self.begin_life(world, orderly)
    }

    /// What this life's operations met.
    fn note_met(&mut self, world: &SimWorld) {
        let met = world.met();
        if met.full > 0 {
            self.eyes.mark("operation refused by a full disk");
        }
        if met.slow > 0 {
            self.eyes.mark("slow operation");
        }
        self.room_since = None;
    }

    /// A machine with this disk.
    fn restarted(&mut self, image: &DiskImage) -> SimWorld {
        if self.prng.one_in(4) {
            self.eyes.look_at(image);
        }
        let world = SimWorld::restart(image, self.prng.next(), self.work.swarm.disk.clone());
        self.watch(&world);
        world
    }

    fn watch(&self, world: &SimWorld) {
        if !self.is_full {
            world.set_capacity(CAPACITY);
        }
        let direct_bytes_min = self.work.swarm.build.storage.direct_write_bytes_min;
        self.eyes.watch(world, direct_bytes_min);
    }

    fn change_build(&mut self) {
        if self.prng.one_in(6) && !self.is_full {
            self.work.swarm.build.shards = self.prng.range(1, 4) as usize;
            self.eyes.mark("number of shards changed");
        }
    }

    /// Starts, maybe after starts that were interrupted, and looks at everything.
    fn begin_life(&mut self, mut world: SimWorld, orderly: bool) -> Result<Machine, String> {
        // One that the first write after an orderly end tore looks as one that was damaged since.
        let mut may_miss_slot = false;
        if self.prng.one_in(3) && !orderly {
            for _ in 0..self.prng.range(1, 4) {
                may_miss_slot |= is_closed(&world.image());
                world = self.interrupted_start(world)?;
            }
        }
        spare_power(&world);
        // What was full at the crash has room for the start's own files.
        world.set_capacity(CAPACITY);
        self.is_full = false;
        self.work.full_until = Duration::ZERO;
        self.starved = self.eyes.starved();
        self.starve_start();
        let started = self.start(&world);
        self.eyes.arm(None);
        // A start that was refused may have begun, and is no orderly end.
        let remembers = orderly && started.is_ok();
        let mut machine = match started {
            Ok(machine) => machine,
            Err(error) => self.put_right(world, error)?,
        };
        if remembers && machine.unclean && !self.work.model.hurt && self.lies == 0 {
            return Err("an orderly end was not remembered".into());
        }
        let hurt = self.work.model.hurt;
        let may_say =
            |line: &str| line.contains("is cut at") || may_miss_slot && line.ends_with("is used instead");
        if let Some(line) = machine
            .report
            .iter()
            .find(|line| !hurt && self.lies == 0 && !may_say(line))
        {
            return Err(format!("nothing failed, and the start says: {line}"));
        }
        if machine.report.iter().any(|line| line.contains("is cut at")) {
            self.eyes.mark("direct write torn, log cut");
        }
        if machine.metadata_torn {
            self.eyes.mark("metadata log torn");
        }
        self.check_put_aside(&machine)?;
        let found = self.look(&mut machine)?;
        if self.prng.one_in(3) && !hurt && self.lies == 0 {
            machine = self.start_again(machine, &found)?;
        }
        if !hurt {
            self.fired = self.eyes.fired();
        }
        Ok(machine)
    }

    /// The power goes while a start is under way; what is left of the disk comes back.
    fn interrupted_start(&mut self, world: SimWorld) -> Result<SimWorld, String> {
        match self.prng.one_in(3) {
            true => world.cut_power_at(PowerCut::AtEvent(world.events() + self.prng.range(0, 1_500))),
            false => world.cut_power_at(PowerCut::AtBoundary(world.boundaries() + self.prng.range(0, 30))),
        }
        match self.start(&world) {
            Err(_) if world.is_off() => {
                self.judged = true;
                self.eyes.mark("recovery crashed");
            }
            // A full disk may have no room for what a start writes: it says so, and harms nothing.
            Err(error) if self.is_full && error.contains("No space left") => {}
            Err(_) if self.may_refuse => {}
            Err(error) => return Err(format!("the directory does not open: {error}")),
            Ok(_) => self.judged = true,
        }
        self.ended.crashes += 1;
        let mut image = world.crash(self.prng.next());
        self.judge_lies(&mut image);
        Ok(self.restarted(&image))
    }

    /// What was found is found again after another crash, of a machine that did nothing but start.
    fn start_again(&mut self, machine: Machine, first: &[Found]) -> Result<Machine, String> {
        let image = machine.world.crash(self.prng.next());
        self.work.swarm.build.wall = machine.wall() + 10;
        drop(machine);
        self.ended.crashes += 1;
        let world = self.restarted(&image);
        let mut machine = self.start(&world)?;
        let second = self.look(&mut machine)?;
        let retains = |found: &Found| self.work.model.topics[found.topic].retained_min.is_some();
        // Retention goes on between two looks, and what it took away before the crash may be back.
        let same = |first: &Found, second: &Found| match retains(first) {
            true => first.end == second.end,
            false => first == second,
        };
        let mut pairs = first.iter().zip(&second);
        match pairs.find(|(first, second)| !same(first, second)) {
            _ if first.len() != second.len() => Err("started twice, there are other partitions".into()),
            Some((first, second)) => Err(format!("started twice: {first:?}, then {second:?}")),
            None => Ok(machine),
        }
    }

    fn start(&mut self, world: &SimWorld) -> Result<Machine, String> {
        let read = self.eyes.bytes_read();
        let began = world.now();
        let build = self.work.swarm.build.clone();
        let seed = self.seed ^ world.events();
        let (machine, memory) = measure(|| Machine::start(world, &build, seed));
        let read = self.eyes.bytes_read() - read;
        self.ended.start_read_max = self.ended.start_read_max.max(read);
        self.ended.start_memory_max = self.ended.start_memory_max.max(memory as u64);
        let took = world.now() - began;
        let slow = self.work.swarm.trouble == Trouble::SlowDevice;
        if machine.is_ok()
            && (read > START_READ_MAX || memory as u64 > START_MEMORY_MAX || (took > START_TIME_MAX && !slow))
        {
            return Err(format!(
                "a start read {read} bytes, took {memory} bytes of memory and {took:?}"
            ));
        }
        machine
    }

    fn look(&mut self, machine: &mut Machine) -> Result<Vec<Found>, String> {
        self.ended.images += 1;
        let waits = self.work.waiting();
        let mut prng = Prng::new(self.prng.next(), 3);
        let mut checker = Checker::new(machine, &mut self.work.model, &self.eyes, &mut prng);
        let found = checker.verify(|batch| waits.contains(&batch));
        match found {
            Err(error) if error == POWER_LOST => Err("the power went while nobody had cut it".into()),
            found => found,
        }
    }
}

/// Takes back a cut that was armed and not met.
fn spare_power(world: &SimWorld) {
    world.cut_power_at(PowerCut::AtEvent(u64::MAX));
}

fn used_bytes(probe: &mut SimRing) -> u64 {
    let space = probe.free_space(std::path::Path::new("/data")).expect("a disk");
    space.total - space.free
}

/// What a failing device may fail.
const FAILING: [(OpKind, Place); 17] = [
    (OpKind::Write, Place::Journal),
    (OpKind::Write, Place::Checkpoint),
    (OpKind::Write, Place::Segment),
    (OpKind::Write, Place::Segment),
    (OpKind::Write, Place::Sidecar),
    (OpKind::Write, Place::Metadata),
    (OpKind::Read, Place::Segment),
    (OpKind::Read, Place::Sidecar),
    (OpKind::Datasync, Place::Segment),
    (OpKind::Datasync, Place::Segment),
    (OpKind::Datasync, Place::Metadata),
    (OpKind::Open, Place::Segment),
    (OpKind::Open, Place::Metadata),
    (OpKind::SyncDir, Place::Segment),
    (OpKind::SyncDir, Place::Segment),
    (OpKind::SyncDir, Place::Metadata),
    (OpKind::SyncDir, Place::Directory),
];
/// As the ring's errors name it.
const EIO: i32 = 5;
/// One seed in so many has its crashes looked at below what is served, too.
const ASIDE_SEEDS: u64 = 8;
/// What a seed must have seen.
const REQUESTS_MIN: u64 = 500;
const CRASHES_MIN: u64 = 3;
/// Some times as many as a seed needs.
const LIVES_MAX: u64 = 100;
/// Of a life: some times as many as a life has that nobody asks anything of.
const TURNS_MAX: u64 = 3_000_000;
/// Without a request, although one is to come; requests that are not answered are found sooner.
const PATIENCE: Duration = Duration::from_secs(400);
/// Long enough for requests to be answered that they ran out of time.
const FULL_TIME_MAX: Duration = Duration::from_secs(150);
/// The broker finds out within that time that there is room again, and answers what it had refused before.
const ROOM_UNNOTICED_MAX: Duration = Duration::from_secs(10);
const CAPACITY: u64 = 1 << 40;
/// Bounds of a start, for the journals of three shards and some tens of partitions.
const START_READ_MAX: u64 = 16 << 20;
const START_MEMORY_MAX: u64 = 48 << 20;
const START_TIME_MAX: Duration = Duration::from_secs(5);
