//! The crash search: random workloads on a simulated machine whose power goes at every flush, and at any other moment.
//!
//! ```text
//! seed ─► workload (what is sent) ─► host (shards, turned by hand) ─► simulated disk ─► image of a power cut
//!              └─► model (what must be true) ────────────────► checker ◄──────── recovery, interrupted too
//! ```
//!
//! `cargo test` runs a fixed slice; more seeds, from `CRASH_FROM` on, are
//! `CRASH_SEEDS=1000 cargo test -p millstream-storage --test crash -- --nocapture loses`
//! (much faster with `CARGO_PROFILE_DEV_OPT_LEVEL=2`). A failing run prints the command that runs it again.

mod checker;
mod eyes;
mod host;
mod model;
mod workload;

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use eyes::{Eyes, MARKS, RARE_MARKS};
use workload::{Ended, Length, Run, Trouble};

#[test]
fn a_power_cut_at_any_moment_loses_nothing_acknowledged() {
    if let Some(seed) = env::<u64>("SEED") {
        run(seed, env("CRASH_KIND").unwrap_or(Kind::Long), &Eyes::default());
        return;
    }
    let eyes = Eyes::default();
    match env::<u64>("CRASH_SEEDS") {
        None => {
            for seed in SLICE {
                run(seed, Kind::Short, &eyes);
            }
        }
        Some(count) => search(env("CRASH_FROM").unwrap_or(0), count, &eyes),
    }
    every_boundary(&eyes);
    let marks = eyes.marks();
    let missed: Vec<_> = MARKS.iter().filter(|mark| !marks.contains_key(**mark)).collect();
    assert!(missed.is_empty(), "the search never met: {missed:?}");
}

#[test]
fn a_seed_is_a_run() {
    let trace = |seed| run(seed, Kind::Short, &Eyes::default()).trace;
    assert_eq!(trace(3), trace(3));
    assert_eq!(trace(4), trace(4));
    assert_ne!(trace(3), trace(8));
}

/// What is run with a seed.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// As in the fixed slice.
    Short,
    /// As in a search.
    Long,
    /// One short life, its power cut at this flush boundary, if at all.
    Boundary(Option<u64>),
}

/// Many seeds, failing ones noted; tells what it met.
fn search(from: u64, count: u64, eyes: &Eyes) {
    let mut failures = Vec::new();
    for seed in from..from + count {
        let failed = catch_unwind(AssertUnwindSafe(|| run(seed, Kind::Long, eyes))).is_err();
        failures.extend(failed.then_some(seed));
        if (seed - from).is_multiple_of(20) {
            println!("seed {seed}, {} failures: {failures:?}", failures.len());
        }
    }
    let marks = eyes.marks();
    marks
        .iter()
        .for_each(|(mark, count)| println!("{count:8} {mark}"));
    assert!(failures.is_empty(), "these seeds fail: {failures:?}");
    let missed: Vec<_> = RARE_MARKS
        .iter()
        .filter(|mark| !marks.contains_key(**mark))
        .collect();
    assert!(
        count < 200 || missed.is_empty(),
        "the search never met: {missed:?}"
    );
}

/// Short lives, each crashed at every flush boundary that it has.
fn every_boundary(eyes: &Eyes) {
    for seed in 0..BOUNDARY_RUNS {
        let whole = run(seed, Kind::Boundary(None), eyes);
        for boundary in 0..whole.boundaries {
            run(seed, Kind::Boundary(Some(boundary)), eyes);
        }
    }
}

fn run(seed: u64, kind: Kind, eyes: &Eyes) -> Ended {
    // A fault that one run armed and never met is not the next one's.
    eyes.disarm();
    let trouble = match (kind, seed % 5) {
        (Kind::Boundary(_), _) | (_, 0..3) => Trouble::None,
        (_, 3) => Trouble::FullDisk,
        _ => Trouble::DeviceErrors,
    };
    let what = match catch_unwind(AssertUnwindSafe(|| {
        Run::new(seed, trouble, kind.length(), eyes).go()
    })) {
        Ok(Ok(ended)) => return ended,
        Ok(Err(what)) => what,
        Err(_) => "a panic (above)".to_owned(),
    };
    panic!(
        "seed {seed}, {trouble:?}: {what}\n\
         again: SEED={seed} CRASH_KIND={kind} cargo test -p millstream-storage --test crash -- --nocapture loses"
    );
}

impl Kind {
    fn length(self) -> Length {
        let (lives, steps, image_one_in, cut_at) = match self {
            Kind::Short => (3, 70, 40, None),
            Kind::Long => (3, 120, 25, None),
            Kind::Boundary(cut_at) => (1, 25, u64::MAX, cut_at),
        };
        Length {
            lives,
            steps,
            image_one_in,
            cut_at,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Short => f.write_str("short"),
            Kind::Long => f.write_str("long"),
            Kind::Boundary(None) => f.write_str("whole"),
            Kind::Boundary(Some(boundary)) => write!(f, "{boundary}"),
        }
    }
}

impl FromStr for Kind {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Kind, Self::Err> {
        Ok(match text {
            "short" => Kind::Short,
            "long" => Kind::Long,
            "whole" => Kind::Boundary(None),
            boundary => Kind::Boundary(Some(boundary.parse()?)),
        })
    }
}

fn env<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Seeds of the fixed slice, which meet all marks.
const SLICE: Range<u64> = 20..35;
const BOUNDARY_RUNS: u64 = 2;
