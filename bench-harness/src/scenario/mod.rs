//! The scenarios that Millstream is judged by, one file each, and what a judgement is. Those that any broker can be
//! loaded with are data: `file` is their shape, `built_in` those that come with the program, `round` runs one.
//! Invariants: a ratio compares medians of rounds that took turns on the same machine with the same client; a
//! row says whether it was met and never hides that it was not.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::recorder::Outcome;
use crate::target::{BareLoop, BareMode, BrokerCommand, Target};

pub mod built_in;
pub mod fetch_memory;
pub mod file;
pub mod idle;
pub mod knee;
pub mod large_batches;
pub mod many_partitions;
pub mod many_partitions_batched;
pub mod produce_pair;
pub mod quantity;
pub mod round;
pub mod single_record;
pub mod small_records;
pub mod start;
pub mod steady_rate;

/// All scenarios, in the order in which they run.
pub const SCENARIOS: [Scenario; 9] = [
    Scenario::Produce(&small_records::SCENARIO),
    Scenario::Produce(&large_batches::SCENARIO),
    Scenario::Produce(&steady_rate::SCENARIO),
    Scenario::Produce(&single_record::SCENARIO),
    Scenario::Produce(&many_partitions::SCENARIO),
    Scenario::Produce(&many_partitions_batched::SCENARIO),
    Scenario::FetchMemory,
    Scenario::Idle,
    Scenario::Start,
];

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub enum Scenario {
    /// A produce load, on the broker and on both bare loops.
    Produce(&'static produce_pair::ProduceScenario),
    FetchMemory,
    Idle,
    Start,
}

impl Scenario {
    /// The word that selects it.
    pub fn name(&self) -> &'static str {
        match self {
            Scenario::Produce(scenario) => scenario.name,
            Scenario::FetchMemory => fetch_memory::NAME,
            Scenario::Idle => idle::NAME,
            Scenario::Start => start::NAME,
        }
    }

    /// Whether it can run without a broker, against the bare loop alone.
    pub fn has_roofline(&self) -> bool {
        matches!(self, Scenario::Produce(_) | Scenario::FetchMemory)
    }

    /// Whether it starts and stops brokers, and so cannot use one that runs already.
    pub fn starts_brokers(&self) -> bool {
        matches!(self, Scenario::Start)
    }

    pub fn run(&self, arena: &mut Arena) -> Result<Finding, Box<dyn Error>> {
        match self {
            Scenario::Produce(scenario) => scenario.run(arena),
            Scenario::FetchMemory => fetch_memory::run(arena),
            Scenario::Idle => idle::run(arena),
            Scenario::Start => start::run(arena),
        }
    }
}

/// How long and how often a load is measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timing {
    pub warmup: Duration,
    pub measure: Duration,
    pub rounds: usize,
}

/// Where the scenarios run.
#[derive(Debug)]
pub struct Arena<'a> {
    /// A broker that runs already; `None` measures the bare loop alone.
    pub broker: Option<Target>,
    /// How to start a broker of our own, where a scenario must.
    pub command: Option<BrokerCommand>,
    pub timing: Timing,
    /// How long a broker is watched idle.
    pub idle: Duration,
    /// Bytes that are in the log before the start scenario's first stop.
    pub start_bytes: u64,
    /// Whether the bare loop on the broker's ring is measured too.
    pub with_ring: bool,
    /// Directory of the bare loops' files.
    pub scratch: PathBuf,
    pub stop: &'a AtomicBool,
    bare: Vec<(BareMode, BareLoop)>,
}

impl<'a> Arena<'a> {
    pub fn new(timing: Timing, scratch: PathBuf, stop: &'a AtomicBool) -> Self {
        Arena {
            broker: None,
            command: None,
            timing,
            idle: Duration::from_secs(60),
            start_bytes: 0,
            with_ring: false,
            scratch,
            stop,
            bare: Vec::new(),
        }
    }

    /// A bare loop of this mode, started when it is first asked for. It costs nothing while it is not loaded.
    pub fn bare(&mut self, mode: BareMode) -> Result<Target, Box<dyn Error>> {
        if let Some((_, running)) = self.bare.iter().find(|(running, _)| *running == mode) {
            return Ok(running.target());
        }
        let started = BareLoop::start(mode, &self.scratch)?;
        let target = started.target();
        self.bare.push((mode, started));
        Ok(target)
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What one scenario found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub scenario: &'static str,
    pub title: &'static str,
    pub rows: Vec<Row>,
    /// Every measured window, in the order in which they ran.
    pub runs: Vec<Run>,
    /// What a reader must know to judge the figures.
    pub notes: Vec<String>,
}

/// One measured window of one contestant.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub contestant: &'static str,
    pub outcome: Outcome,
}

/// One figure against its target. As JSON it has the verdict, too: `ratio` and `met`.
#[derive(Clone, Debug)]
pub struct Row {
    pub measure: &'static str,
    pub unit: Unit,
    /// `None` when only the roofline was measured.
    pub broker: Option<Spread>,
    pub roofline: Option<Roofline>,
    pub target: Bound,
}

/// The best that the machine did in the same run.
#[derive(Clone, Debug, Serialize)]
pub struct Roofline {
    pub by: &'static str,
    pub spread: Spread,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    RecordsPerSecond,
    GigabytesPerSecond,
    Microseconds,
    /// Of one core.
    CpuShare,
    Bytes,
}

/// What is asked of a row: of the ratio to the roofline where there is one, of the figure itself where there
/// is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    /// Broker over roofline, of the medians.
    pub fn ratio(&self) -> Option<f64> {
        let roofline = self.roofline.as_ref()?.spread.median;
        (roofline > 0.0).then_some(self.broker?.median / roofline)
    }

    /// `None` where the broker was not measured.
    pub fn met(&self) -> Option<bool> {
        let judged = match self.roofline {
            Some(_) => self.ratio()?,
            None => self.broker?.median,
        };
        Some(match self.target {
            Bound::AtLeast(least) => judged >= least,
            Bound::AtMost(most) => judged <= most,
        })
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Row", 7)?;
        fields.serialize_field("measure", self.measure)?;
        fields.serialize_field("unit", &self.unit)?;
        fields.serialize_field("broker", &self.broker)?;
        fields.serialize_field("roofline", &self.roofline)?;
        fields.serialize_field("target", &self.target)?;
        fields.serialize_field("ratio", &self.ratio())?;
        fields.serialize_field("met", &self.met())?;
        fields.end()
    }
}

/// The middle and the ends of what several rounds gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// `None` of nothing. The median of an even number of rounds is the mean of the middle two.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Spread { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(broker: f64, roofline: Option<f64>, target: Bound) -> Row {
        Row {
            measure: "records/s",
            unit: Unit::RecordsPerSecond,
            broker: Spread::of([broker]),
            roofline: roofline.map(|value| Roofline {
                by: "inline",
                spread: Spread::of([value]).unwrap(),
            }),
            target,
        }
    }

    #[test]
    fn a_row_is_judged_by_its_ratio_where_there_is_a_roofline() {
        assert_eq!(row(40.0, Some(100.0), Bound::AtLeast(0.4)).met(), Some(true));
        assert_eq!(row(39.0, Some(100.0), Bound::AtLeast(0.4)).met(), Some(false));
        assert_eq!(row(210.0, Some(100.0), Bound::AtMost(2.0)).met(), Some(false));
        assert_eq!(row(0.5, None, Bound::AtMost(1.0)).met(), Some(true));
        let json = serde_json::to_value(row(39.0, Some(100.0), Bound::AtLeast(0.4))).unwrap();
        assert_eq!((&json["ratio"], &json["met"]), (&0.39.into(), &false.into()));
        let alone = Row {
            broker: None,
            ..row(1.0, Some(1.0), Bound::AtLeast(0.1))
        };
        assert_eq!((alone.ratio(), alone.met()), (None, None));
    }

    #[test]
    fn a_spread_knows_its_middle() {
        assert_eq!(
            Spread::of([3.0, 1.0, 2.0]),
            Some(Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            })
        );
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::BTreeSet<_> = SCENARIOS.iter().map(Scenario::name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
