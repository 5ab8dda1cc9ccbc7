//! What the server used while it was loaded, second by second.
//! Place: started by a command beside the loads of a round, on a thread of its own that sleeps between samples.
//! Invariant: the points are as many as [`SERIES_POINTS_MAX`] at most, however long it runs; joined points lose
//! neither CPU time nor written bytes nor the highest memory.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::host::ProcessSample;
use crate::limits::SERIES_POINTS_MAX;

/// Samples of one process over a round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSeries {
    /// When the first point begins, in seconds since the Unix epoch.
    pub started_at: f64,
    /// In order of time, without gaps.
    pub points: Vec<ServerPoint>,
}

/// What the process used from one sample to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerPoint {
    /// When it begins, in seconds since the first point began.
    pub at_seconds: f64,
    pub seconds: f64,
    /// Of one core: 1.0 is one core busy all the time.
    pub cpu_share: f64,
    /// Resident memory at its end, in bytes; of joined points the highest.
    pub rss: u64,
    /// Bytes that the process had the disk write; `None` where the kernel does not tell.
    pub disk_write_bytes: Option<u64>,
}

impl ServerSeries {
    /// A point that is shorter than `shortest` joins the one before it, as the clock of CPU time ticks too
    /// coarsely for it.
    fn push(&mut self, point: ServerPoint, shortest: Duration) {
        match self.points.last_mut() {
            Some(last) if point.seconds < shortest.as_secs_f64() => {
                *last = ServerPoint::join(&[*last, point])
            }
            _ => self.points.push(point),
        }
        if self.points.len() > SERIES_POINTS_MAX {
            self.points = self.points.chunks(2).map(ServerPoint::join).collect();
        }
    }
}

impl ServerPoint {
    fn between(start: Instant, before: &(Instant, ProcessSample), after: &(Instant, ProcessSample)) -> Self {
        let seconds = (after.0 - before.0).as_secs_f64();
        let cpu = after.1.cpu.saturating_sub(before.1.cpu).as_secs_f64();
        let written = after.1.disk_write_bytes.zip(before.1.disk_write_bytes);
        ServerPoint {
            at_seconds: (before.0 - start).as_secs_f64(),
            seconds,
            cpu_share: cpu / seconds.max(1e-9),
            rss: after.1.rss,
            disk_write_bytes: written.map(|(after, before)| after.saturating_sub(before)),
        }
    }

    /// `points` is not empty, and in order.
    fn join(points: &[ServerPoint]) -> Self {
        let seconds: f64 = points.iter().map(|point| point.seconds).sum();
        let cpu: f64 = points.iter().map(|point| point.cpu_share * point.seconds).sum();
        ServerPoint {
            at_seconds: points[0].at_seconds,
            seconds,
            cpu_share: cpu / seconds.max(1e-9),
            rss: points.iter().map(|point| point.rss).max().unwrap_or(0),
            disk_write_bytes: points.iter().map(|point| point.disk_write_bytes).sum(),
        }
    }
}

/// A thread that samples one process each second until it is asked for what it saw.
#[derive(Debug)]
pub struct ServerWatch {
    end: Sender<()>,
    thread: JoinHandle<ServerSeries>,
}

impl ServerWatch {
    pub fn start(pid: u32) -> Self {
        ServerWatch::every(pid, Duration::from_secs(1))
    }

    fn every(pid: u32, period: Duration) -> Self {
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let start = Instant::now();
            let mut series = ServerSeries {
                started_at: unix_now(),
                points: Vec::new(),
            };
            let mut before = sample(pid);
            let mut next = start;
            loop {
                next += period;
                let waited = ended.recv_timeout(next.saturating_duration_since(Instant::now()));
                let after = sample(pid);
                if let (Some(before), Some(after)) = (&before, &after) {
                    series.push(ServerPoint::between(start, before, after), period / 2);
                }
                before = after;
                if waited != Err(RecvTimeoutError::Timeout) {
                    return series;
                }
            }
        });
        ServerWatch { end, thread }
    }

    /// The samples so far; empty where the process was not there.
    pub fn finish(self) -> ServerSeries {
        drop(self.end);
        self.thread.join().expect("sampling does not panic")
    }
}

fn sample(pid: u32) -> Option<(Instant, ProcessSample)> {
    let sample = ProcessSample::of(pid).ok()?;
    Some((Instant::now(), sample))
}

fn unix_now() -> f64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_watch_is_folded_and_loses_no_byte_and_no_cpu_time() {
        let mut series = ServerSeries::default();
        for second in 0..5000u32 {
            series.push(
                ServerPoint {
                    at_seconds: second.into(),
                    seconds: 1.0,
                    cpu_share: if second < 1000 { 1.5 } else { 0.5 },
                    rss: if second == 777 { 9000 } else { 1000 },
                    disk_write_bytes: Some(100),
                },
                Duration::from_millis(500),
            );
        }
        let points = &series.points;
        assert!(
            (200..=SERIES_POINTS_MAX).contains(&points.len()),
            "{}",
            points.len()
        );
        assert_eq!(
            points
                .iter()
                .filter_map(|point| point.disk_write_bytes)
                .sum::<u64>(),
            500_000
        );
        let cpu: f64 = points.iter().map(|point| point.cpu_share * point.seconds).sum();
        assert!((cpu - 3500.0).abs() < 1e-6, "{cpu}");
        assert_eq!(points.iter().map(|point| point.rss).max(), Some(9000));
        let gapless = |pair: &[ServerPoint]| pair[0].at_seconds + pair[0].seconds == pair[1].at_seconds;
        assert!(points.windows(2).all(gapless), "{points:?}");
    }

    #[test]
    fn a_short_end_belongs_to_the_point_before_it() {
        let point = |at_seconds: f64, seconds: f64| ServerPoint {
            at_seconds,
            seconds,
            cpu_share: 1.0,
            rss: 1,
            disk_write_bytes: Some(10),
        };
        let mut series = ServerSeries::default();
        for short in [point(0.0, 0.1), point(0.1, 1.0), point(1.1, 0.01)] {
            series.push(short, Duration::from_millis(500));
        }
        let lengths: Vec<f64> = series.points.iter().map(|point| point.seconds).collect();
        assert_eq!(lengths, [0.1, 1.01]);
        assert_eq!(series.points[1].disk_write_bytes, Some(20));
    }

    #[test]
    fn a_busy_process_is_seen_and_a_missing_one_is_not() {
        let watch = ServerWatch::every(std::process::id(), Duration::from_millis(20));
        let spin = Instant::now();
        while spin.elapsed() < Duration::from_millis(100) {
            std::hint::spin_loop();
        }
        let series = watch.finish();
        assert!(!series.points.is_empty());
        assert!(
            series.points.iter().map(|point| point.cpu_share).sum::<f64>() > 0.0,
            "{series:?}"
        );
        assert!(
            series.points.iter().all(|point| point.rss > 100_000),
            "{series:?}"
        );
        assert!(ServerWatch::start(u32::MAX).finish().points.is_empty());
    }
}
