//! Results as text for people. Programs read the same structures as JSON.

use std::fmt::Write;

use crate::honesty::Leg;
use crate::host::Host;
use crate::recorder::Outcome;
use crate::result::{NamedOutcome, RunResult};
use crate::scenario::{Bound, Finding, Row, Spread, Unit};

/// Rows of cells under a header, columns aligned: the first to the left, the others to the right.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Table {
            rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()],
        }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(
            cells.len(),
            self.rows[0].len(),
            "a row has a cell for every column"
        );
        self.rows.push(cells);
    }

    pub fn render(&self) -> String {
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                });
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// One line that every report begins with.
pub fn host_line(host: &Host) -> String {
    host_text(host) + "\n"
}

/// The machine in one line.
pub fn host_text(host: &Host) -> String {
    let gib = host.memory_bytes as f64 / (1u64 << 30) as f64;
    format!(
        "{} · {} cores · {gib:.0} GiB · Linux {}",
        host.cpu, host.cores, host.kernel
    )
}

/// A run: every load of every round.
pub fn run_text(result: &RunResult) -> String {
    let mut table = Table::new(&OUTCOME_HEADER);
    let mut notes = String::new();
    for (index, round) in result.rounds.iter().enumerate() {
        for NamedOutcome { name, outcome } in &round.loads {
            let mut cells = vec![name.clone(), format!("{}", index + 1)];
            cells.extend(outcome_cells(outcome));
            table.row(cells);
            let verified = outcome.records_verified.map(verified_line);
            for note in verified.into_iter().chain(caution(outcome)) {
                let _ = writeln!(notes, "{name}, round {}: {note}", index + 1);
            }
        }
    }
    let mut text = host_line(&result.stamp.host);
    let _ = writeln!(text, "{} · {}", result.scenario.name, result.scenario.title);
    text + &table.render() + &notes
}

/// What the scenarios found: every figure against its target, then what the contestants did in detail.
pub fn finding_tables(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let mut text = verdict_table(findings);
    text.push('\n');
    text.push_str(&contestant_table(findings));
    for finding in findings {
        for note in &finding.notes {
            let _ = writeln!(text, "{}: {note}", finding.scenario);
        }
    }
    text
}

/// The bare loop's legs beside the tools.
pub fn leg_table(legs: &[Leg]) -> String {
    if legs.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        "leg",
        "ours GB/s",
        "tool",
        "its GB/s",
        "ratio",
        "at least",
        "honest",
    ]);
    for leg in legs {
        table.row(vec![
            leg.what.clone(),
            spread(Unit::GigabytesPerSecond, &leg.ours),
            leg.tool.into(),
            spread(Unit::GigabytesPerSecond, &leg.theirs),
            format!("{:.2}", leg.ratio()),
            format!("{:.2}", 1.0 - leg.tolerance),
            if leg.honest() { "yes" } else { "NO" }.into(),
        ]);
    }
    table.render()
}

fn verdict_table(findings: &[Finding]) -> String {
    let mut table = Table::new(&[
        "scenario", "measure", "broker", "roofline", "by", "ratio", "target", "met",
    ]);
    for (finding, row) in findings
        .iter()
        .flat_map(|finding| finding.rows.iter().map(move |row| (finding, row)))
    {
        table.row(vec![
            finding.scenario.into(),
            row.measure.into(),
            row.broker.map_or_else(dash, |broker| spread(row.unit, &broker)),
            row.roofline
                .as_ref()
                .map_or_else(dash, |roofline| spread(row.unit, &roofline.spread)),
            row.roofline
                .as_ref()
                .map_or_else(dash, |roofline| roofline.by.into()),
            row.ratio().map_or_else(dash, |ratio| format!("{ratio:.2}")),
            target(row),
            row.met()
                .map_or_else(dash, |met| if met { "yes" } else { "NO" }.into()),
        ]);
    }
    table.render()
}

/// Medians over the rounds of each contestant.
fn contestant_table(findings: &[Finding]) -> String {
    let mut table = Table::new(&CONTESTANT_HEADER);
    for finding in findings {
        let mut contestants: Vec<&str> = Vec::new();
        for run in &finding.runs {
            if !contestants.contains(&run.contestant) {
                contestants.push(run.contestant);
            }
        }
        for contestant in contestants {
            let runs = finding.runs.iter().filter(|run| run.contestant == contestant);
            let outcomes: Vec<&Outcome> = runs.map(|run| &run.outcome).collect();
            let mut cells = vec![finding.scenario.into(), contestant.into()];
            cells.extend(median_cells(&outcomes));
            table.row(cells);
        }
    }
    table.render()
}

fn median_cells(outcomes: &[&Outcome]) -> Vec<String> {
    let median = |figure: &dyn Fn(&Outcome) -> Option<f64>| {
        Spread::of(outcomes.iter().filter_map(|outcome| figure(outcome))).map(|spread| spread.median)
    };
    let cell = |figure: &dyn Fn(&Outcome) -> Option<f64>, text: &dyn Fn(f64) -> String| {
        median(figure).map_or_else(dash, text)
    };
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    vec![
        cell(&|o| Some(o.records_per_second), &count),
        cell(&|o| Some(o.requests_per_second), &count),
        cell(&|o| Some(o.gigabytes_per_second), &|n| format!("{n:.3}")),
        cell(&|o| Some(o.latency.p50_us), &micros),
        cell(&|o| Some(o.latency.p99_us), &micros),
        cell(&|o| Some(o.latency.p999_us), &micros),
        cell(&|o| Some(o.cost.client_cpu_share), &percent),
        cell(&|o| o.cost.server_cpu_share, &percent),
        cell(&|o| o.server_cpu_per_gigabyte(), &|n| format!("{n:.2}")),
        cell(&|o| o.cost.server_rss.map(|rss| rss as f64), &mebibytes),
    ]
}

fn target(row: &Row) -> String {
    let (sign, bound) = match row.target {
        Bound::AtLeast(least) => ("≥", least),
        Bound::AtMost(most) => ("≤", most),
    };
    match row.roofline {
        Some(_) => format!("{sign} {bound:.2}"),
        None => format!("{sign} {}", figure(row.unit, bound)),
    }
}

/// The median, and the ends where they differ from it.
fn spread(unit: Unit, spread: &Spread) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(|value| figure(unit, value));
    if min == max {
        median
    } else {
        format!("{median} [{min} – {max}]")
    }
}

fn figure(unit: Unit, value: f64) -> String {
    match unit {
        Unit::RecordsPerSecond => count(value),
        Unit::GigabytesPerSecond => format!("{value:.3}"),
        Unit::Microseconds => micros(value),
        Unit::CpuShare => format!("{:.2} %", value * 100.0),
        Unit::Bytes => mebibytes(value),
    }
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.0} MiB", bytes / 1048576.0)
}

fn dash() -> String {
    "-".into()
}

/// What a reader made sure of.
pub fn verified_line(records: u64) -> String {
    format!("{records} records read with right checksums, no offset missing")
}

/// What makes a figure worth less than it looks.
pub fn caution(outcome: &Outcome) -> Option<String> {
    if outcome.client_limited {
        Some("the client was the limit: its thread had no time left, the server could have done more".into())
    } else if let Some(missing) = outcome.records_missing.filter(|&missing| missing > 0) {
        Some(format!(
            "{missing} records had not arrived when the run gave up waiting: the latencies lack them"
        ))
    } else if outcome.unanswered > 0 && outcome.send_lag_p99_us.is_some() {
        Some(format!(
            "{} requests had no answer when the run gave up waiting",
            outcome.unanswered
        ))
    } else {
        let lag = outcome
            .send_lag_p99_us
            .filter(|&lag| lag > outcome.latency.p50_us)?;
        Some(format!(
            "the client sent up to {} late (p99): too much for what it measured",
            micros(lag)
        ))
    }
}

/// A duration in the unit that fits it.
pub fn micros(us: f64) -> String {
    match us {
        us if us < 10_000.0 => format!("{us:.0} µs"),
        us if us < 10_000_000.0 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

/// A count with the prefix that fits it.
pub fn count(n: f64) -> String {
    match n {
        n if n < 10_000.0 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.1}k", n / 1e3),
        n => format!("{:.2}M", n / 1e6),
    }
}

const OUTCOME_HEADER: [&str; 12] = [
    "load",
    "round",
    "records/s",
    "requests/s",
    "GB/s",
    "p50",
    "p99",
    "p99.9",
    "max",
    "client CPU",
    "server CPU",
    "server RSS",
];

const CONTESTANT_HEADER: [&str; 12] = [
    "scenario",
    "contestant",
    "records/s",
    "requests/s",
    "GB/s",
    "p50",
    "p99",
    "p99.9",
    "client CPU",
    "server CPU",
    "server CPU-s/GB",
    "server RSS",
];

fn outcome_cells(outcome: &Outcome) -> Vec<String> {
    let optional = |value: Option<String>| value.unwrap_or_else(dash);
    vec![
        count(outcome.records_per_second),
        count(outcome.requests_per_second),
        format!("{:.3}", outcome.gigabytes_per_second),
        micros(outcome.latency.p50_us),
        micros(outcome.latency.p99_us),
        micros(outcome.latency.p999_us),
        micros(outcome.latency.max_us),
        format!("{:.0} %", outcome.cost.client_cpu_share * 100.0),
        optional(
            outcome
                .cost
                .server_cpu_share
                .map(|share| format!("{:.0} %", share * 100.0)),
        ),
        optional(outcome.cost.server_rss.map(|rss| mebibytes(rss as f64))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["name", "n"]);
        table.row(vec!["µs".into(), "1000".into()]);
        assert_eq!(table.render(), "name     n\nµs    1000\n");
    }

    #[test]
    fn numbers_take_the_unit_that_fits() {
        assert_eq!(
            (micros(999.6), micros(25_300.0), micros(1.25e7)),
            ("1000 µs".into(), "25.3 ms".into(), "12.5 s".into())
        );
        assert_eq!(
            (count(999.0), count(61_800.0), count(17.2e6)),
            ("999".into(), "61.8k".into(), "17.20M".into())
        );
    }
}
