//! Reading an offsets partition, so that its coordinator knows what was durable.
//!
//! All partitions of the shard are loaded when the broker starts, not when somebody asks: a member that died with the
//! broker has to be missed, and offsets have to expire, whether anybody asks or not.
//!
//! Invariants: a turn replays one piece of one partition's log at most, save for what the disk brings of those whose
//! reads wait for it; nothing is appended to a partition while it is being loaded.

use std::sync::Arc;

use millstream_log::PartitionKey;
use millstream_machine::group::{DeletedTopic, GroupCoordinator, GroupSettings};
use millstream_protocol::error::ErrorCode;
use millstream_protocol::record::batch::BatchView;
use millstream_protocol::time::Duration;
use millstream_protocol::types::{Offset, PartitionIndex, TopicId};
use millstream_ring::Slice;
use millstream_storage::{ReadError, ReadId, ReadOutcome};

use super::coordinators::{Coordinator, Ready, Stage};
use super::record;
use super::serving::group_now;
use crate::limits::{COORDINATOR_LOADS_MAX, GROUP_LOAD_PIECE_BYTES, LOAD_PAUSE};
use crate::shard::calls::PendingRead;
use crate::shard::slab::Key;
use crate::shard::state::Shard;

/// A load in progress.
pub(super) struct Loading {
    machine: GroupCoordinator,
    /// What to read next; `None` before the first piece.
    from: Option<Offset>,
    /// Where the log ended when the load began.
    end: Offset,
    /// Bytes replayed.
    bytes: u64,
    /// The read that waits for the disk.
    read: Option<Key>,
    /// Topics that were deleted meanwhile.
    forgotten: Vec<(Box<str>, TopicId)>,
}

/// How a step of a load went.
enum Step {
    /// A piece was replayed.
    Replayed,
    /// The disk is asked.
    Pending,
    /// The disk has too much to do.
    Busy,
    Loaded,
    Failed,
}

impl Loading {
    pub fn new(settings: GroupSettings) -> Self {
        Self {
            machine: GroupCoordinator::new(settings),
            from: None,
            end: Offset::ZERO,
            bytes: 0,
            read: None,
            forgotten: Vec::new(),
        }
    }

    /// What the log may yet tell of deleted topics is to be forgotten; the other is as in
    /// [`GroupCoordinator::set_assignment_interval`].
    pub fn install(&mut self, deleted: &[DeletedTopic<'_>], assignment_interval: Duration) {
        self.machine.set_assignment_interval(assignment_interval);
        let topics = deleted.iter().map(|topic| (topic.name.into(), topic.id));
        self.forgotten.extend(topics);
    }

    /// Takes in whole batches, one after another.
    fn replay(&mut self, pieces: &[Slice]) -> Result<(), Damaged> {
        let joined: Vec<u8>;
        let mut rest: &[u8] = match pieces {
            [one] => one,
            many => {
                joined = many.iter().map(|piece| &**piece).collect::<Vec<&[u8]>>().concat();
                &joined
            }
        };
        while !rest.is_empty() {
            let (batch, behind) = BatchView::parse(rest).map_err(|_| Damaged)?;
            self.replay_batch(&batch)?;
            self.from = Some(batch.last_offset().next());
            self.bytes += batch.size() as u64;
            rest = behind;
        }
        Ok(())
    }

    fn replay_batch(&mut self, batch: &BatchView<'_>) -> Result<(), Damaged> {
        // This broker compresses none of them.
        for record in batch.records().map_err(|_| Damaged)? {
            let record = record.map_err(|_| Damaged)?;
            // What another version wrote beside what this one knows is none of its business.
            if let Some(record) = record::decode(record.key, record.value).map_err(|_| Damaged)? {
                self.machine.replay(record);
            }
        }
        Ok(())
    }
}

/// The log holds what is no record of a group.
struct Damaged;

impl Shard {
    /// Begins to load a coordinator anew; one whose log is empty is there at once.
    pub(super) fn begin_load(&mut self, index: PartitionIndex) {
        if self.coordinators.closed {
            return;
        }
        let Some(Coordinator { key, log, .. }) = self.coordinators.get_mut(index) else {
            return;
        };
        let (key, log) = (*key, *log);
        let offsets = self.partitions.logs.try_offsets(log);
        let Some(offsets) = offsets.filter(|_| self.may_be_coordinated(key)) else {
            self.give_up_coordinator(index, ErrorCode::CoordinatorNotAvailable);
            return;
        };
        let mut loading = Loading::new(self.coordinators.settings);
        (loading.from, loading.end) = (Some(offsets.start), offsets.end);
        self.coordinators
            .set_stage(index, Stage::Loading(Box::new(loading)));
        match offsets.start == offsets.end {
            true => self.finish_load(index),
            false => self.coordinators.load_queue.push_back(index),
        }
    }

    /// Goes on with the loads. True: there is more to do at once.
    pub(crate) fn load_coordinators(&mut self) -> bool {
        let queued = self.coordinators.load_queue.iter().copied();
        let first: Vec<PartitionIndex> = queued.take(COORDINATOR_LOADS_MAX).collect();
        for index in first {
            match self.step_load(index) {
                Step::Pending => {}
                Step::Busy => return false,
                Step::Replayed => return true,
                Step::Loaded => {
                    self.finish_load(index);
                    return true;
                }
                Step::Failed => self.fail_load(index),
            }
        }
        false
    }

    /// A read of a load ended.
    pub(crate) fn load_read(&mut self, index: PartitionIndex, result: Result<Vec<Slice>, ReadError>) {
        let Some(Coordinator {
            stage: Stage::Loading(loading),
            ..
        }) = self.coordinators.get_mut(index)
        else {
            return;
        };
        loading.read = None;
        match loading.take(result) {
            Step::Failed => self.fail_load(index),
            Step::Replayed | Step::Pending | Step::Busy | Step::Loaded => {}
        }
    }

    fn step_load(&mut self, index: PartitionIndex) -> Step {
        let Some(Coordinator {
            log,
            stage: Stage::Loading(loading),
            ..
        }) = self.coordinators.get_mut(index)
        else {
            return Step::Failed;
        };
        let from = loading.from.unwrap_or(Offset::ZERO);
        if loading.read.is_some() {
            return Step::Pending;
        }
        if from >= loading.end {
            return Step::Loaded;
        }
        let Ok(read) = self.reads.insert(PendingRead::Coordinator(index)) else {
            return Step::Busy;
        };
        let (id, bytes) = (ReadId(read.to_bits()), GROUP_LOAD_PIECE_BYTES);
        let outcome = self
            .partitions
            .logs
            .read(*log, from, loading.end, bytes, true, id);
        let result = match outcome {
            Ok(ReadOutcome::Pending) => {
                loading.read = Some(read);
                return Step::Pending;
            }
            Ok(ReadOutcome::Ready(pieces)) => Ok(pieces),
            Err(error) => Err(error),
        };
        self.reads.remove(read);
        loading.take(result)
    }

    fn finish_load(&mut self, index: PartitionIndex) {
        let now = group_now(self.now);
        self.coordinators.load_queue.retain(|queued| *queued != index);
        let Some(Stage::Loading(loading)) = self
            .coordinators
            .set_stage(index, Stage::Failed(self.now.monotonic))
        else {
            return;
        };
        let Loading {
            machine,
            end,
            bytes,
            forgotten,
            ..
        } = *loading;
        let ready = Ready::new(machine, end, bytes);
        let image = Arc::clone(&self.image);
        self.coordinators.set_stage(index, Stage::Ready(Box::new(ready)));
        self.coordinators.decide(index, |machine, effects| {
            machine.set_image(image);
            machine.loaded(now, effects);
            let deleted = forgotten.iter().map(|(name, id)| DeletedTopic { name, id: *id });
            machine.forget_topics(&deleted.collect::<Vec<_>>(), effects);
        });
        self.await_flush(index, end);
    }

    fn fail_load(&mut self, index: PartitionIndex) {
        tracing::warn!(
            shard = self.id.0,
            partition = index.get(),
            "a partition of __consumer_offsets cannot be read: its groups have no coordinator"
        );
        self.give_up_coordinator(index, ErrorCode::CoordinatorNotAvailable);
        let again = self.now.monotonic + Duration::from(LOAD_PAUSE);
        self.coordinators.set_stage(index, Stage::Failed(again));
    }

    /// Whether what a coordinator decides could be made durable.
    fn may_be_coordinated(&self, key: PartitionKey) -> bool {
        let logs = &self.partitions.logs;
        logs.unknown_from(key).is_none() && logs.fenced_at(key).is_none() && !self.has_stopped_writing()
    }
}

impl Loading {
    fn take(&mut self, result: Result<Vec<Slice>, ReadError>) -> Step {
        match result {
            Ok(pieces) if pieces.iter().all(|piece| piece.is_empty()) => Step::Failed,
            Ok(pieces) => match self.replay(&pieces) {
                Ok(()) => Step::Replayed,
                Err(Damaged) => Step::Failed,
            },
            Err(ReadError::OutOfRange { start, .. }) if Some(start) > self.from => {
                self.from = Some(start);
                Step::Replayed
            }
            Err(ReadError::Busy) => Step::Busy,
            Err(
                ReadError::OutOfRange { .. }
                | ReadError::UnknownLog
                | ReadError::Fenced { .. }
                | ReadError::Device { .. },
            ) => Step::Failed,
        }
    }
}
