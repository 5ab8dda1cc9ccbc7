//! Why a request of a tool failed, in words for its user.

use std::fmt;
use std::io;

use millstream_protocol::error::ErrorCode;

#[derive(Debug)]
pub enum ClientError {
    /// No broker of the list could be reached; each with its reason.
    NoBroker {
        tried: Vec<(String, io::Error)>,
    },
    /// The broker did not answer in time.
    TimedOut {
        broker: String,
        waiting_for: &'static str,
    },
    /// The connection broke while a request was under way.
    Broken {
        broker: String,
        error: io::Error,
    },
    /// What came back is not the Kafka protocol.
    NotKafka {
        broker: String,
        what: String,
    },
    /// The broker does not speak an API, or no version of it that we do.
    Unsupported {
        broker: String,
        api: &'static str,
    },
    UnknownTopic {
        topic: String,
    },
    UnknownPartition {
        topic: String,
        partition: i32,
        count: usize,
    },
    /// `end` is the highest offset that any of the partitions will give next.
    BeyondEnd {
        topic: String,
        offset: i64,
        end: i64,
    },
    /// The partition has no leader now.
    NoLeader {
        topic: String,
        partition: i32,
    },
    /// The broker refused, with its own words where it gave some.
    Refused {
        what: String,
        code: i16,
        message: Option<String>,
    },
    /// A batch that came from the broker does not read.
    Damaged {
        topic: String,
        partition: i32,
        what: String,
    },
    /// A request that cannot be put into the protocol's form.
    Invalid(String),
}

impl ClientError {
    /// The error of a reply's code: `what` says what was asked for.
    pub fn refused(what: impl Into<String>, code: i16, message: Option<&str>) -> ClientError {
        let message = message.filter(|text| !text.is_empty()).map(str::to_owned);
        ClientError::Refused {
            what: what.into(),
            code,
            message,
        }
    }

    /// Whether the same request may do better in a moment, perhaps at another broker.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Refused { code, .. } => {
                ErrorCode::from_code(*code).is_some_and(ErrorCode::is_retriable)
            }
            ClientError::NoLeader { .. } | ClientError::Broken { .. } => true,
            _ => false,
        }
    }

    /// The broker's code, where it gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused { code, .. } => ErrorCode::from_code(*code),
            _ => None,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NoBroker { tried } => {
                let reasons: Vec<String> = tried
                    .iter()
                    .map(|(broker, error)| format!("{broker}: {error}"))
                    .collect();
                write!(
                    f,
                    "no broker can be reached ({}); is it running? Name another with --brokers HOST:PORT",
                    reasons.join("; ")
                )
            }
            ClientError::TimedOut { broker, waiting_for } => write!(
                f,
                "the broker {broker} did not answer {waiting_for} in time; --timeout allows it longer"
            ),
            ClientError::Broken { broker, error } => match error.kind() {
                io::ErrorKind::UnexpectedEof => write!(f, "the broker {broker} closed the connection"),
                _ => write!(f, "the connection to the broker {broker} broke: {error}"),
            },
            ClientError::NotKafka { broker, what } => {
                write!(
                    f,
                    "{broker} does not answer like a Kafka broker: {what}; is it the right port?"
                )
            }
            ClientError::Unsupported { broker, api } => {
                write!(
                    f,
                    "the broker {broker} does not offer {api} in a version that this tool knows"
                )
            }
            ClientError::UnknownTopic { topic } => {
                write!(
                    f,
                    "there is no topic `{topic}`; `millstream topic list` shows what there is"
                )
            }
            ClientError::UnknownPartition {
                topic,
                partition,
                count,
            } => {
                write!(
                    f,
                    "the topic `{topic}` has no partition {partition}, only 0 to {}",
                    count.saturating_sub(1)
                )
            }
            ClientError::BeyondEnd { topic, offset, end } => {
                write!(f, "offset {offset} is not written yet: `{topic}` ends at {end}")
            }
            ClientError::NoLeader { topic, partition } => {
                write!(
                    f,
                    "partition {partition} of `{topic}` has no leader at the moment; try again"
                )
            }
            ClientError::Refused { what, code, message } => write_refusal(f, what, *code, message.as_deref()),
            ClientError::Damaged {
                topic,
                partition,
                what,
            } => {
                write!(f, "a batch of {topic}-{partition} is damaged: {what}")
            }
            ClientError::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ClientError {}

fn write_refusal(f: &mut fmt::Formatter<'_>, what: &str, code: i16, message: Option<&str>) -> fmt::Result {
    let known = ErrorCode::from_code(code);
    let name = known.map_or_else(|| format!("error {code}"), |code| code.name().to_owned());
    match message {
        Some(message) => write!(f, "{what}: {} ({name})", message.trim_end_matches('.'))?,
        None => write!(f, "{what}: {name}")?,
    }
    let advice = match known {
        Some(ErrorCode::OffsetOutOfRange) => "the records there are gone or not written yet",
        Some(ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge) => {
            "the topic's max.message.bytes limits a batch"
        }
        Some(ErrorCode::KafkaStorageError) => "the broker's log tells more",
        Some(ErrorCode::NonEmptyGroup) => "somebody is in it: `millstream group describe` shows who",
        Some(ErrorCode::UnknownMemberId) => "somebody is in the group: `millstream group describe` shows who",
        _ => return Ok(()),
    };
    write!(f, "; {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_carry_the_name_the_words_and_advice() {
        let check = |code: i16, message: Option<&str>, expected: &str| {
            assert_eq!(ClientError::refused("t", code, message).to_string(), expected);
        };
        check(17, Some("no blanks."), "t: no blanks (INVALID_TOPIC_EXCEPTION)");
        check(17, Some(""), "t: INVALID_TOPIC_EXCEPTION");
        check(9999, None, "t: error 9999");
        let advised = ClientError::refused("t", 1, None).to_string();
        assert!(
            advised.contains("OFFSET_OUT_OF_RANGE; the records there are gone"),
            "{advised}"
        );
    }

    #[test]
    fn what_passes_by_itself_is_retriable() {
        assert!(ClientError::refused("t", ErrorCode::NotLeaderOrFollower.code(), None).is_retriable());
        assert!(!ClientError::refused("t", ErrorCode::MessageTooLarge.code(), None).is_retriable());
        assert!(!ClientError::UnknownTopic { topic: "t".into() }.is_retriable());
    }
}
