//! Producers whose first batch a log turned away for a while, as for want of room.
//!
//! Place: kept by [`crate::ShardLogs`], asked and told by its appends. A log takes any batch of a producer that it does
//! not know, as it may have forgotten it. Of a new producer's batches in flight the second would so be taken after the
//! first was turned away, and the first be out of order for good when it comes again: clients end for that. So whoever
//! comes after a batch that was turned away is turned away too, until that one came.
//!
//! Invariants: at most [`TURNED_AWAY_MAX`] are remembered, the newest, and each for [`REMEMBERED_FOR`]: a client may
//! have given its first batch up.

use std::collections::VecDeque;

use millstream_protocol::record::batch::ProducerStamp;
use millstream_protocol::time::{Duration, Instant};

use crate::event::LogId;

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway {
    /// Oldest first.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    log: LogId,
    /// Of the batch that was turned away first.
    stamp: ProducerStamp,
    since: Instant,
}

impl TurnedAway {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether an earlier batch of this producer, which `log` does not know, is still to come.
    pub(crate) fn is_ahead_of(&self, log: LogId, stamp: &ProducerStamp, now: Instant) -> bool {
        self.waiting.iter().any(|waiting| {
            waiting.is_of(log, stamp)
                && waiting.stamp.epoch == stamp.epoch
                && waiting.stamp.base_sequence != stamp.base_sequence
                && now < waiting.since + REMEMBERED_FOR
        })
    }

    /// `log`, which does not know this producer, turned its batch away.
    pub(crate) fn note(&mut self, log: LogId, stamp: &ProducerStamp, now: Instant) {
        self.forget(log, stamp);
        if self.waiting.len() == TURNED_AWAY_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting {
            log,
            stamp: *stamp,
            since: now,
        });
    }

    /// `log` took a batch of this producer.
    pub(crate) fn forget(&mut self, log: LogId, stamp: &ProducerStamp) {
        self.waiting.retain(|waiting| !waiting.is_of(log, stamp));
    }
}

impl Waiting {
    fn is_of(&self, log: LogId, stamp: &ProducerStamp) -> bool {
        self.log == log && self.stamp.id == stamp.id
    }
}

/// More than a shard has clients that begin in one moment of want; all of them are looked at for each batch of a
/// producer that its log does not know, while there are any.
const TURNED_AWAY_MAX: usize = 256;
/// Longer than a client waits before it sends a batch again.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use millstream_protocol::types::{ProducerEpoch, ProducerId, Sequence};

    use super::*;

    #[test]
    fn the_newest_are_remembered_and_each_for_a_while() {
        let mut turned_away = TurnedAway::default();
        let now = Instant::ZERO + Duration::from_secs(1000);
        for id in 0..=TURNED_AWAY_MAX as i64 {
            turned_away.note(LOG, &stamp(id, 0, 0), now);
        }
        assert_eq!(turned_away.waiting.len(), TURNED_AWAY_MAX);
        assert!(!turned_away.is_ahead_of(LOG, &stamp(0, 0, 1), now));
        assert!(turned_away.is_ahead_of(LOG, &stamp(1, 0, 1), now));
        assert!(!turned_away.is_ahead_of(LOG, &stamp(1, 0, 1), now + REMEMBERED_FOR));
        assert!(turned_away.is_ahead_of(LOG, &stamp(2, 0, 1), now));
    }

    #[test]
    fn only_what_follows_in_the_same_epoch_and_log_has_to_wait() {
        let mut turned_away = TurnedAway::default();
        turned_away.note(LOG, &stamp(1, 0, 5), Instant::ZERO);
        let is_ahead = |stamp| turned_away.is_ahead_of(LOG, &stamp, Instant::ZERO);
        assert!(is_ahead(stamp(1, 0, 6)));
        assert!(!is_ahead(stamp(1, 0, 5)));
        assert!(!is_ahead(stamp(1, 1, 0)));
        assert!(!is_ahead(stamp(2, 0, 6)));
        assert!(!turned_away.is_ahead_of(OTHER, &stamp(1, 0, 6), Instant::ZERO));
        turned_away.forget(LOG, &stamp(1, 0, 5));
        assert!(turned_away.is_empty());
    }

    fn stamp(id: i64, epoch: i16, sequence: i32) -> ProducerStamp {
        ProducerStamp {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::new(epoch),
            base_sequence: Sequence::new(sequence),
            last_sequence: Sequence::new(sequence),
        }
    }

    const LOG: LogId = LogId {
        slot: 1,
        generation: 0,
    };
    const OTHER: LogId = LogId {
        slot: 2,
        generation: 0,
    };
}
