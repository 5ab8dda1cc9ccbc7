//! Questions about one partition, each with one answer: ListOffsets, OffsetForLeaderEpoch, DeleteRecords,
//! DescribeProducers, DescribeLogDirs.
//! Invariant: every question is answered exactly once, by the partition's owner, whatever happens to the partition.

use millstream_log::{KnownProducer, PartitionKey};
use millstream_machine::partition::fetch::{Isolation, check_epoch};
use millstream_machine::partition::list_offsets::{OffsetAnswer, OffsetSpec};
use millstream_machine::purgatory::{Full, Mark, Release, WaitFor, Why};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::time::Instant;
use millstream_protocol::types::{LeaderEpoch, Offset, TimestampMs};
use millstream_storage::{FoundTime, LogId, ReadError, ReadId, TimeOutcome};

use super::record_search::{self, Position};
use crate::error;
use crate::shard::calls::{PendingRead, Waiting};
use crate::shard::messages::{Origin, PeerMessage};
use crate::shard::state::{Lifecycle, Shard};

/// A question.
#[derive(Clone, Copy, Debug)]
pub enum Query {
    /// Which offset belongs to a timestamp (as on the wire, with its special values)?
    Offset {
        timestamp: i64,
        current_leader_epoch: i32,
        committed: bool,
        version: i16,
    },
    /// Where does an epoch end?
    EpochEnd {
        leader_epoch: i32,
        current_leader_epoch: i32,
    },
    /// Drop the records before this offset, -1 for all that can be read. Not done by the deadline it is answered with
    /// REQUEST_TIMED_OUT, and may be done later.
    DeleteRecords { before: i64, deadline: Instant },
    /// Which producers does it remember?
    Producers,
    /// How many bytes do its segments have?
    Size,
}

/// An answer; what a question does not ask for stays -1, or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryAnswer {
    pub error: ErrorCode,
    pub offset: i64,
    pub timestamp: i64,
    pub leader_epoch: i32,
    pub bytes: i64,
    pub producers: Vec<KnownProducer>,
}

/// Where a question came from.
#[derive(Clone, Copy, Debug)]
pub struct QueryOrigin {
    pub origin: Origin,
    pub slot: usize,
}

/// A look-up by time.
#[derive(Clone, Copy, Debug)]
pub struct TimeSearch {
    origin: QueryOrigin,
    log: LogId,
    at: TimestampMs,
    /// Where it goes on, inclusive.
    from: Offset,
    /// Exclusive.
    bound: Offset,
}

impl TimeSearch {
    fn new(origin: QueryOrigin, log: LogId, at: TimestampMs, bound: Offset) -> TimeSearch {
        let from = Offset::ZERO;
        TimeSearch {
            origin,
            log,
            at,
            from,
            bound,
        }
    }
}

impl QueryAnswer {
    pub fn error(error: ErrorCode) -> Self {
        Self {
            error,
            offset: -1,
            timestamp: -1,
            leader_epoch: -1,
            bytes: -1,
            producers: Vec::new(),
        }
    }

    fn offset(offset: Offset) -> Self {
        Self {
            offset: offset.get(),
            ..Self::error(ErrorCode::None)
        }
    }
}

impl Shard {
    /// Answers a question about a partition of this shard, now or when the disk has spoken.
    pub(crate) fn query(&mut self, origin: QueryOrigin, partition: PartitionKey, query: Query) {
        let answer = match query {
            Query::Offset {
                timestamp,
                current_leader_epoch,
                committed,
                version,
            } => {
                let spec = OffsetSpec::from_wire(timestamp, version);
                let isolation = if committed {
                    Isolation::ReadCommitted
                } else {
                    Isolation::ReadUncommitted
                };
                spec.and_then(|spec| {
                    self.offset_query(origin, partition, spec, current_leader_epoch, isolation)
                })
            }
            Query::EpochEnd {
                leader_epoch,
                current_leader_epoch,
            } => self
                .epoch_query(partition, leader_epoch, current_leader_epoch)
                .map(Some),
            Query::DeleteRecords { before, deadline } => {
                self.delete_records(origin, partition, before, deadline)
            }
            Query::Producers => self.producers_query(partition).map(Some),
            Query::Size => self.size_query(partition).map(Some),
        };
        match answer {
            Ok(Some(answer)) => self.deliver_answer(origin, answer),
            Ok(None) => {}
            Err(error) => self.deliver_answer(origin, QueryAnswer::error(error)),
        }
    }

    fn offset_query(
        &mut self,
        origin: QueryOrigin,
        partition: PartitionKey,
        spec: OffsetSpec,
        current_leader_epoch: i32,
        isolation: Isolation,
    ) -> Result<Option<QueryAnswer>, ErrorCode> {
        let (_, owned) = self.partitions.find_told(partition)?;
        let (log, epoch) = (owned.log, owned.rules.leader_epoch);
        check_epoch(LeaderEpoch::checked(current_leader_epoch), epoch).map_err(|error| error.code())?;
        match spec.answer(&owned.marks, isolation) {
            OffsetAnswer::Known(offset) => {
                let leader_epoch = self.partitions.logs.epoch_of(log, offset).unwrap_or(epoch).get();
                Ok(Some(QueryAnswer {
                    leader_epoch,
                    ..QueryAnswer::offset(offset)
                }))
            }
            OffsetAnswer::Nothing => Ok(Some(QueryAnswer::error(ErrorCode::None))),
            OffsetAnswer::SearchFrom { at, bound } => self.search(TimeSearch::new(origin, log, at, bound)),
            OffsetAnswer::SearchMax { bound } => match self.partitions.logs.max_timestamp(log) {
                Some(at) => self.search(TimeSearch::new(origin, log, at, bound)),
                None => Ok(Some(QueryAnswer::error(ErrorCode::None))),
            },
        }
    }

    /// Looks for the record; `None` where the disk is asked, and [`Self::search_done`] goes on.
    fn search(&mut self, mut search: TimeSearch) -> Result<Option<QueryAnswer>, ErrorCode> {
        loop {
            let read = self
                .reads
                .insert(PendingRead::Search(search))
                .map_err(|_| ErrorCode::ThrottlingQuotaExceeded)?;
            let TimeSearch {
                log, at, from, bound, ..
            } = search;
            let logs = &mut self.partitions.logs;
            let outcome = logs.offset_for_time(log, at, from, bound, ReadId(read.to_bits()));
            if let Ok(TimeOutcome::Pending) = outcome {
                return Ok(None);
            }
            self.reads.remove(read);
            match outcome {
                Ok(TimeOutcome::Ready(found)) => match self.found(&mut search, found) {
                    Some(answer) => return Ok(Some(answer)),
                    None => continue,
                },
                Ok(TimeOutcome::Pending) => unreachable!("returned above"),
                Err(ReadError::OutOfRange { start, .. }) if start > search.from => search.from = start,
                Err(error) => return Err(error::read(&error)),
            }
        }
    }

    /// A search on the disk ended.
    pub(crate) fn search_done(
        &mut self,
        mut search: TimeSearch,
        result: Result<Option<FoundTime>, ReadError>,
    ) {
        let answer = match result {
            Ok(found) => match self.found(&mut search, found) {
                Some(answer) => Ok(Some(answer)),
                None => self.search(search),
            },
            // The log's start has moved meanwhile.
            Err(ReadError::OutOfRange { start, .. }) if start > search.from => {
                search.from = start;
                self.search(search)
            }
            Err(error) => Err(error::read(&error)),
        };
        match answer {
            Ok(Some(answer)) => self.deliver_answer(search.origin, answer),
            Ok(None) => {}
            Err(code) => self.deliver_answer(search.origin, QueryAnswer::error(code)),
        }
    }

    /// What a search's batch answers; `None` where only deleted records of it are late enough: then the search goes
    /// on behind it.
    fn found(&self, search: &mut TimeSearch, found: Option<FoundTime>) -> Option<QueryAnswer> {
        let Some(found) = found else {
            return Some(QueryAnswer::error(ErrorCode::None));
        };
        let offsets = self.partitions.logs.try_offsets(search.log);
        let start = offsets.map_or(Offset::ZERO, |offsets| offsets.start);
        match record_search::first_at(&found.batch, search.at, start) {
            Ok(Position::Record(offset, timestamp)) => Some(QueryAnswer {
                offset: offset.get(),
                timestamp: timestamp.get(),
                leader_epoch: found.leader_epoch.get(),
                ..QueryAnswer::error(ErrorCode::None)
            }),
            Ok(Position::Behind(next)) => {
                search.from = next;
                None
            }
            Err(_) => Some(QueryAnswer::error(ErrorCode::CorruptMessage)),
        }
    }

    fn epoch_query(
        &mut self,
        partition: PartitionKey,
        leader_epoch: i32,
        current_leader_epoch: i32,
    ) -> Result<QueryAnswer, ErrorCode> {
        let (_, owned) = self.partitions.find_told(partition)?;
        let current = owned.rules.leader_epoch;
        check_epoch(LeaderEpoch::checked(current_leader_epoch), current).map_err(|error| error.code())?;
        let nothing = QueryAnswer::error(ErrorCode::None);
        let Some(asked) = LeaderEpoch::checked(leader_epoch) else {
            return Ok(nothing);
        };
        if asked == current {
            let offset = owned.marks.end().0;
            return Ok(QueryAnswer {
                leader_epoch,
                ..QueryAnswer::offset(offset)
            });
        }
        if asked > current {
            return Ok(nothing);
        }
        Ok(
            match self.partitions.logs.end_offset_for_epoch(owned.log, asked) {
                Some((epoch, end)) => QueryAnswer {
                    leader_epoch: epoch.get(),
                    ..QueryAnswer::offset(end)
                },
                None => nothing,
            },
        )
    }

    fn producers_query(&mut self, partition: PartitionKey) -> Result<QueryAnswer, ErrorCode> {
        let (_, owned) = self.partitions.find_told(partition)?;
        Ok(QueryAnswer {
            producers: self.partitions.logs.producers(owned.log),
            ..QueryAnswer::error(ErrorCode::None)
        })
    }

    fn size_query(&mut self, partition: PartitionKey) -> Result<QueryAnswer, ErrorCode> {
        let (_, owned) = self
            .partitions
            .find(partition)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let bytes = self.partitions.logs.size_bytes(owned.log);
        Ok(QueryAnswer {
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            ..QueryAnswer::error(ErrorCode::None)
        })
    }

    fn delete_records(
        &mut self,
        origin: QueryOrigin,
        partition: PartitionKey,
        before: i64,
        deadline: Instant,
    ) -> Result<Option<QueryAnswer>, ErrorCode> {
        let (slot, owned) = self.partitions.find_told(partition)?;
        if owned.rules.internal {
            return Err(ErrorCode::InvalidTopicException);
        }
        if self.lifecycle >= Lifecycle::Flushing {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let (log, marks) = (owned.log, owned.marks);
        let (start, high_watermark) = (marks.durable_start(), marks.high_watermark().0);
        let before = match before {
            -1 => high_watermark,
            _ => Offset::checked(before)
                .filter(|before| *before <= high_watermark)
                .ok_or(ErrorCode::OffsetOutOfRange)?,
        };
        if before <= start {
            return Ok(Some(QueryAnswer::offset(start)));
        }
        let start = self
            .partitions
            .logs
            .delete_records(log, before, self.now)
            .map_err(|error| error::trim(&error))?;
        self.partitions.raise_start(log, start);
        // It is answered once that is durable.
        let wait = WaitFor {
            partition: slot,
            mark: Mark::Start,
            reaches: start,
        };
        let token = Waiting::Trim { origin, log };
        let purgatory = &mut self.partitions.purgatory;
        match purgatory.park(token, Release::All, &[wait], Some(deadline)) {
            Ok(_) => Ok(None),
            Err(Full) => Err(ErrorCode::RequestTimedOut),
        }
    }

    /// A log's first offset rose, durably.
    pub(crate) fn start_moved(&mut self, log: LogId, start: Offset) {
        let mut released = std::mem::take(&mut self.released);
        self.partitions.flush_start(log, start, &mut released);
        self.release(&mut released);
        self.released = released;
    }

    /// A deletion of records need not wait any more.
    pub(crate) fn finish_trim(&mut self, origin: QueryOrigin, log: LogId, why: Why) {
        let slot = self.partitions.slot_of(log);
        let partition = slot.and_then(|slot| self.partitions.get(slot));
        let answer = match (partition, why) {
            (None, _) => QueryAnswer::error(ErrorCode::UnknownTopicOrPartition),
            (Some(partition), Why::Reached) => QueryAnswer::offset(partition.marks.durable_start()),
            (Some(_), Why::Lost) => QueryAnswer::error(ErrorCode::KafkaStorageError),
            (Some(_), Why::Expired) => QueryAnswer::error(ErrorCode::RequestTimedOut),
        };
        self.deliver_answer(origin, answer);
    }

    fn deliver_answer(&mut self, to: QueryOrigin, answer: QueryAnswer) {
        if to.origin.shard == self.id {
            self.answered_query(to.origin.call, to.slot, answer);
        } else {
            self.mail.send(
                to.origin.shard,
                PeerMessage::Answer {
                    call: to.origin.call,
                    slot: to.slot,
                    answer,
                },
            );
        }
    }
}
