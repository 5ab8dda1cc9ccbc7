//! The group commit: filling rounds, starting them, and what becomes true when one ends.

use std::collections::VecDeque;

use millstream_log::{FilePosition, Record, RoundBuilder, SegmentId};
use millstream_protocol::time::{Duration, Instant};
use millstream_ring::Ring;

use crate::event::{LogEvent, LogId, Now, Stalled};
use crate::journal::JournalEvent;
use crate::limits::{BLOCK, DIRECT_WRITE_BYTES_MIN_DEFAULT, SETTLE_AFTER_NS};
use crate::ops::Io;
use crate::partition_log::Fact;
use crate::rounds::{DirectWrite, Filled, Filling, fill};
use crate::segment_files::FileWork;
use crate::shard_logs::ShardLogs;
use crate::stall::StallWatch;
use crate::write_behind::{WriteKind, write_tag};

impl ShardLogs {
    /// Starts the next round with everything that is pending, as far as it fits.
    pub(crate) fn start_round<R: Ring>(&mut self, ring: &mut R, now: Now) {
        if self.stopped || !self.journal.is_ready() {
            return;
        }
        if !self.is_tight() {
            self.pending.append(&mut self.parked);
        }
        if self.pending.is_empty() {
            return self.settle_when_idle(ring, now);
        }
        let room = self.journal.round_bytes_max();
        if room < ROUND_BYTES_MIN {
            return;
        }
        let mut buf = self.journal.take_buffer();
        let mut builder = RoundBuilder::new(&mut buf[..room as usize]);
        let has_little = self.has_little();
        if has_little {
            self.disk.little_waits(now.monotonic);
        }
        let direct_room = self.pace.direct_room(has_little, now.monotonic);
        let mut direct = self.fill_round(&mut builder, room, direct_room, now);
        if builder.is_empty() && direct_room == 0 {
            // Those with little cannot go on.
            direct = self.fill_round(&mut builder, room, DIRECT_WRITE_BYTES_MIN_DEFAULT, now);
        }
        if builder.is_empty() {
            // All of it waits for space in its segments.
            self.journal.put_back(buf);
            self.unlist();
            return self.settle_when_idle(ring, now);
        }
        let header = self.journal.seal(builder, now.wall);
        self.pace.begin(header.length.into(), direct.bytes, now.monotonic);
        let mut io = Io {
            ring,
            ops: &mut self.ops,
        };
        self.journal.start(buf, header, direct.writes, false, &mut io);
        self.stall.begin(now.monotonic);
    }

    /// Somebody waits for the next round with few bytes.
    fn has_little(&self) -> bool {
        let direct_bytes_min = self.options.direct_write_bytes_min;
        let is_little = |id: &LogId| {
            self.logs
                .get(*id)
                .is_some_and(|log| (1..direct_bytes_min).contains(&log.pending.bytes))
        };
        self.pending.iter().any(is_little)
    }

    pub(crate) fn journal_event(&mut self, event: JournalEvent, now: Now, events: &mut Vec<LogEvent>) {
        match event {
            JournalEvent::None => {}
            JournalEvent::RoundDone => self.round_done(now, events),
            JournalEvent::Failed(error) => {
                self.stopped = true;
                self.stall = StallWatch::new(Stalled::Round);
                events.push(LogEvent::WritesStopped {
                    reason: format!("writing journal {} failed: {error}", self.journal.identity().id),
                });
            }
        }
    }

    /// Fills the round from the partitions that wait longest; tells what is written directly with it, which begins
    /// to be no more than `direct_room` bytes but for a batch that passes it.
    fn fill_round(
        &mut self,
        builder: &mut RoundBuilder<&mut [u8]>,
        room: u64,
        mut direct_room: u64,
        now: Now,
    ) -> DirectWrites {
        let point = self.journal.point();
        // When the ring is nearly full, whole blocks no longer go through it.
        let tight = self.is_tight();
        let direct_bytes_min = if tight {
            BLOCK
        } else {
            self.options.direct_write_bytes_min
        };
        let mut direct = Vec::new();
        let mut sum = DirectWrites::default();
        let mut later = VecDeque::new();
        for _ in 0..self.pending.len() {
            if builder.room() < ROUND_BYTES_MIN as usize / 2 {
                break;
            }
            let id = self.pending.pop_front().expect("counted above");
            let Some(log) = self.logs.get_mut(id) else {
                continue;
            };
            if tight && log.shadow.is_some() && log.damage.is_none() {
                // The checkpoint has it without this; what is left of the ring is for those that it waits
                // for, and for what is to be rescued.
                self.parked.push_back(id);
                continue;
            }
            // Who brings little does not wait for the disk to take what all others bring: their next piece goes with
            // the next round, before that of those whose piece is in this one.
            if direct_room == 0
                && log.pending.bytes >= direct_bytes_min
                && log.pending.bytes > ROUND_BYTES_MIN
            {
                later.push_back(id);
                continue;
            }
            let mut filling = Filling {
                builder,
                point,
                direct_bytes_min,
                direct_room,
                round_bytes: room,
                wants_space: None,
                now: now.wall,
            };
            let files = &self.files;
            let has_space = |segment, end| files.has_space(segment, end);
            let filled = fill(log, &mut filling, has_space, &mut direct);
            let wants_space = filling.wants_space;
            if !log.in_round.listed {
                log.in_round.listed = true;
                self.in_round.push(id);
            }
            log.listed = filled != Filled::All;
            if log.listed {
                self.pending.push_back(id);
            } else {
                self.pending_cost -= std::mem::take(&mut log.pending.cost);
                log.shadow = None;
            }
            if let Some((segment, end)) = wants_space {
                self.make_file(id, segment);
                match filled {
                    Filled::NeedsSpace => self.files.want_space(segment, end),
                    _ => self.files.hope_for_space(segment, end),
                }
            }
            self.note_dirty(id);
            for write in direct.drain(..) {
                let bytes = write.to - write.from;
                sum.writes += 1;
                sum.bytes += bytes;
                direct_room = direct_room.saturating_sub(bytes);
                if direct_room < DIRECT_WRITE_BYTES_MIN_DEFAULT {
                    // For what is left another batch would go, however large.
                    direct_room = 0;
                }
                self.submit_direct(id, &write);
            }
        }
        for id in later.into_iter().rev() {
            self.pending.push_front(id);
        }
        sum
    }

    /// There is no round: nobody waits for its end, but who has files to go with it.
    fn unlist(&mut self) {
        let logs = &mut self.logs;
        self.in_round.retain(|id| {
            logs.get_mut(*id).is_some_and(|log| {
                log.in_round.listed = !log.in_round.released.is_empty();
                log.in_round.listed
            })
        });
    }

    /// The ring has no room for a round.
    pub(crate) fn is_full(&self) -> bool {
        self.journal.round_bytes_max() < ROUND_BYTES_MIN
    }

    /// The ring is nearly full: what is left of it is for what a checkpoint waits for.
    pub(crate) fn is_tight(&self) -> bool {
        self.journal.live_bytes() > self.journal.ring_bytes() / 4 * 3
    }

    fn submit_direct(&mut self, id: LogId, write: &DirectWrite) {
        let log = self.logs.get_mut(id).expect("just filled");
        // As much again: a stream's next direct writes find their space reserved.
        self.files
            .hope_for_space(write.segment, write.to + DIRECT_AHEAD * (write.to - write.from));
        log.direct_outstanding = crate::write_behind::ask_for_writes(
            &mut self.files,
            &log.chunks,
            write.segment,
            write.from,
            write.to,
            write_tag(WriteKind::Direct, id),
        );
    }

    /// All that the round carried is durable now.
    fn round_done(&mut self, now: Now, events: &mut Vec<LogEvent>) {
        self.last_round = now.monotonic;
        events.extend(self.stall.end(now.monotonic));
        if let Some(took) = self.pace.end(now.monotonic) {
            self.disk.small_round_ended(took, now.monotonic);
        }
        let mut listed = std::mem::take(&mut self.in_round);
        for id in listed.drain(..) {
            self.round_done_for(id, now, events);
        }
        self.in_round = listed;
    }

    fn round_done_for(&mut self, id: LogId, now: Now, events: &mut Vec<LogEvent>) {
        let keeps_shadow = self.keeps_shadows();
        let Some(log) = self.logs.get_mut(id) else { return };
        let part = std::mem::take(&mut log.in_round);
        let mut says_again = false;
        log.dirty.round_done();
        let sealed = part.manifest.is_some();
        if sealed {
            log.manifest_durable = part.manifest;
        }
        if log.damage.is_none()
            && let Some(upto) = part.upto
        {
            log.state.flushed_to(upto);
            events.push(LogEvent::Flushed { log: id, upto });
        }
        if let Some(start) = part.start {
            events.push(LogEvent::StartMoved { log: id, start });
            if log.damage.is_none() && !log.state.is_removed() {
                if keeps_shadow && log.pending.is_empty() && log.shadow.is_none() {
                    log.shadow = Some(Box::new(log.state.clone()));
                }
                log.pending.facts.push_front(Fact::StartAgain { offset: start });
                says_again = true;
            }
        }
        if says_again {
            self.list(id);
        }
        let Some(log) = self.logs.get_mut(id) else { return };
        let failed = part.direct.is_some_and(|direct| direct.failed);
        if failed && !log.state.is_removed() {
            log.take_back(self.segment_ids.next(), now.wall);
            self.list(id);
            return self.note_dirty(id);
        }
        // Of a partition that is fenced no other seal comes than the one that takes back.
        if log.is_untaken && !failed && (sealed || part.removed) {
            log.is_untaken = false;
            self.journal.taken_back();
        }
        if log.damage.is_none() {
            log.acked = log.logging.map(|segment| (segment, log.logged));
        }
        if log.damage.is_none()
            && let Some(direct) = part.direct
        {
            if direct.joined {
                log.dirty.behind_done();
            }
            self.note_written(id, direct.segment);
        }
        if sealed {
            self.want_sidecars(id);
        }
        self.release(part.released.iter().copied());
        if part.removed {
            self.removed(id, part.released, events);
        }
        self.note_dirty(id);
    }

    /// What a fenced partition has accepted and in no round is never acknowledged, and may wait for ever for a file
    /// that cannot be made: it is taken back, so that the rest of the partition can be rescued. One a turn gives up.
    pub(crate) fn give_up_pending(&mut self, now: Now) {
        while let Some(id) = self.rescue.next_to_give_up() {
            let log = self.logs.get_mut(id);
            if log.as_ref().is_some_and(|log| log.in_round.listed) {
                return;
            }
            self.rescue.has_given_up();
            if let Some(log) = log.filter(|log| log.pending.bytes > 0) {
                log.take_back(self.segment_ids.next(), now.wall);
                self.list(id);
                return self.note_dirty(id);
            }
        }
    }

    /// The partition's deletion is durable: its memory goes now, its files when nothing uses them any more.
    fn removed(&mut self, id: LogId, segments: Vec<SegmentId>, events: &mut Vec<LogEvent>) {
        self.forget_dirty(id);
        let Some(mut log) = self.logs.remove(id) else {
            return;
        };
        self.dirty_bytes -= log.dirty_bytes;
        self.producers.changed(log.producers_counted, 0);
        self.pending_cost -= log.pending.cost;
        while log.chunks.front().is_some() {
            self.cache_bytes -= log.chunks.drop_front(&mut self.spare);
        }
        let key = log.key();
        let left: std::collections::BTreeSet<_> = segments
            .into_iter()
            .filter(|segment| self.unlinking.contains(segment))
            .collect();
        if left.is_empty() {
            events.push(LogEvent::Deleted { key });
        } else {
            self.deleting.insert(key, left);
        }
    }

    /// Removes the files of segments that no manifest names any more, durably.
    pub(crate) fn release(&mut self, segments: impl Iterator<Item = SegmentId>) {
        for segment in segments {
            self.unlinking.insert(segment);
            self.reads.forget(segment, &mut self.files);
            self.forget_index(segment);
            self.files.remove(segment, &mut self.file_events);
        }
    }

    /// An idle journal says once that its last round completed: then a start need not doubt that round's
    /// direct writes. The moment for it; `None` where it has been said, or where the rest of the ring is for others.
    pub(crate) fn settles_at(&self) -> Option<Instant> {
        let room = if self.pending.is_empty() {
            BLOCK
        } else {
            ROUND_BYTES_MIN
        };
        let may = !self.stopped && self.journal.is_ready() && self.parked.is_empty();
        let owes = may && self.journal.owes_settle() && self.journal.round_bytes_max() >= room;
        owes.then(|| self.last_round + Duration::from_nanos(SETTLE_AFTER_NS))
    }

    fn settle_when_idle<R: Ring>(&mut self, ring: &mut R, now: Now) {
        if self.settles_at().is_none_or(|at| now.monotonic < at) {
            return;
        }
        let mut buf = self.journal.take_buffer();
        let mut builder = RoundBuilder::new(&mut buf[..BLOCK as usize]);
        builder.push(&Record::Settle).expect("a block holds one word");
        let header = self.journal.seal(builder, now.wall);
        let mut io = Io {
            ring,
            ops: &mut self.ops,
        };
        self.journal.start(buf, header, 0, true, &mut io);
        self.stall.begin(now.monotonic);
    }

    /// Has a segment's file made, if its manifest record is durable.
    pub(crate) fn make_file(&mut self, id: LogId, segment: SegmentId) {
        let Some(log) = self.logs.get(id) else { return };
        if log.manifest_durable.is_none_or(|durable| segment > durable) {
            return;
        }
        let Some(known) = log.state.segment(segment) else {
            return;
        };
        let header = millstream_log::SegmentHeader {
            segment,
            partition: log.key(),
            base_offset: known.base_offset,
        };
        let holds_data = log.clean_end(segment) > FilePosition::ZERO;
        self.files.make(header, holds_data);
    }
}

/// What is written directly with a round.
#[derive(Default)]
struct DirectWrites {
    writes: u32,
    bytes: u64,
}

/// Direct writes of a size like the last one that are to find their space reserved.
const DIRECT_AHEAD: u64 = 4;
/// Less than this is no room for a round.
const ROUND_BYTES_MIN: u64 = 4 * BLOCK;

const _: () = assert!(std::mem::size_of::<FileWork>() <= 64);
