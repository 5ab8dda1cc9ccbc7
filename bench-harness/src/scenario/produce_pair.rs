//! A produce load on the broker and on both bare loops, by turns.
//! The better of the two bare loops counts, for each figure on its own.

use std::error::Error;
use std::time::Duration;

use crate::client::admin::Admin;
use crate::client::driver::{Load, drive};
use crate::recorder::Outcome;
use crate::report::caution;
use crate::scenario::{Arena, Bound, Finding, Roofline, Row, Run, Spread, Unit};
use crate::target::{BareMode, Target};
use crate::workload::produce::{ProduceShape, ProduceWorkload};

/// A produce load and what is asked of it.
#[derive(Debug)]
pub struct ProduceScenario {
    pub name: &'static str,
    pub title: &'static str,
    pub shape: ProduceShape,
    pub connections: usize,
    /// Requests that each connection keeps in flight.
    pub in_flight: usize,
    /// Bytes of values a second, on schedule; `None`: as fast as answers come.
    pub rate: Option<f64>,
    pub judge: Judge,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Judge {
    /// Records a second, at least this share of the bare loop's.
    Throughput { share_min: f64 },
    /// Latencies, at most so many times the bare loop's.
    Latency { p50_max: f64, p99_max: f64 },
}

impl ProduceScenario {
    pub fn run(&self, arena: &mut Arena<'_>) -> Result<Finding, Box<dyn Error>> {
        let contestants = self.contestants(arena)?;
        let mut runs = Vec::new();
        for round in 0..arena.timing.rounds {
            for &(contestant, target) in &contestants {
                if arena.stopped() {
                    break;
                }
                let outcome = if contestant == BROKER {
                    self.load_broker(target, arena, round)?
                } else {
                    self.load(target, arena)?
                };
                eprintln!("{}: {contestant}: {}", self.name, self.brief(&outcome));
                runs.push(Run { contestant, outcome });
            }
        }
        Ok(Finding {
            scenario: self.name,
            title: self.title,
            rows: self.rows(&runs),
            notes: notes(&runs),
            runs,
        })
    }

    fn contestants(&self, arena: &mut Arena<'_>) -> Result<Vec<(&'static str, Target)>, Box<dyn Error>> {
        let mut contestants: Vec<_> = arena.broker.map(|target| (BROKER, target)).into_iter().collect();
        contestants.push((INLINE, arena.bare(BareMode::Inline)?));
        contestants.push((OVERLAPPED, arena.bare(BareMode::Overlapped)?));
        if arena.with_ring {
            contestants.push((RING, arena.bare(BareMode::Ring)?));
        }
        Ok(contestants)
    }

    /// A topic of its own for each round, deleted afterwards: no round pays for the space of another.
    fn load_broker(
        &self,
        target: Target,
        arena: &Arena<'_>,
        round: usize,
    ) -> Result<Outcome, Box<dyn Error>> {
        let topic = self.topic(round);
        let mut admin = Admin::connect(target.address)?;
        admin.create_topic(&topic, self.shape.partitions)?;
        let outcome = self.drive(target, &topic, arena);
        admin.delete_topic(&topic)?;
        std::thread::sleep(AFTER_DELETE);
        outcome
    }

    fn load(&self, target: Target, arena: &Arena<'_>) -> Result<Outcome, Box<dyn Error>> {
        // As long a name as the broker's topic has: the same bytes on the wire.
        self.drive(target, &self.topic(0), arena)
    }

    fn drive(&self, target: Target, topic: &str, arena: &Arena<'_>) -> Result<Outcome, Box<dyn Error>> {
        let mut workload = ProduceWorkload::new(topic, self.shape, self.connections);
        let values = (workload.work().records as usize * self.shape.record_bytes) as f64;
        let load = Load {
            address: target.address,
            connections: self.connections,
            in_flight: self.in_flight,
            rate: self.rate.map(|bytes| bytes / values),
            warmup: arena.timing.warmup,
            measure: arena.timing.measure,
            server_pid: target.pid,
        };
        Ok(drive(&load, &mut workload, arena.stop)?)
    }

    fn topic(&self, round: usize) -> String {
        format!("bench-{}-{round}", self.name)
    }

    fn rows(&self, runs: &[Run]) -> Vec<Row> {
        match self.judge {
            Judge::Throughput { share_min } => {
                let figure = |outcome: &Outcome| outcome.records_per_second;
                let target = Bound::AtLeast(share_min);
                row("records/s", Unit::RecordsPerSecond, runs, figure, target)
                    .into_iter()
                    .collect()
            }
            Judge::Latency { p50_max, p99_max } => {
                let (p50, p99) = (Bound::AtMost(p50_max), Bound::AtMost(p99_max));
                let p50 = row(
                    "p50",
                    Unit::Microseconds,
                    runs,
                    |outcome| outcome.latency.p50_us,
                    p50,
                );
                let p99 = row(
                    "p99",
                    Unit::Microseconds,
                    runs,
                    |outcome| outcome.latency.p99_us,
                    p99,
                );
                p50.into_iter().chain(p99).collect()
            }
        }
    }

    fn brief(&self, outcome: &Outcome) -> String {
        format!(
            "{:.0} records/s, {:.3} GB/s, p50 {:.0} p99 {:.0} µs",
            outcome.records_per_second,
            outcome.gigabytes_per_second,
            outcome.latency.p50_us,
            outcome.latency.p99_us
        )
    }
}

/// `None` when no bare loop was measured: the run was interrupted before.
fn row(
    measure: &'static str,
    unit: Unit,
    runs: &[Run],
    figure: impl Fn(&Outcome) -> f64,
    target: Bound,
) -> Option<Row> {
    let spread = |contestant| {
        Spread::of(
            runs.iter()
                .filter(|run| run.contestant == contestant)
                .map(|run| figure(&run.outcome)),
        )
    };
    let bare = [INLINE, OVERLAPPED].into_iter().filter_map(|by| {
        Some(Roofline {
            by,
            spread: spread(by)?,
        })
    });
    let by_median = |a: &Roofline, b: &Roofline| a.spread.median.total_cmp(&b.spread.median);
    let roofline = match target {
        Bound::AtLeast(_) => bare.max_by(by_median),
        Bound::AtMost(_) => bare.min_by(by_median),
    };
    Some(Row {
        measure,
        unit,
        broker: spread(BROKER),
        roofline: Some(roofline?),
        target,
    })
}

/// One caution for each contestant: that of its first round that has one.
fn notes(runs: &[Run]) -> Vec<String> {
    let mut warned = Vec::new();
    let mut notes = Vec::new();
    for run in runs.iter().filter(|run| caution(&run.outcome).is_some()) {
        if !warned.contains(&run.contestant) {
            warned.push(run.contestant);
            notes.extend(caution(&run.outcome).map(|note| format!("{}: {note}", run.contestant)));
        }
    }
    notes
}

/// Names of the contestants in reports.
pub const BROKER: &str = "broker";
pub const INLINE: &str = "bare loop, inline";
pub const OVERLAPPED: &str = "bare loop, overlapped";

/// Shown beside them, never counted.
pub const RING: &str = "bare loop, broker's ring";

/// For the broker to give back the deleted topic's space before the next contestant is timed.
const AFTER_DELETE: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{Cost, Recorder, Window, Work};

    fn run(contestant: &'static str, records: u64, millis: u64) -> Run {
        let start = std::time::Instant::now();
        let window = Window {
            start,
            end: start + Duration::from_secs(1),
        };
        let mut recorder = Recorder::new(window, false);
        recorder.answered(
            start,
            start + Duration::from_millis(millis),
            Work { records, bytes: 1 },
        );
        Run {
            contestant,
            outcome: recorder.finish(window.end, Cost::default(), 0),
        }
    }

    #[test]
    fn the_better_bare_loop_counts_for_each_figure() {
        let runs = [run(BROKER, 50, 30), run(INLINE, 80, 10), run(OVERLAPPED, 100, 20)];
        let records = |outcome: &Outcome| outcome.records_per_second;
        let row_of_records = row("r", Unit::RecordsPerSecond, &runs, records, Bound::AtLeast(0.5)).unwrap();
        assert_eq!(row_of_records.roofline.as_ref().unwrap().by, OVERLAPPED);
        assert_eq!(row_of_records.met(), Some(true));
        let p50 = |outcome: &Outcome| outcome.latency.p50_us;
        let row_of_latency = row("p50", Unit::Microseconds, &runs, p50, Bound::AtMost(2.0)).unwrap();
        assert_eq!(row_of_latency.roofline.as_ref().unwrap().by, INLINE);
        assert_eq!(row_of_latency.met(), Some(false));
    }

    #[test]
    fn every_scenario_builds_its_requests() {
        for scenario in crate::scenario::SCENARIOS {
            if let crate::scenario::Scenario::Produce(scenario) = scenario {
                let workload = ProduceWorkload::new("t", scenario.shape, scenario.connections);
                assert!(workload.work().records > 0, "{}", scenario.name);
            }
        }
    }
}
