//! All that a shard is, except for its ring.
//! Invariant: touched by its own thread only; whatever is in here is bounded by `limits`.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use millstream_log::PartitionKey;
use millstream_machine::cluster::image::ClusterImage;
use millstream_machine::config::settings::BrokerSettings;
use millstream_machine::fetch_session::FetchSessions;
use millstream_machine::purgatory::{Released, WaitFor};
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::TopicId;
use millstream_ring::{Ring, SocketId};
use millstream_storage::{LogEvent, LogId, Now, ReadId, Room, ShardLogs, StallReport, Stalled};

use super::budget::Budget;
use super::calls::{Call, PendingRead, Waiting};
use super::connection_limits::ConnectionLimits;
use super::counters::Counters;
use super::health::ShardHealth;
use super::mailbox::{Mailboxes, ShardId};
use super::memory::Quiet;
use super::messages::{Origin, PeerMessage};
use super::quotas::Timed;
use super::slab::{Key, Slab};
use super::space;
use super::table::ShardTable;
use crate::controller::client::{ControllerClient, ToShard};
use crate::coordinator::settings::{commit_timeout, group_settings};
use crate::coordinator::{Coordinators, GroupOrigin};
use crate::limits::{
    CALLS_MAX, CLIENT_COMPLAINTS_PER_SECOND, CONNECTIONS_MAX, FETCH_SESSION_PARTITION_BYTES,
    FETCH_SESSION_PARTITIONS_MAX, FETCH_SESSIONS_MAX, SWEEP_INTERVAL,
};
use crate::partition::query::QueryOrigin;
use crate::partition::service::Partitions;
use crate::server::connection::Connection;
use crate::startup::HostPort;

/// One shard.
pub struct Shard {
    pub id: ShardId,
    pub options: ShardOptions,
    pub table: ShardTable,
    /// The moment of the present turn.
    pub now: Now,
    pub counters: Counters,
    pub lifecycle: Lifecycle,
    pub image: Arc<ClusterImage>,
    pub partitions: Partitions,
    pub connections: Slab<Connection>,
    pub(super) connection_limits: ConnectionLimits,
    pub calls: Slab<Call>,
    pub reads: Slab<PendingRead>,
    /// Requests whose batches wait for the flush.
    pub awaiting_flush: usize,
    pub sessions: FetchSessions,
    pub coordinators: Coordinators,
    /// `offsets.commit.timeout.ms`.
    pub(crate) commit_timeout: Duration,
    /// `fetch.max.bytes`.
    pub(crate) fetch_bytes_max: usize,
    /// `max.in.flight.requests.per.connection`.
    pub(super) requests_in_flight_max: usize,
    pub budget: Budget,
    pub mail: Mailboxes<PeerMessage>,
    pub controller: ControllerClient,
    /// Ids for idempotent producers that this shard may give out.
    pub producer_ids: Range<i64>,
    pub(super) listening: Vec<Listening>,
    /// Connections with input to look at.
    pub(super) ready: VecDeque<Key>,
    /// Those of them that have much.
    pub(super) ready_with_much: VecDeque<Key>,
    /// Connections that have much to send, the longest waiting first.
    pub(super) sends_waiting: VecDeque<Key>,
    /// Connections that have much to receive, the longest waiting first.
    pub(super) receives_waiting: VecDeque<Key>,
    /// What they may yet receive in this turn.
    pub(super) receive_bytes_left: usize,
    /// When somebody last asked with a small request.
    pub(super) little_seen: Option<Instant>,
    /// Who has much waits for the next turn, for this one is theirs who have little.
    pub(super) much_waits: bool,
    /// Connections with something to submit.
    pub(super) dirty: Vec<Key>,
    /// Connections with a write that waits for room in the logs.
    pub(super) congested: Vec<Key>,
    /// What the logs had room for at the last look, and the number of times that it changed.
    pub(super) room: Room,
    pub(super) room_changes: u64,
    /// Connections that are not listened to, by when they are again; each may be there several times.
    pub(super) muted: BTreeSet<(Instant, u64)>,
    /// The request in hand, where its time counts.
    pub(crate) timed: Option<Timed>,
    /// How long the client of the next answer has to wait for reasons of the controller.
    pub(crate) controllers_wait: Duration,
    pub(super) next_sweep: Instant,
    pub(super) drain_until: Instant,
    /// State of the generator of session numbers.
    pub(super) random: u64,
    pub(super) complaints_left: u32,
    pub(super) quiet: Quiet,
    pub(super) health: ShardHealth,
    /// Of frames that were given up since the allocator was last asked to give back.
    pub(super) abandoned_bytes: usize,
    pub(super) events: Vec<LogEvent>,
    /// Kept for their memory.
    pub(crate) waits: Vec<WaitFor>,
    pub(crate) released: Vec<Released<Waiting>>,
}

/// What a shard is told when it is made.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    pub node_id: i32,
    /// Kafka's broker settings as they were started with.
    pub settings: Arc<BrokerSettings>,
    /// What clients are told to connect to, by listener.
    pub listeners: Arc<[Listener]>,
    /// Largest request.
    pub request_bytes_max: usize,
    /// Memory for requests and replies.
    pub memory_bytes: usize,
    /// Random; another one for each shard.
    pub seed: u64,
    /// The clock of [`Shard::now`], read where a client's time counts.
    pub clock: fn() -> Instant,
}

/// An address that the broker listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub bound: SocketAddr,
    /// `None`: the address by which the client reached us.
    pub advertised: Option<HostPort>,
}

/// The life of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifecycle {
    Running,
    /// Accepts nothing new; what is in progress is answered.
    Draining,
    /// All connections are closed; the logs are being flushed.
    Flushing,
    Stopped,
}

/// A listening socket of this shard.
#[derive(Debug)]
pub struct Listening {
    pub socket: SocketId,
    pub armed: bool,
}

/// A topic as handlers need it.
#[derive(Clone, Debug)]
pub struct TopicRef {
    pub name: Arc<str>,
    pub id: TopicId,
    pub partitions: i32,
}

impl Shard {
    pub fn new(
        id: ShardId,
        options: ShardOptions,
        table: ShardTable,
        logs: ShardLogs,
        mail: Mailboxes<PeerMessage>,
        controller: ControllerClient,
        now: Now,
    ) -> Self {
        let budget = Budget::new(options.memory_bytes);
        let random = options.seed;
        let setting = |name| usize::try_from(options.settings.number(name)).unwrap_or(0);
        let fetch_bytes_max = setting("fetch.max.bytes");
        let requests_in_flight_max = setting("max.in.flight.requests.per.connection");
        let calls_max = setting("max.waiting.requests.per.core").min(CALLS_MAX);
        // The setting is the broker's, a session its shard's.
        let slots = setting("max.incremental.fetch.session.cache.slots").div_ceil(table.shards());
        let sessions_max = slots.min(FETCH_SESSIONS_MAX);
        let session_partitions_max = setting("max.incremental.fetch.session.partitions")
            .div_ceil(table.shards())
            .min(FETCH_SESSION_PARTITIONS_MAX)
            .min(options.memory_bytes / FETCH_SESSION_PARTITION_BYTES);
        let groups = group_settings(&options.settings, options.memory_bytes);
        let commit_timeout = commit_timeout(&options.settings);
        Self {
            id,
            options,
            table,
            now,
            counters: Counters::default(),
            lifecycle: Lifecycle::Running,
            image: Arc::new(ClusterImage::default()),
            partitions: Partitions::new(logs, calls_max, now.monotonic),
            connections: Slab::new(CONNECTIONS_MAX),
            connection_limits: ConnectionLimits::default(),
            calls: Slab::new(calls_max),
            reads: Slab::new(CALLS_MAX),
            awaiting_flush: 0,
            sessions: FetchSessions::new(id.0 as u16, sessions_max, session_partitions_max),
            coordinators: Coordinators::new(groups, calls_max),
            commit_timeout,
            fetch_bytes_max,
            requests_in_flight_max,
            budget,
            mail,
            controller,
            producer_ids: 0..0,
            listening: Vec::new(),
            ready: VecDeque::new(),
            ready_with_much: VecDeque::new(),
            sends_waiting: VecDeque::new(),
            receives_waiting: VecDeque::new(),
            receive_bytes_left: 0,
            little_seen: None,
            much_waits: false,
            dirty: Vec::new(),
            congested: Vec::new(),
            room: Room::Plenty,
            room_changes: 0,
            muted: BTreeSet::new(),
            timed: None,
            controllers_wait: Duration::ZERO,
            next_sweep: now.monotonic + Duration::from(SWEEP_INTERVAL),
            drain_until: Instant::MAX,
            random,
            quiet: Quiet::default(),
            health: ShardHealth::default(),
            abandoned_bytes: 0,
            complaints_left: CLIENT_COMPLAINTS_PER_SECOND,
            events: Vec::new(),
            waits: Vec::new(),
            released: Vec::new(),
        }
    }

    /// Takes the image that the start has made, before anything is served.
    pub fn install_first_image(&mut self, image: Arc<ClusterImage>) {
        let records = image.records();
        self.install_image(image);
        self.controller.installed(records);
    }

    /// Takes the listening sockets, in the order of the options' listeners.
    pub fn take_listeners(&mut self, ring: &mut impl Ring, sockets: Vec<SocketId>) {
        self.listening = sockets
            .into_iter()
            .map(|socket| Listening { socket, armed: false })
            .collect();
        self.listen(ring);
    }

    /// Sends a piece of a request to its owner.
    pub(crate) fn forward(&mut self, owner: usize, message: PeerMessage) {
        self.counters.forwarded += 1;
        self.mail.send(ShardId(owner), message);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.lifecycle != Lifecycle::Running
    }

    /// A random number (SplitMix64: Steele, Lea, Flood 2014).
    pub(crate) fn draw(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }

    /// A random number for an id that nobody else may have.
    pub(crate) fn draw_wide(&mut self) -> u128 {
        (0..4).fold(0, |drawn, _| drawn << 32 | u128::from(self.draw()))
    }

    /// Mail came in meanwhile.
    pub fn has_mail(&self) -> bool {
        self.mail.has_mail() || self.controller.has_mail()
    }

    pub(super) fn handle_peer_message(&mut self, ring: &mut impl Ring, from: ShardId, message: PeerMessage) {
        let origin = |call| Origin { shard: from, call };
        let asked = match &message {
            PeerMessage::Produce { pieces, .. } => pieces.iter().map(|piece| piece.records.len()).sum(),
            PeerMessage::Fetch { .. } | PeerMessage::Query { .. } | PeerMessage::Group { .. } => 0,
            _ => usize::MAX,
        };
        self.note_request(asked);
        match message {
            PeerMessage::Connection {
                socket,
                peer,
                listener,
            } => self.adopt_from(ring, socket, peer, listener),
            PeerMessage::Produce { call, terms, pieces } => self.produce_pieces(origin(call), terms, pieces),
            PeerMessage::Produced { call, answers, spent } => self.produced(call, answers, spent),
            PeerMessage::Fetch { call, terms, pieces } => self.fetch_pieces(origin(call), terms, &pieces),
            PeerMessage::Fetched {
                call,
                round,
                answers,
                spent,
            } => self.fetched(call, round, answers, spent),
            PeerMessage::Watch { call, terms, above } => self.watch_for(origin(call), terms, &above),
            PeerMessage::Woken { call, round } => self.fetch_again(call, round),
            PeerMessage::Query {
                call,
                slot,
                partition,
                query,
            } => {
                self.query(
                    QueryOrigin {
                        origin: origin(call),
                        slot,
                    },
                    partition,
                    query,
                );
            }
            PeerMessage::Answer { call, slot, answer } => self.answered_query(call, slot, answer),
            PeerMessage::Group {
                call,
                slot,
                partition,
                request,
            } => {
                let origin = origin(call);
                self.group_request(GroupOrigin { origin, slot }, partition, *request);
            }
            PeerMessage::GroupAnswer { call, slot, answer } => self.group_answered(call, slot, *answer),
        }
    }

    pub(super) fn handle_controller_message(&mut self, ring: &mut impl Ring, message: ToShard) {
        match message {
            ToShard::Image(image) => {
                let records = image.records();
                self.install_image(image);
                self.controller.installed(records);
            }
            ToShard::Answer { call, outcome } => self.controller_answered(call, outcome),
            ToShard::TellStatus => self.tell_status(ring),
            ToShard::Shutdown => self.begin_shutdown(ring),
        }
    }

    /// The address that this connection's client should connect to.
    pub(crate) fn advertised(&self, connection: Key) -> Option<HostPort> {
        let connection = self.connections.get(connection)?;
        let listener = &self.options.listeners[connection.listener];
        Some(listener.advertised.clone().unwrap_or_else(|| HostPort {
            host: connection.local.ip().to_canonical().to_string(),
            port: listener.bound.port(),
        }))
    }

    /// Whether a boolean setting of the broker is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.options.settings.is_on(name)
    }

    pub(super) fn handle_log_event(&mut self, event: LogEvent) {
        match event {
            LogEvent::Flushed { log, upto } => self.advance_log(log, |marks| marks.flush(upto)),
            LogEvent::ReadDone { read, result } => self.finish_read(read, |shard, pending| match pending {
                PendingRead::Fetch { work, index } => shard.read_done(work, index, result),
                PendingRead::Coordinator(partition) => shard.load_read(partition, result),
                PendingRead::Starting | PendingRead::Search(_) => {}
            }),
            LogEvent::TimeFound { read, result } => self.finish_read(read, |shard, pending| match pending {
                PendingRead::Search(search) => shard.search_done(search, result),
                PendingRead::Starting | PendingRead::Fetch { .. } | PendingRead::Coordinator(_) => {}
            }),
            LogEvent::StartRaised { log, start } => self.partitions.raise_start(log, start),
            LogEvent::StartMoved { log, start } => self.start_moved(log, start),
            LogEvent::Fenced { log, key, reason } => self.fenced(log, key, &reason),
            LogEvent::WritesStopped { reason } => self.writes_stopped(&reason),
            LogEvent::Deleted { key } => self.controller.partition_gone(key.topic),
            LogEvent::Warning { reason } => tracing::warn!(shard = self.id.0, "{reason}"),
            LogEvent::Space(report) => space::tell(Some(self.id), &report),
            LogEvent::Stall(report) => {
                self.tell_stall(&report);
                self.note_stall(&report);
            }
        }
    }

    fn finish_read(&mut self, read: ReadId, then: impl FnOnce(&mut Self, PendingRead)) {
        if let Some(pending) = self.reads.remove(Key::from_bits(read.0)) {
            then(self, pending);
        }
    }

    fn fenced(&mut self, log: LogId, key: PartitionKey, reason: &str) {
        let name = self.topic_by_id(key.topic).map(|topic| topic.name);
        tracing::error!(
            topic = name.as_deref(),
            partition = key.partition.get(),
            reason,
            "a partition is fenced: from the damage on it answers KAFKA_STORAGE_ERROR, the others go on; stop the \
             broker and let `millstream log repair` say what is lost, --accept-loss makes the partition usable again"
        );
        self.health.fenced += 1;
        self.publish_health();
        self.give_up_log(log);
    }

    fn writes_stopped(&mut self, reason: &str) {
        tracing::error!(
            shard = self.id.0,
            reason,
            "no more appends on this shard until a restart; reads go on"
        );
        self.health = ShardHealth {
            writes_stopped: true,
            flush_stalled_since: None,
            ..std::mem::take(&mut self.health)
        };
        self.publish_health();
        for log in self.partitions.all_logs() {
            self.give_up_log(log);
        }
    }

    fn tell_stall(&self, report: &StallReport) {
        let (shard, lasted_ms) = (self.id.0, report.lasted.as_millis());
        match (report.what, report.over) {
            (Stalled::Other, false) => tracing::warn!(
                shard,
                lasted_ms,
                "the disk does not finish a read or a write behind the journal: what needs it waits; if it lasts, look \
                 at the disk"
            ),
            (Stalled::Other, true) => tracing::warn!(shard, lasted_ms, "the disk finished the read or write"),
            (Stalled::Round, false) => tracing::warn!(
                shard,
                lasted_ms,
                "the disk does not finish a flush: produce requests of this shard wait for it, what is flushed is \
                 served; if it lasts, look at the disk"
            ),
            (Stalled::Round, true) => tracing::warn!(
                shard,
                lasted_ms,
                "the disk finished the flush: what waited for it is acknowledged"
            ),
        }
    }

    fn give_up_log(&mut self, log: LogId) {
        let mut released = std::mem::take(&mut self.released);
        self.partitions.abandon(log, &mut released);
        self.release(&mut released);
        self.released = released;
    }

    /// Releases requests whose deadline has passed.
    pub(super) fn expire_waits(&mut self) {
        let due = self
            .next_wait_deadline()
            .is_some_and(|deadline| deadline <= self.now.monotonic);
        if due {
            let mut released = std::mem::take(&mut self.released);
            self.partitions
                .purgatory
                .expire(self.now.monotonic, &mut released);
            self.release(&mut released);
            self.released = released;
        }
    }

    pub(super) fn next_wait_deadline(&self) -> Option<Instant> {
        self.partitions.purgatory.next_deadline()
    }

    /// The connection is gone: nothing need wait on its behalf.
    pub(super) fn cancel_waits(&mut self, waiting_call: Option<Key>) {
        if let Some(call) = waiting_call {
            self.drop_fetch(call);
            self.drop_group_call(call);
        }
    }
}
