//! What clients do, drawn request by request, and what their answers prove.
//!
//! Place: driven by [`crate::run`] while a machine lives; every client has one connection, on which requests are
//! answered in their order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::client::Connection;
use crate::eyes::Eyes;
use crate::machine::Machine;
use crate::model::{Model, TopicState};
use crate::prng::Prng;
use crate::sessions::{AskedInSession, Session};
use crate::swarm::{Swarm, Trouble};

/// All clients of one run. What they know outlives the machines.
pub struct Workload {
    pub swarm: Swarm,
    pub prng: Prng,
    pub model: Model,
    pub eyes: Eyes,
    pub clients: Vec<Client>,
    /// By client and topic.
    pub producers: BTreeMap<(usize, usize), Producer>,
    pub connections: u64,
    /// A start ended a life before this one.
    pub restarted: bool,
    /// Opens that found no descriptor before this run.
    pub starved: u64,
    /// Until when the disk is full, or was so a moment ago.
    pub full_until: Duration,
    /// What the world's clock said last.
    now: Duration,
    /// Requests sent, and record batches acknowledged.
    pub requests: u64,
    pub acknowledged: u64,
}

#[derive(Default)]
pub struct Client {
    pub connection: Option<Connection>,
    /// Its number among all connections of the run.
    pub number: u64,
    pub in_flight: VecDeque<(i32, Asked)>,
    /// Since when the first of them is the next to be answered.
    pub waits_since: Duration,
    /// It has sent batches without asking for an answer, whose errors close the connection.
    pub is_silent: bool,
    /// While one is there; and whether a request of it waits for its answer.
    pub session: Option<Session>,
    pub session_asked: bool,
}

/// An idempotent producer of one client for one topic.
pub struct Producer {
    pub incarnation: u32,
    pub id: Option<i64>,
    pub asked: bool,
    pub flows: Vec<Flow>,
}

/// Its batches for one partition.
#[derive(Default)]
pub struct Flow {
    /// The next sequence number.
    pub next: i32,
    /// Sent and not acknowledged, in order; the first `in_flight` of them wait for an answer.
    pub unresolved: VecDeque<u32>,
    pub in_flight: usize,
    /// Something went wrong: when all answers are there, everything unresolved is sent again.
    pub stalled: bool,
    /// Acknowledged batches, the last few.
    pub settled: VecDeque<u32>,
}

/// A partition of a topic as the topic was when it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct PartitionAsked {
    pub topic: usize,
    pub version: u32,
    pub partition: usize,
}

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub enum Asked {
    Produce {
        topic: usize,
        version: u32,
        batches: Vec<(usize, u32)>,
        kind: Kind,
    },
    Fetch {
        of: PartitionAsked,
        from: i64,
        end_min: i64,
    },
    FetchInSession(AskedInSession),
    ListOffsets {
        of: PartitionAsked,
        earliest: bool,
        bound: i64,
    },
    /// The first record of a time or a later one; the log ended here at least.
    ListOffsetsByTime {
        of: PartitionAsked,
        at: i64,
        end_min: i64,
    },
    DeleteRecords {
        of: PartitionAsked,
        before: i64,
    },
    Create {
        topic: usize,
    },
    Delete {
        topic: usize,
    },
    Grow {
        topic: usize,
        count: usize,
    },
    Alter {
        topic: usize,
        name: &'static str,
        value: String,
    },
    InitProducerId {
        topic: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Idempotent,
    /// An acknowledged batch of an idempotent producer once more; `newest` of its flow.
    Duplicate {
        newest: bool,
    },
}

/// What a client may wish to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Produce,
    Fetch,
    ListOffsets,
    DeleteRecords,
    Create,
    Delete,
    Grow,
    Alter,
    Duplicate,
    Trouble,
}

const WISHES: [Wish; 10] = [
    Wish::Produce,
    Wish::Fetch,
    Wish::ListOffsets,
    Wish::DeleteRecords,
    Wish::Create,
    Wish::Delete,
    Wish::Grow,
    Wish::Alter,
    Wish::Duplicate,
    Wish::Trouble,
];

impl Workload {
    pub fn new(swarm: Swarm, prng: Prng, eyes: Eyes) -> Workload {
        let model = Model::new(swarm.topics);
        let starved = eyes.starved();
        let clients = (0..swarm.clients).map(|_| Client::default()).collect();
        Workload {
            swarm,
            prng,
            model,
            eyes,
            clients,
            producers: BTreeMap::new(),
            connections: 0,
            restarted: false,
            starved,
            full_until: Duration::ZERO,
            now: Duration::ZERO,
            requests: 0,
            acknowledged: 0,
        }
    }

    /// A client sends one request, if it finds something to send; tells whether a trouble is wished for.
    pub fn act(&mut self, machine: &mut Machine) -> bool {
        self.now = machine.world.now();
        let client = self.prng.index(self.clients.len());
        self.connect(machine, client);
        if self.clients[client].in_flight.len() >= self.swarm.depth {
            return false;
        }
        if self.send_again(client) {
            return false;
        }
        let total: u64 = self.swarm.weights.iter().sum();
        let mut draw = self.prng.range(0, total);
        let place = self.swarm.weights.iter().position(|weight| {
            let hit = draw < *weight;
            draw = draw.wrapping_sub(*weight);
            hit
        });
        let topic = self.prng.index(self.model.topics.len());
        match WISHES[place.expect("the draw is below the sum")] {
            Wish::Produce => self.produce(client, topic),
            Wish::Fetch if self.prng.one_in(2) => self.fetch_in_session(client),
            Wish::Fetch => self.fetch(client, topic),
            Wish::ListOffsets if self.prng.one_in(3) => self.list_offsets_by_time(client, topic),
            Wish::ListOffsets => self.list_offsets(client, topic),
            Wish::DeleteRecords => self.delete_records(client, topic),
            Wish::Create => self.create(client, topic),
            Wish::Delete => self.delete(client, topic),
            Wish::Grow => self.grow(client, topic),
            Wish::Alter => self.alter(client, topic),
            Wish::Duplicate => self.duplicate(client, topic),
            Wish::Trouble => return true,
        }
        false
    }

    /// The disk is full, or was so a moment ago.
    pub fn is_full(&self) -> bool {
        self.now < self.full_until
    }

    /// Takes in all answers that have come.
    pub fn listen(&mut self, now: Duration) -> Result<(), String> {
        self.now = now;
        for index in 0..self.clients.len() {
            while let Some(frame) = self.clients[index].connection.as_mut().and_then(Connection::poll) {
                self.clients[index].waits_since = now;
                let Some((correlation, asked)) = self.clients[index].in_flight.pop_front() else {
                    return Err("an answer that nobody asked for".into());
                };
                self.answered(index, correlation, asked, &frame)?;
            }
            if self.clients[index]
                .connection
                .as_ref()
                .is_some_and(|connection| connection.ended)
            {
                if self.swarm.trouble == Trouble::None && !self.clients[index].is_silent {
                    return Err(format!("client {index}: the broker closed its connection"));
                }
                self.disconnect(index);
            }
            let client = &self.clients[index];
            if let Some((_, asked)) = client.in_flight.front()
                && now.saturating_sub(client.waits_since) > ANSWER_TIME_MAX
            {
                return Err(format!(
                    "client {index} waits for more than {ANSWER_TIME_MAX:?}: {asked:?}"
                ));
            }
        }
        Ok(())
    }

    /// Nobody waits for an answer.
    pub fn is_quiet(&self) -> bool {
        self.clients.iter().all(|client| client.in_flight.is_empty())
    }

    /// The machine is gone: no answer will come.
    pub fn disconnect_all(&mut self) {
        (0..self.clients.len()).for_each(|client| self.disconnect(client));
        self.restarted = true;
    }

    /// What clients wait for.
    pub fn describe(&self) -> String {
        let waits = self
            .clients
            .iter()
            .map(|client| format!("{:?}", client.in_flight));
        waits.collect::<Vec<_>>().join(" | ")
    }

    /// Batches that will be sent again.
    pub fn waiting(&self) -> std::collections::BTreeSet<u32> {
        let flows = self.producers.values().flat_map(|producer| &producer.flows);
        flows.flat_map(|flow| flow.unresolved.iter().copied()).collect()
    }

    fn connect(&mut self, machine: &Machine, client: usize) {
        if self.clients[client].connection.is_none() {
            let conn = machine
                .world
                .connect(machine.address)
                .expect("a broker that lives listens");
            self.connections += 1;
            self.clients[client].number = self.connections;
            self.clients[client].connection = Some(Connection::new(conn));
        }
    }

    fn disconnect(&mut self, client: usize) {
        let Client {
            connection,
            in_flight,
            is_silent,
            session,
            session_asked,
            ..
        } = &mut self.clients[client];
        (*connection, *is_silent) = (None, false);
        (*session, *session_asked) = (None, false);
        for (_, asked) in in_flight.drain(..) {
            // Creations, deletions and changes stay asked for: the next start tells what became of them.
            match asked {
                Asked::InitProducerId { topic } => drop(self.producers.remove(&(client, topic))),
                Asked::DeleteRecords { of, .. } => self.model.topics[of.topic].trims -= 1,
                _ => {}
            }
        }
        let own = self
            .producers
            .iter_mut()
            .filter(|((owner, _), _)| *owner == client);
        for flow in own.flat_map(|(_, producer)| &mut producer.flows) {
            flow.in_flight = 0;
            flow.stalled |= !flow.unresolved.is_empty();
        }
    }

    pub fn ask<R: millstream_protocol::message::Request>(
        &mut self,
        client: usize,
        request: &R,
        version: i16,
        asked: Asked,
    ) {
        let client = &mut self.clients[client];
        if client.in_flight.is_empty() {
            client.waits_since = self.now;
        }
        let connection = client.connection.as_mut().expect("a connected client");
        let correlation = connection.send(request, version);
        client.in_flight.push_back((correlation, asked));
        self.requests += 1;
    }

    pub fn live(&self, topic: usize) -> bool {
        self.model.topics[topic].state == TopicState::Live
    }
}

/// Every request that waits is sent with this timeout.
pub const TIMEOUT_MS: i32 = 60_000;
/// An answer comes within the timeout of its request, whatever the disk is like, and some seconds for a slow one.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(TIMEOUT_MS as u64 + 15_000);

/// DescribeConfigs' number for topics.
pub const TOPIC_RESOURCE: i8 = 2;
pub const PRODUCE: i16 = 9;
pub const FETCH: i16 = 11;
pub const LIST_OFFSETS: i16 = 7;
pub const DELETE_RECORDS: i16 = 2;
pub const CREATE_TOPICS: i16 = 7;
pub const DELETE_TOPICS: i16 = 6;
pub const CREATE_PARTITIONS: i16 = 3;
pub const ALTER_CONFIGS: i16 = 1;
pub const INIT_PRODUCER_ID: i16 = 4;
