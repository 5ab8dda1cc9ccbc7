//! Produce: batches are split by partition, checked and appended by their owners, acknowledged when they are durable.
//! Invariants: one answer for each partition asked for, in the request's order; acks=0 answers nothing and closes the
//! connection on an error.

use std::sync::Arc;

use millstream_log::PartitionKey;
use millstream_machine::partition::produce::Acks;
use millstream_protocol::error::{DecodeError, ErrorCode};
use millstream_protocol::message::Decode;
use millstream_protocol::message::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use millstream_protocol::primitive::Reader;
use millstream_protocol::time::Duration;
use millstream_protocol::types::{PartitionIndex, TopicId};

use crate::partition::produce::{ProduceAnswer, ProducePiece, ProduceTerms, ProduceWork};
use crate::server::dispatch::Request;
use crate::server::reply::ReplyTo;
use crate::shard::calls::Call;
use crate::shard::messages::{Origin, PeerMessage, slice_of};
use crate::shard::slab::Key;
use crate::shard::state::Shard;

/// A produce request in progress.
#[derive(Debug)]
pub struct ProduceCall {
    to: ReplyTo,
    acks: Acks,
    topics: Vec<ProducedTopic>,
    /// Partition numbers, topic by topic.
    partitions: Vec<i32>,
    /// By place, as `partitions`.
    answers: Vec<ProduceAnswer>,
    /// Shards whose part is not answered yet.
    outstanding: usize,
    /// Bytes that the shard's budget is charged for it: another shard holds its frame.
    charged: usize,
    /// How long the client has to wait for what it wrote.
    wait: Duration,
    /// The time of other shards that counts for the client.
    spent: Duration,
}

#[derive(Debug)]
struct ProducedTopic {
    name: Arc<str>,
    id: TopicId,
    /// How many of the call's partitions are its.
    partitions: usize,
}

/// The batches of one request, sorted by who owns their partitions.
struct Sorted<'a> {
    local: Vec<(usize, PartitionKey, &'a [u8])>,
    /// By shard.
    remote: Vec<Vec<ProducePiece>>,
}

pub fn handle(shard: &mut Shard, request: Request<'_>, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let to = request.to;
    let body = ProduceRequest::decode(reader, to.version)?;
    let Some(acks) = Acks::from_wire(body.acks) else {
        refuse_all(shard, to, Acks::All, &body, ErrorCode::InvalidRequiredAcks);
        return Ok(());
    };
    let timeout = Duration::from_millis(body.timeout_ms.max(0) as u64);
    let terms = ProduceTerms {
        acks,
        version: to.version,
        deadline: shard.now.monotonic + timeout,
        timed: shard.is_timed(to.connection),
    };
    let mut call = ProduceCall::new(to, acks, body.topic_data.len());
    call.wait = shard.charge_produce(to, request.frame.len());
    let sorted = sort(shard, request, &body.topic_data, &mut call);
    start(shard, call, terms, sorted, request.frame.len());
    Ok(())
}

/// Answers every partition of a request with one error.
pub fn refuse_all(shard: &mut Shard, to: ReplyTo, acks: Acks, body: &ProduceRequest<'_>, error: ErrorCode) {
    let mut call = ProduceCall::new(to, acks, body.topic_data.len());
    for topic in &body.topic_data {
        call.add_topic(Arc::from(topic.name), topic.topic_id, topic.partition_data.len());
        for partition in &topic.partition_data {
            call.add_partition(partition.index, error);
        }
    }
    answer(shard, &call);
}

fn sort<'a>(
    shard: &Shard,
    request: Request<'_>,
    topics: &[TopicProduceData<'a>],
    call: &mut ProduceCall,
) -> Sorted<'a> {
    let mut sorted = Sorted {
        local: Vec::with_capacity(topics.first().map_or(0, |topic| topic.partition_data.len())),
        remote: Vec::new(),
    };
    for topic in topics {
        let by_id = request.to.version >= TOPIC_IDS_SINCE;
        let found = if by_id {
            shard.topic_by_id(topic.topic_id)
        } else {
            shard.topic_by_name(topic.name)
        };
        match found {
            Some(found) => {
                call.add_topic(found.name.clone(), found.id, topic.partition_data.len());
                let partitions = found.partitions;
                for partition in &topic.partition_data {
                    sort_partition(
                        shard,
                        request,
                        (found.id, partitions),
                        partition,
                        call,
                        &mut sorted,
                    );
                }
            }
            None => {
                let error = if by_id {
                    ErrorCode::UnknownTopicId
                } else {
                    ErrorCode::UnknownTopicOrPartition
                };
                call.add_topic(Arc::from(topic.name), topic.topic_id, topic.partition_data.len());
                for partition in &topic.partition_data {
                    call.add_partition(partition.index, error);
                }
            }
        }
    }
    sorted
}

fn sort_partition<'a>(
    shard: &Shard,
    request: Request<'_>,
    (topic, count): (TopicId, i32),
    partition: &PartitionProduceData<'a>,
    call: &mut ProduceCall,
    sorted: &mut Sorted<'a>,
) {
    let (slot, records) = (call.answers.len(), partition.records.unwrap_or_default());
    if !(0..count).contains(&partition.index) {
        call.add_partition(partition.index, ErrorCode::UnknownTopicOrPartition);
        return;
    }
    // Whatever becomes of the piece replaces this.
    call.add_partition(partition.index, ErrorCode::UnknownServerError);
    let key = PartitionKey {
        topic,
        partition: PartitionIndex::new(partition.index),
    };
    let owner = shard.table.owner(key);
    if owner == shard.id {
        sorted.local.push((slot, key, records));
    } else {
        if sorted.remote.is_empty() {
            sorted.remote.resize_with(shard.table.shards(), Vec::new);
        }
        // An owned slice of the frame: the bytes are not copied on their way to the owner.
        let records = slice_of(request.frame, records);
        sorted.remote[owner.0].push(ProducePiece {
            slot,
            partition: key,
            records,
        });
    }
}

fn start(
    shard: &mut Shard,
    mut call: ProduceCall,
    terms: ProduceTerms,
    sorted: Sorted<'_>,
    frame_bytes: usize,
) {
    let has_local = !sorted.local.is_empty();
    let remote = sorted.remote.iter().filter(|pieces| !pieces.is_empty()).count();
    call.outstanding = remote + usize::from(has_local);
    call.charged = if remote > 0 { frame_bytes } else { 0 };
    shard.budget.recharge(0, call.charged);
    if call.outstanding == 0 {
        answer(shard, &call);
        return;
    }
    let key = match shard.calls.insert(Call::Produce(call)) {
        Ok(key) => key,
        Err(Call::Produce(mut call)) => {
            call.answers
                .iter_mut()
                .for_each(|answer| answer.error = ErrorCode::RequestTimedOut);
            answer(shard, &call);
            return;
        }
        Err(_) => unreachable!("the table gives back what it was given"),
    };
    for (owner, pieces) in sorted
        .remote
        .into_iter()
        .enumerate()
        .filter(|(_, pieces)| !pieces.is_empty())
    {
        shard.forward(
            owner,
            PeerMessage::Produce {
                call: key,
                terms,
                pieces,
            },
        );
    }
    if has_local {
        let mut work = ProduceWork::new(
            Origin {
                shard: shard.id,
                call: key,
            },
            sorted.local.len(),
        );
        for (slot, partition, records) in sorted.local {
            shard.append_piece(&mut work, &terms, slot, partition, records);
        }
        shard.park_produce(work, &terms);
    }
}

impl Shard {
    /// One shard's part of a produce request is answered.
    pub(crate) fn produced(&mut self, key: Key, answers: Vec<ProduceAnswer>, spent: Duration) {
        let Some(Call::Produce(call)) = self.calls.get_mut(key) else {
            return;
        };
        for answer in answers {
            let slot = answer.slot;
            call.answers[slot] = answer;
        }
        call.spent = call.spent + spent;
        call.outstanding -= 1;
        if call.outstanding == 0 {
            let Some(Call::Produce(call)) = self.calls.remove(key) else {
                return;
            };
            if call.charged > 0 {
                self.budget.recharge(call.charged, 0);
                self.feed_starved();
            }
            answer(self, &call);
        }
    }
}

impl ProduceCall {
    fn new(to: ReplyTo, acks: Acks, topics: usize) -> Self {
        Self {
            to,
            acks,
            topics: Vec::with_capacity(topics),
            partitions: Vec::new(),
            answers: Vec::new(),
            outstanding: 0,
            charged: 0,
            wait: Duration::ZERO,
            spent: Duration::ZERO,
        }
    }

    fn add_topic(&mut self, name: Arc<str>, id: TopicId, partitions: usize) {
        self.topics.push(ProducedTopic { name, id, partitions });
        self.partitions.reserve(partitions);
        self.answers.reserve(partitions);
    }

    fn add_partition(&mut self, index: i32, error: ErrorCode) {
        self.answers.push(ProduceAnswer::error(self.answers.len(), error));
        self.partitions.push(index);
    }
}

fn answer(shard: &mut Shard, call: &ProduceCall) {
    let wait = call.wait.max(shard.charge_request(call.to, call.spent));
    let throttle_time_ms = shard.mute(call.to.connection, wait);
    if call.acks == Acks::None {
        let failed = call.answers.iter().any(|answer| answer.error != ErrorCode::None);
        shard.finish_silently(call.to, failed);
        return;
    }
    let mut places = call.partitions.iter().zip(&call.answers);
    let responses = call
        .topics
        .iter()
        .map(|topic| TopicProduceResponse {
            name: &topic.name,
            topic_id: topic.id,
            partition_responses: places
                .by_ref()
                .take(topic.partitions)
                .map(|(index, answer)| partition_response(*index, answer))
                .collect(),
        })
        .collect();
    let response = ProduceResponse {
        responses,
        throttle_time_ms,
        ..ProduceResponse::default()
    };
    shard.reply_as_it_is(call.to, &response, Vec::new());
}

fn partition_response(index: i32, answer: &ProduceAnswer) -> PartitionProduceResponse<'_> {
    let refusal = answer.refusal.as_deref();
    let record_errors = refusal
        .iter()
        .flat_map(|refusal| &refusal.record_errors)
        .map(|error| BatchIndexAndErrorMessage {
            batch_index: error.batch_index,
            batch_index_error_message: Some(&error.message),
        });
    PartitionProduceResponse {
        index,
        error_code: answer.error as i16,
        base_offset: answer.base_offset,
        log_append_time_ms: answer.append_time,
        log_start_offset: answer.log_start,
        record_errors: record_errors.collect(),
        error_message: refusal.map(|refusal| refusal.message.as_str()),
        ..PartitionProduceResponse::default()
    }
}

/// From this version on topics are named by their id.
const TOPIC_IDS_SINCE: i16 = 13;
