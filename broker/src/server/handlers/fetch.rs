//! Fetch: whole batches of many partitions, from their owners, as soon as there are enough bytes or time is up.
//! Invariants: a fetch goes in rounds, each of which asks every owner once; between rounds it waits for new records or
//! its deadline; a response goes beyond its limits by one batch at most, its first; record bytes are never copied.

mod answer;

use std::sync::Arc;

use millstream_log::PartitionKey;
use millstream_machine::fetch_session::{FetchPartition, Opened, SessionRequest, Ticket, TopicKey};
use millstream_machine::purgatory::{Mark, ParkedId, Release, WaitFor};
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::fetch::{FetchRequest, FetchResponse};
use millstream_protocol::primitive::Reader;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{LeaderEpoch, Offset, PartitionIndex};

use crate::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MAX, POSTPONED_READ_PAUSE};
use crate::partition::fetch::{FetchAnswer, FetchPiece, FetchTerms, NOBODY, by_owner};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::calls::{Call, Waiting};
use crate::shard::mailbox::ShardId;
use crate::shard::messages::{Origin, PeerMessage};
use crate::shard::slab::Key;
use crate::shard::state::{Shard, TopicRef};

/// A fetch request in progress.
#[derive(Debug)]
pub struct FetchCall {
    to: ReplyTo,
    committed: bool,
    bytes_min: usize,
    bytes_max: usize,
    deadline: Instant,
    session: Option<Ticket>,
    targets: Vec<FetchTarget>,
    /// By place, as `targets`; of the current round.
    answers: Vec<Option<FetchAnswer>>,
    round: u32,
    /// Shards that have not answered this round.
    outstanding: usize,
    parked: Option<ParkedId>,
    /// Bytes that this round may read: what the client takes, and memory has room for.
    room: usize,
    /// Bytes of the shard's memory that this round's records are promised.
    reserved: usize,
    /// There was no memory for records in this round.
    starved: bool,
    /// The client's time counts.
    timed: bool,
    /// What counts of it beside the time of the request's own handling: other shards', and that of later rounds.
    spent: Duration,
}

/// One partition asked for.
#[derive(Clone, Debug)]
struct FetchTarget {
    topic: TopicKey,
    index: i32,
    /// The partition's number in its session.
    number: u32,
    /// What to read; or why nothing can be read.
    piece: Result<FetchPiece, ErrorCode>,
}

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = FetchRequest::decode(reader, to.version)?;
    let mut call = FetchCall::new(shard, to, &body);
    let asked = session_request(shard, to.version, &body);
    let draw = shard.draw();
    match shard.sessions.open(asked, draw, shard.now.monotonic) {
        Ok(Opened::Sessionless(partitions)) => call.targets = targets(shard, (0..).zip(&partitions)),
        Ok(Opened::Session(ticket)) => {
            call.session = Some(ticket);
            call.targets = targets(shard, shard.sessions.partitions(ticket));
        }
        Err(error) => {
            shard.reply(
                to,
                &FetchResponse {
                    error_code: error.code() as i16,
                    ..FetchResponse::default()
                },
            );
            return Ok(());
        }
    }
    let mut readable = call
        .targets
        .iter_mut()
        .filter_map(|target| target.piece.as_mut().ok());
    if let Some(first) = readable.next() {
        if !(READ_UNCOMMITTED..=READ_COMMITTED).contains(&body.isolation_level) {
            answer::refuse_all(shard, to, &body);
            return Ok(());
        }
        // A limit below nothing fails the first that is read, and is nothing to the others: as from Kafka.
        first.bytes_max = if body.max_bytes < 0 { -1 } else { first.bytes_max };
    }
    match shard.calls.insert(Call::Fetch(call)) {
        Ok(key) => shard.next_fetch_round(key),
        Err(_) => {
            // No room for one more request that waits: the client comes again.
            shard.counters.calls_refused += 1;
            let error_code = ErrorCode::ThrottlingQuotaExceeded as i16;
            shard.reply(
                to,
                &FetchResponse {
                    error_code,
                    ..FetchResponse::default()
                },
            );
        }
    }
    Ok(())
}

/// What the request says, for the session cache.
fn session_request(shard: &Shard, version: i16, body: &FetchRequest<'_>) -> SessionRequest {
    let uses_topic_ids = version >= TOPIC_IDS_SINCE;
    let key = |name: &str, id| match uses_topic_ids {
        true => TopicKey::Id(id),
        false => TopicKey::Name(
            shard
                .topic_by_name(name)
                .map_or_else(|| Arc::from(name), |topic| topic.name),
        ),
    };
    let mut partitions = Vec::with_capacity(body.topics.iter().map(|topic| topic.partitions.len()).sum());
    for topic in &body.topics {
        let topic_key = key(topic.topic, topic.topic_id);
        partitions.extend(topic.partitions.iter().map(|partition| FetchPartition {
            topic: topic_key.clone(),
            partition: PartitionIndex::new(partition.partition),
            fetch_offset: partition.fetch_offset,
            max_bytes: partition.partition_max_bytes,
            current_leader_epoch: LeaderEpoch::checked(partition.current_leader_epoch),
            last_fetched_epoch: LeaderEpoch::checked(partition.last_fetched_epoch),
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &body.forgotten_topics_data {
        let topic_key = key(topic.topic, topic.topic_id);
        let partitions = topic.partitions.iter();
        forgotten.extend(partitions.map(|index| (topic_key.clone(), PartitionIndex::new(*index))));
    }
    SessionRequest {
        session_id: body.session_id,
        session_epoch: body.session_epoch,
        uses_topic_ids,
        partitions,
        forgotten,
    }
}

/// Finds the partitions of a request, each with its number in the session.
fn targets<'a>(shard: &Shard, asks: impl Iterator<Item = (u32, &'a FetchPartition)>) -> Vec<FetchTarget> {
    let mut found: Option<(&TopicKey, Option<TopicRef>)> = None;
    let mut targets = Vec::new();
    for (number, ask) in asks {
        // Neighbours are mostly of one topic: it is looked up once.
        if found.as_ref().is_none_or(|(topic, _)| **topic != ask.topic) {
            let topic = match &ask.topic {
                TopicKey::Name(name) => shard.topic_by_name(name),
                TopicKey::Id(id) => shard.topic_by_id(*id),
            };
            found = Some((&ask.topic, topic));
        }
        let topic = found.as_ref().and_then(|(_, topic)| topic.as_ref());
        let index = ask.partition.get();
        let piece = match (topic, &ask.topic) {
            (Some(topic), _) if (0..topic.partitions).contains(&index) => Ok(FetchPiece {
                slot: targets.len(),
                partition: PartitionKey {
                    topic: topic.id,
                    partition: ask.partition,
                },
                offset: ask.fetch_offset,
                bytes_max: ask.max_bytes,
                current_leader_epoch: ask.current_leader_epoch,
                last_fetched_epoch: ask.last_fetched_epoch,
            }),
            (None, TopicKey::Id(_)) => Err(ErrorCode::UnknownTopicId),
            _ => Err(ErrorCode::UnknownTopicOrPartition),
        };
        targets.push(FetchTarget {
            topic: ask.topic.clone(),
            index,
            number,
            piece,
        });
    }
    targets
}

impl FetchCall {
    fn new(shard: &Shard, to: ReplyTo, body: &FetchRequest<'_>) -> Self {
        let wait = Duration::from_millis(body.max_wait_ms.max(0) as u64).min(Duration::from(FETCH_WAIT_MAX));
        let room = FETCH_BYTES_MAX.min(shard.fetch_bytes_max);
        let room = room.min(shard.fetch_allowance(to.connection));
        let bytes_max = (body.max_bytes.max(0) as usize).min(room);
        Self {
            to,
            committed: body.isolation_level == READ_COMMITTED,
            bytes_min: (body.min_bytes.max(0) as usize).min(bytes_max),
            bytes_max,
            deadline: shard.now.monotonic + wait,
            session: None,
            targets: Vec::new(),
            answers: Vec::new(),
            round: 0,
            outstanding: 0,
            parked: None,
            room: 0,
            reserved: 0,
            starved: false,
            timed: shard.is_timed(to.connection),
            spent: Duration::ZERO,
        }
    }

    /// What the records of one round may take at most, save for one batch.
    fn wanted(&self) -> usize {
        let pieces = self.targets.iter().filter_map(|target| target.piece.ok());
        let sum = pieces.fold(0usize, |sum, piece| sum.saturating_add(piece.bytes_max()));
        sum.min(self.room)
    }

    fn terms(&self, bytes_max: usize) -> FetchTerms {
        FetchTerms {
            round: self.round,
            one_at_least: !self.starved,
            bytes_max,
            deadline: self.deadline,
            committed: self.committed,
            timed: self.timed,
        }
    }

    /// Enough bytes, or something that the client should know now.
    fn is_satisfied(&self) -> bool {
        let mut bytes = 0;
        for (target, answer) in self.targets.iter().zip(&self.answers) {
            match (target.piece, answer) {
                (Ok(_), Some(answer)) => {
                    if answer.error != ErrorCode::None || answer.diverging.is_some() {
                        return true;
                    }
                    bytes += answer.bytes;
                }
                _ => return true,
            }
        }
        bytes >= self.bytes_min || self.targets.is_empty()
    }

    /// Whether some partition was not looked at.
    fn is_postponed(&self) -> bool {
        self.answers.iter().flatten().any(|answer| answer.postponed)
    }
}

impl Shard {
    /// Asks every owner once more.
    fn next_fetch_round(&mut self, key: Key) {
        let Some(Call::Fetch(call)) = self.calls.get_mut(key) else {
            return;
        };
        call.round += 1;
        // Memory for the records is taken before they are read: of what is left no more than a half, so that who asks
        // for much leaves something to the next. Without any, who has read all earlier answers is given a little, for
        // its connection's sake; who asks for more is told of no records, and asks again.
        let before = call.reserved;
        let left = self.budget.available() + before;
        call.starved = left < FETCH_ROOM_MIN;
        call.room = match call.starved {
            true if self
                .connections
                .get(call.to.connection)
                .is_some_and(|c| c.write.backlog() == 0) =>
            {
                call.bytes_max.min(STARVED_ROOM)
            }
            true => 0,
            false => call.bytes_max.min(FETCH_ROOM_MIN.max(left / 2)),
        };
        call.reserved = if call.starved { 0 } else { call.wanted() };
        self.budget.recharge(before, call.reserved);
        call.answers.clear();
        call.answers.resize_with(call.targets.len(), || None);
        let pieces = call.targets.iter().filter_map(|target| target.piece.ok());
        let table = &self.table;
        let groups = by_owner(table.shards(), |partition| table.owner(partition), pieces);
        let owners = groups.iter().filter(|pieces| !pieces.is_empty()).count();
        call.outstanding = owners;
        // Each of them may give one batch beyond its share; of those, the response takes one.
        let terms = call.terms(call.room / owners.max(1));
        if owners == 0 {
            self.decide_fetch(key);
            return;
        }
        let mut local = None;
        for (owner, pieces) in groups
            .into_iter()
            .enumerate()
            .filter(|(_, pieces)| !pieces.is_empty())
        {
            if ShardId(owner) == self.id {
                local = Some(pieces);
            } else {
                self.forward(
                    owner,
                    PeerMessage::Fetch {
                        call: key,
                        terms,
                        pieces,
                    },
                );
            }
        }
        if let Some(pieces) = local {
            // While the request is in hand its time is measured already.
            let timed = terms.timed && self.timed.is_none();
            self.fetch_pieces(
                Origin {
                    shard: self.id,
                    call: key,
                },
                FetchTerms { timed, ..terms },
                &pieces,
            );
        }
    }

    /// One owner's part of a round is there.
    pub(crate) fn fetched(&mut self, key: Key, round: u32, answers: Vec<FetchAnswer>, spent: Duration) {
        let Some(Call::Fetch(call)) = self.calls.get_mut(key) else {
            return;
        };
        call.spent = call.spent + spent;
        if call.round != round {
            return;
        }
        for answer in answers {
            let slot = answer.slot;
            call.answers[slot] = Some(answer);
        }
        call.outstanding -= 1;
        if call.outstanding == 0 {
            self.decide_fetch(key);
        }
    }

    /// A round is complete: answers, or waits for more.
    fn decide_fetch(&mut self, key: Key) {
        let Some(Call::Fetch(call)) = self.calls.get(key) else {
            return;
        };
        let due = self.now.monotonic >= call.deadline || self.is_stopping();
        if due || call.is_satisfied() {
            self.end_fetch(key);
        } else if call.starved || call.is_postponed() {
            // What was not looked at may have been there all the time: nothing will tell of it.
            let again = call
                .deadline
                .min(self.now.monotonic + Duration::from(POSTPONED_READ_PAUSE));
            self.park_fetch_until(key, again, &[ONLY_THE_CLOCK]);
        } else {
            self.park_fetch(key);
        }
    }

    /// Waits for records beyond what this round has seen, here and at the other owners.
    fn park_fetch(&mut self, key: Key) {
        let Some(Call::Fetch(call)) = self.calls.get(key) else {
            return;
        };
        let (deadline, committed) = (call.deadline, call.committed);
        let terms = call.terms(0);
        let mut above: Vec<Vec<(PartitionKey, Offset)>> = vec![Vec::new(); self.table.shards()];
        for (target, answer) in call.targets.iter().zip(&call.answers) {
            let (Ok(piece), Some(answer)) = (target.piece, answer) else {
                continue;
            };
            let end = if committed {
                answer.last_stable_offset
            } else {
                answer.high_watermark
            };
            let seen = Offset::checked(end).unwrap_or(Offset::ZERO);
            above[self.table.owner(piece.partition).0].push((piece.partition, seen));
        }
        let Some(mut waits) = self.fetch_waits(&above[self.id.0], committed) else {
            self.next_fetch_round(key);
            return;
        };
        if waits.is_empty() {
            waits.push(ONLY_THE_CLOCK);
        }
        if !self.park_fetch_until(key, deadline, &waits) {
            return;
        }
        for (owner, above) in above.into_iter().enumerate() {
            if owner != self.id.0 && !above.is_empty() {
                self.forward(
                    owner,
                    PeerMessage::Watch {
                        call: key,
                        terms,
                        above,
                    },
                );
            }
        }
    }

    /// Waits for the first of these, or is answered with what there is if no more can wait; tells whether it waits.
    fn park_fetch_until(&mut self, key: Key, deadline: Instant, waits: &[WaitFor]) -> bool {
        let Some(Call::Fetch(call)) = self.calls.get_mut(key) else {
            return false;
        };
        let token = Waiting::Fetch {
            origin: Origin {
                shard: self.id,
                call: key,
            },
            round: call.round,
        };
        let purgatory = &mut self.partitions.purgatory;
        let Ok(parked) = purgatory.park(token, Release::Any, waits, Some(deadline)) else {
            self.end_fetch(key);
            return false;
        };
        self.budget.recharge(std::mem::take(&mut call.reserved), 0);
        self.counters.fetches_parked += 1;
        call.parked = Some(parked);
        if let Some(connection) = self.connections.get_mut(call.to.connection) {
            connection.waiting_call = Some(key);
        }
        true
    }

    /// Answers with what the last round has given.
    fn end_fetch(&mut self, key: Key) {
        if let Some(Call::Fetch(call)) = self.calls.remove(key) {
            // From here on the connection is charged, with what there is.
            self.budget.recharge(call.reserved, 0);
            answer::respond(self, call);
            self.feed_starved();
        }
    }

    /// Something happened that a parked fetch waits for, its deadline included.
    pub(crate) fn fetch_again(&mut self, key: Key, round: u32) {
        let Some(Call::Fetch(call)) = self.calls.get_mut(key) else {
            return;
        };
        if call.round != round {
            return;
        }
        if let Some(parked) = call.parked.take() {
            self.partitions.purgatory.cancel(parked);
        }
        self.next_fetch_round(key);
    }

    /// Answers a parked fetch with what there is.
    pub(crate) fn answer_fetch_now(&mut self, key: Key) {
        let Some(Call::Fetch(call)) = self.calls.get(key) else {
            return;
        };
        let round = call.round;
        self.fetch_again(key, round);
    }

    /// The connection is gone: its fetch need not wait any longer.
    pub(crate) fn drop_fetch(&mut self, key: Key) {
        if let Some(Call::Fetch(call)) = self.calls.get(key) {
            if let Some(parked) = call.parked {
                self.partitions.purgatory.cancel(parked);
            }
            self.budget.recharge(call.reserved, 0);
            self.calls.remove(key);
        }
    }
}

/// From this version on topics are named by their id.
const TOPIC_IDS_SINCE: i16 = 13;
const READ_UNCOMMITTED: i8 = 0;
const READ_COMMITTED: i8 = 1;
/// The wait of who waits only for the clock.
const ONLY_THE_CLOCK: WaitFor = WaitFor {
    partition: NOBODY,
    mark: Mark::CommittedForFetch,
    reaches: Offset::MAX,
};
/// Bytes of records that a fetch is given where there is no memory for more: of what thousands of connections may have
/// of it at a time, nobody runs short.
const STARVED_ROOM: usize = 4 * 1024;
/// A fetch is given more only where there is memory for as much.
const FETCH_ROOM_MIN: usize = 64 * 1024;
