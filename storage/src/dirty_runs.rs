//! Which of a partition's bytes only the journal holds, and how they get into its segments.
//!
//! ```text
//! segment   │ in the segment │ run: journal holds it │ direct write │ run: journal holds it, still growing
//! │
//! ```
//!
//! Invariants (each keeps a power cut harmless):
//! - A block is written to the segment only while the journal holds all of its acknowledged bytes. So after
//!   a partial block was written, padded, and before that is durable, the next bytes are logged as an image
//!   of the whole block.
//! - A run counts as held by the journal since a round that is at or before the one that carried its first
//!   byte.
//! - One write-behind is in flight for a partition, so no two writes of one block ever are.

use std::collections::VecDeque;

use millstream_log::{FilePosition, RoundSequence, SegmentId};

use crate::journal::JournalPoint;
use crate::limits::{BLOCK, RUN_MARK_BYTES};

/// The runs of one partition, oldest first; the last one may be growing.
pub(crate) struct DirtyRuns {
    runs: VecDeque<Run>,
    behind: Option<Behind>,
    /// The block being filled is in the segment, or on its way there, and not wholly in the journal.
    image_needed: bool,
    /// The round that carried the first byte of the block being filled.
    block_since: Option<JournalPoint>,
    /// `block_since` of what is settled.
    settled_block_since: Option<JournalPoint>,
    /// All runs are in the rescue file, in rounds of this sequence: the journal need not hold them.
    rescued: Option<RoundSequence>,
}

/// Bytes of one segment that lie one after another.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) segment: SegmentId,
    /// A block boundary.
    pub(crate) from: FilePosition,
    /// Exclusive.
    pub(crate) to: FilePosition,
    /// Exclusive end of what is durable in the journal.
    settled: FilePosition,
    /// A replay from here meets all of it.
    since: JournalPoint,
    /// A replay from such a point meets all of it from that block boundary on; in order, [`RUN_MARK_BYTES`] apart.
    marks: VecDeque<(FilePosition, JournalPoint)>,
    /// Nothing will be appended to it: its partial block may be written as it is.
    closed: bool,
}

/// A write-behind in flight, of the front of the first run.
struct Behind {
    segment: SegmentId,
    /// The segment left the manifest meanwhile.
    forgotten: bool,
    to: FilePosition,
    /// The run's new `since` once this is done.
    since_after: Option<JournalPoint>,
}

/// What to write: whole blocks of `segment` from `from` on, the last one padded if `to` is not a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BehindPlan {
    pub(crate) segment: SegmentId,
    pub(crate) from: FilePosition,
    pub(crate) to: FilePosition,
}

impl DirtyRuns {
    pub(crate) fn new() -> DirtyRuns {
        DirtyRuns {
            runs: VecDeque::new(),
            behind: None,
            image_needed: false,
            block_since: None,
            settled_block_since: None,
            rescued: None,
        }
    }

    /// As recovery found it: the segment holds a padded partial block, and the journal nothing of it.
    pub(crate) fn set_image_needed(&mut self) {
        self.image_needed = true;
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn has_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// A replay from here meets every byte that the segments do not hold; `None` if they hold all.
    pub(crate) fn since(&self) -> Option<JournalPoint> {
        self.runs
            .front()
            .filter(|_| self.rescued.is_none())
            .map(|run| run.since)
    }

    /// The round of the rescue file from which on it holds all runs.
    pub(crate) fn rescued(&self) -> Option<RoundSequence> {
        self.rescued
    }

    /// All runs are durable in the rescue file. Nothing is appended to a rescued log.
    pub(crate) fn set_rescued(&mut self, sequence: RoundSequence) {
        self.rescued = Some(sequence);
    }

    /// The runs as segment, start and end (exclusive).
    pub(crate) fn runs(&self) -> impl Iterator<Item = (SegmentId, FilePosition, FilePosition)> {
        self.runs.iter().map(|run| (run.segment, run.from, run.to))
    }

    /// The log ends at `end` of `segment`: what lies beyond, in it and in later ones, was never
    /// acknowledged. A direct write that took the first run along failed.
    pub(crate) fn cut(&mut self, segment: SegmentId, end: FilePosition) {
        self.behind = None;
        self.runs.retain_mut(|run| {
            if run.segment == segment {
                run.to = run.to.min(end);
                run.settled = run.settled.min(end);
            }
            run.segment < segment || (run.segment == segment && run.from < run.to)
        });
        self.close();
    }

    /// The write-behind in flight is of a segment that left the manifest: how it ends means nothing.
    pub(crate) fn is_behind_forgotten(&self) -> bool {
        self.behind.as_ref().is_some_and(|behind| behind.forgotten)
    }

    /// The segment that the next write-behind is for.
    pub(crate) fn front_segment(&self) -> Option<SegmentId> {
        self.runs.front().map(|run| run.segment)
    }

    /// The journal durably holds all of the first run.
    pub(crate) fn is_front_settled(&self) -> bool {
        self.runs.front().is_some_and(|run| run.settled == run.to)
    }

    /// Where the first run of a segment begins; `None` if it has none.
    pub(crate) fn clean_until(&self, segment: SegmentId) -> Option<FilePosition> {
        self.runs
            .iter()
            .find(|run| run.segment == segment)
            .map(|run| run.from)
    }

    /// The segment left the manifest: its bytes need not be written any more.
    pub(crate) fn forget(&mut self, segment: SegmentId) {
        if let Some(behind) = self.behind.as_mut().filter(|behind| behind.segment == segment) {
            behind.forgotten = true;
        }
        self.runs.retain(|run| run.segment != segment);
    }

    /// As recovery found it: bytes that only the journal holds.
    pub(crate) fn recovered(
        &mut self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        since: JournalPoint,
    ) {
        // Runs out of the rescue file may be older than those before them; the journal is kept for the first run's
        // sake, so that one must be as old as any.
        for run in self.runs.iter_mut().filter(|run| run.since.head > since.head) {
            run.since = since;
        }
        self.begin_run(segment, from, to, since);
        self.block_since = Some(since);
        self.round_done();
    }

    /// Bytes in runs.
    pub(crate) fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.to - run.from).sum()
    }

    /// Where the next tail record must begin, if the segment's logged bytes end at `logged`.
    pub(crate) fn log_from(&self, logged: FilePosition) -> FilePosition {
        if self.image_needed {
            logged.block_floor()
        } else {
            logged
        }
    }

    /// A round at `point` carries `from..to` of `segment`; `from` is what [`DirtyRuns::log_from`] told.
    pub(crate) fn logged(
        &mut self,
        segment: SegmentId,
        from: FilePosition,
        to: FilePosition,
        point: JournalPoint,
    ) {
        let goes_on = self
            .runs
            .back()
            .is_some_and(|run| !run.closed && run.segment == segment && run.to == from);
        if to.block_floor() >= from {
            self.block_since = Some(point);
        }
        if goes_on {
            let run = self.runs.back_mut().expect("just looked at");
            run.to = to;
            let whole = from.block_ceil();
            let last = run.marks.back().map_or(run.from, |(position, _)| *position);
            if whole < to && whole >= last + RUN_MARK_BYTES {
                run.marks.push_back((whole, point));
            }
        } else {
            self.begin_run(segment, from, to, point);
        }
        self.image_needed = false;
    }

    /// Direct writes of the next round take the segment's blocks up to `to`. Tells from where on: the first
    /// run is taken along if it ends where they begin and nothing else writes it.
    pub(crate) fn direct(&mut self, segment: SegmentId, from: FilePosition, can_join: bool) -> FilePosition {
        assert!(from.is_aligned());
        if let [run] = self.runs.make_contiguous()
            && can_join
            && self.behind.is_none()
            && run.segment == segment
            && run.to == from
        {
            let start = run.from;
            run.closed = true;
            self.behind = Some(Behind {
                segment,
                forgotten: false,
                to: from,
                since_after: None,
            });
            return start;
        }
        if let Some(run) = self.runs.back_mut() {
            run.closed = true;
        }
        from
    }

    /// The segment takes no more bytes.
    pub(crate) fn sealed(&mut self) {
        if let Some(run) = self.runs.back_mut() {
            run.closed = true;
        }
        self.image_needed = false;
        self.block_since = None;
        self.settled_block_since = None;
    }

    /// As recovery found it: nothing goes on at the last run's end.
    pub(crate) fn close(&mut self) {
        if let Some(run) = self.runs.back_mut() {
            run.closed = true;
        }
    }

    /// The round in flight completed.
    pub(crate) fn round_done(&mut self) {
        for run in self.runs.iter_mut().rev() {
            if run.settled == run.to {
                break;
            }
            run.settled = run.to;
        }
        self.settled_block_since = self.block_since;
    }

    /// The next write-behind, of at most `bytes_max` (a multiple of [`BLOCK`]): full blocks of the first run that the
    /// journal holds durably; with `rest`, the block being filled as well.
    pub(crate) fn plan_behind(&mut self, rest: bool, bytes_max: u64) -> Option<BehindPlan> {
        assert!(
            bytes_max > 0 && bytes_max.is_multiple_of(BLOCK),
            "a piece of whole blocks"
        );
        if self.behind.is_some() {
            return None;
        }
        let last = self.runs.len() == 1;
        let run = self.runs.front_mut()?;
        let (to, padded) = if run.settled.is_aligned() || (run.closed && run.settled == run.to) {
            (run.settled, false)
        } else if rest && run.settled == run.to && !run.closed {
            (run.settled, true)
        } else {
            (run.settled.block_floor(), false)
        };
        if to <= run.from {
            return None;
        }
        let is_piece = to > run.from + bytes_max;
        let (to, padded) = if is_piece {
            (run.from + bytes_max, false)
        } else {
            (to, padded)
        };
        let plan = BehindPlan {
            segment: run.segment,
            from: run.from,
            to,
        };
        // Where this was all that is settled and not the whole run, what follows began in the block that was being
        // filled.
        let since_after = if is_piece {
            run.marked_until(to)
        } else if last {
            self.settled_block_since
        } else {
            Some(run.since)
        };
        self.behind = Some(Behind {
            segment: run.segment,
            forgotten: false,
            to,
            since_after,
        });
        if padded {
            self.image_needed = true;
        }
        Some(plan)
    }

    /// The write-behind in flight is durable in the segment.
    pub(crate) fn behind_done(&mut self) {
        let behind = self.behind.take().expect("a write-behind was in flight");
        if behind.forgotten {
            return;
        }
        let run = self.runs.front_mut().expect("a write-behind is of a run");
        if run.to == behind.to {
            self.runs.pop_front();
        } else {
            assert!(
                behind.to.is_aligned(),
                "after a padded block the image began another run"
            );
            run.from = behind.to;
            while run
                .marks
                .front()
                .is_some_and(|(position, _)| *position <= run.from)
            {
                run.marks.pop_front();
            }
            run.since = behind.since_after.unwrap_or(run.since);
        }
    }

    fn begin_run(&mut self, segment: SegmentId, from: FilePosition, to: FilePosition, since: JournalPoint) {
        if let Some(run) = self.runs.back_mut() {
            run.closed = true;
        }
        assert!(from.is_aligned(), "a run begins with a whole block");
        self.runs.push_back(Run {
            segment,
            from,
            to,
            settled: from,
            since,
            marks: VecDeque::new(),
            closed: false,
        });
    }
}

impl Run {
    /// The newest mark at or below `position`: a replay from there meets all of the run from `position` on.
    fn marked_until(&self, position: FilePosition) -> Option<JournalPoint> {
        let marks = self.marks.iter().take_while(|(mark, _)| *mark <= position);
        marks.last().map(|(_, point)| *point)
    }
}

#[cfg(test)]
mod tests {
    use millstream_log::{ChainPoint, RoundSequence};

    use super::*;

    fn point(head: u64) -> JournalPoint {
        JournalPoint {
            chain: ChainPoint {
                sequence: RoundSequence::new(1 + head / 4096),
                position: head,
                previous_crc: 0,
            },
            head,
        }
    }

    /// Rounds of 100,000 bytes each, none of which begins with a block.
    #[test]
    fn a_long_run_is_written_in_pieces_and_each_frees_the_rounds_that_it_was_in() {
        let segment = SegmentId::new(1);
        const PIECE: u64 = 256 << 10;
        let (round_bytes, rounds) = (100_000, 30);
        let mut runs = DirtyRuns::new();
        for round in 0..rounds {
            let from = FilePosition::new(round * round_bytes);
            runs.logged(segment, from, from + round_bytes, point(round * 131_072));
            if round + 1 < rounds {
                runs.round_done();
            }
        }
        let mut written = FilePosition::ZERO;
        let mut freed = 0;
        while let Some(plan) = runs.plan_behind(false, PIECE) {
            assert_eq!((plan.segment, plan.from), (segment, written));
            assert!(plan.to.is_aligned() && plan.to <= plan.from + PIECE);
            runs.behind_done();
            written = plan.to;
            let since = runs.since().expect("the last round is not done").head;
            let first_unwritten = written.get() / round_bytes;
            assert!(since <= first_unwritten * 131_072, "a byte that no round holds");
            let marked = written.get().saturating_sub(RUN_MARK_BYTES + BLOCK) / round_bytes;
            assert!(since >= marked * 131_072, "rounds are kept for nothing");
            assert!(since >= freed);
            freed = since;
        }
        assert_eq!(
            written,
            FilePosition::new((rounds - 1) * round_bytes).block_floor()
        );
    }

    #[test]
    fn the_journal_is_kept_for_the_oldest_of_recovered_runs_wherever_it_stands() {
        let mut runs = DirtyRuns::new();
        let at = |block: u64| FilePosition::new(block * 4096);
        runs.recovered(SegmentId::new(1), at(0), at(1), point(24_576));
        runs.recovered(SegmentId::new(2), at(0), at(1), point(4_096));
        runs.recovered(SegmentId::new(2), at(3), at(4), point(8_192));
        assert_eq!(runs.since(), Some(point(4_096)));
        for left in [Some(point(4_096)), Some(point(8_192)), None] {
            assert!(runs.plan_behind(true, 1 << 20).is_some());
            runs.behind_done();
            assert_eq!(runs.since(), left);
        }
    }
}
