//! Planted bugs: each breaks one rule of the log, and the search, as it is, must find every one.
//!
//! Invariant: a bug is found by what clients see, or by what the broker says of its files. A seed that ends in a panic
//! finds nothing here: a guard that happens to stand near a bug is no proof that the search would see it.

use std::process::ExitCode;

use millstream_log::planted::{Bug, plant};

use crate::eyes::Eyes;
use crate::search::{PANIC, run};

/// One bug, and what became of it.
pub struct Caught {
    pub bug: Bug,
    /// The seed that found it, and what it said; none where no seed did.
    pub by: Option<(u64, String)>,
    /// Seeds before that one that ended in a panic.
    pub panics: u64,
}

/// Plants every bug in turn and searches until it is found, for at most so many seeds.
pub fn catch(seeds_max: u64) -> Vec<Caught> {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = Bug::ALL.map(|bug| {
        let caught = catch_one(bug, seeds_max);
        let panics = match caught.panics {
            0 => String::new(),
            panics => format!(" (and {panics} panics)"),
        };
        match &caught.by {
            Some((seed, what)) => println!("{bug:?}: found after {} seeds{panics}: {what}", seed + 1),
            None => println!("{bug:?}: NOT found by {seeds_max} seeds{panics}"),
        }
        caught
    });
    drop(std::panic::take_hook());
    caught.into()
}

fn catch_one(bug: Bug, seeds_max: u64) -> Caught {
    let eyes = Eyes::default();
    let (mut by, mut panics) = (None, 0);
    plant(Some(bug));
    for seed in 0..seeds_max {
        match run(seed, &eyes) {
            Err(what) if what.starts_with(PANIC) => panics += 1,
            Err(what) => {
                by = Some((seed, what));
                break;
            }
            Ok(_) => {}
        }
    }
    plant(None);
    Caught { bug, by, panics }
}

/// The command. `name`: this bug alone.
pub fn bugs(seeds_max: u64, name: Option<&str>) -> ExitCode {
    if let Some(name) = name {
        let bug = Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
        let caught = catch_one(bug.unwrap_or_else(|| panic!("{name} is no bug")), seeds_max);
        println!("{name}: {:?}, {} panics", caught.by, caught.panics);
        return match caught.by {
            Some(_) => ExitCode::SUCCESS,
            None => ExitCode::FAILURE,
        };
    }
    let caught = catch(seeds_max);
    let found = caught.iter().filter(|caught| caught.by.is_some()).count();
    println!("\n{found} of {} planted bugs found", caught.len());
    match found == caught.len() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
