//! What groups decided, on its way into the log and from there to those who asked.
//!
//! Once in a turn what the machines of the shard have decided is appended, a batch for each partition, and each reply
//! waits until the log is durable up to where it ended then. A log that has no room for a while is asked again; one
//! that takes nothing any more costs its coordinator, which is loaded anew from what is durable.

use millstream_machine::group::GroupRecord;
use millstream_machine::purgatory::{Full, Mark, Release, WaitFor, Why};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::record::batch::{BatchSummary, BatchView};
use millstream_protocol::record::builder::BatchBuilder;
use millstream_protocol::time::Duration;
use millstream_protocol::types::{Offset, PartitionIndex, TimestampMs};
use millstream_storage::{AppendError, LogId};

use super::coordinators::Reply;
use super::record;
use crate::limits::{APPEND_PAUSE, GROUP_APPEND_BYTES, GROUP_BATCH_BYTES_MAX};
use crate::shard::calls::Waiting;
use crate::shard::state::{Lifecycle, Shard};

/// How an append ended that was not accepted.
enum Refused {
    /// There is no room; again soon.
    ForNow,
    /// The log takes nothing.
    ForGood(ErrorCode),
}

impl Shard {
    /// Appends what was decided, answers what may be answered. Once a turn, before the storage's.
    pub(crate) fn drive_coordinators(&mut self) {
        for index in std::mem::take(&mut self.coordinators.touched) {
            match self.append_and_go_on(index) {
                Ok(()) => {}
                Err(Refused::ForNow) => self.try_again_soon(index),
                Err(Refused::ForGood(code)) => self.give_up_coordinator(index, code),
            }
            self.coordinators.arm(index);
        }
        self.charge_groups();
    }

    /// What waited for this partition's log need not wait any more.
    pub(crate) fn coordinator_released(&mut self, index: PartitionIndex, upto: Offset, why: Why) {
        match why {
            Why::Reached => {
                for reply in self.take_held(index, upto) {
                    self.deliver_reply(reply, None);
                }
                self.snapshot_flushed(index, upto);
            }
            // The records may become durable yet: who asks again will see.
            Why::Expired => {
                for reply in self.take_held(index, upto) {
                    self.deliver_reply(reply, Some(ErrorCode::CoordinatorNotAvailable));
                }
            }
            Why::Lost => self.give_up_coordinator(index, ErrorCode::NotCoordinator),
        }
    }

    /// Parks until the log is durable up to here.
    pub(super) fn await_flush(&mut self, index: PartitionIndex, upto: Offset) {
        let Some((log, _)) = self.coordinators.ready(index) else {
            return;
        };
        if self.is_flushed(log, upto) {
            return;
        }
        let Some(partition) = self.partitions.slot_of(log) else {
            return;
        };
        let wait = WaitFor {
            partition,
            mark: Mark::CommittedForAck,
            reaches: upto,
        };
        let token = Waiting::Coordinator {
            partition: index,
            upto,
        };
        let deadline = self.now.monotonic + self.commit_timeout;
        let purgatory = &mut self.partitions.purgatory;
        if let Err(Full) = purgatory.park(token, Release::All, &[wait], Some(deadline)) {
            self.give_up_coordinator(index, ErrorCode::CoordinatorNotAvailable);
        }
    }

    fn append_and_go_on(&mut self, index: PartitionIndex) -> Result<(), Refused> {
        self.append_decided(index)?;
        self.hold_replies(index);
        if self.step_snapshot(index) {
            self.append_decided(index)?;
        }
        Ok(())
    }

    fn append_decided(&mut self, index: PartitionIndex) -> Result<(), Refused> {
        let mut appended = None;
        while let Some((log, ready)) = self.coordinators.ready(index)
            && !ready.records.is_empty()
        {
            if self.lifecycle >= Lifecycle::Flushing {
                return Err(Refused::ForGood(ErrorCode::NotCoordinator));
            }
            let (decisions, bytes) = encode(ready.records.iter(), self.now.wall);
            let summaries = summaries(&bytes);
            let accepted = self.partitions.logs.append(log, &bytes, &summaries, self.now);
            let end = accepted.map_err(|error| refused(&error))?.last_offset.next();
            let Some((_, ready)) = self.coordinators.ready(index) else {
                return Ok(());
            };
            ready.records.drain(..decisions);
            ready.refused_since = None;
            ready.appended = end;
            ready.log_bytes += bytes.len() as u64;
            self.counters.bytes_appended += bytes.len() as u64;
            self.advance_log(log, |marks| marks.append(end));
            appended = Some(end);
        }
        if let Some(end) = appended {
            self.await_flush(index, end);
        }
        self.snapshot_appended(index);
        Ok(())
    }

    /// Answers what is durable already; the rest waits.
    fn hold_replies(&mut self, index: PartitionIndex) {
        let Some((log, ready)) = self.coordinators.ready(index) else {
            return;
        };
        let (replies, end) = (std::mem::take(&mut ready.replies), ready.appended);
        if replies.is_empty() {
            return;
        }
        if self.is_flushed(log, end) {
            for reply in replies {
                self.deliver_reply(reply, None);
            }
        } else if let Some((_, ready)) = self.coordinators.ready(index) {
            match ready.held.back_mut() {
                Some((upto, held)) if *upto == end => held.extend(replies),
                _ => ready.held.push_back((end, replies)),
            }
        }
    }

    /// The log has no room: whoever waits does so for as long as a commit may take.
    fn try_again_soon(&mut self, index: PartitionIndex) {
        let now = self.now.monotonic;
        let Some((_, ready)) = self.coordinators.ready(index) else {
            return;
        };
        let since = *ready.refused_since.get_or_insert(now);
        if now >= since + self.commit_timeout {
            self.give_up_coordinator(index, ErrorCode::CoordinatorNotAvailable);
        } else {
            ready.again_at = Some(now + Duration::from(APPEND_PAUSE));
        }
    }

    fn take_held(&mut self, index: PartitionIndex, upto: Offset) -> Vec<Reply> {
        let mut taken = Vec::new();
        if let Some((_, ready)) = self.coordinators.ready(index) {
            while ready.held.front().is_some_and(|(reaches, _)| *reaches <= upto) {
                taken.extend(
                    ready
                        .held
                        .pop_front()
                        .into_iter()
                        .flat_map(|(_, replies)| replies),
                );
            }
        }
        taken
    }

    fn is_flushed(&self, log: LogId, upto: Offset) -> bool {
        self.partitions.high_watermark(log) >= Some(upto)
    }
}

/// The first decisions as batches for one append: how many, and their bytes. What was decided together stays in one
/// batch, unless that would be larger than a batch may be.
fn encode<'a>(decisions: impl Iterator<Item = &'a Vec<GroupRecord>>, now: TimestampMs) -> (usize, Vec<u8>) {
    let (mut count, mut bytes, mut batch) = (0, Vec::new(), BatchBuilder::new());
    for records in decisions {
        for one in records {
            let record = record::encode(one);
            let larger = batch.size() + record.size();
            if batch.record_count() > 0 && larger > GROUP_BATCH_BYTES_MAX {
                bytes.extend(std::mem::take(&mut batch).build());
            }
            batch.push(now, Some(&record.key), record.value.as_deref(), &[]);
        }
        count += 1;
        if bytes.len() + batch.size() >= GROUP_APPEND_BYTES {
            break;
        }
    }
    bytes.extend(batch.build());
    (count, bytes)
}

fn summaries(mut batches: &[u8]) -> Vec<BatchSummary> {
    let mut summaries = Vec::new();
    while !batches.is_empty() {
        let (batch, rest) = BatchView::parse(batches).expect("it was just built");
        summaries.push(batch.summary());
        batches = rest;
    }
    summaries
}

fn refused(error: &AppendError) -> Refused {
    match error {
        AppendError::Busy | AppendError::NoSpace => Refused::ForNow,
        AppendError::Fenced | AppendError::WritesStopped | AppendError::UnknownLog => {
            Refused::ForGood(ErrorCode::NotCoordinator)
        }
        AppendError::Refused(_) => Refused::ForGood(ErrorCode::CoordinatorNotAvailable),
    }
}
