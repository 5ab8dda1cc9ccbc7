//! How a command ends: the exit codes that scripts may rely on, and the sentence that goes with a failure.

use std::io;
use std::process::ExitCode;

/// The meaning of an exit code, beside 0; `millstream --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A broker refused, or this machine did.
    Failed = 1,
    /// Wrong arguments or configuration. `clap` uses the same number.
    Usage = 2,
    /// No broker answered.
    Unreachable = 3,
    /// The topic, partition or offset does not exist.
    NotFound = 4,
    /// What was to be created exists already.
    Exists = 5,
    /// The data that was read is damaged.
    Damaged = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// In plain words, with what to do about it where that is known; no full stop at its end.
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            message: message.into(),
        }
    }

    /// Reading or writing failed: what it was, and what the system says.
    pub fn io(what: &str, error: &io::Error) -> Failure {
        Failure::new(Exit::Failed, format!("{what}: {error}"))
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Failure {
        Failure::new(Exit::Usage, error.to_string())
    }
}

/// Ends the process quietly when the reader of our output has gone, as in `millstream consume t | head -1`.
pub fn output_failed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    Failure::io("the output cannot be written", error)
}
