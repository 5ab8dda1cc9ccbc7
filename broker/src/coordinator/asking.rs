//! Requests to groups at the shard of their connection: each goes to the shard that owns its group, and the reply
//! leaves when all have answered.

use std::fmt;

use millstream_log::PartitionKey;
use millstream_machine::cluster::internal_topic::OFFSETS_TOPIC;
use millstream_machine::group::{GroupRequest, ListRequest};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::types::PartitionIndex;

use super::serving::GroupOrigin;
use super::{Answered, weight};
use crate::limits::GROUP_STATE_SHARE;
use crate::server::reply::ReplyTo;
use crate::shard::calls::Call;
use crate::shard::messages::{Origin, PeerMessage};
use crate::shard::slab::Key;
use crate::shard::state::{Shard, TopicRef};

/// A request that waits for groups.
pub struct GroupCall {
    to: ReplyTo,
    answers: Vec<Answered>,
    outstanding: usize,
    finish: Finish,
    /// Bytes of the answers, which the shard's memory is charged.
    charged: usize,
}

/// Turns the answers, in the order of the questions, into the reply.
type Finish = Box<dyn FnOnce(&mut Shard, ReplyTo, Vec<Answered>)>;

impl fmt::Debug for GroupCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCall")
            .field("to", &self.to)
            .field("outstanding", &self.outstanding)
            .finish_non_exhaustive()
    }
}

/// Asks each group; `finish` answers the request with what they say.
pub fn ask(
    shard: &mut Shard,
    to: ReplyTo,
    requests: Vec<GroupRequest>,
    finish: impl FnOnce(&mut Shard, ReplyTo, Vec<Answered>) + 'static,
) {
    let topic = shard.offsets_topic();
    let questions = requests.into_iter().map(|request| {
        let group_id = request.group_id().expect("lists are asked for with `list`");
        let topic = topic.as_ref()?;
        Some((partition_of(group_id, topic), request))
    });
    start(shard, to, questions.collect(), Box::new(finish));
}

/// Asks one group.
pub fn ask_one(
    shard: &mut Shard,
    to: ReplyTo,
    request: GroupRequest,
    finish: impl FnOnce(&mut Shard, ReplyTo, Answered) + 'static,
) {
    ask(shard, to, vec![request], |shard, to, answers| {
        let [answer] = <[Answered; 1]>::try_from(answers).expect("every question has an answer");
        finish(shard, to, answer);
    });
}

/// Asks every coordinator that there is for its groups.
pub fn list(
    shard: &mut Shard,
    to: ReplyTo,
    request: &ListRequest,
    finish: impl FnOnce(&mut Shard, ReplyTo, Vec<Answered>) + 'static,
) {
    let topic = shard.offsets_topic();
    let questions = topic.iter().flat_map(|topic| {
        (0..topic.partitions).map(|partition| {
            let key = PartitionKey {
                topic: topic.id,
                partition: PartitionIndex::new(partition),
            };
            Some((key, GroupRequest::List(request.clone())))
        })
    });
    start(shard, to, questions.collect(), Box::new(finish));
}

/// `None`: there is nobody to be asked.
fn start(
    shard: &mut Shard,
    to: ReplyTo,
    questions: Vec<Option<(PartitionKey, GroupRequest)>>,
    finish: Finish,
) {
    let outstanding = questions.iter().flatten().count();
    // Whatever is answered replaces this.
    let answers = questions.iter().map(|_| Err(ErrorCode::NotCoordinator)).collect();
    if outstanding == 0 {
        finish(shard, to, answers);
        return;
    }
    let call = GroupCall {
        to,
        answers,
        outstanding,
        finish,
        charged: 0,
    };
    let call = match shard.calls.insert(Call::Group(call)) {
        Ok(key) => key,
        Err(Call::Group(mut call)) => {
            call.answers.fill_with(|| Err(ErrorCode::CoordinatorNotAvailable));
            (call.finish)(shard, to, call.answers);
            return;
        }
        Err(_) => unreachable!("the table gives back what it was given"),
    };
    if let Some(connection) = shard.connections.get_mut(to.connection)
        && connection.is_at_a_barrier()
    {
        connection.waiting_call = Some(call);
    }
    for (slot, question) in questions.into_iter().enumerate() {
        let Some((partition, request)) = question else {
            continue;
        };
        let owner = shard.table.owner(partition);
        if owner == shard.id {
            let origin = Origin {
                shard: shard.id,
                call,
            };
            shard.group_request(GroupOrigin { origin, slot }, partition, request);
        } else {
            let message = PeerMessage::Group {
                call,
                slot,
                partition,
                request: Box::new(request),
            };
            shard.forward(owner.0, message);
        }
    }
}

impl Shard {
    /// Where groups are kept, once anybody has needed it.
    pub(crate) fn offsets_topic(&self) -> Option<TopicRef> {
        self.topic_by_name(OFFSETS_TOPIC)
    }

    /// One group has answered.
    pub(crate) fn group_answered(&mut self, key: Key, slot: usize, mut answer: Answered) {
        let Some(Call::Group(call)) = self.calls.get_mut(key) else {
            return;
        };
        let mut bytes = weight::of(&answer);
        // The answers, and their response.
        let most = (self.options.memory_bytes / GROUP_STATE_SHARE).saturating_sub(call.charged);
        if bytes > most.min(self.budget.available() / 2) {
            (answer, bytes) = (Err(ErrorCode::CoordinatorNotAvailable), 0);
        }
        self.budget.recharge(0, bytes);
        call.charged += bytes;
        call.answers[slot] = answer;
        call.outstanding -= 1;
        if call.outstanding > 0 {
            return;
        }
        if let Some(Call::Group(call)) = self.calls.remove(key) {
            if let Some(connection) = self.connections.get_mut(call.to.connection) {
                connection.waiting_call.take_if(|waiting| *waiting == key);
            }
            (call.finish)(self, call.to, call.answers);
            self.give_back_group_bytes(call.charged);
        }
    }

    /// The connection is gone: what its groups will say interests nobody.
    pub(crate) fn drop_group_call(&mut self, key: Key) {
        if let Some(Call::Group(call)) = self.calls.get(key) {
            let charged = call.charged;
            self.calls.remove(key);
            self.give_back_group_bytes(charged);
        }
    }

    fn give_back_group_bytes(&mut self, charged: usize) {
        if charged > 0 {
            self.budget.recharge(charged, 0);
            self.feed_starved();
        }
    }
}

/// The partition that keeps a group: where Kafka's tools would look for it too.
fn partition_of(group_id: &str, topic: &TopicRef) -> PartitionKey {
    let partition = (java_hash(group_id) & i32::MAX) % topic.partitions;
    PartitionKey {
        topic: topic.id,
        partition: PartitionIndex::new(partition),
    }
}

/// Java's `String.hashCode`, which goes over UTF-16.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `kafka.coordinator.group.partitionFor` of 4.3 gives them.
    #[test]
    fn groups_lie_where_kafka_puts_them() {
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("my-group", -1_906_497_762),
            ("polygenelubricants", i32::MIN),
            ("gruppe-ä", 673_522_898),
            ("😀", 1_772_899),
        ] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }
}
