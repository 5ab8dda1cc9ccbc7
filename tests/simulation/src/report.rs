//! `docs/reliability.md`, written by the run that it tells of.

use std::fmt::Write;
use std::process::ExitCode;

use crate::bugs::{self, Caught};
use crate::eyes::MARKS;
use crate::ledger;
use crate::search::Summary;

/// Searches `count` seeds, then for every planted bug with at most `bug_seeds`, and writes the page. Where it was
/// interrupted it goes on.
pub fn report(from: u64, count: u64, bug_seeds: u64) -> ExitCode {
    let summary = ledger::run_on(from, count);
    let caught = bugs::catch(bug_seeds);
    let page = page(&summary, &caught);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reliability.md");
    std::fs::write(path, page).expect("the page can be written");
    let all_found = caught.iter().all(|caught| caught.by.is_some());
    match summary.failures.is_empty() && summary.missed().is_empty() && all_found {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn page(summary: &Summary, caught: &[Caught]) -> String {
    let mut page = INTRODUCTION.to_owned();
    let total = &summary.total;
    let mut row = |name: &str, value: String| writeln!(page, "| {name} | {value} |").expect("text grows");
    row("seeds", format!("{} from {} on", summary.count, summary.from));
    row(
        "seeds that found something wrong",
        summary.failures.len().to_string(),
    );
    row(
        "seeds a second, on all cores of a busy machine",
        format!("{:.1}", summary.count as f64 / summary.seconds),
    );
    row("client requests", total.requests.to_string());
    row("batches acknowledged", total.acknowledged.to_string());
    row("crashes, those of starts among them", total.crashes.to_string());
    row(
        "states of the disk that were started from and read whole",
        total.images.to_string(),
    );
    row(
        "of these, one at each flush boundary of a life",
        total.boundaries.to_string(),
    );
    row(
        "bytes that a start read at most",
        total.start_read_max.to_string(),
    );
    row(
        "bytes of memory that a start took at most",
        total.start_memory_max.to_string(),
    );
    if !summary.failures.is_empty() {
        page.push_str("\nWhat is open, by seed:\n\n");
        for (seed, what) in &summary.failures {
            let first = what.lines().next().unwrap_or_default();
            writeln!(page, "- {seed}: {first}").expect("text grows");
        }
    }
    page.push_str("\n## What was met\n\n| | times |\n|---|---:|\n");
    for mark in MARKS {
        let times = summary.marks.get(mark).copied().unwrap_or(0);
        writeln!(page, "| {mark} | {times} |").expect("text grows");
    }
    page.push_str(BUGS);
    for Caught { bug, by, .. } in caught {
        let (seeds, what) = match by {
            Some((seed, what)) => ((seed + 1).to_string(), what.lines().next().unwrap_or_default()),
            None => ("not found".to_owned(), ""),
        };
        let (rule, what) = (bug.rule(), what.replace('|', "/"));
        writeln!(page, "| {bug:?} | {rule} | {seeds} | {what} |").expect("text grows");
    }
    page
}

const INTRODUCTION: &str = "\
# What a crash leaves

This page is written by the run that it tells of:
`cargo test --profile simulation -p millstream-simulation --features planted -- report COUNT BUG_SEEDS [FROM]`.

A seed is a broker on a simulated machine: its shards, its controller and the metadata log on a disk that loses what
was not flushed, and clients that speak the wire protocol. Each seed lives several lives, ended by power cuts at flush
boundaries or between them, by kills and by orderly ends; starts are interrupted as well. After each, everything that is
served is read and held against what clients were told. `tests/simulation/src/main.rs` says how.

| | |
|---|---|
";

const BUGS: &str = "
## Planted bugs

Each breaks one rule of the log ([log-rules.md](log-rules.md)); the checker is the same for all of them. Found is one by
what clients saw or by what the broker said of its files: a run that ended in a panic does not count.

| bug | the rule that it breaks | found after seeds | by |
|---|---|---:|---|
";
