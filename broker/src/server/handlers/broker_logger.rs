//! The levels of this process's log as Kafka's admin calls know them: resources of the type BROKER_LOGGER.
//!
//! A level that is set here holds until the process ends or SIGHUP reads the configuration again, as in Kafka it is
//! written nowhere. The names are `root` and the parts of the program that [`LOGGERS`] lists, written with dots, as
//! Kafka's tools insist (`millstream.shard`); colons are understood as well. The levels are Kafka's.

use millstream_machine::cluster::controller::Refusal;
use millstream_protocol::error::ErrorCode;

use crate::telemetry::levels::{
    LEVEL_NAMES, LOGGERS, Levels, ROOT, kafka_logger, kafka_name, of_kafka_name, target_of,
};
use crate::telemetry::logging;

/// The resource type on the wire.
pub const BROKER_LOGGER: i8 = 8;
/// The source of a level, among the config sources of DescribeConfigs.
pub const DYNAMIC_BROKER_LOGGER_CONFIG: i8 = 6;

/// One change, as on the wire: logger, operation, level.
pub type LevelChange<'a> = (&'a str, i8, Option<&'a str>);

/// Every logger with its level, or those of `names` that exist.
pub fn describe(
    resource_name: &str,
    node_id: i32,
    names: Option<&[&str]>,
) -> Result<Vec<(String, &'static str)>, Refusal> {
    if resource_name.is_empty() {
        return Err(invalid("Broker id must not be empty"));
    }
    match resource_name.parse::<i32>() {
        Ok(id) if id == node_id => {}
        Ok(id) => {
            return Err(invalid(format!(
                "Unexpected broker id, expected {node_id} but received {id}"
            )));
        }
        Err(_) => {
            return Err(invalid(format!(
                "Broker id must be an integer, but it is: {resource_name}"
            )));
        }
    }
    let levels = levels();
    let known = levels
        .names()
        .map(|target| (kafka_logger(target), kafka_name(levels.of(target))));
    let Some(names) = names else {
        return Ok(known.collect());
    };
    // Named as it was asked for: a client looks for that name in the answer.
    let described = known.flat_map(|(logger, level)| {
        let same = move |name: &&&str| target_of(name) == target_of(&logger);
        names
            .iter()
            .filter(same)
            .map(move |name| ((*name).to_owned(), level))
    });
    Ok(described.collect())
}

/// Makes all changes of one resource, or none.
pub fn alter(
    resource_name: &str,
    node_id: i32,
    changes: &[LevelChange<'_>],
    validate_only: bool,
) -> Result<(), Refusal> {
    match resource_name.parse::<i32>() {
        Ok(id) if id == node_id => {}
        Ok(id) => {
            return Err(invalid(format!(
                "Unexpected node id. Expected {node_id}, but received {id}"
            )));
        }
        Err(_) => {
            return Err(invalid(format!(
                "Node id must be an integer, but it is: {resource_name}"
            )));
        }
    }
    let changed = changed(levels(), changes)?;
    match logging::running() {
        Some(log) if !validate_only => {
            tracing::warn!("the log level is now {changed}, by an admin call");
            log.set_levels(changed).map_err(|message| Refusal {
                code: ErrorCode::UnknownServerError,
                message,
            })
        }
        _ => Ok(()),
    }
}

/// The levels after `changes`; the order of the checks is Kafka's.
fn changed(mut levels: Levels, changes: &[LevelChange<'_>]) -> Result<Levels, Refusal> {
    let duplicate = |(at, change): (usize, &LevelChange<'_>)| {
        let same = |earlier: &LevelChange<'_>| target_of(earlier.0) == target_of(change.0);
        changes[..at].iter().any(same)
    };
    if changes.iter().enumerate().any(duplicate) {
        return Err(invalid("Error due to duplicate config keys"));
    }
    let nulls = changes
        .iter()
        .filter(|(_, operation, level)| *operation != DELETE && level.is_none());
    let nulls: Vec<&str> = nulls.map(|(name, ..)| *name).collect();
    if !nulls.is_empty() {
        return Err(invalid(format!(
            "Null value not supported for : {}",
            nulls.join(",")
        )));
    }
    for &(name, operation, level) in changes {
        match (operation, level) {
            (SET, Some(text)) => {
                must_exist(&levels, name)?;
                let Some(level) = of_kafka_name(text) else {
                    return Err(misconfigured(format!(
                        "Cannot set the log level of {name} to {text} as it is not a supported log level. Valid log \
                         levels are {}",
                        LEVEL_NAMES.join(", ")
                    )));
                };
                levels.set(&target_of(name), level);
            }
            (DELETE, _) => {
                must_exist(&levels, name)?;
                if name == ROOT {
                    return Err(invalid(
                        "Removing the log level of the root logger is not allowed",
                    ));
                }
                levels.unset(&target_of(name));
            }
            (APPEND, _) | (SUBTRACT, _) => {
                let verb = if operation == APPEND { "APPEND" } else { "SUBTRACT" };
                return Err(invalid(format!(
                    "{verb} operation is not allowed for the BROKER_LOGGER resource"
                )));
            }
            _ => return Err(invalid(format!("Unknown operations type {operation}"))),
        }
    }
    Ok(levels)
}

fn must_exist(levels: &Levels, name: &str) -> Result<(), Refusal> {
    let target = target_of(name);
    if levels.names().any(|known| known == target) {
        return Ok(());
    }
    Err(misconfigured(format!("Logger {name} does not exist!")))
}

/// Where nothing logs, as in a simulation, there are the defaults.
fn levels() -> Levels {
    logging::running().map_or_else(Levels::default, |log| log.levels())
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal {
        code: ErrorCode::InvalidRequest,
        message: message.into(),
    }
}

fn misconfigured(message: String) -> Refusal {
    Refusal {
        code: ErrorCode::InvalidConfig,
        message,
    }
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

const _: () = assert!(!LOGGERS.is_empty());

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages are what Kafka 4.3.1 answered.
    #[track_caller]
    fn check(changes: &[LevelChange<'_>], expect: Result<&str, (ErrorCode, &str)>) {
        let found = changed(Levels::default(), changes);
        match (found, expect) {
            (Ok(levels), Ok(text)) => assert_eq!(levels.to_string(), text),
            (Err(refusal), Err((code, message))) => {
                assert_eq!((refusal.code, refusal.message.as_str()), (code, message));
            }
            (found, expect) => panic!("{found:?} is not {expect:?}"),
        }
    }

    #[test]
    fn levels_are_set_and_taken_back() {
        check(&[("root", SET, Some("WARN"))], Ok("warn"));
        check(
            &[
                ("millstream.server", SET, Some("TRACE")),
                ("root", SET, Some("FATAL")),
            ],
            Ok("off,millstream.server=trace"),
        );
        check(&[("millstream::server", DELETE, None)], Ok("info"));
    }

    #[test]
    fn what_cannot_be_is_refused_in_kafkas_words() {
        let invalid = |message| Err((ErrorCode::InvalidRequest, message));
        let misconfigured = |message| Err((ErrorCode::InvalidConfig, message));
        check(
            &[("root", SET, Some("warn"))],
            misconfigured(
                "Cannot set the log level of root to warn as it is not a supported log level. Valid log levels are \
                 DEBUG, ERROR, FATAL, INFO, TRACE, WARN",
            ),
        );
        check(
            &[("root", SET, None)],
            invalid("Null value not supported for : root"),
        );
        check(
            &[("root", DELETE, None)],
            invalid("Removing the log level of the root logger is not allowed"),
        );
        check(
            &[("nope", SET, Some("INFO"))],
            misconfigured("Logger nope does not exist!"),
        );
        check(
            &[("nope", DELETE, None)],
            misconfigured("Logger nope does not exist!"),
        );
        check(
            &[("root", APPEND, Some("INFO"))],
            invalid("APPEND operation is not allowed for the BROKER_LOGGER resource"),
        );
        check(
            &[("root", SET, Some("INFO")), ("root", SET, Some("WARN"))],
            invalid("Error due to duplicate config keys"),
        );
        check(
            &[
                ("millstream.shard", SET, Some("INFO")),
                ("millstream::shard", DELETE, None),
            ],
            invalid("Error due to duplicate config keys"),
        );
    }

    #[test]
    fn resources_are_this_broker() {
        let message = |name, names| describe(name, 1, names).unwrap_err().message;
        assert_eq!(message("", None), "Broker id must not be empty");
        assert_eq!(
            message("99", None),
            "Unexpected broker id, expected 1 but received 99"
        );
        assert_eq!(message("x", None), "Broker id must be an integer, but it is: x");
        assert_eq!(
            describe("1", 1, Some(&["root", "nope"])).unwrap(),
            [("root".to_owned(), "INFO")]
        );
        let all = describe("1", 1, None).unwrap();
        assert_eq!(all.len(), 1 + LOGGERS.len());
        // What Kafka's own tools let through as a name.
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        assert!(all.iter().all(|(name, _)| name.chars().all(allowed)), "{all:?}");
        for name in ["millstream.shard", "millstream::shard"] {
            let one = describe("1", 1, Some(&[name])).unwrap();
            assert_eq!(one, [(name.to_owned(), "INFO")]);
        }
        assert_eq!(
            alter("99", 1, &[], false).unwrap_err().message,
            "Unexpected node id. Expected 1, but received 99"
        );
    }
}
