//! How far a partition's log is accepted, durable and visible: three offsets, three types.
//!
//! Place: the owner shard holds one [`Watermarks`] a partition and moves it by what its log reports; what
//! moved is then reported to the purgatory.
//!
//! Invariants: `durable start <= start`, `flushed <= end`, `high watermark <= end`, and the high watermark never passes
//! what is flushed unless the topic relaxes flushing. None of them goes back while the partition stays open.

use millstream_protocol::types::Offset;

/// Exclusive end of what was appended: the next record's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEnd(pub Offset);

/// Exclusive end of what survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flushed(pub Offset);

/// Exclusive end of what consumers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HighWatermark(pub Offset);

/// Exclusive end of what consumers see that read committed transactions only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastStable(pub Offset);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    start: Offset,
    durable_start: Offset,
    end: LogEnd,
    flushed: Flushed,
    relaxed: bool,
    /// What consumers may have seen when the topic stopped relaxing the flush.
    shown: HighWatermark,
}

/// Marks that moved, each with where it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub flushed: Option<Flushed>,
    pub high_watermark: Option<HighWatermark>,
}

impl Watermarks {
    /// A log as it was opened: whatever it holds is flushed. `relaxed`: the topic lets records be
    /// acknowledged and read before they are flushed.
    #[track_caller]
    pub fn open(start: Offset, end: Offset, relaxed: bool) -> Self {
        assert!(start <= end, "a log starts before it ends");
        Self {
            start,
            durable_start: start,
            end: LogEnd(end),
            flushed: Flushed(end),
            relaxed,
            shown: HighWatermark(start),
        }
    }

    /// The first offset that can be read.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// What lies below stays deleted after a crash.
    pub fn durable_start(&self) -> Offset {
        self.durable_start
    }

    pub fn end(&self) -> LogEnd {
        self.end
    }

    pub fn flushed(&self) -> Flushed {
        self.flushed
    }

    /// With one replica: what is flushed, or all of it where the topic relaxes flushing.
    pub fn high_watermark(&self) -> HighWatermark {
        HighWatermark(if self.relaxed {
            self.end.0
        } else {
            self.flushed.0.max(self.shown.0)
        })
    }

    /// Without open transactions: the high watermark.
    pub fn last_stable(&self) -> LastStable {
        LastStable(self.high_watermark().0)
    }

    /// What an acknowledgement of the records below `end` waits for has come: `acks` of any kind follow the
    /// flush, and where the topic relaxes flushing they follow the append.
    pub fn is_acknowledged(&self, end: Offset) -> bool {
        self.high_watermark().0 >= end
    }

    /// Records were appended up to `end`, exclusive.
    #[track_caller]
    pub fn append(&mut self, end: Offset) -> Moved {
        assert!(end >= self.end.0, "the log's end went back");
        self.moving(|marks| marks.end = LogEnd(end))
    }

    /// Everything below `flushed` is flushed.
    #[track_caller]
    pub fn flush(&mut self, flushed: Offset) -> Moved {
        assert!(flushed <= self.end.0, "flushed what was never appended");
        self.moving(|marks| marks.flushed = marks.flushed.max(Flushed(flushed)))
    }

    /// Where the log would start if DeleteRecords removed what lies below `offset`; -1 stands for the high
    /// watermark. `None` is out of range: below 0, or beyond what consumers see.
    pub fn delete_before(&self, offset: i64) -> Option<Offset> {
        let high_watermark = self.high_watermark().0;
        let before = if offset == -1 {
            high_watermark
        } else {
            Offset::checked(offset)?
        };
        (before <= high_watermark).then(|| before.max(self.start))
    }

    /// The log's first readable offset rose by retention or DeleteRecords. It never passes the high
    /// watermark.
    #[track_caller]
    pub fn raise_start(&mut self, start: Offset) {
        assert!(start <= self.end.0, "the log starts beyond its end");
        self.start = self.start.max(start);
    }

    /// That is durable.
    #[track_caller]
    pub fn flush_start(&mut self, start: Offset) {
        self.raise_start(start);
        self.durable_start = self.durable_start.max(start);
    }

    /// The topic's `flush.messages` or `flush.ms` changed. Relaxing shows at once what is not flushed yet. Tightening
    /// takes nothing back that consumers have seen; what is appended from then on waits for its flush.
    pub fn set_relaxed(&mut self, relaxed: bool) -> Moved {
        self.moving(|marks| {
            marks.shown = marks.high_watermark();
            marks.relaxed = relaxed;
        })
    }

    fn moving(&mut self, change: impl FnOnce(&mut Self)) -> Moved {
        let before = *self;
        change(self);
        assert!(
            self.high_watermark() >= before.high_watermark(),
            "the high watermark went back"
        );
        Moved {
            flushed: (self.flushed > before.flushed).then_some(self.flushed),
            high_watermark: (self.high_watermark() > before.high_watermark()).then(|| self.high_watermark()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Offset {
        Offset::new(offset)
    }

    #[test]
    fn records_are_seen_once_they_are_flushed() {
        let mut marks = Watermarks::open(at(2), at(5), false);
        assert_eq!(marks.append(at(9)), Moved::default());
        assert_eq!(marks.high_watermark(), HighWatermark(at(5)));
        assert!(!marks.is_acknowledged(at(9)));
        let moved = Moved {
            flushed: Some(Flushed(at(7))),
            high_watermark: Some(HighWatermark(at(7))),
        };
        assert_eq!(marks.flush(at(7)), moved);
        assert_eq!(
            marks.flush(at(6)),
            Moved::default(),
            "an older flush reported late"
        );
        assert_eq!(marks.last_stable(), LastStable(at(7)));
        assert!(marks.is_acknowledged(at(7)));
    }

    #[test]
    fn relaxed_topics_are_seen_at_the_append() {
        let mut marks = Watermarks::open(at(0), at(0), true);
        let moved = Moved {
            flushed: None,
            high_watermark: Some(HighWatermark(at(3))),
        };
        assert_eq!(marks.append(at(3)), moved);
        assert_eq!(marks.flushed(), Flushed(at(0)));
    }

    #[test]
    fn tightening_takes_nothing_back() {
        let mut marks = Watermarks::open(at(0), at(0), true);
        marks.append(at(3));
        assert_eq!(marks.set_relaxed(false), Moved::default());
        assert_eq!(marks.high_watermark(), HighWatermark(at(3)));
        // The flush need not have caught up for the next record to wait for it.
        assert_eq!(marks.append(at(4)), Moved::default());
        marks.flush(at(2));
        assert_eq!(marks.high_watermark(), HighWatermark(at(3)));
        let moved = marks.flush(at(4)).high_watermark;
        assert_eq!(moved, Some(HighWatermark(at(4))));
    }

    #[test]
    fn relaxing_shows_what_waits() {
        let mut marks = Watermarks::open(at(0), at(0), false);
        marks.append(at(3));
        let moved = Moved {
            flushed: None,
            high_watermark: Some(HighWatermark(at(3))),
        };
        assert_eq!(marks.set_relaxed(true), moved);
        assert_eq!(marks.set_relaxed(true), Moved::default());
    }

    #[test]
    fn records_are_deleted_up_to_the_high_watermark() {
        let mut marks = Watermarks::open(at(2), at(5), false);
        marks.append(at(9));
        let check = |offset, expect: Option<i64>| assert_eq!(marks.delete_before(offset), expect.map(at));
        check(-1, Some(5));
        check(5, Some(5));
        check(1, Some(2));
        check(6, None);
        check(-2, None);
    }

    #[test]
    #[should_panic(expected = "flushed what was never appended")]
    fn no_flush_passes_the_end() {
        Watermarks::open(at(0), at(5), false).flush(at(6));
    }
}
