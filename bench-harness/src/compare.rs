//! Two runs of one scenario side by side: what differs, and whether it is more than noise.
//!
//! A ratio is B over A: its middle is that of the two medians, its ends are the smallest and the largest that any
//! round of B and any round of A make. A difference counts when the rounds are ordered by side so clearly that chance
//! alone would do it in one of ten comparisons at most (the exact two-sided Mann-Whitney test, which asks nothing of
//! how the rounds scatter); three rounds on each side are the fewest that can show it.

use std::fmt;

use serde::Serialize;

use crate::limits::ROUNDS_COMPARED_MAX;
use crate::recorder::Outcome;
use crate::report::{count, micros};
use crate::result::{FORMAT, Round, RunResult, Stamp, TargetFacts};
use crate::scenario::Spread;

/// Two runs and what they say of each other.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub scenario: String,
    pub a: Side,
    pub b: Side,
    /// What else differs between the two, and may be the reason for any difference below.
    pub warnings: Vec<String>,
    pub rows: Vec<ComparedRow>,
}

/// Which run it is.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    #[serde(flatten)]
    pub stamp: Stamp,
    pub target: TargetFacts,
    pub rounds: usize,
}

/// One figure of one load.
#[derive(Clone, Debug, Serialize)]
pub struct ComparedRow {
    pub load: String,
    pub figure: Figure,
    pub a: Spread,
    pub b: Spread,
    /// B over A.
    pub ratio: Spread,
    /// How often rounds that do not differ are ordered this clearly by chance, from 0 to 1.
    pub chance: f64,
    pub verdict: Verdict,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    RecordsPerSecond,
    GigabytesPerSecond,
    P50,
    P99,
    P999,
    /// Seconds of the server's CPU for each gigabyte of record batches.
    CpuPerGigabyte,
}

/// What a row comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// B is better than A.
    Better,
    Worse,
    /// The medians are as good as equal.
    Same,
    /// The rounds differ among themselves about as much as the sides do.
    Noise,
    /// Too few rounds to tell.
    TooFew,
}

/// Why two runs are not compared.
#[derive(Debug, PartialEq, Eq)]
pub enum CompareError {
    NotAResult(String),
    Format { found: u64 },
    Scenarios { a: String, b: String },
    SameNameOtherText { name: String, a: String, b: String },
    Loads { a: Vec<String>, b: Vec<String> },
    NoRounds,
    TooManyRounds { found: usize },
}

/// Read what a run wrote with `--json-file`.
pub fn read(json: &[u8]) -> Result<RunResult, CompareError> {
    let bad = |error: serde_json::Error| CompareError::NotAResult(error.to_string());
    let value: serde_json::Value = serde_json::from_slice(json).map_err(bad)?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        None => Err(CompareError::NotAResult("it has no format number".into())),
        Some(found) if found != u64::from(FORMAT) => Err(CompareError::Format { found }),
        Some(_) => serde_json::from_value(value).map_err(bad),
    }
}

/// Compare B with A.
pub fn compare(a: &RunResult, b: &RunResult) -> Result<Comparison, CompareError> {
    check(a, b)?;
    let names = a.load_names();
    let mut rows = Vec::new();
    for name in &names {
        for figure in LOAD_FIGURES {
            let values = |run: &RunResult| -> Vec<f64> {
                run.outcomes(name)
                    .filter_map(|outcome| figure.of(outcome))
                    .collect()
            };
            rows.extend(row(name, figure, &values(a), &values(b)));
        }
    }
    let all = if names.len() == 1 { names[0] } else { "all loads" };
    let cpu = |run: &RunResult| -> Vec<f64> { run.rounds.iter().filter_map(cpu_per_gigabyte).collect() };
    rows.extend(row(all, Figure::CpuPerGigabyte, &cpu(a), &cpu(b)));
    Ok(Comparison {
        scenario: a.scenario.name.clone(),
        warnings: warnings(a, b),
        a: side(a),
        b: side(b),
        rows,
    })
}

fn check(a: &RunResult, b: &RunResult) -> Result<(), CompareError> {
    if a.scenario.name != b.scenario.name {
        return Err(CompareError::Scenarios {
            a: a.scenario.name.clone(),
            b: b.scenario.name.clone(),
        });
    }
    if a.scenario.text != b.scenario.text {
        return Err(CompareError::SameNameOtherText {
            name: a.scenario.name.clone(),
            a: a.scenario.text.clone(),
            b: b.scenario.text.clone(),
        });
    }
    for run in [a, b] {
        match run.rounds.len() {
            0 => return Err(CompareError::NoRounds),
            found if found > ROUNDS_COMPARED_MAX => return Err(CompareError::TooManyRounds { found }),
            _ => {}
        }
    }
    let names =
        |run: &RunResult| -> Vec<String> { run.load_names().into_iter().map(str::to_owned).collect() };
    if names(a) != names(b) {
        return Err(CompareError::Loads {
            a: names(a),
            b: names(b),
        });
    }
    Ok(())
}

fn side(run: &RunResult) -> Side {
    Side {
        stamp: run.stamp.clone(),
        target: run.target.clone(),
        rounds: run.rounds.len(),
    }
}

fn warnings(a: &RunResult, b: &RunResult) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut differ = |what: &str, a: &str, b: &str| {
        if a != b {
            warnings.push(format!("{what} differs: A {a}, B {b}"));
        }
    };
    let (host_a, host_b) = (&a.stamp.host, &b.stamp.host);
    differ("the processor", &host_a.cpu, &host_b.cpu);
    differ(
        "the number of cores",
        &host_a.cores.to_string(),
        &host_b.cores.to_string(),
    );
    differ(
        "the memory",
        &mebibytes(host_a.memory_bytes),
        &mebibytes(host_b.memory_bytes),
    );
    differ("the kernel", &host_a.kernel, &host_b.kernel);
    differ("the load generator's version", &a.stamp.version, &b.stamp.version);
    let unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
    differ(
        "what an acknowledgement promises",
        &unknown(&a.target.durability),
        &unknown(&b.target.durability),
    );
    let seconds = |run: &RunResult| -> Option<f64> {
        let loads = run.rounds.iter().flat_map(|round| &round.loads);
        Some(Spread::of(loads.map(|load| load.outcome.seconds))?.median)
    };
    if let (Some(a), Some(b)) = (seconds(a), seconds(b))
        && (a - b).abs() > MEASURED_ALIKE * a.max(b)
    {
        warnings.push(format!(
            "the measured time of a round differs: A {a:.1} s, B {b:.1} s"
        ));
    }
    for (side, run) in [("A", a), ("B", b)] {
        if run.interrupted {
            warnings.push(format!("{side} was interrupted: its last round is shorter"));
        }
        let limited = run.rounds.iter().flat_map(|round| &round.loads);
        if limited.into_iter().any(|load| load.outcome.client_limited) {
            warnings.push(format!(
                "{side}: the load generator itself was the limit in a round at least"
            ));
        }
    }
    warnings
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// Of all loads together, which one server carried.
fn cpu_per_gigabyte(round: &Round) -> Option<f64> {
    let outcomes = round.loads.iter().map(|load| &load.outcome);
    let share = outcomes
        .clone()
        .find_map(|outcome| outcome.cost.server_cpu_share)?;
    let gigabytes: f64 = outcomes.map(|outcome| outcome.gigabytes_per_second).sum();
    (gigabytes > 0.0).then(|| share / gigabytes)
}

/// `None` where a side has no such figure.
fn row(load: &str, figure: Figure, a: &[f64], b: &[f64]) -> Option<ComparedRow> {
    let (spread_a, spread_b) = (Spread::of(a.iter().copied())?, Spread::of(b.iter().copied())?);
    if spread_a.min <= 0.0 {
        return None;
    }
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| b / a));
    let ratio = Spread {
        median: spread_b.median / spread_a.median,
        ..Spread::of(pairs)?
    };
    let chance = chance(a, b);
    Some(ComparedRow {
        load: load.to_owned(),
        figure,
        a: spread_a,
        b: spread_b,
        ratio,
        chance,
        verdict: verdict(figure, ratio.median, chance, a.len().min(b.len())),
    })
}

fn verdict(figure: Figure, ratio: f64, chance: f64, rounds: usize) -> Verdict {
    if rounds < ROUNDS_TO_TELL {
        Verdict::TooFew
    } else if (ratio - 1.0).abs() < SAME_WITHIN {
        Verdict::Same
    } else if chance > CHANCE_MAX {
        Verdict::Noise
    } else if (ratio > 1.0) == figure.more_is_better() {
        Verdict::Better
    } else {
        Verdict::Worse
    }
}

/// Exact two-sided Mann-Whitney test; equal values count half to each side.
fn chance(a: &[f64], b: &[f64]) -> f64 {
    let wins: f64 = b
        .iter()
        .flat_map(|b| {
            a.iter().map(move |a| {
                if b > a {
                    1.0
                } else {
                    f64::from(u8::from(b == a)) / 2.0
                }
            })
        })
        .sum();
    let pairs = a.len() * b.len();
    let fewer = wins.min(pairs as f64 - wins).floor() as usize;
    let orders = orders_by_wins(a.len(), b.len());
    let all: f64 = orders.iter().sum();
    let as_clear: f64 = orders.iter().take(fewer + 1).sum();
    (2.0 * as_clear / all).min(1.0)
}

/// In how many orders of `n` and `m` distinct values the `n` win so many of the pairs, by that number.
fn orders_by_wins(n: usize, m: usize) -> Vec<f64> {
    // The largest value is one of the `n`, which beats all `m`, or one of the `m`, which beats nobody's count.
    let mut by_n: Vec<Vec<f64>> = vec![vec![1.0]; m + 1];
    for n in 1..=n {
        let mut row: Vec<Vec<f64>> = vec![vec![1.0]];
        for m in 1..=m {
            let mut orders = vec![0.0; n * m + 1];
            for (wins, count) in by_n[m].iter().enumerate() {
                orders[wins + m] += count;
            }
            for (wins, count) in row[m - 1].iter().enumerate() {
                orders[wins] += count;
            }
            row.push(orders);
        }
        by_n = row;
    }
    by_n.swap_remove(m)
}

impl Figure {
    pub fn name(self) -> &'static str {
        match self {
            Figure::RecordsPerSecond => "records/s",
            Figure::GigabytesPerSecond => "GB/s",
            Figure::P50 => "p50",
            Figure::P99 => "p99",
            Figure::P999 => "p99.9",
            Figure::CpuPerGigabyte => "server CPU-s/GB",
        }
    }

    /// A value with its unit, or as the name says.
    pub fn text(self, value: f64) -> String {
        match self {
            Figure::RecordsPerSecond => count(value),
            Figure::P50 | Figure::P99 | Figure::P999 => micros(value),
            Figure::GigabytesPerSecond | Figure::CpuPerGigabyte => format!("{value:.3}"),
        }
    }

    fn of(self, outcome: &Outcome) -> Option<f64> {
        match self {
            Figure::RecordsPerSecond => Some(outcome.records_per_second),
            Figure::GigabytesPerSecond => Some(outcome.gigabytes_per_second),
            Figure::P50 => Some(outcome.latency.p50_us),
            Figure::P99 => Some(outcome.latency.p99_us),
            Figure::P999 => Some(outcome.latency.p999_us),
            Figure::CpuPerGigabyte => outcome.server_cpu_per_gigabyte(),
        }
    }

    fn more_is_better(self) -> bool {
        matches!(self, Figure::RecordsPerSecond | Figure::GigabytesPerSecond)
    }
}

impl Verdict {
    /// In words, of B.
    pub fn words(self, chance: f64) -> String {
        let by_chance = format!(
            "by chance in {:.0} % of such runs",
            (chance * 100.0).max(1.0).ceil()
        );
        match self {
            Verdict::Better => format!("better; {by_chance}"),
            Verdict::Worse => format!("WORSE; {by_chance}"),
            Verdict::Same => format!("the same, within {:.0} %", SAME_WITHIN * 100.0),
            Verdict::Noise => format!("noise: {by_chance}"),
            Verdict::TooFew => format!("cannot tell: fewer than {ROUNDS_TO_TELL} rounds"),
        }
    }
}

impl fmt::Display for CompareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompareError::NotAResult(why) => write!(
                f,
                "this is not what a run wrote with --json or --json-file ({why})"
            ),
            CompareError::Format { found } => write!(
                f,
                "its format is {found}, this program reads {FORMAT}: run it again with this version"
            ),
            CompareError::Scenarios { a, b } => {
                write!(f, "A is a run of {a:?}, B of {b:?}: nothing to compare")
            }
            CompareError::SameNameOtherText { name, a, b } => write!(
                f,
                "both are runs of {name:?}, but not of the same load:\nA: {a}\nB: {b}"
            ),
            CompareError::Loads { a, b } => write!(
                f,
                "the runs have different loads: A {}, B {}",
                a.join(", "),
                b.join(", ")
            ),
            CompareError::NoRounds => write!(f, "a run without a round has nothing to compare"),
            CompareError::TooManyRounds { found } => write!(
                f,
                "a run has {found} rounds; {ROUNDS_COMPARED_MAX} are compared at most"
            ),
        }
    }
}

impl std::error::Error for CompareError {}

/// Figures of each load; the server's are those of all loads together.
const LOAD_FIGURES: [Figure; 5] = [
    Figure::RecordsPerSecond,
    Figure::GigabytesPerSecond,
    Figure::P50,
    Figure::P99,
    Figure::P999,
];

/// Medians closer than this are called the same, however clear the order of the rounds is.
const SAME_WITHIN: f64 = 0.01;

/// A difference that chance makes more often than this is called noise: what three rounds a side can show at best.
const CHANCE_MAX: f64 = 0.1 + 1e-9;

/// Rounds whose lengths differ by a larger share are not as good as equally long.
const MEASURED_ALIKE: f64 = 0.05;

const ROUNDS_TO_TELL: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample;

    /// The verdict on one figure of two runs whose rounds moved so many records a second.
    fn judged(a: &[f64], b: &[f64], figure: Figure) -> ComparedRow {
        let compared = compare(&sample::run(&["load"], a), &sample::run(&["load"], b)).unwrap();
        let mut rows = compared.rows.into_iter();
        rows.find(|row| row.figure == figure).unwrap()
    }

    #[test]
    fn a_run_is_the_same_as_itself_and_scattered_rounds_are_noise() {
        let rounds = [1000.0, 1100.0, 900.0];
        let same = judged(&rounds, &rounds, Figure::RecordsPerSecond);
        assert_eq!((same.verdict, same.ratio.median), (Verdict::Same, 1.0));
        let noisy = judged(&rounds, &[1050.0, 1150.0, 950.0], Figure::RecordsPerSecond);
        assert_eq!(noisy.verdict, Verdict::Noise, "{noisy:?}");
        assert!(noisy.ratio.min < 1.0 && noisy.ratio.max > 1.0);
    }

    #[test]
    fn rounds_that_are_all_faster_are_better_and_their_latency_tells_the_same() {
        let (a, b) = ([1000.0, 1010.0, 990.0], [2000.0, 2020.0, 1980.0]);
        let records = judged(&a, &b, Figure::RecordsPerSecond);
        assert_eq!((records.verdict, records.ratio.median), (Verdict::Better, 2.0));
        assert!((records.chance - 0.1).abs() < 1e-9, "{}", records.chance);
        assert_eq!(judged(&b, &a, Figure::RecordsPerSecond).verdict, Verdict::Worse);
        // The sample's latency is one second over its records.
        assert_eq!(judged(&a, &b, Figure::P50).verdict, Verdict::Better);
        assert_eq!(judged(&b, &a, Figure::P99).verdict, Verdict::Worse);
        assert_eq!(judged(&a, &b, Figure::CpuPerGigabyte).verdict, Verdict::Better);
    }

    #[test]
    fn two_rounds_cannot_tell() {
        let row = judged(&[100.0, 100.0], &[900.0, 900.0], Figure::RecordsPerSecond);
        assert_eq!(row.verdict, Verdict::TooFew);
    }

    #[test]
    fn the_chance_is_that_of_the_exact_test() {
        assert_eq!(
            orders_by_wins(3, 3),
            [1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 2.0, 1.0, 1.0]
        );
        assert_eq!(orders_by_wins(64, 64).len(), 64 * 64 + 1);
        let near = |a: &[f64], b: &[f64], want: f64| {
            let got = chance(a, b);
            assert!((got - want).abs() < 1e-9, "{got} is not {want}");
            assert_eq!(got, chance(b, a));
        };
        near(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], 2.0 / 70.0);
        near(&[1.0, 2.0, 3.0, 5.0], &[4.0, 6.0, 7.0, 8.0], 4.0 / 70.0);
        near(&[1.0, 1.0, 1.0], &[1.0, 1.0, 1.0], 1.0);
    }

    #[test]
    fn other_scenarios_formats_and_loads_are_refused() {
        let a = sample::run(&["load"], &[1.0]);
        let refused = |change: &dyn Fn(&mut RunResult)| {
            let mut b = a.clone();
            change(&mut b);
            compare(&a, &b).unwrap_err().to_string()
        };
        assert!(refused(&|run| run.scenario.name = "other".into()).contains("\"other\""));
        assert!(refused(&|run| run.scenario.text = "else".into()).contains("not of the same load"));
        assert!(refused(&|run| run.rounds.clear()).contains("without a round"));
        assert!(refused(&|run| run.rounds[0].loads[0].name = "x".into()).contains("A load, B x"));
        let mut json = serde_json::to_value(&a).unwrap();
        assert_eq!(read(json.to_string().as_bytes()).unwrap().rounds.len(), 1);
        json["format"] = 7.into();
        assert_eq!(
            read(json.to_string().as_bytes()).unwrap_err(),
            CompareError::Format { found: 7 }
        );
        for not in ["{}", "[1]", "text"] {
            assert!(
                matches!(read(not.as_bytes()), Err(CompareError::NotAResult(_))),
                "{not}"
            );
        }
    }

    #[test]
    fn another_host_and_another_durability_are_told() {
        let a = sample::run(&["load"], &[1.0]);
        let mut b = a.clone();
        assert!(compare(&a, &b).unwrap().warnings.is_empty());
        b.stamp.host.cores += 1;
        b.target.durability = Some("in memory".into());
        b.interrupted = true;
        b.rounds[0].loads[0].outcome.seconds *= 2.0;
        let warnings = compare(&a, &b).unwrap().warnings.join("\n");
        for told in ["cores", "B in memory", "interrupted", "A 2.0 s, B 4.0 s"] {
            assert!(warnings.contains(told), "{warnings}");
        }
    }

    #[test]
    fn cpu_is_that_of_all_loads_together() {
        let run = sample::run(&["write", "read"], &[1000.0, 1000.0, 1000.0]);
        let compared = compare(&run, &run).unwrap();
        let cpu: Vec<&ComparedRow> = compared
            .rows
            .iter()
            .filter(|row| row.figure == Figure::CpuPerGigabyte)
            .collect();
        assert_eq!((cpu.len(), cpu[0].load.as_str()), (1, "all loads"));
        let alone = sample::run(&["write"], &[1000.0, 1000.0, 1000.0]);
        let alone = judged_cpu(&alone);
        assert!((cpu[0].a.median * 2.0 / alone - 1.0).abs() < 1e-9);
    }

    fn judged_cpu(run: &RunResult) -> f64 {
        cpu_per_gigabyte(&run.rounds[0]).unwrap()
    }
}
