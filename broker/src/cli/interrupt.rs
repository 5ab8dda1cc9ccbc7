//! Ctrl-C for commands that have something to tidy up: the first is heeded by the command, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::Failure;

/// Whether the command has been told to end.
#[derive(Debug)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// From here on SIGINT and SIGTERM only ask.
    pub fn install() -> Result<Self, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds nothing asked for yet.
            flag::register_conditional_shutdown(signal, EXIT_AT_ONCE, Arc::clone(&asked))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .map_err(|error| Failure::io("signals", &error))?;
        }
        Ok(Self { asked })
    }

    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// As a shell reports a process that SIGINT ended.
const EXIT_AT_ONCE: i32 = 130;
