//! What the disk does not finish: who waits for it hears nothing, so an operator should.
//!
//! Place: one watch is told by [`crate::ShardLogs`] when a round of the journal begins and ends, another one looks at
//! everything else; both are asked once a second by its housekeeping.

use millstream_protocol::time::{Duration, Instant};

use crate::event::{LogEvent, StallReport, Stalled};
use crate::limits::STALL_TOLD_AFTER_NS;
use crate::shard_logs::ShardLogs;

/// Watches the round in flight, or the oldest of all others.
#[derive(Debug)]
pub(crate) struct StallWatch {
    what: Stalled,
    begun: Option<Instant>,
    /// It is told, or told again, when it has taken this long.
    tell_after: Duration,
}

impl StallWatch {
    pub(crate) fn new(what: Stalled) -> StallWatch {
        StallWatch {
            what,
            begun: None,
            tell_after: FIRST,
        }
    }

    /// A round was given to the disk.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
        self.tell_after = FIRST;
    }

    /// It ended. Tells of an end only where it told of the stall.
    pub(crate) fn end(&mut self, now: Instant) -> Option<LogEvent> {
        let lasted = now.saturating_since(self.begun.take()?);
        (self.tell_after > FIRST).then_some(LogEvent::Stall(StallReport {
            what: self.what,
            lasted,
            over: true,
        }))
    }

    /// As [`StallWatch::begin`] and [`StallWatch::end`], by whoever only knows since when the oldest one has been in
    /// flight.
    pub(crate) fn follow(&mut self, since: Option<Instant>, now: Instant) -> Option<LogEvent> {
        if self.begun == since {
            return None;
        }
        let over = self.end(now);
        if let Some(since) = since {
            self.begin(since);
        }
        over
    }

    /// Tells of a round that takes long, each time after twice as long as before.
    pub(crate) fn look(&mut self, now: Instant) -> Option<LogEvent> {
        let lasted = self.lasting(now);
        if lasted < self.tell_after {
            return None;
        }
        while self.tell_after <= lasted {
            self.tell_after = self.tell_after.saturating_mul(2);
        }
        Some(LogEvent::Stall(StallReport {
            what: self.what,
            lasted,
            over: false,
        }))
    }

    /// How long the round in flight takes by now; zero where none is.
    pub(crate) fn lasting(&self, now: Instant) -> Duration {
        self.begun
            .map_or(Duration::ZERO, |begun| now.saturating_since(begun))
    }
}

impl ShardLogs {
    /// How long the disk has had the round that is in flight; zero where none is.
    pub fn round_lasts(&self, now: Instant) -> Duration {
        self.stall.lasting(now)
    }

    /// How long the disk has had the oldest of all other operations, to a second; zero where none is in flight.
    pub fn others_last(&self, now: Instant) -> Duration {
        self.stall_of_others.lasting(now)
    }

    /// Once a second.
    pub(crate) fn look_for_stalls(&mut self, now: Instant, events: &mut Vec<LogEvent>) {
        events.extend(self.stall.look(now));
        events.extend(self.stall_of_others.follow(self.ops.oldest(now), now));
        events.extend(self.stall_of_others.look(now));
    }
}

const FIRST: Duration = Duration::from_nanos(STALL_TOLD_AFTER_NS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_after_a_while_then_ever_more_seldom_and_at_the_end() {
        let mut watch = StallWatch::new(Stalled::Round);
        let begun = Instant::ZERO + FIRST.saturating_mul(7);
        let after = |tenths: u64| begun + Duration::from_nanos(FIRST.as_nanos() / 10 * tenths);
        watch.begin(begun);
        let told: Vec<u64> = (0..100)
            .filter(|tenths| watch.look(after(*tenths)).is_some())
            .collect();
        assert_eq!(told, [10, 20, 40, 80]);
        let end = watch.end(after(100));
        assert!(
            matches!(end, Some(LogEvent::Stall(StallReport { lasted, over: true, .. })) if begun + lasted == after(100))
        );
        assert_eq!(watch.lasting(after(200)), Duration::ZERO);
    }

    #[test]
    fn the_oldest_one_may_change_and_only_what_was_told_of_has_an_end() {
        let mut watch = StallWatch::new(Stalled::Other);
        let at = |halves: u64| Instant::ZERO + Duration::from_nanos(FIRST.as_nanos() / 2 * halves);
        assert!(watch.follow(Some(at(0)), at(0)).is_none() && watch.look(at(1)).is_none());
        assert!(
            watch.follow(Some(at(1)), at(1)).is_none(),
            "another one, and nothing was told"
        );
        assert!(watch.look(at(2)).is_none(), "it began half as long ago");
        assert!(watch.follow(Some(at(1)), at(3)).is_none() && watch.look(at(3)).is_some());
        assert!(watch.follow(None, at(4)).is_some() && watch.follow(None, at(9)).is_none());
        assert_eq!(watch.lasting(at(9)), Duration::ZERO);
    }

    #[test]
    fn a_round_that_ends_in_time_is_nothing_to_tell() {
        let mut watch = StallWatch::new(Stalled::Round);
        watch.begin(Instant::ZERO);
        assert!(watch.look(Instant::ZERO + Duration::from_nanos(1)).is_none());
        assert!(watch.end(Instant::ZERO + FIRST.saturating_mul(3)).is_none());
        assert!(watch.look(Instant::ZERO + FIRST.saturating_mul(5)).is_none());
    }
}
