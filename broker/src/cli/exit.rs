//! How a command ends: the exit codes that scripts may rely on, and the sentence that goes with a failure.

use std::io;
use std::process::ExitCode;

use millstream_protocol::error::ErrorCode;

use crate::client::ClientError;

/// The meaning of an exit code, beside 0; `millstream --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A broker refused, or this machine did.
    Failed = 1,
    /// Wrong arguments or configuration. `clap` uses the same number.
    Usage = 2,
    /// No broker answered.
    Unreachable = 3,
    /// The topic, partition, offset or group does not exist.
    NotFound = 4,
    /// What was to be created exists already.
    Exists = 5,
    /// The data that was read is damaged.
    Damaged = 6,
    /// What was to be looked at cannot be: it is in use, of a newer format, or no data directory.
    Unseen = 7,
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

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let exit = match &error {
            ClientError::NoBroker { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Broken { .. }
            | ClientError::NotKafka { .. } => Exit::Unreachable,
            ClientError::UnknownTopic { .. }
            | ClientError::UnknownPartition { .. }
            | ClientError::BeyondEnd { .. } => Exit::NotFound,
            ClientError::Damaged { .. } => Exit::Damaged,
            ClientError::Invalid(_) => Exit::Usage,
            ClientError::Refused { .. } => exit_of_code(error.code()),
            ClientError::NoLeader { .. } | ClientError::Unsupported { .. } => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}

fn exit_of_code(code: Option<ErrorCode>) -> Exit {
    match code {
        Some(
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::OffsetOutOfRange
            | ErrorCode::GroupIdNotFound,
        ) => Exit::NotFound,
        Some(ErrorCode::TopicAlreadyExists) => Exit::Exists,
        _ => Exit::Failed,
    }
}

/// Ends the process quietly when the reader of our output has gone, as in `millstream consume t | head -1`.
pub fn output_failed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    Failure::io("the output cannot be written", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_exit_codes_that_help_promises() {
        let check = |error: ClientError, code: u8| assert_eq!(Failure::from(error).exit as u8, code);
        check(ClientError::NoBroker { tried: Vec::new() }, 3);
        check(
            ClientError::TimedOut {
                broker: "b".into(),
                waiting_for: "Fetch",
            },
            3,
        );
        check(ClientError::UnknownTopic { topic: "t".into() }, 4);
        check(
            ClientError::refused("t", ErrorCode::OffsetOutOfRange.code(), None),
            4,
        );
        check(
            ClientError::refused("t", ErrorCode::TopicAlreadyExists.code(), None),
            5,
        );
        check(
            ClientError::Damaged {
                topic: "t".into(),
                partition: 0,
                what: "x".into(),
            },
            6,
        );
        check(
            ClientError::refused("t", ErrorCode::MessageTooLarge.code(), None),
            1,
        );
        check(ClientError::Invalid("x".into()), 2);
    }
}
