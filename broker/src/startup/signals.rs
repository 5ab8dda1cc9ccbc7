//! The signals that end a broker: the first in good order, the second at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Arriving;

use super::error::StartError;

/// The end, as it is asked for from outside.
pub struct Signals {
    end: flume::Receiver<()>,
}

impl Signals {
    /// From here on the signals are ours.
    pub fn install() -> Result<Self, StartError> {
        let failed = |error: std::io::Error| StartError::Thread(format!("signals: {error}"));
        let mut arriving = Arriving::new([SIGTERM, SIGINT]).map_err(failed)?;
        let (sender, end) = flume::bounded(1);
        let watch = move || {
            for (count, _) in arriving.forever().enumerate() {
                if count > 0 {
                    tracing::warn!(
                        "told to end a second time: ending at once; the next start replays the journal"
                    );
                    std::process::exit(EXIT_AT_ONCE);
                }
                let _ = sender.send(());
            }
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(watch)
            .map_err(failed)?;
        Ok(Self { end })
    }

    /// Returns at the first signal; a second one ends the process while the caller cleans up.
    pub fn wait_for_end(&self) {
        let _ = self.end.recv();
    }
}

/// As a shell reports a process that SIGINT ended.
const EXIT_AT_ONCE: i32 = 130;
