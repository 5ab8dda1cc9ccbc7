//! The subcommands of `millstream-bench`, one file each.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::host::Host;
use crate::recorder::Outcome;

pub mod bare_loop;
pub mod fetch;
pub mod produce;
pub mod roofline;
pub mod suite;

/// What `produce` and `fetch` print.
#[derive(Debug, Serialize)]
pub struct Report {
    pub host: Host,
    pub rounds: Vec<Outcome>,
    /// Ctrl-C came before the end: the last round is shorter than asked for.
    pub interrupted: bool,
}

/// A flag that Ctrl-C and SIGTERM raise; a second one ends the process at once.
pub fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// Print a report: JSON for programs, text for people.
pub fn print(
    json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Box<dyn Error>> {
    if json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        print!("{}", text());
    }
    Ok(())
}

/// Exit code of a process that an interrupt ended, by the shells' convention.
const INTERRUPTED: i32 = 130;
