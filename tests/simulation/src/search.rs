//! Many seeds: run, counted, told.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::eyes::{Eyes, MARKS};
use crate::run::{Ended, Run};

/// What many seeds came to.
pub struct Summary {
    pub from: u64,
    pub count: u64,
    pub seconds: f64,
    pub total: Ended,
    pub marks: BTreeMap<&'static str, u64>,
    pub failures: Vec<(u64, String)>,
}

impl Summary {
    /// Of no seeds, before those from `from` on.
    pub fn none(from: u64) -> Summary {
        Summary {
            from,
            count: 0,
            seconds: 0.0,
            total: Ended::default(),
            marks: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// Adds what the seeds behind came to.
    #[cfg(feature = "planted")]
    pub fn join(&mut self, next: Summary) {
        self.count += next.count;
        self.seconds += next.seconds;
        add(&mut self.total, &next.total);
        add_marks(&mut self.marks, next.marks);
        self.failures.extend(next.failures);
    }

    /// Marks that no seed met.
    pub fn missed(&self) -> Vec<&'static str> {
        let marks = MARKS.iter().copied();
        marks.filter(|mark| !self.marks.contains_key(mark)).collect()
    }

    fn tell(&self) {
        let Summary { total, seconds, .. } = self;
        println!("\n{} seeds from {} on in {seconds:.0} s", self.count, self.from);
        println!(
            "{:>12} client requests\n{:>12} batches acknowledged",
            total.requests, total.acknowledged
        );
        println!(
            "{:>12} crashes\n{:>12} states looked at",
            total.crashes, total.images
        );
        println!("{:>12} of them at every boundary of a life", total.boundaries);
        println!("{:>12} bytes read by a start at most", total.start_read_max);
        println!(
            "{:>12} bytes of memory taken by a start at most\n",
            total.start_memory_max
        );
        for mark in MARKS {
            println!("{:>12} {mark}", self.marks.get(mark).copied().unwrap_or(0));
        }
        if !self.missed().is_empty() {
            println!("\nnever met: {:?}", self.missed());
        }
        if !self.failures.is_empty() {
            let seeds: Vec<u64> = self.failures.iter().map(|(seed, _)| *seed).collect();
            println!("\nthese seeds fail: {seeds:?}");
        }
    }
}

/// The command: runs `count` seeds from `from` on, with progress and a summary. Fails where a seed does, or where a
/// mark was never met.
pub fn search(from: u64, count: u64) -> ExitCode {
    let summary = run_all(from, count);
    summary.tell();
    match summary.failures.is_empty() && summary.missed().is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs seeds, one at a time on each core, and says now and then how far it is.
pub fn run_all(from: u64, count: u64) -> Summary {
    let began = Instant::now();
    let next = AtomicU64::new(from);
    let failed = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<Part> = std::thread::scope(|scope| {
        let (at_work, all_done) = mpsc::channel::<()>();
        let worker = || {
            let (next, failed, at_work) = (&next, &failed, at_work.clone());
            scope.spawn(move || {
                let _at_work = at_work;
                Part::run(next, from + count, failed)
            })
        };
        let workers: Vec<_> = (0..workers).map(|_| worker()).collect();
        drop(at_work);
        while all_done.recv_timeout(PROGRESS) == Err(RecvTimeoutError::Timeout) {
            let done = next.load(Ordering::Relaxed).min(from + count) - from;
            let rate = done as f64 / began.elapsed().as_secs_f64();
            let failed = failed.load(Ordering::Relaxed);
            println!("{done} of {count} seeds, {rate:.1}/s, {failed} failures");
        }
        let parts = workers.into_iter().map(|worker| worker.join());
        parts
            .map(|part| part.expect("a seed's panic is caught"))
            .collect()
    });
    let mut summary = Summary {
        count,
        seconds: began.elapsed().as_secs_f64(),
        ..Summary::none(from)
    };
    for part in parts {
        add(&mut summary.total, &part.total);
        add_marks(&mut summary.marks, part.marks);
        summary.failures.extend(part.failures);
    }
    summary.failures.sort();
    summary
}

/// What one worker has run.
struct Part {
    total: Ended,
    marks: BTreeMap<&'static str, u64>,
    failures: Vec<(u64, String)>,
}

impl Part {
    /// Takes seeds below `end` until there are none left.
    fn run(next: &AtomicU64, end: u64, failed: &AtomicU64) -> Part {
        let eyes = Eyes::default();
        let mut total = Ended::default();
        let mut failures = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            match run(seed, &eyes) {
                Ok(ended) => add(&mut total, &ended),
                Err(what) => {
                    println!("{}", failure(seed, &what));
                    failed.fetch_add(1, Ordering::Relaxed);
                    failures.push((seed, what));
                }
            }
        }
        Part {
            total,
            marks: eyes.marks(),
            failures,
        }
    }
}

/// The fixed slice, and the seeds that found something once: every seed clean, and one of each trouble the same twice.
pub fn slice() -> ExitCode {
    let eyes = Eyes::default();
    for seed in (0..SLICE).chain(KEPT.iter().copied()) {
        let ended = run(seed, &eyes);
        if let Err(what) = &ended {
            println!("{}", failure(seed, what));
            return ExitCode::FAILURE;
        }
        if !TWICE.contains(&seed) {
            continue;
        }
        let again = run(seed, &eyes);
        if ended != again {
            println!("seed {seed} is not a run: {ended:?}, then {again:?}");
            return ExitCode::FAILURE;
        }
    }
    println!(
        "simulation: {} seeds, all as they must be",
        SLICE + KEPT.len() as u64
    );
    ExitCode::SUCCESS
}

/// One seed, with what the broker has to say.
pub fn replay(seed: u64) -> ExitCode {
    let log = tracing_subscriber::fmt().without_time().with_ansi(false);
    log.with_writer(std::io::stderr).init();
    match run(seed, &Eyes::default()) {
        Ok(ended) => {
            println!("{ended:?}");
            ExitCode::SUCCESS
        }
        Err(what) => {
            println!("{}", failure(seed, &what));
            ExitCode::FAILURE
        }
    }
}

/// One seed.
pub fn run(seed: u64, eyes: &Eyes) -> Result<Ended, String> {
    match catch_unwind(AssertUnwindSafe(|| Run::new(seed, eyes).go())) {
        Ok(ended) => ended,
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            Err(format!("{PANIC}{}", said.unwrap_or_default()))
        }
    }
}

fn failure(seed: u64, what: &str) -> String {
    format!(
        "seed {seed}: {what}\n  again: cargo test --profile simulation -p millstream-simulation -- replay {seed}"
    )
}

fn add(total: &mut Ended, ended: &Ended) {
    total.requests += ended.requests;
    total.acknowledged += ended.acknowledged;
    total.crashes += ended.crashes;
    total.images += ended.images;
    total.boundaries += ended.boundaries;
    total.start_read_max = total.start_read_max.max(ended.start_read_max);
    total.start_memory_max = total.start_memory_max.max(ended.start_memory_max);
}

fn add_marks(total: &mut BTreeMap<&'static str, u64>, marks: BTreeMap<&'static str, u64>) {
    for (mark, times) in marks {
        *total.entry(mark).or_default() += times;
    }
}

/// How the failure of a seed begins that ended in a panic.
pub const PANIC: &str = "a panic: ";
const SLICE: u64 = 12;
/// One of each trouble.
const TWICE: [u64; 6] = [3, 4, 5, 6, 8, 9];
/// Look-ups by time while the log's start moves (92, 300593); a round put at the ring's start by the device (431544);
/// a start interrupted after half an orderly end (537862), or on a device that lied (206454, 207124); a round that was
/// put into another journal (99494).
const KEPT: &[u64] = &[92, 99494, 206454, 207124, 300593, 431544, 537862];
const PROGRESS: Duration = Duration::from_secs(10);
