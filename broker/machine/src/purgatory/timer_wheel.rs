//! Deadlines of numbered things, armed and disarmed in constant time.
//!
//! Place: inside the purgatory, whose request numbers it uses.
//!
//! A hierarchy of wheels with 64 buckets each. A bucket of the first wheel holds the deadlines of one tick,
//! one of the next wheel those of 64 ticks, and so on. A deadline goes to the first wheel on which it shares
//! all higher digits (base 64) with the present tick, so it never wraps; it moves down a wheel when its
//! bucket's time comes, seven times at most.
//!
//! Invariants: a thing is due at its deadline's tick, rounded up, and never earlier; every occupied bucket
//! lies after the present tick.

use alloc::vec::Vec;

use millstream_protocol::time::Instant;

#[derive(Debug)]
pub(super) struct TimerWheel {
    /// Ticks up to this one have been looked at.
    now: u64,
    /// By number; grows to the largest one.
    timers: Vec<Timer>,
    /// First thing of every bucket, and of those that are due.
    firsts: [u32; WHEELS * BUCKETS + 1],
    /// By wheel: which of its buckets hold something.
    occupied: [u64; WHEELS],
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    tick: u64,
    bucket: u16,
    before: u32,
    after: u32,
}

impl TimerWheel {
    pub fn new(now: Instant) -> Self {
        Self {
            now: now.as_nanos() >> TICK_BITS,
            timers: Vec::new(),
            firsts: [NONE; WHEELS * BUCKETS + 1],
            occupied: [0; WHEELS],
        }
    }

    /// Sets the deadline of `number`, which has none.
    pub fn arm(&mut self, number: u32, deadline: Instant) {
        let index = number as usize;
        if index >= self.timers.len() {
            self.timers.resize(index + 1, UNARMED);
        }
        assert!(self.timers[index].bucket == UNARMED.bucket, "armed twice");
        self.timers[index].tick = deadline.as_nanos().div_ceil(1 << TICK_BITS);
        self.place(number);
    }

    /// Takes the deadline of `number` away, if it has one.
    pub fn disarm(&mut self, number: u32) {
        let Some(timer) = self.timers.get_mut(number as usize) else {
            return;
        };
        let Timer {
            bucket,
            before,
            after,
            ..
        } = *timer;
        if bucket == UNARMED.bucket {
            return;
        }
        *timer = UNARMED;
        match before {
            NONE => self.firsts[bucket as usize] = after,
            before => self.timers[before as usize].after = after,
        }
        if after != NONE {
            self.timers[after as usize].before = before;
        }
        if bucket != DUE && self.firsts[bucket as usize] == NONE {
            self.occupied[bucket as usize / BUCKETS] &= !(1 << (bucket as usize % BUCKETS));
        }
    }

    /// Moves the present to `now`; what became due is there for [`Self::pop_due`].
    pub fn advance(&mut self, now: Instant) {
        let target = now.as_nanos() >> TICK_BITS;
        while let Some((bucket, tick)) = self.first_bucket()
            && tick <= target
        {
            self.now = tick;
            let mut next = core::mem::replace(&mut self.firsts[bucket as usize], NONE);
            self.occupied[bucket as usize / BUCKETS] &= !(1 << (bucket as usize % BUCKETS));
            while next != NONE {
                let number = next;
                next = self.timers[number as usize].after;
                self.place(number);
            }
        }
        self.now = self.now.max(target);
    }

    /// Takes out one thing that is due.
    pub fn pop_due(&mut self) -> Option<u32> {
        let number = self.firsts[DUE as usize];
        if number == NONE {
            return None;
        }
        self.disarm(number);
        Some(number)
    }

    /// When [`Self::advance`] has something to do: at the first deadline, or before it where that lies far
    /// off.
    pub fn next(&self) -> Option<Instant> {
        let at = |tick: u64| Instant::from_nanos(tick.saturating_mul(1 << TICK_BITS));
        if self.firsts[DUE as usize] != NONE {
            return Some(at(self.now));
        }
        self.first_bucket().map(|(_, tick)| at(tick))
    }

    /// Links `number` into the bucket of its tick, as seen from the present.
    fn place(&mut self, number: u32) {
        let tick = self.timers[number as usize].tick;
        let bucket = if tick <= self.now {
            DUE
        } else {
            let highest_difference = 63 - (tick ^ self.now).leading_zeros();
            let wheel = highest_difference as usize / DIGIT_BITS;
            let digit = (tick >> (wheel * DIGIT_BITS)) as usize % BUCKETS;
            self.occupied[wheel] |= 1 << digit;
            (wheel * BUCKETS + digit) as u16
        };
        let after = core::mem::replace(&mut self.firsts[bucket as usize], number);
        if after != NONE {
            self.timers[after as usize].before = number;
        }
        self.timers[number as usize] = Timer {
            tick,
            bucket,
            before: NONE,
            after,
        };
    }

    /// The occupied bucket whose time comes first, and its first tick. A lower wheel's buckets all come
    /// before those of a higher one, because they share the present's higher digits.
    fn first_bucket(&self) -> Option<(u16, u64)> {
        let wheel = self.occupied.iter().position(|&occupied| occupied != 0)?;
        let digit = self.occupied[wheel].trailing_zeros() as usize;
        let shift = wheel * DIGIT_BITS;
        // The present's digits above this wheel's. The uppermost wheel has none above it.
        let above = (self.now >> shift >> DIGIT_BITS) << DIGIT_BITS << shift;
        Some(((wheel * BUCKETS + digit) as u16, above | (digit as u64) << shift))
    }
}

/// A tick is 2^20 ns, about a millisecond: finer than any deadline that a client can give.
const TICK_BITS: u32 = 20;
const DIGIT_BITS: usize = 6;
const BUCKETS: usize = 1 << DIGIT_BITS;
/// Enough digits for every tick that an [`Instant`] can name.
const WHEELS: usize = (u64::BITS - TICK_BITS) as usize / DIGIT_BITS + 1;
const _: () = assert!(WHEELS * DIGIT_BITS >= (u64::BITS - TICK_BITS) as usize);

/// The list of what is due, after all the buckets.
const DUE: u16 = (WHEELS * BUCKETS) as u16;
const UNARMED: Timer = Timer {
    tick: 0,
    bucket: u16::MAX,
    before: NONE,
    after: NONE,
};
/// The end of a list.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use millstream_protocol::time::Duration;
    use std::collections::BTreeMap;

    const TICK: u64 = 1 << TICK_BITS;

    /// Whatever is armed, disarmed and waited for, what is due is what a plain map says.
    #[test]
    fn agrees_with_a_map() {
        let mut random = Random::new(7);
        let start = Instant::from_nanos(u64::MAX / 3);
        let mut wheel = TimerWheel::new(start);
        let mut model: BTreeMap<u32, Instant> = BTreeMap::new();
        let mut now = start;
        for _ in 0..30_000 {
            let number = random.below(200) as u32;
            match random.below(4) {
                0 | 1 if !model.contains_key(&number) => {
                    // Short and very long ones, some in the past.
                    let span = Duration::from_nanos(random.of_any_size(55));
                    let deadline = if random.below(10) == 0 { start } else { now + span };
                    wheel.arm(number, deadline);
                    model.insert(number, deadline);
                }
                2 => {
                    wheel.disarm(number);
                    model.remove(&number);
                }
                _ => {
                    now += Duration::from_nanos(random.of_any_size(52));
                    if random.below(3) == 0 {
                        now = wheel.next().unwrap_or(now).max(now);
                    }
                    wheel.advance(now);
                    while let Some(due) = wheel.pop_due() {
                        let deadline = model.remove(&due).expect("armed");
                        assert!(deadline <= now, "due {} ns early", (deadline - now).as_nanos());
                    }
                    let late = |deadline: &Instant| deadline.as_nanos() + TICK <= now.as_nanos();
                    assert!(!model.values().any(late), "not due in time");
                }
            }
            let first = model.values().min();
            match (wheel.next(), first) {
                (None, None) => {}
                (Some(next), Some(first)) => {
                    assert!(next.as_nanos() < first.as_nanos().max(now.as_nanos()) + TICK)
                }
                (next, first) => panic!("next {next:?} where the first is {first:?}"),
            }
        }
    }

    #[test]
    fn the_last_instant_is_a_deadline_too() {
        let mut wheel = TimerWheel::new(Instant::ZERO);
        wheel.arm(0, Instant::MAX);
        wheel.advance(Instant::from_nanos(u64::MAX - 2 * TICK));
        assert_eq!(wheel.pop_due(), None);
        wheel.disarm(0);
        assert_eq!(wheel.next(), None);
    }
}
