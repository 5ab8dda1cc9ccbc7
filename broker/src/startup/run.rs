//! From a configuration to a running broker, and back to a directory that is marked clean.
//!
//! Order: host checks → addresses bound → metadata read → storage replayed → an unclean start recorded → shards →
//! controller → ready. At the end the other way round.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::config::settings::BrokerSettings;
use millstream_machine::limits::ClusterLimits;
use millstream_protocol::time::Duration;
use millstream_protocol::types::{BrokerId, TopicId};
use millstream_ring::uring::{UringOptions, UringRing};
use millstream_ring::{DetachedSocket, Ring, Waker};
use millstream_storage::{Booted, OpenError, ShardLogs, SpaceState, StorageOptions};
use millstream_tuning::resident::Resident;

use super::config::BrokerConfig;
use super::error::StartError;
use super::metadata::TopicsOf;
use super::signals::{Asked, Signals};
use super::{checks, kernel, memory, metadata, running};
use crate::controller::client::{self, ControllerClient, ShardLine, ToShard, UnwiredLine};
use crate::controller::command::Command;
use crate::controller::metadata_log::{Contents, METADATA, MetadataLog};
use crate::controller::thread::{ControllerParts, ControllerThread};
use crate::limits::{CONTROLLER_QUEUE, METADATA_LOG_BYTES_MAX};
use crate::shard::mailbox::{self, Mailboxes, ShardId};
use crate::shard::messages::PeerMessage;
use crate::shard::state::{Listener, Shard, ShardOptions};
use crate::shard::table::ShardTable;
use crate::shard::watchdog::{self, ShardPulse, Watchdog};
use crate::shard::{allocator, clock, host, space};
use crate::telemetry::levels::READY_TARGET;

/// Runs a broker until it is told to end.
pub fn run(config: BrokerConfig) -> Result<(), StartError> {
    kernel::register_membarrier();
    kernel::refuse_huge_pages();
    let cores = checks::cores(&config.cores)?;
    let settings = settings(&config)?;
    let signals = Signals::install()?;
    checks::host(&config.data_dir, cores.len())?;
    let mut ring = checks::ring(UringOptions::default())?;
    let bound = checks::listen(&mut ring, &config)?;
    let addresses: Vec<SocketAddr> = bound.iter().map(|(_, address)| *address).collect();
    let sockets = bound
        .iter()
        .map(|(socket, _)| ring.detach_socket(*socket))
        .collect();
    let settings = Arc::new(running::describe(settings, &config, &addresses));
    let memory = memory::plan(config.memory_bytes, cores.len(), &settings);

    let (mut metadata_log, contents) = open_metadata(&config.data_dir)?;
    let (end, is_torn) = (
        format!("{} to {} bytes", contents.log.display(), contents.end),
        contents.torn_bytes > 0,
    );
    let image = metadata::replay(contents)?;
    let mut options = StorageOptions::for_shards(cores.len());
    options.cache_bytes = memory.cache_bytes;
    options.dirty_bytes_max = memory.dirty_bytes_max;
    options.read_bytes = memory.read_bytes;
    options.producers_max = memory.producers_max;
    options.partition_bytes = memory::PARTITION_BYTES;
    options.free_space_bytes_min = config.free_space_bytes_min;
    options.retention_every = milliseconds(&settings, "log.retention.check.interval.ms");
    options.retention_first_after = milliseconds(&settings, "log.initial.task.delay.ms");
    let topics = TopicsOf::torn(&image, is_torn);
    let booted = open_storage(&mut ring, &config.data_dir, &options, cores.len(), &topics, &end)?;
    drop(ring);
    let image = metadata::record_start(&mut metadata_log, image, &booted, config.node_id)?;

    let (commands, command_queue) = flume::bounded(CONTROLLER_QUEUE);
    let shard_options = ShardOptions {
        node_id: config.node_id,
        settings: settings.clone(),
        listeners: addresses
            .iter()
            .map(|bound| Listener {
                bound: *bound,
                advertised: config.advertised_for(*bound),
            })
            .collect(),
        request_bytes_max: memory.request_bytes_max,
        memory_bytes: memory.requests_bytes,
        seed: random()?,
        clock: clock::monotonic,
    };
    let crew = Crew {
        cores,
        options: shard_options,
        image: image.clone(),
        commands: commands.clone(),
    };
    let shards = crew.start(booted.shards, sockets)?;
    let cluster_limits = ClusterLimits {
        topics_max: u32::try_from(settings.number("max.topics")).unwrap_or(u32::MAX),
        partitions_max: memory.partitions_max,
        metadata_bytes_max: memory.metadata_bytes_max,
        ..ClusterLimits::default()
    };
    let controller = ControllerThread::new(ControllerParts {
        store: metadata_log,
        image: image.clone(),
        settings,
        node: BrokerId::new(config.node_id),
        limits: cluster_limits,
        shards: shards.lines.clone(),
        commands: command_queue,
        snapshot_bytes: METADATA_LOG_BYTES_MAX,
        new_id: new_topic_id,
    });
    let controller = controller
        .start()
        .map_err(|error| StartError::Thread(error.to_string()))?;
    announce(&config, &addresses, &shards, &image, &memory);

    allocator::collect();
    while signals.wait() == Asked::Status {
        shards.tell_status();
    }
    tracing::info!("stopping: no new connections; what is in progress is finished and flushed");
    let clean = shards.stop();
    let _ = commands.send(Command::Stop);
    let clean = controller.join().is_ok() && clean;
    drop(booted.lock);
    if clean {
        tracing::info!("stopped in good order");
        Ok(())
    } else {
        Err(StartError::Thread(
            "a thread failed: the next start replays the journal".into(),
        ))
    }
}

/// What all shards are started with.
struct Crew {
    cores: Vec<usize>,
    options: ShardOptions,
    image: Arc<ClusterImage>,
    commands: flume::Sender<Command>,
}

/// What one shard's thread is given.
struct ShardStart {
    id: ShardId,
    options: ShardOptions,
    table: ShardTable,
    logs: ShardLogs,
    mail: Mailboxes<PeerMessage>,
    controller: ControllerClient,
    image: Arc<ClusterImage>,
    sockets: Vec<DetachedSocket>,
    /// Where its ring's waker goes, and where everybody's come from.
    own_waker: flume::Sender<Result<(ShardId, Waker), String>>,
    wakers: flume::Receiver<Vec<Waker>>,
}

/// The running shards.
struct Shards {
    lines: Vec<ShardLine>,
    threads: Vec<JoinHandle<()>>,
    watchdog: Watchdog,
}

impl Crew {
    fn start(self, logs: Vec<ShardLogs>, sockets: Vec<DetachedSocket>) -> Result<Shards, StartError> {
        let count = self.cores.len();
        let table = ShardTable::new(count, checks::connections_max());
        let (pulses, board) = watchdog::pulses(count);
        let (own_waker, own_wakers) = flume::unbounded();
        let mut lines: Vec<UnwiredLine> = Vec::new();
        let mut waker_queues = Vec::new();
        let mut threads = Vec::new();
        let mut sockets = Some(sockets);
        let parts = logs.into_iter().zip(mailbox::mesh(count)).zip(pulses);
        for (index, ((logs, mail), pulse)) in parts.enumerate() {
            let (controller, line) = client::line(self.commands.clone());
            let (wakers_to, wakers) = flume::bounded(1);
            lines.push(line);
            waker_queues.push(wakers_to);
            let start = ShardStart {
                id: ShardId(index),
                options: ShardOptions {
                    seed: self.options.seed ^ (index as u64) << 48,
                    ..self.options.clone()
                },
                table: table.clone(),
                logs,
                mail,
                controller,
                image: self.image.clone(),
                // The first shard accepts for all.
                sockets: sockets.take().unwrap_or_default(),
                own_waker: own_waker.clone(),
                wakers,
            };
            threads.push(spawn(self.cores[index], pulse, start)?);
        }
        drop(own_waker);
        let wakers = collect_wakers(&own_wakers, count)?;
        for queue in waker_queues {
            let _ = queue.send(wakers.clone());
        }
        let lines = lines
            .into_iter()
            .zip(&wakers)
            .map(|(line, waker)| line.wire(waker.clone()))
            .collect();
        let watchdog =
            Watchdog::start(board, wakers).map_err(|error| StartError::Thread(error.to_string()))?;
        Ok(Shards {
            lines,
            threads,
            watchdog,
        })
    }
}

impl Shards {
    /// Logs a line about the process and has every shard log one about itself.
    fn tell_status(&self) {
        let resident = Resident::read();
        tracing::info!(
            shards = self.lines.len(),
            resident_bytes = resident.map(|resident| resident.total_bytes),
            anonymous_bytes = resident.map(|resident| resident.anonymous_bytes),
            "status of the process"
        );
        for line in &self.lines {
            line.tell(ToShard::TellStatus);
        }
    }

    /// Ends all shards in good order; false where one failed.
    fn stop(self) -> bool {
        for line in &self.lines {
            line.tell(ToShard::Shutdown);
        }
        let ended: Vec<bool> = self
            .threads
            .into_iter()
            .map(|thread| thread.join().is_ok())
            .collect();
        drop(self.watchdog);
        ended.into_iter().all(|well| well)
    }
}

fn spawn(core: usize, pulse: ShardPulse, start: ShardStart) -> Result<JoinHandle<()>, StartError> {
    let name = format!("shard-{}", start.id);
    host::spawn(core, name, pulse, move || make_shard(start))
        .map_err(|error| StartError::Thread(error.to_string()))
}

/// On the shard's own thread: its ring, everybody's wakers, and the shard.
fn make_shard(start: ShardStart) -> Option<(Shard, UringRing)> {
    let mut ring = match UringRing::new(UringOptions::default()) {
        Ok(ring) => ring,
        Err(error) => {
            let _ = start.own_waker.send(Err(error.to_string()));
            return None;
        }
    };
    start.own_waker.send(Ok((start.id, ring.waker()))).ok()?;
    // Nobody may keep the channel open who has sent: the others' end shows as its end.
    drop(start.own_waker);
    let wakers = start.wakers.recv().ok()?;
    let mut mail = start.mail;
    for (peer, waker) in wakers
        .into_iter()
        .enumerate()
        .filter(|(peer, _)| *peer != start.id.0)
    {
        mail.set_waker(ShardId(peer), waker);
    }
    let mut shard = Shard::new(
        start.id,
        start.options,
        start.table,
        start.logs,
        mail,
        start.controller,
        clock::now(),
    );
    shard.install_first_image(start.image);
    let sockets = start
        .sockets
        .into_iter()
        .map(|socket| ring.adopt_socket(socket))
        .collect();
    shard.take_listeners(&mut ring, sockets);
    Some((shard, ring))
}

fn collect_wakers(
    from: &flume::Receiver<Result<(ShardId, Waker), String>>,
    count: usize,
) -> Result<Vec<Waker>, StartError> {
    let mut wakers: Vec<(ShardId, Waker)> = Vec::with_capacity(count);
    while wakers.len() < count {
        match from.recv() {
            Ok(Ok(waker)) => wakers.push(waker),
            Ok(Err(reason)) => return Err(StartError::RingUnavailable(reason)),
            Err(_) => return Err(StartError::Thread("a shard ended before it began".into())),
        }
    }
    wakers.sort_by_key(|(shard, _)| *shard);
    Ok(wakers.into_iter().map(|(_, waker)| waker).collect())
}

fn settings(config: &BrokerConfig) -> Result<BrokerSettings, StartError> {
    let mut settings = BrokerSettings::new();
    for (name, value) in &config.settings {
        settings
            .set(name, value)
            .map_err(|error| StartError::Config(error.to_string()))?;
    }
    Ok(settings)
}

fn open_metadata(data_dir: &Path) -> Result<(MetadataLog, Contents), StartError> {
    // The identity is made when the metadata log is there.
    let is_begun = data_dir.join(millstream_log::layout::IDENTITY).exists();
    MetadataLog::open(&data_dir.join(METADATA), is_begun)
        .map_err(|error| StartError::Storage(error.to_string()))
}

fn open_storage(
    ring: &mut UringRing,
    data_dir: &Path,
    options: &StorageOptions,
    shards: usize,
    topics: &TopicsOf<'_>,
    metadata_end: &str,
) -> Result<Booted, StartError> {
    let seed = random()?;
    let booted = millstream_storage::open(ring, data_dir, options, shards, topics, seed, clock::now());
    let booted = booted.map_err(|error| match error {
        OpenError::MetadataLost => StartError::Storage(format!(
            "{error}. Restore the directory {METADATA} from a backup; or, to give it up, cut {metadata_end}"
        )),
        error => StartError::Storage(error.to_string()),
    })?;
    for line in &booted.report {
        tracing::warn!("{line}");
    }
    if booted.space.state == SpaceState::Full {
        space::tell(None, &booted.space);
    }
    Ok(booted)
}

fn milliseconds(settings: &BrokerSettings, name: &str) -> Duration {
    Duration::from_millis(settings.number(name).max(0) as u64)
}

/// One line that says that it is ready, where, and what an acknowledgement means.
fn announce(
    config: &BrokerConfig,
    addresses: &[SocketAddr],
    shards: &Shards,
    image: &ClusterImage,
    memory: &memory::MemoryPlan,
) {
    let request_bytes_max = memory.request_bytes_max;
    let listening: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let configured = config
        .settings
        .get("socket.request.max.bytes")
        .and_then(|text| text.parse::<usize>().ok());
    if configured.is_some_and(|configured| configured > request_bytes_max) {
        tracing::warn!(
            effective = request_bytes_max,
            "socket.request.max.bytes is larger than this broker's memory for requests allows"
        );
    }
    let given = |name| {
        config
            .settings
            .get(name)
            .and_then(|text| text.parse::<u64>().ok())
    };
    for (name, effective) in [
        ("max.partitions", memory.partitions_max),
        ("max.metadata.bytes", memory.metadata_bytes_max),
    ] {
        if given(name).is_some_and(|given| given > effective) {
            tracing::warn!(effective, "{name} is larger than this broker's memory allows");
        }
    }
    if image.partition_count() > memory.partitions_max {
        tracing::warn!(
            partitions = image.partition_count(),
            effective = memory.partitions_max,
            "there are more partitions than max.partitions, or this broker's memory, allows: they are served, no more \
             can be created, and memory may pass what was granted"
        );
    }
    if config
        .memory_bytes
        .is_some_and(|granted| granted < memory.total_bytes)
    {
        tracing::warn!(
            memory_bytes = memory.total_bytes,
            "less memory is granted than so many shards need: they take the least that they can work with"
        );
    }
    tracing::info!(
        target: READY_TARGET,
        node = config.node_id,
        cluster = image.cluster_id(),
        data_dir = %config.data_dir.display(),
        shards = shards.lines.len(),
        topics = image.topic_count(),
        partitions = image.partition_count(),
        memory_bytes = memory.total_bytes,
        partitions_max = memory.partitions_max,
        "ready on {}: an acknowledged record is flushed to the disk first (acks=1 and acks=all alike), unless its \
         topic sets flush.messages or flush.ms",
        listening.join(", ")
    );
}

fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| StartError::Config(format!("the system has no randomness: {error}")))
}

/// A random UUID (RFC 9562, version 4); never one of Kafka's two reserved ids.
fn new_topic_id() -> TopicId {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the system has randomness: it had at the start");
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    TopicId::new(id)
}
