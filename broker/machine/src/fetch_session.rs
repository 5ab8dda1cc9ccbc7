//! Incremental fetch sessions (KIP-227): the broker remembers which partitions a client fetches, so that
//! requests and answers carry only what changed.
//!
//! Place: one cache per shard, used by its fetch handler. A session's id names the shard, so a request that
//! comes in elsewhere finds it.
//!
//! Invariants: at most `slots` sessions with `partitions_max` partitions in all, none with a name that no topic can
//! have, for its length would not be counted. A partition is left out of
//! an incremental answer only if the client was told all there is to tell. A session may disappear at any
//! time; the client then starts another one.

mod session;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::PartitionIndex;

pub use session::{Answer, FetchPartition, TopicKey};

use session::{FIRST_EPOCH, Session};

/// The sessions of one shard.
#[derive(Debug)]
pub struct FetchSessions {
    shard: u16,
    slots: usize,
    partitions_max: usize,
    sessions: BTreeMap<SessionId, Session>,
    /// Partitions of all sessions.
    partitions: usize,
}

/// Positive: ten bits of shard, then 21 bits that are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(i32);

/// What a fetch request says about its session.
#[derive(Clone, Debug)]
pub struct SessionRequest {
    pub session_id: i32,
    /// -1 asks without a session, 0 for a new one, more is an incremental request.
    pub session_epoch: i32,
    pub uses_topic_ids: bool,
    /// All partitions of a full request, those that changed of an incremental one.
    pub partitions: Vec<FetchPartition>,
    pub forgotten: Vec<(TopicKey, PartitionIndex)>,
}

/// What is to be fetched for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Just these, and all of them are answered, with session id 0.
    Sessionless(Vec<FetchPartition>),
    /// Those of [`FetchSessions::partitions`].
    Session(Ticket),
}

/// A session as of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    id: SessionId,
    /// The epoch that the session expects next; another one means that another request came in between.
    next_epoch: i32,
    is_incremental: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// Evicted, closed, or never there.
    NotFound,
    /// Not the request that was expected next.
    InvalidEpoch,
    /// The session names topics the other way.
    TopicId,
}

impl SessionId {
    /// The id as a request carries it; `None` for what is no session's.
    pub fn from_wire(id: i32) -> Option<Self> {
        (id > 0).then_some(Self(id))
    }

    pub fn get(self) -> i32 {
        self.0
    }

    /// The shard that keeps the session.
    pub fn shard(self) -> u16 {
        (self.0 >> NUMBER_BITS) as u16
    }
}

impl Ticket {
    pub fn id(self) -> SessionId {
        self.id
    }
}

impl SessionError {
    pub const fn code(self) -> ErrorCode {
        match self {
            SessionError::NotFound => ErrorCode::FetchSessionIdNotFound,
            SessionError::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
            SessionError::TopicId => ErrorCode::FetchSessionTopicIdError,
        }
    }
}

impl FetchSessions {
    /// `shard` is below [`SHARDS_MAX`]. No slots are no sessions: every fetch is a full one.
    pub fn new(shard: u16, slots: usize, partitions_max: usize) -> Self {
        assert!(shard < SHARDS_MAX, "a session's id has ten bits for its shard");
        Self {
            shard,
            slots,
            partitions_max,
            sessions: BTreeMap::new(),
            partitions: 0,
        }
    }

    /// Finds, makes, changes or closes the session of a request. `draw` is random: it keeps clients from
    /// guessing each other's sessions.
    pub fn open(&mut self, request: SessionRequest, draw: u32, now: Instant) -> Result<Opened, SessionError> {
        if request.session_epoch == NEW_EPOCH || request.session_epoch == FINAL_EPOCH {
            if let Some(id) = SessionId::from_wire(request.session_id) {
                self.close(id);
            }
            let asks_for_session = request.session_epoch == NEW_EPOCH && !request.partitions.is_empty();
            let is_kept = asks_for_session && request.partitions.iter().all(FetchPartition::may_be_kept);
            if !is_kept || !self.make_room(request.partitions.len(), now) {
                return Ok(Opened::Sessionless(request.partitions));
            }
            return Ok(Opened::Session(self.create(request, draw, now)));
        }
        let id = SessionId::from_wire(request.session_id).ok_or(SessionError::NotFound)?;
        self.go_on(id, request, now)
    }

    /// Every partition of the session with its number, from where the last answer with records left off, so
    /// that a busy partition cannot starve those behind it. None where the session is gone or has moved on.
    pub fn partitions(&self, ticket: Ticket) -> impl Iterator<Item = (u32, &FetchPartition)> {
        let session = self
            .sessions
            .get(&ticket.id)
            .filter(|session| session.next_epoch == ticket.next_epoch);
        session.into_iter().flat_map(Session::in_turn)
    }

    /// Whether the answer must tell of partition `number`; remembers what it tells. Asked once for every
    /// partition.
    pub fn answer(&mut self, ticket: Ticket, number: u32, answer: Answer) -> bool {
        let session = self
            .sessions
            .get_mut(&ticket.id)
            .filter(|session| session.next_epoch == ticket.next_epoch);
        let Some(session) = session else { return true };
        session.answer(number, answer) || !ticket.is_incremental
    }

    /// Sessions at present.
    /// The request is answered with nothing: a session that it has begun ends, one that was there goes on; its id.
    pub fn put_off(&mut self, ticket: Ticket) -> Option<SessionId> {
        if !ticket.is_incremental {
            self.close(ticket.id);
        }
        ticket.is_incremental.then_some(ticket.id)
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn create(&mut self, request: SessionRequest, draw: u32, now: Instant) -> Ticket {
        let mut number = draw & NUMBER_MAX;
        let mut id = self.id(number);
        while number == 0 || self.sessions.contains_key(&id) {
            number = (number + 1) & NUMBER_MAX;
            id = self.id(number);
        }
        let session = Session::new(request.uses_topic_ids, request.partitions, now);
        self.partitions += session.len();
        self.sessions.insert(id, session);
        Ticket {
            id,
            next_epoch: FIRST_EPOCH,
            is_incremental: false,
        }
    }

    fn go_on(
        &mut self,
        id: SessionId,
        request: SessionRequest,
        now: Instant,
    ) -> Result<Opened, SessionError> {
        let session = self.sessions.get_mut(&id).ok_or(SessionError::NotFound)?;
        if session.next_epoch != request.session_epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(SessionError::TopicId);
        }
        if !request.partitions.iter().all(FetchPartition::may_be_kept) {
            self.close(id);
            return Err(SessionError::NotFound);
        }
        let before = session.len();
        session.update(request.partitions, request.forgotten);
        session.last_used = now;
        session.next_epoch = session.next_epoch.checked_add(1).unwrap_or(FIRST_EPOCH);
        let (next_epoch, after) = (session.next_epoch, session.len());
        self.partitions = self.partitions - before + after;
        if after == 0 {
            self.close(id);
            return Ok(Opened::Sessionless(Vec::new()));
        }
        if self.partitions > self.partitions_max {
            self.close(id);
            return Err(SessionError::NotFound);
        }
        Ok(Opened::Session(Ticket {
            id,
            next_epoch,
            is_incremental: true,
        }))
    }

    fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partitions -= session.len();
        }
    }

    /// Whether a session of so many partitions may be made; evicts others for it. Creating is rare, so
    /// looking at all sessions is fine.
    fn make_room(&mut self, partitions: usize, now: Instant) -> bool {
        if self.slots == 0 || partitions > self.partitions_max {
            return false;
        }
        while self.sessions.len() >= self.slots || self.partitions + partitions > self.partitions_max {
            match self.evictable(partitions, now) {
                Some(id) => self.close(id),
                None => return false,
            }
        }
        true
    }

    /// As Kafka chooses: the one that was not used for longest, if that is long; otherwise the smallest of
    /// those that are not young, if it is smaller than the new one.
    fn evictable(&self, partitions: usize, now: Instant) -> Option<SessionId> {
        let (&stalest, session) = self
            .sessions
            .iter()
            .min_by_key(|(id, session)| (session.last_used, **id))?;
        if now.saturating_since(session.last_used) > EVICTABLE_AFTER {
            return Some(stalest);
        }
        let is_old = |session: &Session| now.saturating_since(session.created) > EVICTABLE_AFTER;
        let old = self.sessions.iter().filter(|(_, session)| is_old(session));
        let (&smallest, session) = old.min_by_key(|(id, session)| (session.len(), **id))?;
        (session.len() < partitions).then_some(smallest)
    }

    fn id(&self, number: u32) -> SessionId {
        SessionId((i32::from(self.shard) << NUMBER_BITS) | number as i32)
    }
}

/// Shards that a session's id can name.
pub const SHARDS_MAX: u16 = 1 << (31 - NUMBER_BITS);
const NUMBER_BITS: u32 = 21;
const NUMBER_MAX: u32 = (1 << NUMBER_BITS) - 1;

const FINAL_EPOCH: i32 = -1;
const NEW_EPOCH: i32 = 0;

/// Kafka's `min.incremental.fetch.session.eviction.ms`.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_protocol::types::{Offset, TopicId};
    use std::vec;

    const NOW: Instant = Instant::from_nanos(1 << 40);

    fn ask(topic: u8, partition: i32, fetch_offset: i64) -> FetchPartition {
        FetchPartition {
            topic: TopicKey::Id(TopicId::new([topic; 16])),
            partition: PartitionIndex::new(partition),
            fetch_offset,
            max_bytes: 1_000,
            current_leader_epoch: None,
            last_fetched_epoch: None,
        }
    }

    fn request(session_id: i32, session_epoch: i32, partitions: Vec<FetchPartition>) -> SessionRequest {
        SessionRequest {
            session_id,
            session_epoch,
            uses_topic_ids: true,
            partitions,
            forgotten: Vec::new(),
        }
    }

    fn at(high_watermark: i64) -> Answer {
        let (high_watermark, log_start) = (Offset::new(high_watermark), Offset::ZERO);
        Answer {
            high_watermark,
            log_start,
            has_records: false,
            has_error: false,
        }
    }

    #[track_caller]
    fn open(sessions: &mut FetchSessions, request: SessionRequest, now: Instant) -> Ticket {
        match sessions.open(request, 77, now) {
            Ok(Opened::Session(ticket)) => ticket,
            other => panic!("no session: {other:?}"),
        }
    }

    /// Topic, partition and offset of what is to be fetched, in its order.
    fn asks(sessions: &FetchSessions, ticket: Ticket) -> Vec<(i32, i64)> {
        sessions
            .partitions(ticket)
            .map(|(_, ask)| (ask.partition.get(), ask.fetch_offset))
            .collect()
    }

    #[test]
    fn a_session_remembers_what_is_fetched() {
        let mut sessions = FetchSessions::new(3, 10, 100);
        let full = request(0, 0, vec![ask(1, 0, 5), ask(1, 2, 7), ask(1, 1, 6)]);
        let ticket = open(&mut sessions, full, NOW);
        assert_eq!(ticket.id().shard(), 3);
        assert_eq!(asks(&sessions, ticket), [(0, 5), (1, 6), (2, 7)]);
        let mut changes = request(
            ticket.id().get(),
            1,
            vec![ask(1, 2, 8), ask(1, 3, 1), ask(1, 3, 1)],
        );
        changes.forgotten = vec![(TopicKey::Id(TopicId::new([1; 16])), PartitionIndex::new(0))];
        let ticket = open(&mut sessions, changes, NOW);
        assert_eq!(asks(&sessions, ticket), [(1, 6), (2, 8), (3, 1)]);
        let ticket = open(&mut sessions, request(ticket.id().get(), 2, vec![]), NOW);
        assert_eq!(asks(&sessions, ticket).len(), 3);
        assert_eq!(sessions.partitions, 3);
    }

    #[test]
    fn answers_tell_only_what_changed() {
        let mut sessions = FetchSessions::new(0, 10, 100);
        let full = open(&mut sessions, request(0, 0, vec![ask(1, 0, 5)]), NOW);
        assert!(sessions.answer(full, 0, at(9)), "a full answer tells everything");
        let mut epoch = 0;
        let mut next = |sessions: &mut FetchSessions, answer| {
            epoch += 1;
            let ticket = open(sessions, request(full.id().get(), epoch, vec![]), NOW);
            sessions.answer(ticket, 0, answer)
        };
        assert!(!next(&mut sessions, at(9)));
        assert!(next(&mut sessions, at(10)));
        assert!(!next(&mut sessions, at(10)));
        assert!(next(
            &mut sessions,
            Answer {
                has_records: true,
                ..at(10)
            }
        ));
        assert!(next(
            &mut sessions,
            Answer {
                log_start: Offset::new(1),
                ..at(10)
            }
        ));
        assert!(next(&mut sessions, at(10)));
        assert!(next(
            &mut sessions,
            Answer {
                has_error: true,
                ..at(10)
            }
        ));
        assert!(next(
            &mut sessions,
            Answer {
                has_error: true,
                ..at(10)
            }
        ));
        assert!(next(&mut sessions, at(10)), "the error is over");
        assert!(!next(&mut sessions, at(10)));
    }

    #[test]
    fn what_is_put_off_begins_no_session_and_ends_none() {
        let mut sessions = FetchSessions::new(0, 10, 100);
        let full = open(&mut sessions, request(0, 0, vec![ask(1, 0, 5)]), NOW);
        assert_eq!(sessions.put_off(full), None);
        assert!(sessions.is_empty() && sessions.partitions == 0);
        let full = open(&mut sessions, request(0, 0, vec![ask(1, 0, 5)]), NOW);
        let next = open(&mut sessions, request(full.id().get(), 1, vec![]), NOW);
        assert_eq!(sessions.put_off(next), Some(full.id()));
        let again = open(&mut sessions, request(full.id().get(), 2, vec![]), NOW);
        assert_eq!(asks(&sessions, again), [(0, 5)]);
    }

    #[test]
    fn what_had_records_goes_last_the_next_time() {
        let mut sessions = FetchSessions::new(0, 10, 100);
        let full = open(
            &mut sessions,
            request(0, 0, (0..4).map(|number| ask(1, number, 0)).collect()),
            NOW,
        );
        sessions.answer(
            full,
            1,
            Answer {
                has_records: true,
                ..at(1)
            },
        );
        let ticket = open(&mut sessions, request(full.id().get(), 1, vec![]), NOW);
        let order: Vec<_> = sessions
            .partitions(ticket)
            .map(|(number, ask)| (number, ask.partition.get()))
            .collect();
        assert_eq!(order, [(2, 2), (3, 3), (0, 0), (1, 1)]);
    }

    #[test]
    fn only_the_next_request_is_taken() {
        let mut sessions = FetchSessions::new(0, 10, 100);
        let id = open(&mut sessions, request(0, 0, vec![ask(1, 0, 5)]), NOW)
            .id()
            .get();
        let mut try_open = |request| sessions.open(request, 0, NOW).map(|_| ());
        assert_eq!(try_open(request(id, 2, vec![])), Err(SessionError::InvalidEpoch));
        let by_name = SessionRequest {
            uses_topic_ids: false,
            ..request(id, 1, vec![])
        };
        assert_eq!(try_open(by_name), Err(SessionError::TopicId));
        assert_eq!(try_open(request(id, 1, vec![])), Ok(()));
        assert_eq!(
            try_open(request(id, 1, vec![])),
            Err(SessionError::InvalidEpoch),
            "a request sent twice"
        );
        assert_eq!(try_open(request(id + 1, 2, vec![])), Err(SessionError::NotFound));
        assert_eq!(try_open(request(0, 5, vec![])), Err(SessionError::NotFound));
    }

    #[test]
    fn epochs_wrap_to_one() {
        let mut sessions = FetchSessions::new(0, 10, 100);
        let ticket = open(&mut sessions, request(0, 0, vec![ask(1, 0, 5)]), NOW);
        sessions.sessions.get_mut(&ticket.id()).unwrap().next_epoch = i32::MAX;
        open(&mut sessions, request(ticket.id().get(), i32::MAX, vec![]), NOW);
        open(&mut sessions, request(ticket.id().get(), 1, vec![]), NOW);
    }

    #[test]
    fn sessions_close_when_asked_to_or_empty() {
        let mut sessions = FetchSessions::new(0, 10, 100);
        let one = open(&mut sessions, request(0, 0, vec![ask(1, 0, 5)]), NOW)
            .id()
            .get();
        let again = open(&mut sessions, request(one, 0, vec![ask(1, 0, 5)]), NOW)
            .id()
            .get();
        assert_eq!(sessions.len(), 1, "the one before is gone");
        let last = sessions.open(request(again, -1, vec![ask(1, 0, 5)]), 0, NOW);
        assert_eq!(last, Ok(Opened::Sessionless(vec![ask(1, 0, 5)])));
        assert!(sessions.is_empty());
        let two = open(&mut sessions, request(0, 0, vec![ask(1, 0, 5)]), NOW)
            .id()
            .get();
        let mut nothing_left = request(two, 1, vec![]);
        nothing_left.forgotten = vec![(TopicKey::Id(TopicId::new([1; 16])), PartitionIndex::new(0))];
        assert_eq!(
            sessions.open(nothing_left, 0, NOW),
            Ok(Opened::Sessionless(vec![]))
        );
        assert_eq!((sessions.len(), sessions.partitions), (0, 0));
    }

    #[test]
    fn a_stale_ticket_tells_everything_and_changes_nothing() {
        let mut sessions = FetchSessions::new(0, 10, 100);
        let first = open(&mut sessions, request(0, 0, vec![ask(1, 0, 5)]), NOW);
        sessions.answer(first, 0, at(9));
        let stale = open(&mut sessions, request(first.id().get(), 1, vec![]), NOW);
        let fresh = open(&mut sessions, request(first.id().get(), 2, vec![]), NOW);
        assert!(sessions.answer(stale, 0, at(10)));
        assert_eq!(sessions.partitions(stale).count(), 0);
        assert!(!sessions.answer(fresh, 0, at(9)));
    }

    #[test]
    fn full_caches_evict_the_stale_then_the_small() {
        let two = |sessions: &mut FetchSessions, now| {
            sessions.open(request(0, 0, vec![ask(1, 0, 0), ask(1, 1, 0)]), 5, now)
        };
        let mut sessions = FetchSessions::new(0, 2, 100);
        let large = open(
            &mut sessions,
            request(0, 0, vec![ask(1, 0, 0), ask(1, 1, 0)]),
            NOW,
        );
        let small = open(
            &mut sessions,
            request(0, 0, vec![ask(1, 0, 0)]),
            NOW + Duration::from_secs(1),
        );
        assert!(
            matches!(
                two(&mut sessions, NOW + Duration::from_secs(100)),
                Ok(Opened::Sessionless(_))
            ),
            "too young"
        );
        let later = NOW + Duration::from_secs(125);
        for ticket in [large, small] {
            open(
                &mut sessions,
                request(ticket.id().get(), 1, vec![]),
                NOW + Duration::from_secs(50),
            );
        }
        assert!(matches!(two(&mut sessions, later), Ok(Opened::Session(_))));
        assert!(
            !sessions.sessions.contains_key(&small.id()),
            "smaller than the new one"
        );
        assert!(
            matches!(two(&mut sessions, later), Ok(Opened::Sessionless(_))),
            "none is smaller"
        );
        let much_later = NOW + Duration::from_secs(171);
        assert!(matches!(two(&mut sessions, much_later), Ok(Opened::Session(_))));
        assert!(
            !sessions.sessions.contains_key(&large.id()),
            "not used for two minutes"
        );
    }

    #[test]
    fn slots_and_partitions_are_bounded() {
        let mut none = FetchSessions::new(0, 0, 100);
        assert!(matches!(
            none.open(request(0, 0, vec![ask(1, 0, 0)]), 0, NOW),
            Ok(Opened::Sessionless(_))
        ));
        let mut few = FetchSessions::new(0, 10, 2);
        let many = request(0, 0, (0..3).map(|number| ask(1, number, 0)).collect());
        assert!(matches!(few.open(many, 0, NOW), Ok(Opened::Sessionless(_))));
        let id = open(&mut few, request(0, 0, vec![ask(1, 0, 0)]), NOW).id().get();
        let grown = few.open(request(id, 1, vec![ask(1, 1, 0), ask(1, 2, 0)]), 0, NOW);
        assert_eq!(grown, Err(SessionError::NotFound));
        assert_eq!((few.len(), few.partitions), (0, 0));
    }

    /// A session of ten names of 32 KiB would keep what nobody counts.
    #[test]
    fn names_that_no_topic_can_have_are_not_remembered() {
        let named = |length: usize| FetchPartition {
            topic: TopicKey::Name("x".repeat(length).into()),
            ..ask(1, 0, 0)
        };
        let by_name = |id, epoch, partitions| SessionRequest {
            uses_topic_ids: false,
            ..request(id, epoch, partitions)
        };
        let mut sessions = FetchSessions::new(0, 10, 100);
        let long = sessions.open(by_name(0, 0, vec![named(9), named(250)]), 0, NOW);
        assert!(matches!(long, Ok(Opened::Sessionless(all)) if all.len() == 2));
        let id = open(&mut sessions, by_name(0, 0, vec![named(249)]), NOW)
            .id()
            .get();
        let grown = sessions.open(by_name(id, 1, vec![named(250)]), 0, NOW);
        assert_eq!(grown, Err(SessionError::NotFound));
        assert!(sessions.is_empty());
    }

    #[test]
    fn ids_are_positive_and_never_taken() {
        let mut sessions = FetchSessions::new(SHARDS_MAX - 1, 10, 100);
        for _ in 0..3 {
            let id = open(&mut sessions, request(0, 0, vec![ask(1, 0, 0)]), NOW).id();
            assert!(id.get() > 0);
            assert_eq!(id.shard(), SHARDS_MAX - 1);
        }
        assert_eq!(sessions.len(), 3);
        let mut first = FetchSessions::new(0, 10, 100);
        let drawn = first.open(request(0, 0, vec![ask(1, 0, 0)]), 1 << NUMBER_BITS, NOW);
        assert!(matches!(drawn, Ok(Opened::Session(ticket)) if ticket.id().get() == 1));
    }
}
