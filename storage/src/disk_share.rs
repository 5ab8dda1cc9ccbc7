//! How many pieces of cold bytes the disk is asked for at one time: a flush waits behind what was asked for before it.
//!
//! Place: one for all shards of a process. [`crate::commit`] tells who waits for a round and how long small rounds
//! take, [`crate::cold_pieces`] asks here before it asks the disk.
//!
//! Invariants:
//! - Where nobody with little wrote lately, each shard has as many pieces in flight as ever.
//! - Otherwise all of them together have as many as leave about half of the small rounds within [`GOOD`] times the
//!   quickest of late. A shard that has none in flight may always ask for one: so every read ends, and nobody need tell
//!   a shard that another one's have come.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use millstream_protocol::time::{Duration, Instant};

use crate::limits::COLD_PIECES_AT_ONCE;

/// See the module's page. Numbers that steer, and guard nothing: each is read and written by itself.
#[derive(Debug)]
pub(crate) struct DiskShare {
    /// Pieces that the disk was asked for, by all shards.
    in_flight: AtomicUsize,
    /// How many there may be while somebody with little is about.
    at_once: AtomicUsize,
    /// He is until then, in nanoseconds.
    little_until: AtomicU64,
    /// Nanoseconds of the quickest small round of this window and of the one before it.
    quickest: [AtomicU64; 2],
    window_until: AtomicU64,
}

impl DiskShare {
    pub(crate) fn new() -> DiskShare {
        DiskShare {
            in_flight: AtomicUsize::new(0),
            at_once: AtomicUsize::new(FIRST_AT_ONCE),
            little_until: AtomicU64::new(0),
            quickest: [u64::MAX, u64::MAX].map(AtomicU64::new),
            window_until: AtomicU64::new(0),
        }
    }

    /// Whether a shard that has so many pieces in flight may ask for another one.
    pub(crate) fn may_ask(&self, own: usize, now: Instant) -> bool {
        let alone = now.as_nanos() >= self.little_until.load(Ordering::Relaxed);
        let fits = || self.in_flight.load(Ordering::Relaxed) < self.at_once.load(Ordering::Relaxed);
        own == 0 || own < COLD_PIECES_AT_ONCE && (alone || fits())
    }

    /// The disk was asked for a piece.
    pub(crate) fn asked(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// So many of these pieces have come, or will not.
    pub(crate) fn ended(&self, pieces: usize) {
        self.in_flight.fetch_sub(pieces, Ordering::Relaxed);
    }

    /// Somebody waits for a round with few bytes.
    pub(crate) fn little_waits(&self, now: Instant) {
        let until = (now + REMEMBERED).as_nanos();
        self.little_until.fetch_max(until, Ordering::Relaxed);
    }

    /// A round of few bytes and no direct writes ended.
    pub(crate) fn small_round_ended(&self, took: Duration, now: Instant) {
        let good = self.quickest(took, now).saturating_mul(GOOD);
        let took = took.as_nanos();
        let before = self.at_once.load(Ordering::Relaxed);
        let after = if took > good.saturating_mul(2) {
            before / 2
        } else if took > good {
            before - 1
        } else if self.in_flight.load(Ordering::Relaxed) >= before {
            before + 1
        } else {
            before
        };
        self.at_once
            .store(after.clamp(1, COLD_PIECES_AT_ONCE), Ordering::Relaxed);
    }

    /// The quickest of late with this one, in nanoseconds: what the disk does when nobody keeps it busy, or nearly so.
    fn quickest(&self, took: Duration, now: Instant) -> u64 {
        let [present, last] = &self.quickest;
        let until = self.window_until.load(Ordering::Relaxed);
        if now.as_nanos() >= until {
            self.window_until
                .store((now + WINDOW).as_nanos(), Ordering::Relaxed);
            last.store(present.swap(u64::MAX, Ordering::Relaxed), Ordering::Relaxed);
        }
        let present = present
            .fetch_min(took.as_nanos(), Ordering::Relaxed)
            .min(took.as_nanos());
        present.min(last.load(Ordering::Relaxed))
    }
}

/// A small round may take so many times as long as the quickest one.
const GOOD: u64 = 2;
/// Until the first rounds tell more.
const FIRST_AT_ONCE: usize = 4;
/// Who wrote and waited comes again within this, if at all soon.
const REMEMBERED: Duration = Duration::from_millis(100);
/// A disk that became slower is believed after one or two of these.
const WINDOW: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000_000_000);
    const QUICK: Duration = Duration::from_micros(100);

    /// How many one more shard, which has one in flight, would have to find in flight to be refused.
    fn at_once(disk: &DiskShare, now: Instant) -> usize {
        let before = disk.in_flight.load(Ordering::Relaxed);
        let asked = (0..=COLD_PIECES_AT_ONCE)
            .take_while(|_| {
                let may = disk.may_ask(1, now);
                disk.asked();
                may
            })
            .count();
        disk.ended(disk.in_flight.load(Ordering::Relaxed) - before);
        before + asked
    }

    #[test]
    fn who_is_alone_has_as_many_as_ever() {
        let disk = DiskShare::new();
        assert!(disk.may_ask(COLD_PIECES_AT_ONCE - 1, NOW) && !disk.may_ask(COLD_PIECES_AT_ONCE, NOW));
        disk.little_waits(NOW);
        assert_eq!(at_once(&disk, NOW), FIRST_AT_ONCE);
        assert!(disk.may_ask(COLD_PIECES_AT_ONCE - 1, NOW + REMEMBERED));
    }

    #[test]
    fn slow_rounds_leave_one_for_each_shard() {
        let disk = DiskShare::new();
        disk.little_waits(NOW);
        disk.small_round_ended(QUICK, NOW);
        (0..10).for_each(|_| disk.small_round_ended(Duration::from_millis(10), NOW));
        assert_eq!(at_once(&disk, NOW), 1);
        disk.asked();
        assert!(!disk.may_ask(1, NOW));
        assert!(disk.may_ask(0, NOW), "another shard's first one");
    }

    #[test]
    fn it_finds_as_many_as_leave_half_of_the_rounds_good() {
        let disk = DiskShare::new();
        disk.little_waits(NOW);
        disk.small_round_ended(QUICK, NOW);
        // Every piece in flight costs a round a fifth of what it takes alone.
        for _ in 0..1_000 {
            let pieces = at_once(&disk, NOW);
            (0..pieces).for_each(|_| disk.asked());
            disk.small_round_ended(QUICK + Duration::from_micros(20 * pieces as u64), NOW);
            disk.ended(pieces);
        }
        assert!((4..=6).contains(&at_once(&disk, NOW)), "{disk:?}");
    }

    #[test]
    fn rounds_that_met_no_reads_let_in_no_more_of_them() {
        let disk = DiskShare::new();
        disk.little_waits(NOW);
        (0..100).for_each(|_| disk.small_round_ended(QUICK, NOW));
        assert_eq!(at_once(&disk, NOW), FIRST_AT_ONCE);
    }

    #[test]
    fn a_disk_that_became_slower_is_believed_after_a_while() {
        let disk = DiskShare::new();
        disk.small_round_ended(QUICK, NOW);
        let slow = QUICK.saturating_mul(10);
        let later = |windows: u64| NOW + WINDOW.saturating_mul(windows);
        assert_eq!(disk.quickest(slow, later(1)), QUICK.as_nanos());
        assert_eq!(disk.quickest(slow, later(2)), slow.as_nanos());
    }
}
