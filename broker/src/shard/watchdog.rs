//! Somebody outside of the shards: rings the bell of one that sleeps when its deadline comes, and of one that should
//! run and does not.
//! Invariants: a sleeping shard is woken at its deadline or a little after; a pulse costs its shard two atomic stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use millstream_protocol::time::Instant;
use millstream_ring::Waker;

use super::clock;

/// A shard's side.
#[derive(Clone, Debug)]
pub struct ShardPulse {
    pulse: Arc<Pulse>,
    watchdog: Arc<Bell>,
}

#[derive(Debug)]
struct Pulse {
    /// Nanoseconds of the last beat, or, while it sleeps, of the deadline.
    at: AtomicU64,
    asleep: AtomicBool,
}

/// How the watchdog itself is woken, and until when it sleeps.
#[derive(Debug, Default)]
struct Bell {
    thread: std::sync::OnceLock<Thread>,
    asleep_until: AtomicU64,
    stop: AtomicBool,
}

/// The thread that watches.
#[derive(Debug)]
pub struct Watchdog {
    bell: Arc<Bell>,
    handle: Option<JoinHandle<()>>,
}

impl ShardPulse {
    /// The shard runs.
    pub fn beat(&self) {
        self.pulse
            .at
            .store(clock::now().monotonic.as_nanos(), Ordering::Relaxed);
        self.pulse.asleep.store(false, Ordering::Release);
    }

    /// The shard goes to sleep and wants to be woken then.
    pub fn sleep_until(&self, deadline: Instant) {
        self.pulse.at.store(deadline.as_nanos(), Ordering::Relaxed);
        self.pulse.asleep.store(true, Ordering::Release);
        if deadline.as_nanos() < self.watchdog.asleep_until.load(Ordering::Acquire)
            && let Some(thread) = self.watchdog.thread.get()
        {
            thread.unpark();
        }
    }
}

/// One pulse for each shard, and what the watchdog will know them by.
pub fn pulses(shards: usize) -> (Vec<ShardPulse>, PulseBoard) {
    let bell = Arc::new(Bell::default());
    let pulses: Vec<ShardPulse> = (0..shards)
        .map(|_| ShardPulse {
            pulse: Arc::new(Pulse {
                at: AtomicU64::new(u64::MAX),
                asleep: AtomicBool::new(true),
            }),
            watchdog: bell.clone(),
        })
        .collect();
    let board = PulseBoard {
        pulses: pulses.clone(),
        bell,
    };
    (pulses, board)
}

/// All pulses.
#[derive(Debug)]
pub struct PulseBoard {
    pulses: Vec<ShardPulse>,
    bell: Arc<Bell>,
}

impl Watchdog {
    /// Starts watching. `wakers` are the shards' in order.
    pub fn start(board: PulseBoard, wakers: Vec<Waker>) -> std::io::Result<Self> {
        let bell = board.bell.clone();
        let handle = thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || watch(&board, &wakers))?;
        let _ = bell.thread.set(handle.thread().clone());
        Ok(Self {
            bell,
            handle: Some(handle),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.bell.stop.store(true, Ordering::Release);
        if let Some(handle) = self.handle.take() {
            handle.thread().unpark();
            let _ = handle.join();
        }
    }
}

fn watch(board: &PulseBoard, wakers: &[Waker]) {
    let mut pokes = vec![0u64; wakers.len()];
    while !board.bell.stop.load(Ordering::Acquire) {
        let now = clock::now().monotonic.as_nanos();
        let mut next = u64::MAX;
        for (shard, (pulse, waker)) in board.pulses.iter().zip(wakers).enumerate() {
            let asleep = pulse.pulse.asleep.load(Ordering::Acquire);
            let at = pulse.pulse.at.load(Ordering::Relaxed);
            let due = if asleep {
                at
            } else {
                at.saturating_add(STALE.as_nanos() as u64)
            };
            if due > now {
                next = next.min(due);
                continue;
            }
            if !asleep {
                pokes[shard] += 1;
                tracing::debug!(shard, pokes = pokes[shard], "a shard does not turn: poked it");
            }
            waker.wake();
            next = next.min(now + STALE.as_nanos() as u64);
        }
        // Never the whole way in one step: a shard that goes to sleep meanwhile may miss our bell by a hair.
        let sleep = Duration::from_nanos(next.saturating_sub(now)).clamp(STEP_MIN, STEP_MAX);
        board
            .bell
            .asleep_until
            .store(now + sleep.as_nanos() as u64, Ordering::Release);
        thread::park_timeout(sleep);
    }
}

/// A shard that is not asleep beats at least this often.
const STALE: Duration = Duration::from_millis(50);
const STEP_MIN: Duration = Duration::from_micros(200);
const STEP_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use millstream_ring::uring::{UringOptions, UringRing};
    use millstream_ring::{Ring, Wait};

    use super::*;

    /// glommio can leave a task runnable and its executor asleep: a shard that has beaten once and does not come back
    /// is rung for, and one that sleeps is rung for at its deadline, and not before.
    #[test]
    fn a_shard_that_does_not_turn_is_poked_and_a_sleeper_is_left_alone() {
        let mut ring = UringRing::new(UringOptions::default()).expect("a ring");
        let (pulses, board) = pulses(1);
        let watchdog = Watchdog::start(board, vec![ring.waker()]).expect("a thread");
        let mut waits = |span: Duration| {
            let begun = std::time::Instant::now();
            ring.enter(Wait::Until(span), &mut Vec::new());
            begun.elapsed()
        };
        pulses[0].beat();
        let poked = waits(Duration::from_secs(10));
        assert!(
            (STALE / 2..Duration::from_secs(5)).contains(&poked),
            "poked after {poked:?}"
        );

        let deadline = clock::now().monotonic + millstream_protocol::time::Duration::from_millis(400);
        pulses[0].sleep_until(deadline);
        // A poke that was on its way.
        while waits(Duration::from_millis(20)) < Duration::from_millis(20) {}
        let woken = waits(Duration::from_secs(10));
        assert!(
            (Duration::from_millis(200)..Duration::from_secs(5)).contains(&woken),
            "woken after {woken:?}"
        );
        drop(watchdog);
    }
}
