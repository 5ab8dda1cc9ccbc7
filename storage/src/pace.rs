//! How much goes straight to the segments with one round of the journal, so that who brings little does not wait for
//! the disk to take what others bring.
//!
//! Place: [`crate::commit`] asks before it fills a round, and tells when one begins and ends.
//!
//! Invariants:
//! - Where nobody with little came lately, a round may take as much as ever; where somebody did, for the next one may
//!   come while a round is in flight, a round that took long is followed by smaller ones.
//! - After a long round with direct writes those with little have one of their own, but never two in a row: the direct
//!   writes go on in between.

use millstream_protocol::time::{Duration, Instant};

use crate::limits::{DIRECT_BYTES_PER_ROUND_MAX, DIRECT_BYTES_PER_ROUND_MIN, SMALL_ROUND_BYTES};

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Pace {
    share: u64,
    /// The round in flight.
    round: Option<Round>,
    /// The last one that ended had direct writes and took long.
    was_slow: bool,
    /// When somebody with little was last seen.
    little_at: Option<Instant>,
}

#[derive(Debug)]
struct Round {
    began: Instant,
    bytes: u64,
    direct_bytes: u64,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace {
            share: FIRST_SHARE,
            round: None,
            was_slow: false,
            little_at: None,
        }
    }

    /// Bytes of direct writes that the next round may have, but for a batch that passes it; `has_little`: somebody
    /// waits for it with few bytes.
    pub(crate) fn direct_room(&mut self, has_little: bool, now: Instant) -> u64 {
        if has_little {
            self.little_at = Some(now);
        }
        let lately = |at| now.saturating_since(at) < REMEMBERED;
        if has_little && self.was_slow {
            0
        } else if self.little_at.is_some_and(lately) {
            self.share
        } else {
            DIRECT_BYTES_PER_ROUND_MAX
        }
    }

    /// A round of so many bytes was given to the disk.
    pub(crate) fn begin(&mut self, bytes: u64, direct_bytes: u64, now: Instant) {
        self.round = Some(Round {
            began: now,
            bytes,
            direct_bytes,
        });
    }

    /// It ended; tells how long it took, if it was small.
    pub(crate) fn end(&mut self, now: Instant) -> Option<Duration> {
        let round = self.round.take()?;
        let took = now.saturating_since(round.began);
        self.was_slow = round.direct_bytes > 0 && took > GOOD;
        if took > GOOD.saturating_mul(2) && round.direct_bytes > 0 {
            self.share = (self.share / 2).max(DIRECT_BYTES_PER_ROUND_MIN);
        } else if took < GOOD && round.direct_bytes >= self.share {
            self.share = (self.share + SHARE_STEP).min(DIRECT_BYTES_PER_ROUND_MAX);
        }
        (round.direct_bytes == 0 && round.bytes <= SMALL_ROUND_BYTES).then_some(took)
    }
}

/// A round that takes no longer is good for everybody: a few times what an idle disk needs for one record.
const GOOD: Duration = Duration::from_millis(2);
const FIRST_SHARE: u64 = 1 << 20;
/// Who wrote and waited comes again within this, if at all soon.
const REMEMBERED: Duration = Duration::from_millis(100);
const SHARE_STEP: u64 = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000_000_000);

    /// One round of so many bytes, so many milliseconds long.
    fn round(pace: &mut Pace, direct_bytes: u64, milliseconds: u64) {
        pace.begin(1_000, direct_bytes, NOW);
        pace.end(NOW + Duration::from_millis(milliseconds));
    }

    #[test]
    fn after_a_long_round_those_with_little_go_alone_and_once() {
        let mut pace = Pace::new();
        assert_eq!(pace.direct_room(true, NOW), FIRST_SHARE);
        round(&mut pace, 1 << 20, 3);
        assert_eq!(pace.direct_room(true, NOW), 0);
        round(&mut pace, 0, 3);
        assert!(pace.direct_room(true, NOW) > 0, "the others' turn");
        round(&mut pace, 1 << 20, 1);
        assert!(
            pace.direct_room(true, NOW) > 0,
            "a disk as fast as this keeps nobody waiting"
        );
    }

    #[test]
    fn it_tells_how_long_a_small_round_took() {
        let took = |bytes, direct_bytes| {
            let mut pace = Pace::new();
            pace.begin(bytes, direct_bytes, NOW);
            let took = pace.end(NOW + Duration::from_millis(1));
            assert_eq!(pace.end(NOW), None, "nothing is in flight");
            took
        };
        assert_eq!(took(SMALL_ROUND_BYTES, 0), Some(Duration::from_millis(1)));
        assert_eq!((took(SMALL_ROUND_BYTES + 1, 0), took(1_000, 1)), (None, None));
    }

    #[test]
    fn who_is_alone_has_all_of_a_round() {
        let mut pace = Pace::new();
        assert_eq!(pace.direct_room(false, NOW), DIRECT_BYTES_PER_ROUND_MAX);
        pace.direct_room(true, NOW);
        assert_eq!(
            pace.direct_room(false, NOW),
            FIRST_SHARE,
            "somebody may come again"
        );
        let later = NOW + REMEMBERED;
        assert_eq!(pace.direct_room(false, later), DIRECT_BYTES_PER_ROUND_MAX);
    }

    #[test]
    fn the_share_is_what_the_disk_takes_in_good_time() {
        let mut pace = Pace::new();
        (0..20).for_each(|_| round(&mut pace, 8 << 20, 10));
        assert_eq!(pace.share, DIRECT_BYTES_PER_ROUND_MIN);
        (0..200).for_each(|_| round(&mut pace, 8 << 20, 1));
        assert_eq!(pace.share, DIRECT_BYTES_PER_ROUND_MAX);
        (0..200).for_each(|_| round(&mut pace, 0, 10));
        assert_eq!(
            pace.share, DIRECT_BYTES_PER_ROUND_MAX,
            "it is not the direct writes"
        );
    }
}
