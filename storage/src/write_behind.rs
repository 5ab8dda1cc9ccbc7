//! From the journal to the segments, and the checkpoints that free the journal's space.
//!
//! Dirty partitions are kept in the order of the rounds since which they are; the oldest are written first:
//! their full blocks once the journal went on a quarter of its ring, their partial block as well once it
//! went on half of it.

use std::ops::Bound;

use millstream_log::planted::{self, Bug};
use millstream_log::{FilePosition, PartitionState, SegmentId};
use millstream_protocol::types::Offset;
use millstream_ring::{AlignedBuf, Completion, IoError, IoErrorKind, Ring, Slice};

use crate::checkpointer::{CheckpointEvent, CheckpointOp};
use crate::chunks::Chunks;
use crate::dirty_runs::BehindPlan;
use crate::event::{LogEvent, LogId, Now};
use crate::indexes::REBUILD_TAG;
use crate::journal::JournalPoint;
use crate::limits::{
    BLOCK, CHECKPOINT_STEP, CHECKPOINT_STEP_BYTES, SEGMENT_WRITE_BYTES_MAX, WRITE_BEHIND_BYTES_MAX,
    WRITE_BEHIND_LOOKS, write_behind_piece_bytes,
};
use crate::ops::Io;
use crate::rescue::{RescueEvent, RescueOp};
use crate::segment_files::{FileEvent, FileWork, SegmentFiles};
use crate::shard_logs::{ShardLogs, Shutdown};

/// Why a segment is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteKind {
    Direct,
    Behind,
}

impl ShardLogs {
    /// Submits write-behind of the oldest dirty partitions, as much as the moment allows.
    pub(crate) fn write_behind(&mut self) {
        if self.stopped {
            return;
        }
        self.rest();
        let ring = self.journal.ring_bytes();
        let head = self.journal.point().head;
        if self.behind_walk.is_none() && head < self.behind_walk_at && !self.is_hurried() {
            return;
        }
        let bytes_max = self.behind_bytes_max(head);
        for _ in 0..WRITE_BEHIND_LOOKS {
            if self.behind_bytes_in_flight >= bytes_max {
                return;
            }
            let after = self.behind_walk.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.dirty_order.range((after, Bound::Unbounded)).next().copied();
            let Some((since, id)) = next.filter(|(since, _)| self.is_due(head - since)) else {
                // The rest is young; what was looked at is on its way.
                self.behind_walk = None;
                self.behind_walk_at = head + ring / 256;
                return;
            };
            self.write_behind_one(id, self.may_pad(head - since));
            self.behind_walk = Some((since, id));
        }
    }

    /// Whether bytes that so much of the journal follows are to be written to their segment.
    fn is_due(&self, age: u64) -> bool {
        age >= self.journal.ring_bytes() / 4 || self.shutdown != Shutdown::No
    }

    /// Whether for their sake a block is written that is not full.
    fn may_pad(&self, age: u64) -> bool {
        age >= self.journal.ring_bytes() / 2 || self.shutdown != Shutdown::No
    }

    /// Bytes of write-behind that may be in flight: one piece until what holds up the ring is three eighths of it old,
    /// from then on the more the older it is.
    pub(crate) fn behind_bytes_max(&self, head: u64) -> u64 {
        let ring = self.journal.ring_bytes();
        let age = head - self.oldest_dirty(head);
        if self.is_hurried() || age >= ring / 2 {
            return WRITE_BEHIND_BYTES_MAX;
        }
        let (from, to) = (write_behind_piece_bytes(ring), WRITE_BEHIND_BYTES_MAX);
        from + (to - from) * age.saturating_sub(ring / 8 * 3) / (ring / 8)
    }

    /// The journal's head does not move on until there is room.
    fn is_hurried(&self) -> bool {
        self.shutdown != Shutdown::No || self.is_tight() || self.is_congested()
    }

    /// Takes up idle partitions.
    fn rest(&mut self) {
        for _ in 0..WRITE_BEHIND_LOOKS {
            if !self.may_rest() {
                return;
            }
            if let Some(id) = self.resting.pop_front() {
                if let Some(log) = self.logs.get_mut(id) {
                    log.in_rest_queue = false;
                }
                self.write_behind_one(id, true);
                if let Some(log) = self.logs.get_mut(id) {
                    log.rests = Some(log.last_append);
                }
            }
        }
    }

    /// Idle partitions wait to be taken up, and the disk has room for them.
    pub(crate) fn may_rest(&self) -> bool {
        !self.resting.is_empty() && self.behind_bytes_in_flight < SEGMENT_WRITE_BYTES_MAX
    }

    pub(crate) fn write_behind_one(&mut self, id: LogId, rest: bool) {
        let bytes_max = self.behind_bytes_max(self.journal.point().head);
        let piece = write_behind_piece_bytes(self.journal.ring_bytes());
        let room = bytes_max.saturating_sub(self.behind_bytes_in_flight) / piece;
        let Some(log) = self.logs.get_mut(id) else { return };
        if log.damage.is_some() || log.dirty.has_behind() {
            return;
        }
        let Some(segment) = log.dirty.front_segment() else {
            return;
        };
        if !self.files.is_made(segment) {
            return self.make_file(id, segment);
        }
        let Some(BehindPlan { segment, from, to }) = log.dirty.plan_behind(rest, room.max(1) * piece) else {
            return;
        };
        let tag = write_tag(WriteKind::Behind, id);
        log.behind_outstanding = ask_for_writes(&mut self.files, &log.chunks, segment, from, to, tag);
        self.behind_bytes_in_flight += to.block_ceil() - from;
    }

    /// The place in the journal since which the oldest dirty partition is, or `head`.
    fn oldest_dirty(&self, head: u64) -> u64 {
        self.dirty_order.first().map_or(head, |(since, _)| *since)
    }

    /// Files it under the round since which it is dirty, and counts its dirty bytes.
    pub(crate) fn note_dirty(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(id) else { return };
        let since = log.dirty.since().map(|since| since.head);
        if since != log.dirty_key {
            if let Some(old) = log.dirty_key {
                self.dirty_order.remove(&(old, id));
            }
            if let Some(new) = since {
                self.dirty_order.insert((new, id));
            }
            log.dirty_key = since;
        }
        let direct = log.in_round.direct.map_or(0, |direct| direct.bytes);
        let bytes = log.pending.bytes + log.dirty.bytes() + direct;
        self.dirty_bytes = self.dirty_bytes + bytes - log.dirty_bytes;
        log.dirty_bytes = bytes;
    }

    pub(crate) fn forget_dirty(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(id)
            && let Some(old) = log.dirty_key.take()
        {
            self.dirty_order.remove(&(old, id));
        }
    }

    /// Tells the state how much of a segment its file holds by now; the shadow as well, which may have a segment that
    /// the state has dropped: a checkpoint of it counts on the journal no further back than what is dirty now.
    pub(crate) fn note_written(&mut self, id: LogId, segment: SegmentId) {
        let Some(log) = self.logs.get_mut(id).filter(|log| !log.state.is_removed()) else {
            return;
        };
        let clean = log.clean_end(segment);
        let states = [Some(&mut log.state), log.shadow.as_deref_mut()];
        for state in states.into_iter().flatten() {
            note_written_in(state, segment, clean);
        }
        let known = log.state.segment(segment);
        if known.is_some_and(|known| known.sealed && known.written == known.byte_end) {
            self.want_sidecars(id);
        }
    }

    pub(crate) fn take_file_events(&mut self, now: Now, events: &mut Vec<LogEvent>) {
        let mut taken = std::mem::take(&mut self.file_events);
        for event in taken.drain(..) {
            self.file_event(event, now, events);
        }
        // Handling may have added some.
        taken.append(&mut self.file_events);
        self.file_events = taken;
    }

    fn file_event(&mut self, event: FileEvent, now: Now, events: &mut Vec<LogEvent>) {
        match event {
            FileEvent::MakeFailed { segment, error } => self.make_failed(segment, error, events),
            FileEvent::Written {
                segment,
                tag,
                len,
                result,
            } => match parse_tag(tag) {
                (WriteKind::Direct, id) => self.direct_written(id, segment, result, now, events),
                (WriteKind::Behind, id) => self.behind_written(id, segment, len, result, events),
            },
            FileEvent::Read { segment, tag, result } => match (tag, self.files.completed(segment, result)) {
                (REBUILD_TAG, result) => self.rebuild_read(segment, result, events),
                (tag, result) => self.reads.piece_read(segment, tag, result),
            },
            FileEvent::SidecarSaved { segment, result } => self.sidecar_saved(segment, result, events),
            FileEvent::SidecarLoaded { segment, result } => self.sidecar_loaded(segment, result, events),
            FileEvent::Removed(segment) => self.file_removed(segment, events),
            FileEvent::RemovalFailed { segment, error } => {
                let reason = format!("removing segment {segment} failed: {error}; it is tried again");
                events.push(LogEvent::Warning { reason });
            }
            FileEvent::Foreign { segment, what } => self.foreign(segment, &what, events),
            FileEvent::LittleSpace => self.house.doubt_space(),
            FileEvent::NoSpace => self.space_ran_out(events),
        }
    }

    fn direct_written(
        &mut self,
        id: LogId,
        segment: SegmentId,
        result: Result<(), IoError>,
        now: Now,
        events: &mut Vec<LogEvent>,
    ) {
        // The partition outlives its round, for its deletion is a record of a later one.
        let Some(log) = self.logs.get_mut(id) else { return };
        log.direct_outstanding -= 1;
        let done = log.direct_outstanding == 0;
        if let Err(error) = result
            && !planted::has(Bug::FailedWriteBelieved)
        {
            if log.direct_failed() {
                self.journal.direct_write_failed();
                self.checkpointer.give_up();
            }
            self.fence(id, segment, "writing", error, events);
        }
        if done {
            let event = self.journal.direct_write_done();
            self.journal_event(event, now, events);
        }
    }

    fn behind_written(
        &mut self,
        id: LogId,
        segment: SegmentId,
        len: u64,
        result: Result<(), IoError>,
        events: &mut Vec<LogEvent>,
    ) {
        self.behind_bytes_in_flight -= len;
        let Some(log) = self.logs.get_mut(id) else { return };
        log.behind_outstanding -= 1;
        if let Err(error) = result
            && !log.dirty.is_behind_forgotten()
            && !planted::has(Bug::FailedWriteBelieved)
        {
            return self.fence(id, segment, "writing", error, events);
        }
        if log.behind_outstanding == 0 && log.damage.is_none() {
            log.dirty.behind_done();
            let sealed = log.state.segment(segment).filter(|known| known.sealed);
            let end = sealed
                .map(|known| known.byte_end)
                .filter(|_| log.dirty.clean_until(segment).is_none());
            self.note_written(id, segment);
            self.note_dirty(id);
            if let Some(end) = end {
                self.files.ask(segment, FileWork::Trim { end });
            }
            self.go_on_behind(id);
        }
    }

    /// The next piece of a log of which one was written, if it is due and may be in flight.
    fn go_on_behind(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(id) else { return };
        let rests = log.rests == Some(log.last_append) && !log.dirty.is_clean();
        if rests {
            return self.lay_down(id);
        }
        log.rests = None;
        let head = self.journal.point().head;
        let age = log.dirty_key.map_or(0, |since| head - since);
        if self.is_due(age) && self.behind_bytes_in_flight < self.behind_bytes_max(head) {
            self.write_behind_one(id, self.may_pad(age));
        }
    }

    /// A file that cannot be made for want of space or descriptors is tried again later; nothing was lost.
    fn make_failed(&mut self, segment: SegmentId, error: IoError, events: &mut Vec<LogEvent>) {
        match error.kind() {
            IoErrorKind::NoSpace => self.space_ran_out(events),
            IoErrorKind::NoDescriptors | IoErrorKind::NoMemory => {}
            _ => {
                if let Some(id) = self.owner(segment) {
                    self.fence(id, segment, "making", error, events);
                }
            }
        }
    }

    /// The file under a segment's name is not the segment's: what the partition has there is not served, whatever
    /// lies behind the header.
    fn foreign(&mut self, segment: SegmentId, what: &str, events: &mut Vec<LogEvent>) {
        let Some(id) = self.owner(segment) else { return };
        let log = self.logs.get(id).expect("just found");
        let at = log
            .state
            .segment(segment)
            .map_or(Offset::ZERO, |known| known.base_offset);
        let path = millstream_log::layout::segment(segment);
        let why = |key| format!("partition {key} is fenced from offset {at} on: the file {path} {what}");
        self.fence_from(id, at, why, events);
    }

    /// The log that has this segment. Looks at all of them: for rare events only.
    fn owner(&self, segment: SegmentId) -> Option<LogId> {
        self.logs.iter().map(|(id, _)| id).find(|id| {
            self.logs
                .get(*id)
                .is_some_and(|log| log.state.segment(segment).is_some())
        })
    }

    fn file_removed(&mut self, segment: SegmentId, events: &mut Vec<LogEvent>) {
        self.unlinking.remove(&segment);
        let mut gone = Vec::new();
        for (key, left) in &mut self.deleting {
            if left.remove(&segment) && left.is_empty() {
                gone.push(*key);
            }
        }
        for key in gone {
            self.deleting.remove(&key);
            events.push(LogEvent::Deleted { key });
        }
    }

    /// Goes on with the rescue of what only the journal holds of fenced partitions.
    pub(crate) fn step_rescue<R: Ring>(&mut self, ring: &mut R, now: Now) {
        let logs = &self.logs;
        let next = self.journal.point().chain.sequence;
        let mut io = Io {
            ring,
            ops: &mut self.ops,
        };
        self.rescue.pump(next, now.wall, |id| logs.get(id), &mut io);
    }

    pub(crate) fn complete_rescue<R: Ring>(
        &mut self,
        op: RescueOp,
        completion: Completion,
        ring: &mut R,
        events: &mut Vec<LogEvent>,
    ) {
        let mut io = Io {
            ring,
            ops: &mut self.ops,
        };
        match self.rescue.complete(op, completion, &mut io) {
            RescueEvent::None => {}
            RescueEvent::Saved { log: id, sequence } => {
                if let Some(log) = self.logs.get_mut(id) {
                    log.dirty.set_rescued(sequence);
                    self.note_dirty(id);
                }
            }
            RescueEvent::Failed(error) => {
                let reason = format!("the rescue file failed as well ({error}); the journal will fill up");
                events.push(LogEvent::Warning { reason });
            }
        }
    }

    /// Begins a checkpoint when it would free enough, and goes on with the one under way.
    pub(crate) fn step_checkpoint<R: Ring>(&mut self, ring: &mut R, now: Now) {
        if self.stopped {
            return;
        }
        if self.checkpointer.is_idle() {
            self.begin_checkpoint(now);
        }
        self.collect_checkpoint();
        let settled = self.journal.settled();
        self.checkpointer.pump(
            settled,
            &mut Io {
                ring,
                ops: &mut self.ops,
            },
        );
    }

    fn begin_checkpoint(&mut self, _now: Now) {
        let next = self.journal.point();
        let live = self.journal.live_bytes();
        let freed = live - (next.head - self.oldest_dirty(next.head));
        let ring = self.journal.ring_bytes();
        let pressed = (self.is_tight() || self.is_congested()) && freed >= ring / 16;
        let drained = self.shutdown == Shutdown::Draining && self.is_drained();
        if drained {
            self.shutdown = Shutdown::Marking;
        }
        if freed >= ring / 4 || pressed || drained {
            self.checkpointer.begin(next, drained);
        }
    }

    /// Everything accepted is in the segments.
    fn is_drained(&self) -> bool {
        self.pending.is_empty()
            && self.parked.is_empty()
            && self.in_round.is_empty()
            && !self.journal.has_round_in_flight()
            && !self.journal.owes_settle()
            && self
                .dirty_order
                .iter()
                .all(|(_, id)| self.logs.get(*id).is_some_and(|log| log.damage.is_some()))
    }

    /// Offers partitions to the checkpoint being collected.
    fn collect_checkpoint(&mut self) {
        if self.checkpointer.is_collecting() {
            let next: JournalPoint = self.journal.point();
            let (looks, bytes, full) = (CHECKPOINT_STEP, CHECKPOINT_STEP_BYTES, self.is_full());
            self.checkpointer.collect(looks, bytes, next, full, &self.logs);
        }
    }

    pub(crate) fn complete_checkpoint<R: Ring>(
        &mut self,
        op: CheckpointOp,
        completion: Completion,
        ring: &mut R,
        now: Now,
        events: &mut Vec<LogEvent>,
    ) {
        let unlinks: Vec<SegmentId> = self.unlinking.iter().copied().collect();
        let mut io = Io {
            ring,
            ops: &mut self.ops,
        };
        match self
            .checkpointer
            .complete(op, completion, &unlinks, now.wall, &mut io)
        {
            CheckpointEvent::None => {}
            CheckpointEvent::Done { floor } => {
                self.journal.free_to(floor);
                if self.shutdown == Shutdown::Marking {
                    self.shutdown = Shutdown::Done;
                }
            }
            // Everything accepted is durable without the mark of an orderly end; the next start looks at the journal.
            CheckpointEvent::Failed(error) if self.shutdown == Shutdown::Marking => {
                self.shutdown = Shutdown::Done;
                let reason =
                    format!("the orderly end could not be marked: {error}; the next start takes longer");
                events.push(LogEvent::Warning { reason });
            }
            CheckpointEvent::Failed(error) if error.kind() == IoErrorKind::NoSpace => {
                self.space_ran_out(events);
            }
            // Not the slot's fault: tried again after a while.
            CheckpointEvent::Failed(error)
                if matches!(error.kind(), IoErrorKind::NoDescriptors | IoErrorKind::NoMemory) => {}
            // The other slot holds; the journal fills up, and its end is told where it stops the shard.
            CheckpointEvent::Failed(error) => {
                self.stopped = true;
                let reason = format!(
                    "writing the checkpoint of journal {} failed: {error}",
                    self.journal.identity().id
                );
                events.push(LogEvent::WritesStopped { reason });
            }
        }
    }
}

/// The file of `segment` holds all bytes below `clean` that `state` knows of.
fn note_written_in(state: &mut PartitionState, segment: SegmentId, clean: FilePosition) {
    if let Some(byte_end) = state.segment(segment).map(|known| known.byte_end) {
        let whole = clean >= byte_end;
        state.written_to(segment, if whole { byte_end } else { clean.block_floor() });
    }
}

/// Asks for durable writes of `from..to`, in pieces; the last block is padded with zeroes. Tells how many.
pub(crate) fn ask_for_writes(
    files: &mut SegmentFiles,
    chunks: &Chunks,
    segment: SegmentId,
    from: FilePosition,
    to: FilePosition,
    tag: u64,
) -> u32 {
    let mut pieces = 0;
    let mut at = from;
    while at < to {
        let end = (at + SEGMENT_WRITE_BYTES_MAX).min(to);
        let mut slices: Vec<Slice> = Vec::new();
        let whole = end.block_floor();
        chunks.slices(segment, at, whole, &mut slices);
        if whole < end {
            let mut block = AlignedBuf::zeroed(BLOCK as usize);
            let mut filled = 0;
            chunks.bytes(segment, whole, end, |bytes| {
                block[filled..filled + bytes.len()].copy_from_slice(bytes);
                filled += bytes.len();
            });
            slices.push(block.freeze());
        }
        files.ask(
            segment,
            FileWork::Write {
                at,
                slices,
                len: end.block_ceil() - at,
                tag,
            },
        );
        pieces += 1;
        at = end;
    }
    pieces
}

pub(crate) fn write_tag(kind: WriteKind, id: LogId) -> u64 {
    assert!(id.slot < 1 << 30);
    let kind = match kind {
        WriteKind::Direct => 0,
        WriteKind::Behind => 1,
    };
    kind << 62 | u64::from(id.slot) << 32 | u64::from(id.generation)
}

fn parse_tag(tag: u64) -> (WriteKind, LogId) {
    let kind = if tag >> 62 == 0 {
        WriteKind::Direct
    } else {
        WriteKind::Behind
    };
    (
        kind,
        LogId {
            slot: (tag >> 32) as u32 & ((1 << 30) - 1),
            generation: tag as u32,
        },
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use millstream_log::{LogConfig, PartitionKey, Record, StoredBatch};
    use millstream_protocol::record::batch::Batches;
    use millstream_protocol::record::builder::BatchBuilder;
    use millstream_protocol::time::Instant;
    use millstream_protocol::types::{LeaderEpoch, PartitionIndex, TimestampMs, TopicId};
    use millstream_ring::simulated::{SimOptions, SimWorld};

    use super::*;
    use crate::{StorageOptions, TopicFate};

    /// A checkpoint of the shadow, with the journal from what is dirty now on, would lack the bytes between.
    #[test]
    fn the_shadow_knows_what_was_written_of_a_segment_that_the_state_has_dropped() {
        let now = Now {
            monotonic: Instant::from_nanos(1),
            wall: TimestampMs::new(1_700_000_000_000),
        };
        let key = PartitionKey {
            topic: TopicId::new([7; 16]),
            partition: PartitionIndex::new(0),
        };
        let mut options = StorageOptions::for_shards(1);
        options.lock = false;
        let world = SimWorld::new(1, SimOptions::default());
        let live = |_| TopicFate::Live;
        let (dir, mut ring) = (Path::new("/data"), world.ring());
        let mut booted = crate::open(&mut ring, dir, &options, 1, &live, 7, now).unwrap();
        let shard = &mut booted.shards[0];
        let id = shard.create(key, LogConfig::default(), LeaderEpoch::ZERO, now);
        let log = shard.logs.get_mut(id).unwrap();
        let [old, new] = [1, 2].map(SegmentId::new);
        let bytes = BatchBuilder::new()
            .record(now.wall, None, Some(&[1; 9000]), &[])
            .build();
        let summary = Batches::new(&bytes).next().unwrap().unwrap().summary();
        let tail = Record::Tail {
            partition: key,
            segment: old,
            position: FilePosition::ZERO,
            bytes: &bytes,
            batches: &[StoredBatch { summary, crc: 0 }],
        };
        log.state.apply(&log.state.open_record(old), now.wall).unwrap();
        log.state.apply(&tail, now.wall).unwrap();
        log.state.apply(&log.state.roll_record(new), now.wall).unwrap();
        log.logging = Some(new);
        log.shadow = Some(Box::new(log.state.clone()));
        let dropped = Record::Dropped {
            partition: key,
            segments: &[old],
            log_start: Offset::new(1),
        };
        log.state.apply(&dropped, now.wall).unwrap();
        shard.note_written(id, old);
        let shadow = shard.logs.get(id).unwrap().shadow.as_ref().unwrap();
        let known = shadow.segment(old).unwrap();
        assert_eq!(known.written, known.byte_end);
    }
}
