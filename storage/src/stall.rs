//! A round that the disk does not finish: who waits for it hears nothing, so an operator should.
//!
//! Place: told by [`crate::ShardLogs`] when a round begins and ends, asked once a second by its housekeeping.

use millstream_protocol::time::{Duration, Instant};

use crate::event::{LogEvent, StallReport};
use crate::limits::STALL_TOLD_AFTER_NS;
use crate::shard_logs::ShardLogs;

/// Watches the round in flight.
#[derive(Debug)]
pub(crate) struct StallWatch {
    begun: Option<Instant>,
    /// It is told, or told again, when it has taken this long.
    tell_after: Duration,
}

impl StallWatch {
    pub(crate) fn new() -> StallWatch {
        StallWatch {
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
        (self.tell_after > FIRST).then_some(LogEvent::Stall(StallReport { lasted, over: true }))
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
        Some(LogEvent::Stall(StallReport { lasted, over: false }))
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
}

const FIRST: Duration = Duration::from_nanos(STALL_TOLD_AFTER_NS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_after_a_while_then_ever_more_seldom_and_at_the_end() {
        let mut watch = StallWatch::new();
        let begun = Instant::ZERO + FIRST.saturating_mul(7);
        let after = |tenths: u64| begun + Duration::from_nanos(FIRST.as_nanos() / 10 * tenths);
        watch.begin(begun);
        let told: Vec<u64> = (0..100)
            .filter(|tenths| watch.look(after(*tenths)).is_some())
            .collect();
        assert_eq!(told, [10, 20, 40, 80]);
        let end = watch.end(after(100));
        assert!(
            matches!(end, Some(LogEvent::Stall(StallReport { lasted, over: true })) if begun + lasted == after(100))
        );
        assert_eq!(watch.lasting(after(200)), Duration::ZERO);
    }

    #[test]
    fn a_round_that_ends_in_time_is_nothing_to_tell() {
        let mut watch = StallWatch::new();
        watch.begin(Instant::ZERO);
        assert!(watch.look(Instant::ZERO + Duration::from_nanos(1)).is_none());
        assert!(watch.end(Instant::ZERO + FIRST.saturating_mul(3)).is_none());
        assert!(watch.look(Instant::ZERO + FIRST.saturating_mul(5)).is_none());
    }
}
