//! Loads that run at the same time, each on a thread of its own: they start together and end together.
//! Invariants: no load starts before all of them have their connections; one that fails ends the others, so that
//! none waits for it and none measures a server that is loaded less than was asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::live::LiveLine;

/// What the loads of one round share.
#[derive(Debug)]
pub struct Together<'a> {
    /// Raised from outside, by Ctrl-C.
    stop: &'a AtomicBool,
    /// Raised by a load that failed.
    halted: AtomicBool,
    meeting: Mutex<Meeting>,
    changed: Condvar,
}

#[derive(Debug)]
struct Meeting {
    /// Loads that are not ready yet.
    missing: usize,
    /// Set by the last to come.
    start: Option<Instant>,
}

/// One load's part. Dropped before [`Self::finish`], it ends the others.
#[derive(Debug)]
pub struct Member<'a> {
    together: &'a Together<'a>,
    finished: bool,
    live: Option<LiveLine>,
}

impl<'a> Together<'a> {
    /// For so many loads.
    pub fn new(stop: &'a AtomicBool, loads: usize) -> Self {
        Together {
            stop,
            halted: AtomicBool::new(false),
            meeting: Mutex::new(Meeting {
                missing: loads,
                start: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// Every load asks for its part once.
    pub fn member(&'a self) -> Member<'a> {
        Member {
            together: self,
            finished: false,
            live: None,
        }
    }

    fn meeting(&self) -> MutexGuard<'_, Meeting> {
        self.meeting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member<'_> {
    /// What the load does is shown on this line.
    pub fn shown(mut self, live: Option<LiveLine>) -> Self {
        self.live = live;
        self
    }

    pub fn live(&self) -> Option<LiveLine> {
        self.live.clone()
    }

    /// Wait until every load is ready. All get the same moment; `None` where another one failed.
    pub fn start(&self) -> Option<Instant> {
        let mut meeting = self.together.meeting();
        meeting.missing = meeting.missing.saturating_sub(1);
        if meeting.missing == 0 && meeting.start.is_none() {
            meeting.start = Some(Instant::now());
            self.together.changed.notify_all();
        }
        loop {
            if self.together.halted.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(start) = meeting.start {
                return Some(start);
            }
            meeting = self
                .together
                .changed
                .wait(meeting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether to end at once.
    pub fn stopped(&self) -> bool {
        self.together.stop.load(Ordering::Relaxed) || self.together.halted.load(Ordering::Relaxed)
    }

    /// This load has come to its end as it should.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // Under the lock: one that has just found the flag down is not yet waiting otherwise.
            let _meeting = self.together.meeting();
            self.together.halted.store(true, Ordering::Relaxed);
            self.together.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_start_at_the_moment_when_the_last_is_ready() {
        let stop = AtomicBool::new(false);
        let together = Together::new(&stop, 3);
        let late = Duration::from_millis(50);
        let begun = Instant::now();
        let starts = std::thread::scope(|scope| {
            let threads = [0, 1, 2].map(|index| {
                let member = together.member();
                scope.spawn(move || {
                    if index == 1 {
                        std::thread::sleep(late);
                    }
                    let start = member.start();
                    member.finish();
                    start
                })
            });
            threads.map(|thread| thread.join().unwrap().unwrap())
        });
        assert!(starts.iter().all(|&start| start == starts[0]), "{starts:?}");
        assert!(starts[0] - begun >= late);
    }

    #[test]
    fn one_that_fails_keeps_nobody_waiting_and_stops_those_that_run() {
        let stop = AtomicBool::new(false);
        let together = Together::new(&stop, 2);
        std::thread::scope(|scope| {
            let waiting = together.member();
            let waits = scope.spawn(move || (waiting.start(), waiting.stopped()));
            drop(together.member());
            assert_eq!(waits.join().unwrap(), (None, true));
        });
        assert!(!stop.load(Ordering::Relaxed), "only its own round ends");
    }
}
