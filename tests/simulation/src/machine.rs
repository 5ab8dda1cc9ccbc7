//! A whole broker on a simulated machine: its shards with their rings, its controller with its metadata log, and the
//! clock, turned in one thread.
//!
//! Place: a start goes the way of `millstream::startup`, step by step, with the simulated disk below it.
//! Invariant: what happens depends on the seed alone.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use millstream::controller::client::{self, ShardLine, ToShard, UnwiredLine};
use millstream::controller::command::Command;
use millstream::controller::metadata_log::MetadataLog;
use millstream::controller::thread::{ControllerParts, ControllerThread};
use millstream::shard::mailbox::{self, ShardId};
use millstream::shard::state::{Listener, Shard, ShardOptions};
use millstream::shard::table::ShardTable;
use millstream::shard::turn::Next;
use millstream::startup::metadata;
use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::config::settings::BrokerSettings;
use millstream_machine::limits::ClusterLimits;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{BrokerId, TimestampMs, TopicId};
use millstream_ring::simulated::{SimRing, SimWorld};
use millstream_ring::{Completion, Ring, Wait};
use millstream_storage::{Booted, Now, StorageOptions};

use crate::metadata_disk::SimDirectory;
use crate::prng::{Prng, mix};

/// How a machine is built.
#[derive(Clone)]
pub struct Build {
    pub shards: usize,
    pub storage: StorageOptions,
    /// Bytes of the metadata log above which it becomes a snapshot.
    pub snapshot_bytes: u64,
    /// When this machine began, by the wall clock, in ms.
    pub wall: i64,
}

/// A running broker.
pub struct Machine {
    pub world: SimWorld,
    pub address: SocketAddr,
    /// The last end was not an orderly one.
    pub unclean: bool,
    /// The metadata log ended in a torn entry, which was cut off.
    pub metadata_torn: bool,
    /// What the start had to say.
    pub report: Vec<String>,
    wall: i64,
    shards: Vec<SimShard>,
    controller: ControllerThread<MetadataLog<SimDirectory>>,
    /// What the controller has to do.
    commands: flume::Receiver<Command>,
    lines: Vec<ShardLine>,
    /// Decides in which order shards turn.
    prng: Prng,
    /// Turns in a row for which shards asked although nothing happened, and the world's events before them.
    spins: (u32, u64),
    /// A shard asked for turn after turn, although nothing happened: it burns its core.
    pub turns_idly: bool,
}

struct SimShard {
    shard: Shard,
    ring: SimRing,
    completions: Vec<Completion>,
    next: Next,
}

impl SimShard {
    /// Until when its core would sleep now.
    fn sleeps(&self, now: Instant) -> Option<Instant> {
        match self.next {
            Next::Wait(at) if at > now && self.completions.is_empty() && !self.shard.has_mail() => Some(at),
            _ => None,
        }
    }
}

impl Machine {
    /// Starts a broker on this world, in a process of its own; the error is what a start would say.
    pub fn start(world: &SimWorld, build: &Build, seed: u64) -> Result<Machine, String> {
        let now = now(world, build.wall);
        let directory = Path::new(DIR).join("metadata");
        let disk = SimDirectory::make(world.ring(), &directory).map_err(|error| error.to_string())?;
        let (mut store, contents) =
            MetadataLog::open_on(disk, &directory).map_err(|error| error.to_string())?;
        let metadata_torn = contents.torn_bytes > 0;
        let image = metadata::replay(contents).map_err(|error| error.to_string())?;
        let mut ring = world.ring();
        let booted = millstream_storage::open(
            &mut ring,
            Path::new(DIR),
            &build.storage,
            build.shards,
            &metadata::TopicsOf::torn(&image, metadata_torn),
            mix(seed),
            now,
        )
        .map_err(|error| error.to_string())?;
        let image =
            metadata::record_start(&mut store, image, &booted, NODE).map_err(|error| error.to_string())?;
        let machine = Crew { world, build, seed }.assemble(store, image, booted);
        Ok(Machine {
            metadata_torn,
            ..machine
        })
    }

    /// Every shard turns, in an order that chance gives, and the controller decides; then time passes until
    /// something is done, at most so long.
    pub fn turn(&mut self, patience: StdDuration) {
        let first = self.prng.index(self.shards.len());
        let mut busy = false;
        let mut until = Instant::MAX;
        for place in 0..self.shards.len() {
            let now = now(&self.world, self.wall);
            let index = (first + place) % self.shards.len();
            let shard = &mut self.shards[index];
            shard.ring.enter(Wait::No, &mut shard.completions);
            if shard.next == Next::Finished {
                shard.completions.clear();
                continue;
            }
            if let Some(at) = shard.sleeps(now.monotonic) {
                until = until.min(at);
                continue;
            }
            shard.next = shard.shard.turn(&mut shard.ring, now, &mut shard.completions);
            shard.ring.enter(Wait::No, &mut shard.completions);
            match shard.next {
                Next::Wait(at) => until = until.min(at),
                Next::Busy => busy = true,
                Next::Finished => {}
            }
            busy |= !shard.completions.is_empty();
        }
        if !self.commands.is_empty() {
            self.controller.step(None);
        }
        busy |= self.shards.iter().any(|shard| shard.shard.has_mail());
        self.spins = match self.spins {
            (spins, events) if busy && events == self.world.events() => (spins + 1, events),
            _ => (0, self.world.events()),
        };
        if busy && self.spins.0 < SPINS_MAX {
            // A turn takes its time.
            self.world.advance(TURN);
        } else if busy {
            // They turn on, but only the disk can help.
            self.turns_idly |= self.spins.0 >= IDLE_TURNS_MAX;
            self.world.advance_to_completion(patience.max(TURN));
        } else {
            let left = StdDuration::from(until.saturating_since(now(&self.world, self.wall).monotonic));
            self.world
                .advance_to_completion(left.clamp(TURN, patience.max(TURN)));
        }
    }

    /// Ends in good order; false where it does not come to an end.
    pub fn shut_down(&mut self) -> bool {
        self.lines.iter().for_each(|line| line.tell(ToShard::Shutdown));
        for _ in 0..SHUTDOWN_TURNS_MAX {
            if self.world.is_off() || self.shards.iter().all(|shard| shard.next == Next::Finished) {
                return true;
            }
            self.turn(StdDuration::from_millis(50));
        }
        false
    }

    /// What its shards say of themselves.
    pub fn describe(&self) -> String {
        let shards = self.shards.iter().map(|SimShard { shard, next, .. }| {
            let logs = shard.partitions.logs.describe();
            format!("{next:?}, {:?}, {logs}", shard.lifecycle)
        });
        shards.collect::<Vec<_>>().join(" | ")
    }

    /// Milliseconds of the wall clock.
    pub fn wall(&self) -> i64 {
        now(&self.world, self.wall).wall.get()
    }
}

/// What is at hand when the storage is open.
struct Crew<'a> {
    world: &'a SimWorld,
    build: &'a Build,
    seed: u64,
}

impl Crew<'_> {
    fn assemble(self, store: MetadataLog<SimDirectory>, image: Arc<ClusterImage>, booted: Booted) -> Machine {
        let count = self.build.shards;
        let mut rings: Vec<SimRing> = (0..count).map(|_| self.world.ring()).collect();
        let wanted = SocketAddr::from(([127, 0, 0, 1], 0));
        let (listener, address) = rings[0].listen(wanted).expect("any port will do");
        let mut listener = Some(listener);
        let wakers: Vec<_> = rings.iter().map(Ring::waker).collect();
        let table = ShardTable::new(count, 1_000);
        let (commands, command_queue) = flume::bounded(64);
        let mut lines: Vec<UnwiredLine> = Vec::new();
        let mut shards = Vec::new();
        let parts = booted.shards.into_iter().zip(mailbox::mesh(count));
        for ((index, (logs, mut mail)), mut ring) in parts.enumerate().zip(rings) {
            let (client, line) = client::line(commands.clone());
            lines.push(line);
            for peer in (0..count).filter(|peer| *peer != index) {
                mail.set_waker(ShardId(peer), wakers[peer].clone());
            }
            let now = now(self.world, self.build.wall);
            let options = self.options(address, index);
            let mut shard = Shard::new(ShardId(index), options, table.clone(), logs, mail, client, now);
            shard.install_first_image(image.clone());
            shard.take_listeners(&mut ring, listener.take().into_iter().collect());
            shards.push(SimShard {
                shard,
                ring,
                completions: Vec::new(),
                next: Next::Busy,
            });
        }
        let lines: Vec<ShardLine> = lines
            .into_iter()
            .zip(&wakers)
            .map(|(line, waker)| line.wire(waker.clone()))
            .collect();
        let controller = ControllerThread::new(ControllerParts {
            store,
            image,
            settings: Arc::new(BrokerSettings::new()),
            node: BrokerId::new(NODE),
            limits: ClusterLimits::default(),
            shards: lines.clone(),
            commands: command_queue.clone(),
            snapshot_bytes: self.build.snapshot_bytes,
            new_id,
        });
        Machine {
            world: self.world.clone(),
            address,
            unclean: booted.unclean,
            metadata_torn: false,
            report: booted.report,
            wall: self.build.wall,
            shards,
            controller,
            commands: command_queue,
            lines,
            prng: Prng::new(self.seed, 5),
            spins: (0, 0),
            turns_idly: false,
        }
    }

    fn options(&self, address: SocketAddr, index: usize) -> ShardOptions {
        ShardOptions {
            node_id: NODE,
            settings: Arc::new(BrokerSettings::new()),
            listeners: [Listener {
                bound: address,
                advertised: None,
            }]
            .into(),
            request_bytes_max: 16 << 20,
            memory_bytes: 64 << 20,
            seed: self.seed ^ (index as u64) << 48,
            // No client has a quota.
            clock: || Instant::ZERO,
        }
    }
}

thread_local! {
    static TOPIC_IDS: Cell<u64> = const { Cell::new(0) };
}

/// Topic ids of this thread's next run are numbered from one.
pub fn forget_topic_ids() {
    TOPIC_IDS.set(0);
}

/// The next topic id: one that no earlier machine of the run has drawn.
fn new_id() -> TopicId {
    TOPIC_IDS.set(TOPIC_IDS.get() + 1);
    let mut id = [0x70; 16];
    id[8..].copy_from_slice(&mix(TOPIC_IDS.get()).to_be_bytes());
    TopicId::new(id)
}

/// The clocks of a machine.
fn now(world: &SimWorld, wall: i64) -> Now {
    let passed = Duration::from(world.now());
    Now {
        monotonic: Instant::ZERO + passed,
        wall: TimestampMs::new(wall + passed.as_millis() as i64),
    }
}

pub const DIR: &str = "/data";
const NODE: i32 = 1;
const TURN: StdDuration = StdDuration::from_micros(2);
const SPINS_MAX: u32 = 50;
const IDLE_TURNS_MAX: u32 = 2_000;
const SHUTDOWN_TURNS_MAX: u32 = 100_000;
