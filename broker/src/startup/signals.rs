//! The signals that a running broker heeds: two end it, the first in good order, the second at once; SIGUSR1 asks how
//! it is.

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals as Arriving;

use super::error::StartError;

/// What is asked for from outside.
pub struct Signals {
    asked: flume::Receiver<Asked>,
}

/// A wish of whoever runs the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// End in good order.
    End,
    /// Log what there is: connections, partitions, memory.
    Status,
}

impl Signals {
    /// From here on the signals are ours.
    pub fn install() -> Result<Self, StartError> {
        let failed = |error: std::io::Error| StartError::Thread(format!("signals: {error}"));
        let mut arriving = Arriving::new([SIGTERM, SIGINT, SIGUSR1]).map_err(failed)?;
        let (sender, asked) = flume::bounded(ASKED_MAX);
        let watch = move || {
            let mut ends = 0;
            for signal in arriving.forever() {
                if signal == SIGUSR1 {
                    // Where one waits to be answered, its answer is this one's, too.
                    let _ = sender.try_send(Asked::Status);
                    continue;
                }
                ends += 1;
                if ends > 1 {
                    tracing::warn!(
                        "told to end a second time: ending at once; the next start replays the journal"
                    );
                    std::process::exit(EXIT_AT_ONCE);
                }
                let _ = sender.send(Asked::End);
            }
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(watch)
            .map_err(failed)?;
        Ok(Self { asked })
    }

    /// Waits for the next wish. A second wish for the end ends the process while the caller cleans up.
    pub fn wait(&self) -> Asked {
        self.asked.recv().unwrap_or(Asked::End)
    }
}

/// Wishes that wait; the end always finds room soon, for whoever waits takes one after the other.
const ASKED_MAX: usize = 2;
/// As a shell reports a process that SIGINT ended.
const EXIT_AT_ONCE: i32 = 130;
