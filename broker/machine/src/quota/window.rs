//! What was used in the last seconds, and how long to wait where that was too much.
//!
//! As Kafka measures it: eleven samples of a second, so that who was idle may use at once what the quota allows in ten.
//! Who used more waits until the average has fallen to the quota.
//!
//! Invariant: no sample is older than the window, and there are no more than it has.

use alloc::collections::VecDeque;

use millstream_protocol::time::{Duration, Instant};

use super::Rate;

/// What who asked for something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOff {
    pub wait: Duration,
    /// He gets nothing now.
    pub is_put_off: bool,
}

/// The most that may be used at once under a quota.
pub fn burst(quota: Rate) -> f64 {
    quota.get() * (SAMPLES - 1) as f64
}

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// When each began, and what was used since; oldest first.
    samples: VecDeque<(Instant, f64)>,
}

impl Window {
    /// Notes a use, and says how long to wait for the average to be as it may: zero where it is.
    pub fn add(&mut self, amount: f64, quota: Rate, now: Instant) -> Duration {
        let wait = self.wait(amount, quota, now);
        self.note(amount, now);
        wait
    }

    /// As [`Window::add`], but what would have to wait is refused, and not noted.
    pub fn add_or_refuse(&mut self, amount: f64, quota: Rate, now: Instant) -> Duration {
        let wait = self.wait(amount, quota, now);
        if wait.is_zero() {
            self.note(amount, now);
        }
        wait
    }

    /// How long to wait after another use of so much.
    fn wait(&mut self, amount: f64, quota: Rate, now: Instant) -> Duration {
        while self
            .samples
            .front()
            .is_some_and(|(began, _)| now.saturating_since(*began) >= WINDOW)
        {
            self.samples.pop_front();
        }
        let used = amount + self.used();
        let oldest = self.samples.front().map_or(now, |(began, _)| *began);
        // A window that has just begun counts as if it had been idle before.
        let spent = now.saturating_since(oldest).as_nanos() as f64;
        let least = SAMPLE.as_nanos() as f64 * (SAMPLES - 1) as f64;
        let elapsed = spent.max(least + spent % SAMPLE.as_nanos() as f64);
        let allowed = quota.get() * elapsed / NANOS_PER_SECOND;
        if used <= allowed {
            return Duration::ZERO;
        }
        let wait = Duration::from_nanos(((used - allowed) / quota.get() * NANOS_PER_SECOND) as u64);
        wait.min(WAIT_MAX)
    }

    fn note(&mut self, amount: f64, now: Instant) {
        match self.samples.back_mut() {
            Some((began, used)) if now.saturating_since(*began) < SAMPLE => *used += amount,
            _ => self.samples.push_back((now, amount)),
        }
    }

    fn used(&self) -> f64 {
        self.samples.iter().map(|(_, used)| used).sum()
    }

    /// As [`Window::add`], but what would have to wait, for this or (`also`) for something else, is not noted: it is to
    /// come later. Who has used nothing is not put off, or he would never get what is more than all that he may use.
    pub fn add_or_put_off(&mut self, amount: f64, quota: Rate, also: Duration, now: Instant) -> PutOff {
        let wait = self.wait(amount, quota, now).max(also);
        let is_first = self.used() == 0.0;
        let has_to_wait = if is_first { also } else { wait };
        let is_put_off = !has_to_wait.is_zero();
        if !is_put_off {
            self.note(amount, now);
        }
        PutOff { wait, is_put_off }
    }

    /// Nothing of it counts any more.
    pub fn is_over(&self, now: Instant) -> bool {
        let over = |(began, _): &(Instant, f64)| now.saturating_since(*began) >= WINDOW;
        self.samples.back().is_none_or(over)
    }
}

/// Kafka's defaults: `quota.window.num` and `quota.window.size.seconds`.
const SAMPLES: usize = 11;
const SAMPLE: Duration = Duration::from_millis(1_000);
/// All samples together.
const WINDOW: Duration = Duration::from_millis(1_000 * SAMPLES as u64);
/// As many milliseconds as clients can be told.
const WAIT_MAX: Duration = Duration::from_millis(i32::MAX as u64);
const NANOS_PER_SECOND: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(1_000_000 + millis)
    }

    #[test]
    fn ten_seconds_worth_may_be_used_at_once() {
        let mut window = Window::default();
        let quota = Rate::new(1_000.0);
        assert_eq!(window.add(10_000.0, quota, at(0)), Duration::ZERO);
        // One second's worth too much is a second's wait.
        assert_eq!(window.add(1_000.0, quota, at(0)), Duration::from_millis(1_000));
    }

    #[test]
    fn who_keeps_waiting_gets_the_quota() {
        let mut window = Window::default();
        let quota = Rate::new(1_000.0);
        let (mut now, mut used) = (0, 0.0);
        while now < 100_000 {
            let wait = window.add(500.0, quota, at(now));
            used += 500.0;
            now += 1 + wait.as_millis();
        }
        let rate = used / (now as f64 / 1_000.0);
        assert!((900.0..1_200.0).contains(&rate), "{rate}");
    }

    #[test]
    fn next_to_nothing_is_a_long_wait_and_no_overflow() {
        let wait = Window::default().add(f64::MAX, Rate::new(f64::MIN_POSITIVE), at(0));
        assert_eq!(wait, WAIT_MAX);
    }

    #[test]
    fn what_is_put_off_is_not_counted_and_comes_later() {
        let mut window = Window::default();
        let quota = Rate::new(1_000.0);
        let put_off = |wait, is_put_off| PutOff {
            wait: Duration::from_millis(wait),
            is_put_off,
        };
        let mut ask = |amount, also, millis| {
            let also = Duration::from_millis(also);
            window.add_or_put_off(amount, quota, also, at(millis))
        };
        assert_eq!(ask(6_000.0, 0, 0), put_off(0, false));
        for _ in 0..2 {
            assert_eq!(ask(6_000.0, 0, 0), put_off(2_000, true));
        }
        assert_eq!(ask(1_000.0, 70, 0), put_off(70, true), "another quota says so");
        assert_eq!(ask(6_000.0, 0, 11_000), put_off(0, false));
        assert_eq!(ask(50_000.0, 5, 40_000), put_off(40_000, true));
        assert_eq!(
            ask(50_000.0, 0, 40_000),
            put_off(40_000, false),
            "it would never fit"
        );
        assert_eq!(ask(1.0, 0, 40_000), put_off(40_001, true));
    }

    #[test]
    fn what_is_refused_is_not_counted_and_nothing_may_be_allowed() {
        let mut window = Window::default();
        let mut ask = |rate, millis| window.add_or_refuse(1.0, Rate::new(rate), at(millis));
        for _ in 0..20 {
            assert_eq!(ask(2.0, 0), Duration::ZERO);
        }
        for _ in 0..20 {
            assert_eq!(ask(2.0, 0), Duration::from_millis(500));
        }
        assert_eq!(ask(2.0, 11_000), Duration::ZERO);
        assert_eq!(ask(0.0, 30_000), WAIT_MAX);
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut window = Window::default();
        let quota = Rate::new(1.0);
        assert_ne!(window.add(100.0, quota, at(0)), Duration::ZERO);
        assert!(!window.is_over(at(10_999)));
        assert!(window.is_over(at(11_000)));
        assert_eq!(window.add(10.0, quota, at(11_000)), Duration::ZERO);
    }
}
