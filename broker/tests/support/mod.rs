//! A whole broker in a simulated world: shards, their rings, the controller and clients, all in one thread.
//! What happens depends on the seed alone.

pub mod records;

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::allocations::counted;
use millstream::controller::client::{self, ShardLine, ToShard, UnwiredLine};
use millstream::controller::metadata_log::MetadataStore;
use millstream::controller::thread::{ControllerParts, ControllerThread};
use millstream::shard::mailbox::{self, ShardId};
use millstream::shard::state::{Listener, Shard, ShardOptions};
use millstream::shard::table::ShardTable;
use millstream::shard::turn::Next;
use millstream::startup::metadata::record_start;
use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::cluster::record::MetadataRecord;
use millstream_machine::config::settings::BrokerSettings;
use millstream_machine::limits::ClusterLimits;
use millstream_protocol::api::ApiKey;
use millstream_protocol::header::{RequestHeader, decode_response_header};
use millstream_protocol::message::{Decode, Encode};
use millstream_protocol::primitive::{Reader, Writer};
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{BrokerId, CorrelationId, TimestampMs, TopicId};
use millstream_ring::simulated::{DiskImage, SimConn, SimOptions, SimRing, SimWorld};
use millstream_ring::{Completion, Ring, Wait};
use millstream_storage::{Now, StorageOptions, TopicFate};

thread_local! {
    static IDS_GIVEN: Cell<u8> = const { Cell::new(0) };
}

/// Another one each time, and the same ones for each broker.
fn new_id() -> TopicId {
    let given = IDS_GIVEN.get();
    IDS_GIVEN.set(given + 1);
    TopicId::new([9 + given; 16])
}

/// A broker and its world.
pub struct SimBroker {
    pub world: SimWorld,
    pub address: SocketAddr,
    pub shards: Vec<SimShard>,
    pub controller: ControllerThread<MemoryStore>,
    lines: Vec<ShardLine>,
    /// Decides which shard turns next.
    random: u64,
}

pub struct SimShard {
    pub shard: Shard,
    ring: SimRing,
    completions: Vec<Completion>,
    pub finished: bool,
}

/// How a test wants its broker.
pub struct Setup {
    pub shards: usize,
    pub seed: u64,
    pub options: SimOptions,
    pub memory_bytes: usize,
    pub request_bytes_max: usize,
    /// Names and partition counts.
    pub topics: Vec<(&'static str, u32)>,
    /// Of each topic.
    pub configs: Vec<(&'static str, &'static str)>,
    /// Of the broker.
    pub settings: Vec<(&'static str, &'static str)>,
    /// Of each shard, other than by default.
    pub producers_max: Option<usize>,
    /// By which the time of requests is measured.
    pub clock: fn() -> Instant,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            shards: 1,
            seed: 1,
            options: SimOptions::default(),
            memory_bytes: 64 << 20,
            request_bytes_max: 16 << 20,
            topics: vec![("t", 4)],
            configs: Vec::new(),
            settings: Vec::new(),
            producers_max: None,
            clock: || Instant::ZERO,
        }
    }
}

impl SimBroker {
    pub fn start(setup: Setup) -> Self {
        IDS_GIVEN.set(0);
        let world = SimWorld::new(setup.seed, setup.options.clone());
        Self::start_in(world, setup)
    }

    /// After a crash, on what the disk held then. The metadata is what the setup says, as it was before.
    pub fn restart(disk: &DiskImage, setup: Setup) -> Self {
        let world = SimWorld::restart(disk, setup.seed, setup.options.clone());
        Self::start_in(world, setup)
    }

    fn start_in(world: SimWorld, setup: Setup) -> Self {
        let image = Arc::new(image(&setup.topics, &setup.configs));
        let mut boot = world.ring();
        let mut storage = StorageOptions::for_shards(setup.shards);
        storage.lock = false;
        storage.journal_bytes = 1 << 20;
        storage.producers_max = setup.producers_max.unwrap_or(storage.producers_max);
        let live = |_: TopicId| TopicFate::Live;
        let booted = millstream_storage::open(
            &mut boot,
            Path::new("/data"),
            &storage,
            setup.shards,
            &live,
            setup.seed,
            now(&world),
        )
        .expect("an empty or a crashed disk opens");
        let mut store = MemoryStore::default();
        let image = record_start(&mut store, image, &booted, 1).expect("a store in memory takes everything");
        let mut rings: Vec<SimRing> = (0..setup.shards).map(|_| world.ring()).collect();
        let wanted = SocketAddr::from(([127, 0, 0, 1], 9092));
        let (listener, address) = rings[0].listen(wanted).expect("nobody listens yet");
        let mut listener = Some(listener);
        let options = ShardOptions {
            node_id: 1,
            settings: Arc::new(settings(&setup.settings)),
            listeners: [Listener {
                bound: address,
                advertised: None,
            }]
            .into(),
            request_bytes_max: setup.request_bytes_max,
            memory_bytes: setup.memory_bytes,
            seed: setup.seed,
            clock: setup.clock,
        };
        let table = ShardTable::new(setup.shards, 1_000);
        let (commands, command_queue) = flume::bounded(64);
        let wakers: Vec<_> = rings.iter().map(Ring::waker).collect();
        let mut lines: Vec<UnwiredLine> = Vec::new();
        let mut shards = Vec::new();
        for (index, (logs, mut mail)) in booted
            .shards
            .into_iter()
            .zip(mailbox::mesh(setup.shards))
            .enumerate()
        {
            let (client, line) = client::line(commands.clone());
            lines.push(line);
            for peer in (0..setup.shards).filter(|peer| *peer != index) {
                mail.set_waker(ShardId(peer), wakers[peer].clone());
            }
            let mut ring = rings.remove(0);
            let mut shard = Shard::new(
                ShardId(index),
                ShardOptions {
                    seed: setup.seed.wrapping_add(index as u64),
                    ..options.clone()
                },
                table.clone(),
                logs,
                mail,
                client,
                now(&world),
            );
            shard.install_first_image(image.clone());
            let sockets = listener.take().into_iter().collect();
            shard.take_listeners(&mut ring, sockets);
            shards.push(SimShard {
                shard,
                ring,
                completions: Vec::new(),
                finished: false,
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
            settings: Arc::new(settings(&setup.settings)),
            node: BrokerId::new(1),
            limits: ClusterLimits::default(),
            shards: lines.clone(),
            commands: command_queue,
            snapshot_bytes: u64::MAX,
            new_id,
        });
        Self {
            world,
            address,
            shards,
            controller,
            lines,
            random: setup.seed,
        }
    }

    pub fn connect(&self) -> Client {
        let connection = self.world.connect(self.address).expect("the broker listens");
        Client {
            connection,
            input: Vec::new(),
            ended: false,
            next: 0,
        }
    }

    /// One turn of a shard that chance chooses; the world goes on a little.
    pub fn step(&mut self) {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let index = (self.random >> 33) as usize % self.shards.len();
        let SimShard {
            shard,
            ring,
            completions,
            finished,
        } = &mut self.shards[index];
        if *finished {
            return;
        }
        ring.enter(Wait::No, completions);
        let now = now(&self.world);
        match counted(|| shard.turn(ring, now, completions)) {
            Next::Finished => *finished = true,
            Next::Busy => {}
            Next::Wait(_) => self.world.advance(std::time::Duration::from_micros(5)),
        }
        ring.enter(Wait::No, completions);
        self.controller.step(None);
    }

    /// Turns until `done`, for at most so long by the world's clock.
    #[track_caller]
    pub fn run_until(&mut self, limit: std::time::Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.world.now() + limit;
        while !done(self) {
            assert!(self.world.now() < end, "it does not happen within {limit:?}");
            let before = self.world.now();
            self.step();
            if self.world.now() == before {
                self.world.advance(std::time::Duration::from_nanos(100));
            }
        }
    }

    /// Of so many turns of the first shard, a millisecond apart, those after which it wants another one at once.
    pub fn turns_that_want_another(&mut self, turns: u32) -> u32 {
        let mut busy = 0;
        for _ in 0..turns {
            self.world.advance(std::time::Duration::from_millis(1));
            let SimShard {
                shard,
                ring,
                completions,
                ..
            } = &mut self.shards[0];
            ring.enter(Wait::No, completions);
            busy += u32::from(shard.turn(ring, now(&self.world), completions) == Next::Busy);
            ring.enter(Wait::No, completions);
        }
        busy
    }

    /// Tells all shards to end.
    pub fn shut_down(&self) {
        for line in &self.lines {
            line.tell(ToShard::Shutdown);
        }
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, span: std::time::Duration) {
        let end = self.world.now() + span;
        // Long idle spans go by in strides.
        let stride = (span / 20_000).max(std::time::Duration::from_micros(1));
        while self.world.now() < end {
            self.step();
            self.world.advance(stride);
        }
    }
}

fn settings(given: &[(&str, &str)]) -> BrokerSettings {
    let mut settings = BrokerSettings::new();
    for (name, value) in given {
        settings
            .set(name, value)
            .expect("a setting and a value that it takes");
    }
    settings
}

/// A client's end: frames out, frames in.
pub struct Client {
    connection: SimConn,
    input: Vec<u8>,
    pub ended: bool,
    next: i32,
}

impl Client {
    /// Sends one request; its correlation id comes back.
    pub fn send(&mut self, broker: &mut SimBroker, api: ApiKey, version: i16, body: &impl Encode) -> i32 {
        self.next += 1;
        let frame = request(api, version, self.next, body);
        self.send_bytes(broker, &frame);
        self.next
    }

    /// Writes as the socket takes it.
    pub fn send_bytes(&mut self, broker: &mut SimBroker, bytes: &[u8]) {
        let mut rest = bytes;
        for _ in 0..1_000_000 {
            if rest.is_empty() {
                return;
            }
            match self.connection.write(rest) {
                Ok(n) => rest = &rest[n..],
                // The broker has closed: what is left would not be read.
                Err(_) => return,
            }
            broker.step();
        }
        panic!("the broker does not read");
    }

    /// Leaves without a word, with whatever is on its way.
    pub fn reset(self) {
        self.connection.reset();
    }

    /// Writes what the socket takes now.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> usize {
        self.connection.write(bytes).unwrap_or(0)
    }

    /// The next frame, if it is there whole.
    pub fn poll(&mut self) -> Option<Vec<u8>> {
        match self.connection.read() {
            Ok(Some(bytes)) if bytes.is_empty() => self.ended = true,
            Ok(Some(bytes)) => self.input.extend(bytes),
            Ok(None) => {}
            Err(_) => self.ended = true,
        }
        let length = u32::from_be_bytes(*self.input.first_chunk::<4>()?) as usize;
        if self.input.len() < 4 + length {
            return None;
        }
        let rest = self.input.split_off(4 + length);
        let frame = std::mem::replace(&mut self.input, rest);
        Some(frame[4..].to_vec())
    }

    /// Waits for the next frame.
    #[track_caller]
    pub fn receive(&mut self, broker: &mut SimBroker) -> Vec<u8> {
        let mut frame = None;
        broker.run_until(std::time::Duration::from_secs(60), |_| {
            frame = self.poll();
            frame.is_some() || self.ended
        });
        frame.expect("the broker closed the connection")
    }

    /// Waits until the broker has closed; frames that come before are returned.
    #[track_caller]
    pub fn receive_end(&mut self, broker: &mut SimBroker, within: std::time::Duration) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        broker.run_until(within, |_| {
            frames.extend(self.poll());
            self.ended
        });
        frames.extend(std::iter::from_fn(|| self.poll()));
        frames
    }

    /// Sends and waits for the answer, which `read` takes apart.
    #[track_caller]
    pub fn call<T>(
        &mut self,
        broker: &mut SimBroker,
        api: ApiKey,
        version: i16,
        body: &impl Encode,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> T {
        let correlation = self.send(broker, api, version, body);
        let frame = self.receive(broker);
        let (found, answer) = response(&frame, api, version, read);
        assert_eq!(found, correlation);
        answer
    }
}

/// A request as it is on the wire.
pub fn request(api: ApiKey, version: i16, correlation: i32, body: &impl Encode) -> Vec<u8> {
    let mut w = Writer::new();
    let mark = w.begin_frame();
    let header = RequestHeader {
        api_key: api.code(),
        api_version: version,
        correlation_id: CorrelationId::new(correlation),
        client_id: Some("test"),
    };
    header.encode(&mut w, api.spec()).unwrap();
    body.encode(&mut w, version).unwrap();
    w.end_frame(mark).unwrap();
    w.into_parts().0
}

/// Takes a response apart: its correlation id, and what `read` makes of the body.
pub fn response<T>(
    frame: &[u8],
    api: ApiKey,
    version: i16,
    read: impl FnOnce(&mut Reader<'_>) -> T,
) -> (i32, T) {
    let mut r = Reader::new(frame);
    let correlation = decode_response_header(&mut r, api.spec(), version).unwrap();
    (correlation.get(), read(&mut r))
}

/// A body that must decode.
pub fn decoded<'a, T: Decode<'a>>(r: &mut Reader<'a>, version: i16) -> T {
    let body = T::decode(r, version).unwrap();
    r.finish().unwrap();
    body
}

fn image(topics: &[(&str, u32)], configs: &[(&str, &str)]) -> ClusterImage {
    let created = |(number, (name, partitions)): (usize, &(&str, u32))| MetadataRecord::TopicCreated {
        id: TopicId::new([number as u8 + 1; 16]),
        name: (*name).to_owned(),
        partitions: *partitions,
        configs: configs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let cluster = MetadataRecord::ClusterCreated {
        cluster_id: "sim".to_owned(),
    };
    let records: Vec<_> = std::iter::once(cluster)
        .chain(topics.iter().enumerate().map(created))
        .collect();
    ClusterImage::empty().apply(&records)
}

fn now(world: &SimWorld) -> Now {
    let since = Duration::from(world.now());
    Now {
        monotonic: Instant::ZERO + since,
        wall: TimestampMs::new(1_700_000_000_000 + since.as_millis() as i64),
    }
}

/// A metadata log that forgets.
#[derive(Default)]
pub struct MemoryStore {
    entries: u64,
}

impl MetadataStore for MemoryStore {
    fn append(&mut self, _payload: &[u8]) -> std::io::Result<u64> {
        self.entries += 1;
        Ok(self.entries)
    }

    fn replace(&mut self, _snapshot: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn log_bytes(&self) -> u64 {
        0
    }
}
