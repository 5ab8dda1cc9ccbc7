//! Appending for produce requests, and the acknowledgements that wait for the flush.
//! Invariants: a batch is checked once, by its owner, and borrowed until the log has taken it; an acknowledgement is
//! given when the partition's acknowledgeable end has passed the batch, and a duplicate's when it has passed the
//! original.

use millstream_log::planted::{self, Bug};
use millstream_log::{AppendError as AppendRefusal, PartitionKey};
use millstream_machine::partition::produce::{Acks, ProduceError, RecordError};
use millstream_machine::partition::watermark::{Moved, Watermarks};
use millstream_machine::purgatory::{Mark, Release, Released, WaitFor, Why};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{Offset, TimestampMs};
use millstream_ring::Slice;
use millstream_storage::{AppendError, LogId};

use crate::error;
use crate::shard::calls::{Call, Waiting};
use crate::shard::messages::{Origin, PeerMessage};
use crate::shard::slab::Key;
use crate::shard::state::{Lifecycle, Shard};

/// What holds for all batches of a request.
#[derive(Clone, Copy, Debug)]
pub struct ProduceTerms {
    pub acks: Acks,
    /// The request's version: newer clients may send more.
    pub version: i16,
    /// When an acknowledgement that is still waiting becomes REQUEST_TIMED_OUT.
    pub deadline: Instant,
    /// The time of another shard that owns partitions counts for the client.
    pub timed: bool,
}

/// One partition's batch on its way to the owner.
#[derive(Debug)]
pub struct ProducePiece {
    /// The place of its answer in the call.
    pub slot: usize,
    pub partition: PartitionKey,
    pub records: Slice,
}

/// What became of one partition's batch.
#[derive(Debug, Clone)]
pub struct ProduceAnswer {
    /// The place in the call.
    pub slot: usize,
    pub error: ErrorCode,
    /// -1 after an error.
    pub base_offset: i64,
    /// -1 where the records keep their own timestamps.
    pub append_time: i64,
    /// -1 where the log was not looked at.
    pub log_start: i64,
    /// Boxed: answers are many and move often, refusals with something to say are few.
    pub refusal: Option<Box<Refusal>>,
}

/// What is said of a refused batch beside the error's code.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub message: String,
    /// The records for which the batch was refused.
    pub record_errors: Vec<RecordError>,
}

/// The batches of one request for one shard's partitions, while they wait for the flush.
#[derive(Debug)]
pub struct ProduceWork {
    origin: Origin,
    answers: Vec<ProduceAnswer>,
    /// By answer: the log and the last offset that must become durable.
    awaited: Vec<Option<Awaited>>,
    /// What it took of this shard's time for a client of another, where that counts.
    spent: Duration,
}

/// The log and the last offset that must become durable.
type Awaited = (LogId, Offset);

impl ProduceWork {
    pub fn new(origin: Origin, pieces: usize) -> Self {
        Self {
            origin,
            answers: Vec::with_capacity(pieces),
            awaited: Vec::with_capacity(pieces),
            spent: Duration::ZERO,
        }
    }
}

impl ProduceAnswer {
    /// A refusal.
    pub fn error(slot: usize, error: ErrorCode) -> Self {
        Self {
            slot,
            error,
            base_offset: -1,
            append_time: -1,
            log_start: -1,
            refusal: None,
        }
    }

    fn refused(slot: usize, refusal: &ProduceError, log_start: Offset) -> Self {
        Self {
            log_start: if refusal.tells_log_start() {
                log_start.get()
            } else {
                -1
            },
            refusal: Some(Box::new(Refusal {
                message: refusal.message(),
                record_errors: refusal.record_errors().to_vec(),
            })),
            ..Self::error(slot, refusal.code())
        }
    }
}

impl Shard {
    /// Appends batches that another shard sent.
    pub(crate) fn produce_pieces(&mut self, origin: Origin, terms: ProduceTerms, pieces: Vec<ProducePiece>) {
        let began = self.clock_if(terms.timed);
        let mut work = ProduceWork::new(origin, pieces.len());
        for piece in &pieces {
            self.append_piece(&mut work, &terms, piece.slot, piece.partition, &piece.records);
        }
        work.spent = self.since(began);
        self.park_produce(work, &terms);
    }

    /// Checks and appends one partition's batch.
    pub(crate) fn append_piece(
        &mut self,
        work: &mut ProduceWork,
        terms: &ProduceTerms,
        slot: usize,
        partition: PartitionKey,
        records: &[u8],
    ) {
        let (answer, awaited) = match self.append(terms, slot, partition, records) {
            Ok((answer, awaited)) => (answer, Some(awaited)),
            Err(answer) => (*answer, None),
        };
        work.answers.push(answer);
        work.awaited.push(awaited);
    }

    fn append(
        &mut self,
        terms: &ProduceTerms,
        slot: usize,
        partition: PartitionKey,
        records: &[u8],
    ) -> Result<(ProduceAnswer, Awaited), Box<ProduceAnswer>> {
        let refuse = |code| Box::new(ProduceAnswer::error(slot, code));
        let (_, owned) = self
            .partitions
            .find(partition)
            .ok_or_else(|| refuse(ErrorCode::UnknownTopicOrPartition))?;
        let log = owned.log;
        if owned.rules.internal {
            return Err(refuse(ErrorCode::InvalidTopicException));
        }
        if self.lifecycle >= Lifecycle::Flushing {
            // The logs are being closed; another shard's request came too late.
            return Err(refuse(ErrorCode::NotLeaderOrFollower));
        }
        let checked = owned
            .rules
            .produce
            .check(Some(records), terms.version, self.now.wall);
        let log_start = owned.marks.start();
        let accepted =
            checked.map_err(|refusal| Box::new(ProduceAnswer::refused(slot, &refusal, log_start)))?;
        let appended = self
            .partitions
            .logs
            .append(log, records, &[accepted.summary], self.now)
            .map_err(|error| {
                self.counters.appends_refused += 1;
                let mut refused = refuse(error::append(&error));
                if let AppendError::Refused(AppendRefusal::Sequence(_)) = error {
                    refused.log_start = log_start.get();
                }
                refused
            })?;
        self.counters.bytes_appended += records.len() as u64;
        if !appended.duplicate {
            self.advance_log(log, |marks| marks.append(appended.last_offset + 1));
        }
        if planted::has(Bug::UnflushedServed) {
            self.advance_log(log, |marks| marks.flush(appended.last_offset.next()));
        }
        let answer = ProduceAnswer {
            base_offset: appended.base_offset.get(),
            append_time: TimestampMs::to_wire(appended.append_time),
            log_start: appended.log_start.get(),
            ..ProduceAnswer::error(slot, ErrorCode::None)
        };
        Ok((answer, (log, appended.last_offset)))
    }

    /// Waits for what the acknowledgements need; answers at once where nothing has to be waited for.
    pub(crate) fn park_produce(&mut self, work: ProduceWork, terms: &ProduceTerms) {
        let mark = if terms.acks == Acks::Leader {
            Mark::FlushedForAck
        } else {
            Mark::CommittedForAck
        };
        let mut waits = std::mem::take(&mut self.waits);
        waits.clear();
        if terms.acks != Acks::None {
            for (log, last_offset) in work.awaited.iter().flatten() {
                let reaches = *last_offset + 1;
                let partition = self.partitions.slot_of(*log).expect("it was just appended to");
                if self.partitions.high_watermark(*log) < Some(reaches) {
                    waits.push(WaitFor {
                        partition,
                        mark,
                        reaches,
                    });
                }
            }
        }
        if waits.is_empty() {
            self.deliver_produced(work);
        } else {
            match self.calls.insert(Call::ProduceWork(work)) {
                Ok(key) => {
                    self.awaiting_flush += 1;
                    let token = Waiting::Produce(key);
                    if self
                        .partitions
                        .purgatory
                        .park(token, Release::All, &waits, Some(terms.deadline))
                        .is_err()
                    {
                        self.finish_produce(key, Why::Expired);
                    }
                }
                Err(Call::ProduceWork(mut work)) => {
                    work.answers
                        .iter_mut()
                        .for_each(|answer| *answer = timed_out(answer.slot));
                    self.deliver_produced(work);
                }
                Err(_) => unreachable!("the table gives back what it was given"),
            }
        }
        self.waits = waits;
    }

    /// The wait of some batches is over.
    pub(crate) fn finish_produce(&mut self, key: Key, why: Why) {
        let Some(Call::ProduceWork(mut work)) = self.calls.remove(key) else {
            return;
        };
        self.awaiting_flush -= 1;
        if why != Why::Reached {
            for (answer, awaited) in work.answers.iter_mut().zip(&work.awaited) {
                let Some((log, last_offset)) = awaited else {
                    continue;
                };
                *answer = match (self.partitions.high_watermark(*log), why) {
                    (None, _) => ProduceAnswer::error(answer.slot, ErrorCode::UnknownTopicOrPartition),
                    (Some(high_watermark), _) if high_watermark > *last_offset => continue,
                    (Some(_), Why::Lost) => ProduceAnswer::error(answer.slot, ErrorCode::KafkaStorageError),
                    (Some(_), Why::Expired | Why::Reached) => timed_out(answer.slot),
                };
            }
        }
        self.deliver_produced(work);
    }

    fn deliver_produced(&mut self, work: ProduceWork) {
        let ProduceWork {
            origin,
            answers,
            spent,
            ..
        } = work;
        if origin.shard == self.id {
            self.produced(origin.call, answers, spent);
        } else {
            self.mail.send(
                origin.shard,
                PeerMessage::Produced {
                    call: origin.call,
                    answers,
                    spent,
                },
            );
        }
    }

    /// Moves a log's marks and releases everybody who waited for that.
    pub(crate) fn advance_log(&mut self, log: LogId, change: impl FnOnce(&mut Watermarks) -> Moved) {
        let mut released = std::mem::take(&mut self.released);
        self.partitions.advance(log, change, &mut released);
        self.release(&mut released);
        self.released = released;
    }

    pub(crate) fn release(&mut self, released: &mut Vec<Released<Waiting>>) {
        for Released { token, why } in released.drain(..) {
            match token {
                Waiting::Produce(key) => self.finish_produce(key, why),
                Waiting::Fetch { origin, round } => self.wake_fetch(origin, round, why),
                Waiting::Trim { origin, log } => self.finish_trim(origin, log, why),
                Waiting::Coordinator { partition, upto } => self.coordinator_released(partition, upto, why),
            }
        }
    }
}

fn timed_out(slot: usize) -> ProduceAnswer {
    ProduceAnswer::error(slot, ErrorCode::RequestTimedOut)
}
