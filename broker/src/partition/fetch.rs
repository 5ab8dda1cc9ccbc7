//! Reading for fetch requests, and the fetches that wait for records.
//! Invariants: whole batches up to the high watermark; bytes are bounded by the request's share save for one batch; a
//! wait ends with new records, with the partition, or with the fetch's own deadline.

use millstream_log::PartitionKey;
use millstream_machine::partition::fetch::{Divergence, FetchAsk, FetchError, Isolation, check_divergence};
use millstream_machine::purgatory::{Mark, PartitionSlot, Release, WaitFor, Why};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::record::batch::HEADER_LEN;
use millstream_protocol::time::{Duration, Instant};
use millstream_protocol::types::{LeaderEpoch, Offset};
use millstream_ring::Slice;
use millstream_storage::limits::COLD_PIECE_BYTES;
use millstream_storage::{ReadError, ReadId, ReadOutcome};

use crate::error;
use crate::shard::calls::{Call, PendingRead, Waiting};
use crate::shard::mailbox::ShardId;
use crate::shard::messages::{Origin, PeerMessage};
use crate::shard::slab::Key;
use crate::shard::state::Shard;

/// What holds for all reads of one round of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct FetchTerms {
    /// Counts the call's attempts, so that late answers of an earlier one are dropped.
    pub round: u32,
    /// Bytes that this shard's reads may give together; the first that gives any may go beyond it with one batch.
    pub bytes_max: usize,
    /// Whether it may: not where there is no memory for it.
    pub one_at_least: bool,
    /// When a watch ends by itself.
    pub deadline: Instant,
    /// Read committed.
    pub committed: bool,
    /// The time that the reads take counts for the client.
    pub timed: bool,
}

/// One partition's read.
#[derive(Clone, Copy, Debug)]
pub struct FetchPiece {
    /// The place of its answer in the call.
    pub slot: usize,
    pub partition: PartitionKey,
    pub offset: i64,
    /// Below 0 nothing can be read.
    pub bytes_max: i32,
    /// The epoch that the client knows of.
    pub current_leader_epoch: Option<LeaderEpoch>,
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// What one partition gave.
#[derive(Debug)]
pub struct FetchAnswer {
    pub slot: usize,
    pub error: ErrorCode,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start: i64,
    pub records: Vec<Slice>,
    pub bytes: usize,
    /// Where the client's log and ours part, if they do.
    pub diverging: Option<Divergence>,
    /// Too many reads wait for the disk: there may be records, and they were not looked for.
    pub postponed: bool,
}

/// Reads of one fetch on one shard, while some wait for the disk.
#[derive(Debug)]
pub struct FetchWork {
    origin: Origin,
    round: u32,
    answers: Vec<FetchAnswer>,
    reading: usize,
    /// What it took of this shard's time, where that counts.
    spent: Duration,
}

impl FetchAnswer {
    pub fn error(slot: usize, error: ErrorCode) -> Self {
        Self {
            slot,
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start: -1,
            records: Vec::new(),
            bytes: 0,
            diverging: None,
            postponed: false,
        }
    }
}

impl Shard {
    /// Reads partitions of this shard for a fetch of any shard.
    pub(crate) fn fetch_pieces(&mut self, origin: Origin, terms: FetchTerms, pieces: &[FetchPiece]) {
        let began = self.clock_if(terms.timed);
        let mut left = terms.bytes_max;
        let mut pending = Vec::new();
        let mut answers = Vec::with_capacity(pieces.len());
        // A batch larger than the limits is given once, and a read that waits may be about to give it.
        let mut given = !terms.one_at_least;
        for piece in pieces {
            let (answer, read) = self.read_piece(piece, terms.committed, left, !given);
            left = left.saturating_sub(match read {
                // However little of it is given, a whole piece of a segment is read and stays in memory for that.
                Some(_) => piece.bytes_max().max(COLD_PIECE_BYTES as usize),
                None => answer.bytes,
            });
            given |= read.is_some() || answer.bytes > 0;
            if let Some(read) = read {
                pending.push((read, answers.len()));
            }
            answers.push(answer);
        }
        let work = FetchWork {
            origin,
            round: terms.round,
            answers,
            reading: pending.len(),
            spent: self.since(began),
        };
        if pending.is_empty() {
            self.deliver_fetched(work);
            return;
        }
        match self.calls.insert(Call::FetchWork(work)) {
            Ok(key) => {
                for (read, index) in pending {
                    self.reads
                        .get_mut(read)
                        .expect("it was just begun")
                        .attach(key, index);
                }
            }
            Err(Call::FetchWork(mut work)) => {
                for (read, index) in pending {
                    self.reads.remove(read);
                    work.answers[index].postponed = true;
                }
                self.deliver_fetched(work);
            }
            Err(_) => unreachable!("the table gives back what it was given"),
        }
    }

    /// Reads one partition; the key names a read that goes on.
    fn read_piece(
        &mut self,
        piece: &FetchPiece,
        committed: bool,
        bytes_left: usize,
        first: bool,
    ) -> (FetchAnswer, Option<Key>) {
        let refuse = |error| (FetchAnswer::error(piece.slot, error), None);
        let Some((_, owned)) = self.partitions.find(piece.partition) else {
            return refuse(ErrorCode::UnknownTopicOrPartition);
        };
        let log = owned.log;
        let mut answer = FetchAnswer {
            high_watermark: owned.marks.high_watermark().0.get(),
            last_stable_offset: owned.marks.last_stable().0.get(),
            log_start: owned.marks.start().get(),
            ..FetchAnswer::error(piece.slot, ErrorCode::None)
        };
        let plan = match piece.ask(committed).plan(&owned.marks, owned.rules.leader_epoch) {
            Ok(plan) => plan,
            Err(error @ FetchError::OffsetOutOfRange) => {
                return refuse(self.beyond_known(piece).unwrap_or(error.code()));
            }
            Err(error) => return refuse(error.code()),
        };
        if let Some(epoch) = piece.last_fetched_epoch {
            let ours = self.partitions.logs.end_offset_for_epoch(log, epoch);
            match check_divergence(epoch, plan.from, ours) {
                Ok(None) => {}
                Ok(diverging @ Some(_)) => {
                    answer.diverging = diverging;
                    return (answer, None);
                }
                Err(error) => return refuse(error.code()),
            }
        }
        if plan.is_empty() {
            answer.error = self.beyond_known(piece).unwrap_or(ErrorCode::None);
            return (answer, None);
        }
        if piece.bytes_max < 0 {
            return refuse(ErrorCode::UnknownServerError);
        }
        let max_bytes = piece.bytes_max().min(bytes_left);
        // Where no batch fits, none is read to find that out.
        if max_bytes < HEADER_LEN && !first {
            return (answer, None);
        }
        let Ok(read) = self.reads.insert(PendingRead::starting()) else {
            answer.postponed = true;
            return (answer, None);
        };
        let id = ReadId(read.to_bits());
        match self
            .partitions
            .logs
            .read(log, plan.from, plan.bound, max_bytes as u32, first, id)
        {
            Ok(ReadOutcome::Pending) => return (answer, Some(read)),
            Ok(ReadOutcome::Ready(records)) => answer.fill(records),
            Err(error) => answer.fail(&error),
        }
        self.reads.remove(read);
        (answer, None)
    }

    /// What is told to who asks for offsets that may have been lost: neither to wait for them nor to begin elsewhere.
    fn beyond_known(&self, piece: &FetchPiece) -> Option<ErrorCode> {
        let from = self.partitions.logs.unknown_from(piece.partition)?;
        (piece.offset >= from.get()).then(|| error::read(&ReadError::Fenced { at: from }))
    }

    /// A read from the disk ended.
    pub(crate) fn read_done(&mut self, work: Key, index: usize, result: Result<Vec<Slice>, ReadError>) {
        let Some(Call::FetchWork(fetch)) = self.calls.get_mut(work) else {
            return;
        };
        match result {
            Ok(records) => fetch.answers[index].fill(records),
            Err(error) => fetch.answers[index].fail(&error),
        }
        fetch.reading -= 1;
        if fetch.reading == 0 {
            let Some(Call::FetchWork(fetch)) = self.calls.remove(work) else {
                return;
            };
            self.deliver_fetched(fetch);
        }
    }

    fn deliver_fetched(&mut self, work: FetchWork) {
        let FetchWork {
            origin,
            round,
            answers,
            spent,
            ..
        } = work;
        if origin.shard == self.id {
            self.fetched(origin.call, round, answers, spent);
        } else {
            self.mail.send(
                origin.shard,
                PeerMessage::Fetched {
                    call: origin.call,
                    round,
                    answers,
                    spent,
                },
            );
        }
    }

    /// Waits for records beyond the given offsets, for a fetch of another shard.
    pub(crate) fn watch_for(&mut self, origin: Origin, terms: FetchTerms, above: &[(PartitionKey, Offset)]) {
        let token = Waiting::Fetch {
            origin,
            round: terms.round,
        };
        match self.fetch_waits(above, terms.committed) {
            None => self.wake_fetch(origin, terms.round, Why::Reached),
            Some(waits) if waits.is_empty() => {}
            // Where no more can be parked the fetch ends by its own deadline.
            Some(waits) => {
                let _ = self
                    .partitions
                    .purgatory
                    .park(token, Release::Any, &waits, Some(terms.deadline));
            }
        }
    }

    /// The waits for records beyond the given offsets; `None` where there are some already.
    pub(crate) fn fetch_waits(
        &self,
        above: &[(PartitionKey, Offset)],
        committed: bool,
    ) -> Option<Vec<WaitFor>> {
        let mark = if committed {
            Mark::StableForFetch
        } else {
            Mark::CommittedForFetch
        };
        let mut waits = Vec::with_capacity(above.len());
        for (key, seen) in above {
            let (partition, owned) = self.partitions.find(*key)?;
            if owned.marks.high_watermark().0 > *seen {
                return None;
            }
            waits.push(WaitFor {
                partition,
                mark,
                reaches: *seen + 1,
            });
        }
        Some(waits)
    }

    pub(crate) fn wake_fetch(&mut self, origin: Origin, round: u32, why: Why) {
        if origin.shard == self.id {
            self.fetch_again(origin.call, round);
        } else if why != Why::Expired {
            self.mail.send(
                origin.shard,
                PeerMessage::Woken {
                    call: origin.call,
                    round,
                },
            );
        }
    }
}

impl FetchPiece {
    /// The most that the client wants of this partition, save for one batch.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max.max(0) as usize
    }

    fn ask(&self, committed: bool) -> FetchAsk {
        FetchAsk {
            fetch_offset: self.offset,
            current_leader_epoch: self.current_leader_epoch,
            isolation: if committed {
                Isolation::ReadCommitted
            } else {
                Isolation::ReadUncommitted
            },
        }
    }
}

impl FetchAnswer {
    fn fill(&mut self, records: Vec<Slice>) {
        self.bytes = records.iter().map(|slice| slice.len()).sum();
        self.records = records;
    }

    /// A client would have to take any error here for a fault of the partition, so that it hears of none where it only
    /// has to wait.
    fn fail(&mut self, error: &ReadError) {
        match error {
            ReadError::Busy => self.postponed = true,
            error => self.error = error::read(error),
        }
        // It may have moved while the disk was asked.
        if let ReadError::OutOfRange { start, .. } = error {
            self.log_start = start.get();
        }
    }
}

/// A slot that no partition has: who waits only for the clock waits here.
pub const NOBODY: PartitionSlot = PartitionSlot(0);

/// The shards that own the pieces, each with its own, in the order of the request.
pub fn by_owner(
    shards: usize,
    owner: impl Fn(PartitionKey) -> ShardId,
    pieces: impl IntoIterator<Item = FetchPiece>,
) -> Vec<Vec<FetchPiece>> {
    let mut groups: Vec<Vec<FetchPiece>> = (0..shards).map(|_| Vec::new()).collect();
    for piece in pieces {
        groups[owner(piece.partition).0].push(piece);
    }
    groups
}
