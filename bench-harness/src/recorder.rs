//! What one measured window saw: latencies, work done, and what it cost.
//! Place: filled by `client::driver`, turned into text by `report`.
//! Invariants: an open-loop latency starts when the request was *due*, so that a stalled broker cannot hide
//! the requests that it kept from being sent; work counts when its answer arrives inside the window.

use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::latency::{CurvePoint, Latency, LatencyHistogram};
use crate::limits::CLIENT_BUSY_SHARE;
use crate::live::LiveLine;
use crate::series::{Collector, Second, Series};

/// Work that one answered request carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub records: u64,
    /// Bytes of record batches, headers of the batches included, of the request or response frame excluded.
    pub bytes: u64,
}

/// The measured part of a run, `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub start: Instant,
    pub end: Instant,
}

impl Window {
    pub fn holds(&self, at: Instant) -> bool {
        self.start <= at && at < self.end
    }
}

/// Collects one window.
#[derive(Debug)]
pub struct Recorder {
    window: Window,
    open_loop: bool,
    /// The second that is being filled.
    second: Box<Second>,
    /// When it ends.
    second_end: Instant,
    seconds: Collector,
    lag: LatencyHistogram,
}

impl Recorder {
    pub fn new(window: Window, open_loop: bool) -> Self {
        Recorder::shown(window, open_loop, None)
    }

    /// Every second is shown on `live`, too.
    pub fn shown(window: Window, open_loop: bool, live: Option<LiveLine>) -> Self {
        let planned = window.end.saturating_duration_since(window.start);
        let (seconds, second) = Collector::start(planned, live);
        Recorder {
            window,
            open_loop,
            second,
            second_end: window.start + SECOND,
            seconds,
            lag: LatencyHistogram::new(),
        }
    }

    /// Note how late a request of an open loop was handed to its socket.
    pub fn sent(&mut self, due: Instant, now: Instant) {
        if self.open_loop && self.window.holds(due) {
            self.lag.record(now.saturating_duration_since(due));
        }
    }

    /// Note an answer. `due` is the intended sending time in an open loop and the sending time in a closed
    /// one.
    pub fn answered(&mut self, due: Instant, now: Instant, work: Work) {
        self.received(now, work);
        // An open loop owes an answer to everything that was due in the window, however late it comes.
        let counts = if self.open_loop {
            self.window.holds(due)
        } else {
            self.window.holds(now)
        };
        if counts {
            self.second.latency.record(now.saturating_duration_since(due));
        }
    }

    /// Note an answer whose latency is not that of its request: see [`Self::delivered`].
    pub fn received(&mut self, now: Instant, work: Work) {
        if now >= self.second_end {
            self.turn_over(now);
        }
        if self.window.holds(now) {
            self.second.requests += 1;
            self.second.work.records += work.records;
            self.second.work.bytes += work.bytes;
        }
    }

    /// Note records that have come all the way to a consumer. They count when they were meant to be sent in the
    /// window, however late they come.
    pub fn delivered(&mut self, due: Instant, now: Instant, records: u64) {
        if self.window.holds(due) {
            let elapsed = now.saturating_duration_since(due);
            self.second.latency.record_n(elapsed, records);
        }
    }

    /// Note a request that was due in the window and had no answer when the run gave up.
    pub fn unanswered(&mut self, due: Instant, now: Instant) {
        if self.open_loop && self.window.holds(due) {
            self.second.latency.record(now.saturating_duration_since(due));
        }
    }

    /// Close the window at `now`, which is before its planned end when the run was interrupted.
    pub fn finish(self, now: Instant, cost: Cost, unanswered: u64) -> Outcome {
        let seconds = now
            .min(self.window.end)
            .saturating_duration_since(self.window.start)
            .as_secs_f64();
        let collected = self.seconds.finish(self.second, seconds);
        let client_limited = cost.client_cpu_share >= CLIENT_BUSY_SHARE;
        let per_second = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        Outcome {
            started_at: unix_seconds(self.window.start),
            seconds,
            requests: collected.requests,
            records: collected.work.records,
            bytes: collected.work.bytes,
            requests_per_second: per_second(collected.requests),
            records_per_second: per_second(collected.work.records),
            gigabytes_per_second: per_second(collected.work.bytes) / 1e9,
            latency: collected.latency.percentiles(),
            send_lag_p99_us: self.open_loop.then(|| self.lag.quantile_us(0.99)),
            unanswered,
            records_verified: None,
            records_missing: None,
            cost,
            client_limited,
            curve: collected.latency.curve(),
            series: collected.series,
            histogram: collected.latency,
        }
    }

    /// Answers that come after the window belong to its last second.
    #[cold]
    fn turn_over(&mut self, now: Instant) {
        let in_window = now.min(self.window.end - Duration::from_nanos(1));
        let index = in_window.saturating_duration_since(self.window.start).as_secs();
        if index > self.second.index {
            self.seconds.turn_over(&mut self.second, index);
        }
        self.second_end =
            (self.window.start + SECOND * (index as u32 + 1)).max(now + Duration::from_millis(1));
    }
}

/// What the window cost. Shares are of one core: 1.0 is one core busy all the time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    pub client_cpu_share: f64,
    /// Time that the client thread was ready to run and had no core.
    pub client_starved_share: f64,
    pub server_cpu_share: Option<f64>,
    /// Resident memory of the server at the end of the window, in bytes.
    pub server_rss: Option<u64>,
}

/// One finished window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// When the window began, in seconds since the Unix epoch.
    pub started_at: f64,
    pub seconds: f64,
    pub requests: u64,
    pub records: u64,
    pub bytes: u64,
    pub requests_per_second: f64,
    pub records_per_second: f64,
    pub gigabytes_per_second: f64,
    pub latency: Latency,
    /// Open loop: how late the client itself sent, 99th percentile.
    pub send_lag_p99_us: Option<f64>,
    /// Requests without an answer when the run gave up waiting.
    pub unanswered: u64,
    /// Records read of which the batch's CRC was right and no offset was missing, the warm-up's among them.
    pub records_verified: Option<u64>,
    /// Records that had not reached a reader at the end when the run gave up waiting: its latencies lack them. `None`
    /// where nobody reads at the end.
    pub records_missing: Option<u64>,
    pub cost: Cost,
    /// The client thread had no time left: the server could have done more.
    pub client_limited: bool,
    pub series: Series,
    pub curve: Vec<CurvePoint>,
    /// All latencies of the window, to be merged with those of other rounds.
    pub histogram: LatencyHistogram,
}

impl Outcome {
    /// Server CPU seconds for each gigabyte of record batches, where it was sampled.
    pub fn server_cpu_per_gigabyte(&self) -> Option<f64> {
        let share = self.cost.server_cpu_share?;
        (self.gigabytes_per_second > 0.0).then(|| share / self.gigabytes_per_second)
    }
}

/// The same moment on the calendar's clock.
fn unix_seconds(at: Instant) -> f64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_secs_f64() - at.elapsed().as_secs_f64()
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let start = Instant::now();
        Window {
            start,
            end: start + Duration::from_secs(1),
        }
    }

    #[test]
    fn an_open_loop_counts_a_late_answer_by_when_it_was_due() {
        let window = window();
        let mut recorder = Recorder::new(window, true);
        let due = window.start + Duration::from_millis(900);
        recorder.answered(
            due,
            due + Duration::from_millis(400),
            Work {
                records: 1,
                bytes: 100,
            },
        );
        let outcome = recorder.finish(window.end, Cost::default(), 0);
        assert_eq!(outcome.records, 0, "the answer came after the window");
        assert!(
            (outcome.latency.p50_us - 400_000.0).abs() < 500.0,
            "{:?}",
            outcome.latency
        );
    }

    #[test]
    fn a_closed_loop_counts_only_answers_inside_the_window() {
        let window = window();
        let mut recorder = Recorder::new(window, false);
        let before = window.start - Duration::from_millis(5);
        recorder.answered(
            before,
            window.start + Duration::from_millis(5),
            Work {
                records: 10,
                bytes: 1000,
            },
        );
        recorder.answered(
            window.start,
            window.end,
            Work {
                records: 99,
                bytes: 9,
            },
        );
        let outcome = recorder.finish(window.end, Cost::default(), 0);
        assert_eq!((outcome.requests, outcome.records, outcome.bytes), (1, 10, 1000));
        assert!(
            (outcome.latency.max_us - 10_000.0).abs() < 20.0,
            "{:?}",
            outcome.latency
        );
    }

    #[test]
    fn an_interrupted_window_is_as_long_as_it_lasted() {
        let window = window();
        let mut recorder = Recorder::new(window, false);
        let now = window.start + Duration::from_millis(250);
        recorder.answered(
            window.start,
            now - Duration::from_millis(1),
            Work {
                records: 50,
                bytes: 1,
            },
        );
        let outcome = recorder.finish(now, Cost::default(), 0);
        assert!((outcome.records_per_second - 200.0).abs() < 0.01);
    }

    #[test]
    fn a_delivery_is_as_slow_as_the_way_from_its_producer_and_counts_where_it_was_meant_to_be_sent() {
        let window = window();
        let mut recorder = Recorder::new(window, false);
        let early = window.start - Duration::from_millis(1);
        recorder.delivered(early, window.start + Duration::from_secs(1), 100);
        let late = window.end - Duration::from_millis(1);
        recorder.delivered(late, window.end + Duration::from_millis(2), 100);
        recorder.received(
            window.start,
            Work {
                records: 200,
                bytes: 1,
            },
        );
        let outcome = recorder.finish(window.end, Cost::default(), 0);
        assert_eq!((outcome.requests, outcome.records), (1, 200));
        assert!(
            (outcome.latency.max_us - 3_000.0).abs() < 20.0,
            "{:?}",
            outcome.latency
        );
    }

    #[test]
    fn the_series_tells_in_which_second_an_answer_came() {
        let start = Instant::now();
        let window = Window {
            start,
            end: start + Duration::from_millis(2500),
        };
        let mut recorder = Recorder::new(window, true);
        let work = Work {
            records: 7,
            bytes: 70,
        };
        for due in [100, 999, 2400] {
            let due = start + Duration::from_millis(due);
            recorder.answered(due, due + Duration::from_millis(2), work);
        }
        let late = start + Duration::from_millis(2450);
        recorder.answered(late, late + Duration::from_secs(4), work);
        let outcome = recorder.finish(window.end, Cost::default(), 0);
        let records: Vec<u64> = outcome.series.points.iter().map(|point| point.records).collect();
        assert_eq!(records, [7, 7, 7], "the last answer came after the window");
        assert!(
            outcome.series.points[2].max_us > Some(3_990_000.0),
            "and its latency counts"
        );
        assert_eq!((outcome.records, outcome.latency.samples), (21, 4));
        let age = unix_seconds(Instant::now()) - outcome.started_at;
        assert!((0.0..60.0).contains(&age), "{age}");
    }

    #[test]
    fn what_is_never_answered_is_as_slow_as_the_wait_was_long() {
        let window = window();
        let mut recorder = Recorder::new(window, true);
        recorder.unanswered(window.start, window.end + Duration::from_secs(2));
        let outcome = recorder.finish(window.end, Cost::default(), 1);
        assert!(outcome.latency.p50_us > 2_900_000.0);
    }
}
