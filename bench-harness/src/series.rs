//! A measured window second by second.
//! Place: the generator's thread fills one [`Second`] after the other and hands each over whole; a thread of its own
//! makes percentiles and sums of them, so that the generator never stands still for its own statistics.
//! Invariant: no count and no maximum is lost, however many seconds share a point.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency::LatencyHistogram;
use crate::limits::{SECONDS_IN_HAND, SERIES_POINTS_MAX};
use crate::live::{Glimpse, LiveLine};
use crate::recorder::Work;

/// A window in equal steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Whole seconds that each point stands for; the last may be shorter.
    pub step_seconds: u64,
    /// In order of time, without gaps, at most [`SERIES_POINTS_MAX`].
    pub points: Vec<Point>,
}

/// What arrived in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it begins, in seconds since the window's start.
    pub at_seconds: f64,
    pub seconds: f64,
    pub requests: u64,
    pub records: u64,
    /// As [`Work::bytes`].
    pub bytes: u64,
    /// Of the answers that arrived in this step, those after the window in its last one; `None` without any.
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub max_us: Option<f64>,
}

/// One second of answers.
#[derive(Debug)]
pub struct Second {
    /// From the window's start, counted from 0.
    pub index: u64,
    pub latency: LatencyHistogram,
    pub requests: u64,
    pub work: Work,
}

impl Second {
    fn empty() -> Self {
        Second {
            index: 0,
            latency: LatencyHistogram::new(),
            requests: 0,
            work: Work::default(),
        }
    }

    fn glimpse(&self) -> Glimpse {
        let timed = self.latency.samples() > 0;
        Glimpse {
            seconds: self.index + 1,
            records: self.work.records,
            bytes: self.work.bytes,
            p50_us: timed.then(|| self.latency.quantile_us(0.5)),
            p99_us: timed.then(|| self.latency.quantile_us(0.99)),
        }
    }

    fn clear(&mut self) {
        self.latency.clear();
        self.requests = 0;
        self.work = Work::default();
    }
}

/// The generator's end of the thread that sums up.
#[derive(Debug)]
pub struct Collector {
    full: SyncSender<Box<Second>>,
    free: Receiver<Box<Second>>,
    thread: JoinHandle<Collected>,
}

/// A whole window, summed up.
#[derive(Clone, Debug)]
pub struct Collected {
    pub latency: LatencyHistogram,
    pub requests: u64,
    pub work: Work,
    pub series: Series,
}

impl Collector {
    /// For a window that is planned to be this long. The second that the generator fills first comes with it.
    /// Each second is shown on `live`, too.
    pub fn start(window: Duration, live: Option<LiveLine>) -> (Self, Box<Second>) {
        let (full, to_sum) = sync_channel::<Box<Second>>(SECONDS_IN_HAND);
        let (to_fill, free) = sync_channel(SECONDS_IN_HAND);
        for _ in 1..SECONDS_IN_HAND {
            to_fill
                .try_send(Box::new(Second::empty()))
                .expect("the channel holds every second there is");
        }
        let mut sums = Sums::new(window);
        let thread = std::thread::spawn(move || {
            for mut second in to_sum {
                sums.take(&second);
                if let Some(live) = &live {
                    live.post(second.glimpse());
                }
                second.clear();
                // The generator has ended when this fails; the second is not needed any more.
                let _ = to_fill.try_send(second);
            }
            sums.finish()
        });
        let first = Box::new(Second::empty());
        (Collector { full, free, thread }, first)
    }

    /// Takes a full second for an empty one that begins at `index`. Never blocks and takes no memory: when the other
    /// thread lags behind, the full one stays where it is and goes on being filled.
    pub fn turn_over(&self, second: &mut Box<Second>, index: u64) {
        if let Ok(mut next) = self.free.try_recv() {
            next.index = index;
            std::mem::swap(second, &mut next);
            let sent = self.full.try_send(next);
            sent.expect("the channel holds every second there is, and its reader lives as long as this end");
        }
    }

    /// Waits for the sums. The window was `seconds` long in the end.
    pub fn finish(self, last: Box<Second>, seconds: f64) -> Collected {
        let Collector { full, thread, .. } = self;
        full.send(last).expect("the reader lives as long as this end");
        drop(full);
        let mut collected = thread.join().expect("summing up does not panic");
        collected.series.end_at(seconds);
        collected
    }
}

impl Series {
    /// The shortest step of whole seconds that keeps a window of this length within [`SERIES_POINTS_MAX`].
    fn for_window(window: Duration) -> Self {
        Series {
            step_seconds: (window.as_secs_f64().ceil() as u64)
                .div_ceil(SERIES_POINTS_MAX as u64)
                .max(1),
            points: Vec::new(),
        }
    }

    fn empty_point(&self, step: u64) -> Point {
        Point {
            at_seconds: (step * self.step_seconds) as f64,
            seconds: self.step_seconds as f64,
            ..Point::default()
        }
    }

    /// Adds the steps in which nothing arrived any more, and cuts the last where the window ended.
    fn end_at(&mut self, seconds: f64) {
        let steps = (seconds / self.step_seconds as f64).ceil() as u64;
        for step in self.points.len() as u64..steps {
            self.points.push(self.empty_point(step));
        }
        if let Some(last) = self.points.last_mut() {
            last.seconds = (seconds - last.at_seconds).clamp(0.0, last.seconds);
        }
    }
}

/// What the summing thread keeps.
struct Sums {
    total: Collected,
    /// Step of the point in the making.
    step: u64,
    point: Point,
    latency: LatencyHistogram,
}

impl Sums {
    fn new(window: Duration) -> Self {
        let series = Series::for_window(window);
        Sums {
            step: 0,
            point: series.empty_point(0),
            latency: LatencyHistogram::new(),
            total: Collected {
                latency: LatencyHistogram::new(),
                requests: 0,
                work: Work::default(),
                series,
            },
        }
    }

    fn take(&mut self, second: &Second) {
        let step = second.index / self.total.series.step_seconds;
        while self.step < step {
            self.close_point();
        }
        self.point.requests += second.requests;
        self.point.records += second.work.records;
        self.point.bytes += second.work.bytes;
        self.latency.merge(&second.latency);
        self.total.requests += second.requests;
        self.total.work.records += second.work.records;
        self.total.work.bytes += second.work.bytes;
        self.total.latency.merge(&second.latency);
    }

    fn close_point(&mut self) {
        if self.latency.samples() > 0 {
            self.point.p50_us = Some(self.latency.quantile_us(0.5));
            self.point.p99_us = Some(self.latency.quantile_us(0.99));
            self.point.max_us = Some(self.latency.max_us());
            self.latency.clear();
        }
        self.total.series.points.push(self.point);
        self.step += 1;
        self.point = self.total.series.empty_point(self.step);
    }

    fn finish(mut self) -> Collected {
        self.close_point();
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `requests` of ten records and `millis` each, in second `index`.
    fn second(index: u64, requests: u64, millis: u64) -> Second {
        let mut second = Second::empty();
        second.index = index;
        second.requests = requests;
        second.work = Work {
            records: requests * 10,
            bytes: requests * 1000,
        };
        (0..requests).for_each(|_| second.latency.record(Duration::from_millis(millis)));
        second
    }

    fn near(got: Option<f64>, millis: f64) {
        let got = got.unwrap();
        assert!(
            (got / millis / 1e3 - 1.0).abs() < 0.002,
            "{got} is not about {millis} ms"
        );
    }

    #[test]
    fn a_short_window_has_a_point_for_each_second_and_a_stall_is_a_gap() {
        let mut sums = Sums::new(Duration::from_secs(5));
        sums.take(&second(0, 3, 2));
        sums.take(&second(3, 5, 40));
        let mut series = sums.finish().series;
        series.end_at(4.5);
        let requests: Vec<u64> = series.points.iter().map(|point| point.requests).collect();
        assert_eq!((series.step_seconds, requests), (1, vec![3, 0, 0, 5, 0]));
        near(series.points[0].p50_us, 2.0);
        near(series.points[3].p99_us, 40.0);
        assert_eq!((series.points[1].p50_us, series.points[1].max_us), (None, None));
        assert_eq!(
            (series.points[4].at_seconds, series.points[4].seconds),
            (4.0, 0.5)
        );
    }

    #[test]
    fn a_soak_is_folded_within_the_bound_and_loses_no_count_and_no_maximum() {
        let soak: u64 = 1300;
        let mut sums = Sums::new(Duration::from_secs(soak));
        for index in 0..soak {
            sums.take(&second(index, 2, if index == 777 { 900 } else { 3 }));
        }
        let mut collected = sums.finish();
        collected.series.end_at(soak as f64);
        let points = &collected.series.points;
        assert!(
            (300..=SERIES_POINTS_MAX).contains(&points.len()),
            "{}",
            points.len()
        );
        assert_eq!(points.iter().map(|point| point.requests).sum::<u64>(), 2 * soak);
        assert_eq!(points.iter().map(|point| point.records).sum::<u64>(), 20 * soak);
        assert_eq!(points.iter().map(|point| point.bytes).sum::<u64>(), 2000 * soak);
        assert_eq!(
            (collected.requests, collected.latency.samples()),
            (2 * soak, 2 * soak)
        );
        let slow: Vec<&Point> = points
            .iter()
            .filter(|point| point.max_us > Some(100_000.0))
            .collect();
        assert_eq!(slow.len(), 1);
        near(slow[0].max_us, 900.0);
        near(slow[0].p50_us, 3.0);
        assert!(slow[0].at_seconds <= 777.0 && 777.0 < slow[0].at_seconds + slow[0].seconds);
    }

    #[test]
    fn a_generator_that_is_ahead_keeps_its_second_and_loses_nothing() {
        let (collector, mut filling) = Collector::start(Duration::from_secs(100), None);
        for index in 0..100 {
            filling.requests += 1;
            filling.latency.record(Duration::from_millis(1));
            collector.turn_over(&mut filling, index + 1);
        }
        let collected = collector.finish(filling, 100.0);
        assert_eq!((collected.requests, collected.latency.samples()), (100, 100));
        assert_eq!(collected.series.points.len(), 100);
    }
}
