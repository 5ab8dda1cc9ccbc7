//! Planted bugs: each breaks one rule of the log, and the search, as it is, must find every one.

use std::process::ExitCode;

use millstream_log::planted::{Bug, plant};

use crate::eyes::Eyes;
use crate::search::run;

/// One bug, and what became of it.
pub struct Caught {
    pub bug: Bug,
    /// The seed that found it, and what it said; none where no seed did.
    pub by: Option<(u64, String)>,
}

/// Plants every bug in turn and searches until it is found, for at most so many seeds.
pub fn catch(seeds_max: u64) -> Vec<Caught> {
    // A planted bug may end in a panic, which finds it as well.
    std::panic::set_hook(Box::new(|_| {}));
    let mut caught = Vec::new();
    for bug in Bug::ALL {
        plant(Some(bug));
        let eyes = Eyes::default();
        let found = (0..seeds_max).find_map(|seed| run(seed, &eyes).err().map(|what| (seed, what)));
        plant(None);
        match &found {
            Some((seed, what)) => println!("{bug:?}: found after {} seeds: {what}", seed + 1),
            None => println!("{bug:?}: NOT found by {seeds_max} seeds"),
        }
        caught.push(Caught { bug, by: found });
    }
    let _ = std::panic::take_hook();
    caught
}

/// The command.
pub fn bugs(seeds_max: u64) -> ExitCode {
    let caught = catch(seeds_max);
    let found = caught.iter().filter(|caught| caught.by.is_some()).count();
    println!("\n{found} of {} planted bugs found", caught.len());
    match found == caught.len() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
