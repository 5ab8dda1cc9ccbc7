//! Requests that ask one question of each of many partitions, and answer when all have answered.

use std::sync::Arc;

use millstream_log::PartitionKey;
use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::PartitionIndex;

use crate::partition::query::{Query, QueryAnswer, QueryOrigin};
use crate::server::reply::ReplyTo;
use crate::shard::calls::Call;
use crate::shard::messages::{Origin, PeerMessage};
use crate::shard::slab::Key;
use crate::shard::state::Shard;

/// A request in progress.
#[derive(Debug)]
pub struct QueryCall {
    to: ReplyTo,
    topics: Vec<QueriedTopic>,
    /// By place, topic by topic; moved into `topics` at the end.
    answers: Vec<Option<QueryAnswer>>,
    outstanding: usize,
    /// Bytes of the answers' lists, which the shard's memory is charged.
    charged: usize,
    encode: fn(&mut Shard, ReplyTo, &[QueriedTopic]),
}

/// A topic asked about, with the partitions in the order of the request.
#[derive(Debug)]
pub struct QueriedTopic {
    pub name: Arc<str>,
    pub partitions: Vec<QueriedPartition>,
}

#[derive(Debug)]
pub struct QueriedPartition {
    pub index: i32,
    pub query: Query,
    pub answer: QueryAnswer,
}

impl QueriedPartition {
    pub fn new(index: i32, query: Query) -> Self {
        Self {
            index,
            query,
            answer: QueryAnswer::error(ErrorCode::UnknownTopicOrPartition),
        }
    }
}

/// Asks all partitions; `encode` answers the request when the last one is known.
pub fn ask(
    shard: &mut Shard,
    to: ReplyTo,
    topics: Vec<QueriedTopic>,
    encode: fn(&mut Shard, ReplyTo, &[QueriedTopic]),
) {
    let questions = questions(shard, &topics);
    if questions.is_empty() {
        encode(shard, to, &topics);
        return;
    }
    let places = topics.iter().map(|topic| topic.partitions.len()).sum();
    let call = QueryCall {
        to,
        topics,
        answers: vec![None; places],
        outstanding: questions.len(),
        charged: 0,
        encode,
    };
    let key = match shard.calls.insert(Call::Query(call)) {
        Ok(key) => key,
        Err(_) => {
            shard.finish_silently(to, true);
            return;
        }
    };
    for (slot, partition, query) in questions {
        let owner = shard.table.owner(partition);
        if owner == shard.id {
            let origin = Origin {
                shard: shard.id,
                call: key,
            };
            shard.query(QueryOrigin { origin, slot }, partition, query);
        } else {
            shard.forward(
                owner.0,
                PeerMessage::Query {
                    call: key,
                    slot,
                    partition,
                    query,
                },
            );
        }
    }
}

/// The questions about partitions that exist, each with its place.
fn questions(shard: &Shard, topics: &[QueriedTopic]) -> Vec<(usize, PartitionKey, Query)> {
    let mut questions = Vec::new();
    let mut slot = 0;
    for topic in topics {
        let found = shard.topic_by_name(&topic.name);
        for partition in &topic.partitions {
            if let Some(found) = found
                .as_ref()
                .filter(|found| (0..found.partitions).contains(&partition.index))
            {
                let key = PartitionKey {
                    topic: found.id,
                    partition: PartitionIndex::new(partition.index),
                };
                questions.push((slot, key, partition.query));
            }
            slot += 1;
        }
    }
    questions
}

impl Shard {
    /// One partition has answered.
    pub(crate) fn answered_query(&mut self, key: Key, slot: usize, mut answer: QueryAnswer) {
        let Some(Call::Query(call)) = self.calls.get_mut(key) else {
            return;
        };
        // The answers, and their response.
        let mut bytes = size_of_val(&answer.producers[..]);
        if bytes > self.budget.available() / 2 {
            (answer, bytes) = (QueryAnswer::error(ErrorCode::ThrottlingQuotaExceeded), 0);
        }
        self.budget.recharge(0, bytes);
        call.charged += bytes;
        call.answers[slot] = Some(answer);
        call.outstanding -= 1;
        if call.outstanding == 0 {
            let Some(Call::Query(mut call)) = self.calls.remove(key) else {
                return;
            };
            let partitions = call.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            for (partition, answer) in partitions.zip(call.answers) {
                if let Some(answer) = answer {
                    partition.answer = answer;
                }
            }
            (call.encode)(self, call.to, &call.topics);
            if call.charged > 0 {
                self.budget.recharge(call.charged, 0);
                self.feed_starved();
            }
        }
    }
}
