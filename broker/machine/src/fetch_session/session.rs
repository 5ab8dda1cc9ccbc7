//! One fetch session: what the client fetches, and what it was told of each partition.

use alloc::sync::Arc;
use alloc::vec::Vec;

use millstream_protocol::time::Instant;
use millstream_protocol::types::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use crate::cluster::topic_name::NAME_BYTES_MAX;

/// How a request names a topic: by name up to version 12, by id from version 13. Never both in one session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    Name(Arc<str>),
    Id(TopicId),
}

/// A partition as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    pub topic: TopicKey,
    pub partition: PartitionIndex,
    /// As on the wire.
    pub fetch_offset: i64,
    pub max_bytes: i32,
    pub current_leader_epoch: Option<LeaderEpoch>,
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// What is known about a partition when its answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub high_watermark: Offset,
    pub log_start: Offset,
    pub has_records: bool,
    /// An error or a diverging epoch: always told, and the partition is told of again when it is over.
    pub has_error: bool,
}

impl FetchPartition {
    /// A name that no topic can have may be long, and is not worth remembering.
    pub(super) fn may_be_kept(&self) -> bool {
        match &self.topic {
            TopicKey::Name(name) => name.len() <= NAME_BYTES_MAX,
            TopicKey::Id(_) => true,
        }
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) next_epoch: i32,
    pub(super) uses_topic_ids: bool,
    /// In order of topic and partition.
    partitions: Vec<Cached>,
    /// The number of the partition that is asked for first.
    turn: usize,
    pub(super) created: Instant,
    pub(super) last_used: Instant,
}

#[derive(Debug)]
struct Cached {
    ask: FetchPartition,
    /// High watermark and log start that the client knows; `None` where it must be told.
    told: Option<(Offset, Offset)>,
}

impl Session {
    pub(super) fn new(uses_topic_ids: bool, partitions: Vec<FetchPartition>, now: Instant) -> Self {
        let mut session = Self {
            next_epoch: FIRST_EPOCH,
            uses_topic_ids,
            partitions: Vec::new(),
            turn: 0,
            created: now,
            last_used: now,
        };
        session.update(partitions, Vec::new());
        session
    }

    /// Partitions that are fetched.
    pub(super) fn len(&self) -> usize {
        self.partitions.len()
    }

    /// All partitions with their numbers, from where the last answer with records left off.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = (u32, &FetchPartition)> {
        let turn = self.turn.min(self.partitions.len());
        let numbers = (turn..self.partitions.len()).chain(0..turn);
        numbers.map(|number| (number as u32, &self.partitions[number].ask))
    }

    /// Whether an incremental answer must tell of partition `number`; remembers what it tells.
    pub(super) fn answer(&mut self, number: u32, answer: Answer) -> bool {
        if answer.has_records {
            self.turn = number as usize + 1;
        }
        let told = (!answer.has_error).then_some((answer.high_watermark, answer.log_start));
        let before = core::mem::replace(&mut self.partitions[number as usize].told, told);
        answer.has_records || told.is_none() || told != before
    }

    /// Takes new and changed partitions in and forgotten ones out.
    pub(super) fn update(
        &mut self,
        partitions: Vec<FetchPartition>,
        mut forgotten: Vec<(TopicKey, PartitionIndex)>,
    ) {
        let known = self.partitions.len();
        for ask in partitions {
            match find(&self.partitions[..known], &ask.topic, ask.partition) {
                Some(number) => self.partitions[number].ask = ask,
                None => self.partitions.push(Cached { ask, told: None }),
            }
        }
        if self.partitions.len() > known {
            self.partitions.sort_by(|one, other| one.key().cmp(&other.key()));
            self.partitions
                .dedup_by(|later, earlier| later.key() == earlier.key());
        }
        if !forgotten.is_empty() {
            // One pass whatever a client forgets: removing one after the other would move the rest every time.
            forgotten.sort_unstable();
            self.partitions.retain(|cached| {
                let key = cached.key();
                forgotten
                    .binary_search_by(|(topic, partition)| (topic, *partition).cmp(&key))
                    .is_err()
            });
        }
    }
}

impl Cached {
    fn key(&self) -> (&TopicKey, PartitionIndex) {
        (&self.ask.topic, self.ask.partition)
    }
}

fn find(partitions: &[Cached], topic: &TopicKey, partition: PartitionIndex) -> Option<usize> {
    partitions
        .binary_search_by(|cached| cached.key().cmp(&(topic, partition)))
        .ok()
}

/// Epoch of the first request in a session, after the one that opened it.
pub(super) const FIRST_EPOCH: i32 = 1;
