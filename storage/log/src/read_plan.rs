//! Which bytes to look at for an offset or for a time. The caller reads them, skips the batches before the
//! one it wants, and stops at its bound: the index knows where batches begin only here and there.

use alloc::vec::Vec;

use millstream_protocol::types::{Offset, TimestampMs};

use crate::id::{FilePosition, SegmentId};
use crate::partition::PartitionState;
use crate::segment::Segment;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadPlan {
    /// In this order. Empty where nothing lies between the offset asked for and the bound.
    Pieces(Vec<Piece>),
    /// Load this segment's index (sidecar, else rebuild) and plan again.
    NeedIndex(SegmentId),
}

/// Bytes of one segment; a batch begins at `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub segment: SegmentId,
    pub from: FilePosition,
    /// Exclusive: the start of an indexed batch, or the recorded end.
    pub to: FilePosition,
}

/// Where to look for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimePlan {
    /// The first batch whose largest timestamp is at least the one asked for is likely in this piece. If none
    /// of its batches at or beyond the offset asked from is one, plan again from `next`.
    Scan { piece: Piece, next: Offset },
    /// Load this segment's index and plan again.
    NeedIndex(SegmentId),
    /// No such batch.
    NotFound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Below the log's start or beyond its end; both as they are now.
    OutOfRange {
        start: Offset,
        end: Offset,
    },
    Removed,
}

impl PartitionState {
    /// Plans to read batches from `from` on, below `bound` (exclusive), about `max_bytes` of them: at least
    /// one index run if there is anything, and no more than `max_bytes` plus a run at either end.
    pub fn plan_read(&self, from: Offset, bound: Offset, max_bytes: u64) -> Result<ReadPlan, ReadError> {
        let (start, end) = self.check_offset(from)?;
        let bound = bound.min(end);
        let mut pieces = Vec::new();
        if bound <= from {
            return Ok(ReadPlan::Pieces(pieces));
        }
        let mut left = max_bytes;
        for segment in &self.segments()[self.segment_index(from.max(start))..] {
            if segment.base_offset >= bound || left == 0 && !pieces.is_empty() {
                break;
            }
            if segment.is_empty() || segment.end_offset <= from {
                continue;
            }
            let Some(piece) = piece(segment, from, bound, left) else {
                // What was planned so far is read first; the index is asked for when it is needed next.
                let plan = if pieces.is_empty() {
                    ReadPlan::NeedIndex(segment.id)
                } else {
                    ReadPlan::Pieces(pieces)
                };
                return Ok(plan);
            };
            left = left.saturating_sub(piece.to - piece.from);
            pieces.push(piece);
        }
        Ok(ReadPlan::Pieces(pieces))
    }

    /// Plans to find the first batch at or beyond offset `from` with a timestamp of at least `timestamp`.
    /// `from` is raised to the log's start.
    pub fn plan_time(&self, timestamp: TimestampMs, from: Offset) -> TimePlan {
        let from = from.max(self.offsets().start().get());
        for segment in self.segments() {
            let later = segment.max_timestamp.is_some_and(|max| max >= timestamp);
            if segment.end_offset <= from || !later {
                continue;
            }
            let Some(index) = &segment.index else {
                return TimePlan::NeedIndex(segment.id);
            };
            let found = index.run_for_time(timestamp, from);
            // After a cut the last bytes may not be indexed: they are looked at when no run is left.
            let unindexed = index.end() < segment.byte_end;
            let (from, to, next) = match found {
                Some((run, Some(next))) => (run.position, run.end, next),
                Some((run, None)) => (run.position, segment.byte_end, segment.end_offset),
                None if unindexed => (index.end(), segment.byte_end, segment.end_offset),
                None => continue,
            };
            return TimePlan::Scan {
                piece: Piece {
                    segment: segment.id,
                    from,
                    to,
                },
                next,
            };
        }
        TimePlan::NotFound
    }

    /// The largest timestamp that is served; [`Self::plan_time`] finds its batch. After a cut it may be larger than
    /// any that is left, and the look-up finds nothing.
    pub fn max_timestamp(&self) -> Option<TimestampMs> {
        let start = self.offsets().start().get();
        self.segments()
            .iter()
            .filter(|segment| segment.end_offset > start)
            .filter_map(|s| s.max_timestamp)
            .max()
    }

    fn check_offset(&self, from: Offset) -> Result<(Offset, Offset), ReadError> {
        if self.is_removed() {
            return Err(ReadError::Removed);
        }
        let (start, end) = (self.offsets().start().get(), self.offsets().end().get());
        if from < start || from > end {
            Err(ReadError::OutOfRange { start, end })
        } else {
            Ok((start, end))
        }
    }

    /// The last segment that begins at or below `offset`, or the first.
    fn segment_index(&self, offset: Offset) -> usize {
        self.segments()
            .partition_point(|segment| segment.base_offset <= offset)
            .saturating_sub(1)
    }
}

/// `None` without an index.
fn piece(segment: &Segment, from: Offset, bound: Offset, max_bytes: u64) -> Option<Piece> {
    let index = segment.index.as_ref()?;
    let start = if from <= segment.base_offset {
        FilePosition::ZERO
    } else {
        index.position_for(from)
    };
    let by_size = index.boundary_from(start + max_bytes.max(1));
    let by_bound = index.boundary_from_offset(bound);
    let to = [by_size, by_bound]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(segment.byte_end);
    Some(Piece {
        segment: segment.id,
        from: start,
        to,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::codec::Take;
    use crate::limits::INDEX_RUNS_MAX;
    use crate::record::Record;
    use crate::testing::{Chance, NOW, key, stored, summary};
    use crate::{LogConfig, SparseIndex};

    /// What a log is without any cleverness: its batches, where they lie, and three numbers.
    struct Naive {
        batches: Vec<Known>,
        start: i64,
        state: PartitionState,
        next_segment: u64,
        chance: Chance,
    }

    #[derive(Clone, Copy, Debug)]
    struct Known {
        base: i64,
        last: i64,
        timestamp: Option<i64>,
        segment: SegmentId,
        from: u64,
        to: u64,
    }

    impl Naive {
        fn new(seed: u64) -> Self {
            let mut state = PartitionState::new(key(0));
            state.apply(&state.open_record(SegmentId::new(1)), NOW).unwrap();
            Self {
                batches: Vec::new(),
                start: 0,
                state,
                next_segment: 2,
                chance: Chance(seed),
            }
        }

        fn end(&self) -> i64 {
            self.batches.last().map_or(0, |last| last.last + 1)
        }

        fn append(&mut self) {
            let (records, size) = (
                1 + self.chance.below(9) as i64,
                1 + self.chance.below(9_000) as usize,
            );
            let timestamp = (!self.chance.one_in(9)).then(|| self.chance.below(500) as i64);
            let bytes = alloc::vec![0; size];
            let mut batch = stored(summary(records, 0, 0), self.end(), &bytes);
            batch.summary.max_timestamp = timestamp.map(TimestampMs::new);
            let active = self.state.active().unwrap();
            let (segment, position) = (active.id, active.byte_end);
            let record = Record::Tail {
                partition: key(0),
                segment,
                position,
                bytes: &bytes,
                batches: &[batch],
            };
            self.state.apply(&record, NOW).unwrap();
            let (base, last) = (self.end(), self.end() + records - 1);
            let (from, to) = (position.get(), position.get() + size as u64);
            self.batches.push(Known {
                base,
                last,
                timestamp,
                segment,
                from,
                to,
            });
        }

        fn roll(&mut self) {
            let record = self.state.roll_record(SegmentId::new(self.next_segment));
            self.next_segment += 1;
            self.state.apply(&record, NOW).unwrap();
            let sealed = self.state.segments()[self.state.segments().len() - 2].id;
            if self.chance.one_in(2) {
                self.state.sidecar_written(sealed);
                assert!(self.state.unload_index(sealed));
            }
        }

        fn raise_start(&mut self) {
            self.start += self.chance.below((self.end() - self.start) as u64 / 4 + 1) as i64;
            let record = Record::LogStart {
                partition: key(0),
                offset: Offset::new(self.start),
            };
            self.state.apply(&record, NOW).unwrap();
        }

        fn retain(&mut self) {
            self.state.flushed_to(Offset::new(self.end()));
            let config = LogConfig {
                retention_ms: None,
                retention_bytes: Some(200_000),
                ..LogConfig::default()
            };
            let choice = self.state.retention(&config, Offset::new(self.end()), NOW);
            if let Some(record) = choice.record(&self.state) {
                self.state.apply(&record, NOW).unwrap();
                let gone = self.state.take_released();
                self.batches.retain(|batch| !gone.contains(&batch.segment));
                self.start = self
                    .start
                    .max(self.batches.first().map_or(self.start, |first| first.base));
            }
        }

        /// Cuts the log at a random batch that is left, maybe in an older segment.
        fn cut(&mut self) {
            let kept = self
                .batches
                .iter()
                .filter(|batch| batch.last + 1 >= self.start)
                .count() as u64;
            if kept == 0 {
                return;
            }
            let back = self.chance.below(kept.min(8)) as usize;
            let last = self.batches[self.batches.len() - 1 - back];
            let record = Record::Seal {
                partition: key(0),
                segment: last.segment,
                byte_end: FilePosition::new(last.to),
                end_offset: Offset::new(last.last + 1),
                successor: SegmentId::new(self.next_segment),
            };
            self.next_segment += 1;
            self.state.apply(&record, NOW).unwrap();
            self.state.take_released();
            self.batches.truncate(self.batches.len() - back);
        }

        fn reload(&mut self) {
            let mut bytes = Vec::new();
            self.state.encode(&mut bytes);
            let flushed = self.state.offsets().flushed();
            let read = PartitionState::decode(&mut Take::new(&bytes)).unwrap();
            assert_eq!(read.offsets().end(), self.state.offsets().end());
            let ids: Vec<SegmentId> = self.state.segments().iter().map(|segment| segment.id).collect();
            // What has a sidecar is read from there again.
            for id in ids {
                self.state.unload_index(id);
            }
            assert_eq!(read.segments(), self.state.segments());
            assert!(flushed <= read.offsets().flushed());
            self.state = read;
        }

        /// Gives a segment the index that a rebuild from its batches yields.
        fn rebuild(&mut self, segment: SegmentId) {
            let mut index = SparseIndex::new(segment);
            for batch in self.batches.iter().filter(|batch| batch.segment == segment) {
                let bytes = alloc::vec![0; (batch.to - batch.from) as usize];
                let mut batch_summary = summary(batch.last - batch.base + 1, 0, 0);
                batch_summary.max_timestamp = batch.timestamp.map(TimestampMs::new);
                index.push(&stored(batch_summary, batch.base, &bytes));
            }
            self.state.load_index(segment, index);
            assert!(self.state.segment(segment).unwrap().index.is_some());
        }

        fn check_read(&mut self) {
            let from = self.start + self.chance.below((self.end() - self.start + 1) as u64) as i64;
            let bound = from + self.chance.below((self.end() - from + 1) as u64) as i64;
            let max_bytes = self.chance.below(60_000);
            let plan = |naive: &Self| {
                naive
                    .state
                    .plan_read(Offset::new(from), Offset::new(bound), max_bytes)
                    .expect("in range")
            };
            let pieces = loop {
                match plan(self) {
                    ReadPlan::Pieces(pieces) => break pieces,
                    ReadPlan::NeedIndex(segment) => self.rebuild(segment),
                }
            };
            let in_bounds = |batch: &&Known| from < bound && batch.last >= from && batch.base < bound;
            let mut wanted = self.batches.iter().filter(in_bounds);
            let total: u64 = pieces.iter().map(|piece| piece.to - piece.from).sum();
            for piece in &pieces {
                let begins = |batch: &Known| batch.segment == piece.segment && batch.from == piece.from.get();
                assert!(self.batches.iter().any(begins), "no batch begins at {piece:?}");
                let inside: Vec<_> = self
                    .batches
                    .iter()
                    .filter(|batch| {
                        let (from, to) = (piece.from.get(), piece.to.get());
                        batch.segment == piece.segment && batch.from >= from && batch.to <= to
                    })
                    .collect();
                assert_eq!(
                    inside.last().map(|last| last.to),
                    Some(piece.to.get()),
                    "{piece:?} ends in a batch"
                );
                for batch in inside.into_iter().filter(in_bounds) {
                    assert_eq!(
                        wanted.next().map(|wanted| wanted.base),
                        Some(batch.base),
                        "out of order"
                    );
                }
            }
            let unread = wanted.next();
            assert!(
                !pieces.is_empty() || unread.is_none(),
                "{from}..{bound}: nothing planned"
            );
            let next_unloaded =
                unread.is_some_and(|batch| self.state.segment(batch.segment).unwrap().index.is_none());
            assert!(
                unread.is_none() || total >= max_bytes || next_unloaded,
                "{total} of {max_bytes} planned"
            );
        }

        fn check_time(&mut self) {
            let timestamp = self.chance.below(600) as i64;
            let matches = |batch: &&Known| {
                batch.last >= self.start && batch.timestamp.is_some_and(|found| found >= timestamp)
            };
            let expected = self.batches.iter().find(matches).map(|batch| batch.base);
            let mut from = Offset::new(self.start);
            let found = loop {
                match self.state.plan_time(TimestampMs::new(timestamp), from) {
                    TimePlan::NotFound => break None,
                    TimePlan::NeedIndex(segment) => self.rebuild(segment),
                    TimePlan::Scan { piece, next } => {
                        let inside = self.batches.iter().filter(|batch| {
                            let (low, high) = (piece.from.get(), piece.to.get());
                            batch.segment == piece.segment && batch.from >= low && batch.to <= high
                        });
                        let mut later = inside.filter(|batch| batch.last >= from.get());
                        let hit = later.find(|batch| batch.timestamp.is_some_and(|found| found >= timestamp));
                        if let Some(hit) = hit {
                            break Some(hit.base);
                        }
                        assert!(next > from, "a look-up goes on");
                        from = next;
                    }
                }
            };
            assert_eq!(found, expected, "timestamp {timestamp} from {}", self.start);
        }

        fn check_offsets(&self) {
            let offsets = self.state.offsets();
            assert_eq!(
                (offsets.start().get().get(), offsets.end().get().get()),
                (self.start, self.end())
            );
            let mut sizes = BTreeMap::new();
            self.batches
                .iter()
                .for_each(|batch| *sizes.entry(batch.segment).or_insert(0) = batch.to);
            assert_eq!(self.state.size(), sizes.values().sum::<u64>());
            let runs = self
                .state
                .segments()
                .iter()
                .filter_map(|segment| segment.index.as_ref());
            assert!(runs.map(SparseIndex::len).all(|len| len <= INDEX_RUNS_MAX));
        }
    }

    #[test]
    fn a_naive_log_agrees_on_every_read_and_look_up() {
        for seed in 0..40 {
            let mut naive = Naive::new(seed);
            for _ in 0..400 {
                match naive.chance.below(40) {
                    0 => naive.roll(),
                    1 => naive.raise_start(),
                    2 => naive.retain(),
                    3 if naive.chance.one_in(3) => naive.cut(),
                    4 => naive.reload(),
                    5..=9 => naive.check_read(),
                    10..=14 => naive.check_time(),
                    _ => naive.append(),
                }
                naive.check_offsets();
            }
        }
    }

    #[test]
    fn offsets_outside_the_log_are_told_with_its_bounds() {
        let mut naive = Naive::new(1);
        (0..9).for_each(|_| naive.append());
        let (start, end) = (Offset::new(3), Offset::new(naive.end()));
        naive
            .state
            .apply(
                &Record::LogStart {
                    partition: key(0),
                    offset: start,
                },
                NOW,
            )
            .unwrap();
        let read = |from| naive.state.plan_read(from, end, 1);
        assert_eq!(read(Offset::new(2)), Err(ReadError::OutOfRange { start, end }));
        assert_eq!(read(end + 1), Err(ReadError::OutOfRange { start, end }));
        assert_eq!(read(end), Ok(ReadPlan::Pieces(Vec::new())));
        assert!(matches!(read(start), Ok(ReadPlan::Pieces(pieces)) if pieces.len() == 1));
    }
}
