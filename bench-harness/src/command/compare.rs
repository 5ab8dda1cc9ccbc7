//! `millstream-bench compare`: what differs between two runs, and whether it is more than noise.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::command::print;
use crate::compare::{ComparedRow, Comparison, Side, Verdict, compare, read};
use crate::report::Table;
use crate::result::RunResult;
use crate::scenario::Spread;

/// Compare two runs of the same scenario, as they were written by --json-file.
///
/// A ratio is B over A. Its ends are the smallest and the largest of all pairs of rounds. Whether a difference is
/// noise is decided by the exact two-sided Mann-Whitney test over the rounds; three rounds of each run are the fewest
/// that can tell, more tell smaller differences.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// The run before.
    #[arg(value_name = "A.json")]
    pub a: PathBuf,
    /// The run after.
    #[arg(value_name = "B.json")]
    pub b: PathBuf,
    #[arg(long)]
    pub json: bool,
    /// End with exit code 1 when a figure of B is worse and not by noise.
    #[arg(long)]
    pub fail_if_worse: bool,
}

pub fn run(args: &CompareArgs) -> Result<(), Box<dyn Error>> {
    let comparison = compare(&load(&args.a)?, &load(&args.b)?)?;
    print(args.json, &comparison, || text(&comparison))?;
    let worse = comparison.rows.iter().filter(|row| row.verdict == Verdict::Worse);
    match worse.count() {
        worse if worse > 0 && args.fail_if_worse => Err(format!("{worse} figures are worse").into()),
        _ => Ok(()),
    }
}

/// Reads what a run wrote to a file.
pub fn load(path: &Path) -> Result<RunResult, String> {
    let told = |error: &dyn Error| format!("{}: {error}", path.display());
    let json = std::fs::read(path).map_err(|error| told(&error))?;
    read(&json).map_err(|error| told(&error))
}

fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", comparison.scenario);
    for (name, side) in [("A", &comparison.a), ("B", &comparison.b)] {
        let _ = writeln!(text, "{name}: {}", side_line(side));
    }
    for warning in &comparison.warnings {
        let _ = writeln!(text, "caution: {warning}");
    }
    let mut table = Table::new(&["load", "figure", "A", "B", "B / A", "B is"]);
    for row in &comparison.rows {
        table.row(cells(row));
    }
    text + &table.render()
}

fn side_line(side: &Side) -> String {
    let broker = side.target.broker.as_deref().unwrap_or("a broker");
    format!(
        "{} · {broker} at {} · {} rounds",
        side.stamp.date, side.target.address, side.rounds
    )
}

fn cells(row: &ComparedRow) -> Vec<String> {
    let spread = |spread: &Spread, text: &dyn Fn(f64) -> String| {
        format!(
            "{} [{} – {}]",
            text(spread.median),
            text(spread.min),
            text(spread.max)
        )
    };
    let figure = |value: f64| row.figure.text(value);
    vec![
        row.load.clone(),
        row.figure.name().into(),
        spread(&row.a, &figure),
        spread(&row.b, &figure),
        spread(&row.ratio, &|ratio| format!("{ratio:.3}")),
        row.verdict.words(row.chance),
    ]
}

const EXAMPLES: &str = "\
Examples:
  Before and after a change, five rounds each:
    millstream-bench produce --rounds 5 --json-file before.json
    millstream-bench produce --rounds 5 --json-file after.json
    millstream-bench compare before.json after.json
  In a script, to fail when it got worse:
    millstream-bench compare before.json after.json --json --fail-if-worse";
