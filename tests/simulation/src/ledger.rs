//! What a long search came to so far, on the disk: it may be interrupted, and goes on where it was.
//! Invariant: a ledger is of one program, by its bytes: what another build found says nothing of this one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::eyes::MARKS;
use crate::run::Ended;
use crate::search::{Summary, run_all};

/// Searches `count` seeds in pieces, except those that an earlier call has been through.
pub fn run_on(from: u64, count: u64) -> Summary {
    let path = path(from);
    let mut summary = std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| read(&text, from))
        .unwrap_or_else(|| Summary::none(from));
    println!("{} seeds are in {}", summary.count, path.display());
    while summary.count < count {
        let piece = run_all(from + summary.count, PIECE.min(count - summary.count));
        summary.join(piece);
        write(&path, &summary);
        println!(
            "{} of {count} seeds, {} failures",
            summary.count,
            summary.failures.len()
        );
    }
    summary
}

fn path(from: u64) -> PathBuf {
    let program = std::env::current_exe().and_then(std::fs::read);
    let of_program = millstream_log::crc32c(&program.expect("a program can read itself"));
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulation-{of_program:08x}-from-{from}"))
}

fn write(path: &Path, summary: &Summary) {
    let Summary {
        count,
        seconds,
        total,
        ..
    } = summary;
    let mut text = format!("seeds {count}\nseconds {seconds}\n");
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{name} {value}").expect("text grows");
    };
    for (name, value) in counts(&mut total.clone()) {
        line(name, value);
    }
    for (mark, times) in &summary.marks {
        line(&format!("mark {times}"), mark);
    }
    for (seed, what) in &summary.failures {
        line(
            &format!("failure {seed}"),
            &what.lines().next().unwrap_or_default(),
        );
    }
    let beside = path.with_extension("new");
    let done = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    done.expect("a ledger can be written");
}

/// `None` for anything but a whole ledger.
fn read(text: &str, from: u64) -> Option<Summary> {
    let mut summary = Summary::none(from);
    for line in text.lines() {
        let (name, value) = line.split_once(' ')?;
        match name {
            "seeds" => summary.count = value.parse().ok()?,
            "seconds" => summary.seconds = value.parse().ok()?,
            "mark" => {
                let (times, mark) = value.split_once(' ')?;
                let mark = MARKS.iter().find(|known| **known == mark)?;
                summary.marks.insert(mark, times.parse().ok()?);
            }
            "failure" => {
                let (seed, what) = value.split_once(' ')?;
                summary.failures.push((seed.parse().ok()?, what.to_owned()));
            }
            name => *counts(&mut summary.total).remove(name)? = value.parse().ok()?,
        }
    }
    Some(summary)
}

fn counts(total: &mut Ended) -> BTreeMap<&'static str, &mut u64> {
    BTreeMap::from([
        ("requests", &mut total.requests),
        ("acknowledged", &mut total.acknowledged),
        ("crashes", &mut total.crashes),
        ("images", &mut total.images),
        ("boundaries", &mut total.boundaries),
        ("start_read_max", &mut total.start_read_max),
        ("start_memory_max", &mut total.start_memory_max),
    ])
}

/// Seeds between two moments at which the ledger is written: about a minute's.
const PIECE: u64 = 1000;
