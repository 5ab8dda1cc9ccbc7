//! The levels of the log, for the whole program and for parts of it.
//!
//! Written as `info`, or as a list such as `info,millstream.server=debug`, where the longest matching part prevails;
//! `millstream::server`, as Rust names it, is the same part.

use std::collections::BTreeMap;
use std::fmt;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Which level holds where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    root: LevelFilter,
    parts: BTreeMap<String, LevelFilter>,
}

impl Levels {
    /// The error says what is wrong, with the nearest level.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut levels = Levels::default();
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => levels.root = level_of(part)?,
                Some((target, level)) if !target.trim().is_empty() => {
                    levels.set(&target_of(target.trim()), level_of(level.trim())?);
                }
                Some(_) => return Err(format!("`{part}` names no part of the program")),
            }
        }
        Ok(levels)
    }

    /// `root`, the parts that are known and those that were named, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let others = self
            .parts
            .keys()
            .map(String::as_str)
            .filter(|name| !LOGGERS.contains(name));
        [ROOT].into_iter().chain(LOGGERS).chain(others)
    }

    /// The level that holds for a part.
    pub fn of(&self, name: &str) -> LevelFilter {
        let holds = |part: &&String| name.starts_with(part.as_str());
        let longest = self.parts.keys().filter(holds).max_by_key(|part| part.len());
        longest
            .filter(|_| name != ROOT)
            .map_or(self.root, |part| self.parts[part])
    }

    pub fn set(&mut self, name: &str, level: LevelFilter) {
        if name == ROOT {
            self.root = level;
        } else {
            self.parts.insert(name.to_owned(), level);
        }
    }

    /// From here on what is around the part holds for it.
    pub fn unset(&mut self, name: &str) {
        self.parts.remove(name);
    }

    pub(super) fn targets(&self) -> Targets {
        Targets::new()
            .with_default(self.root)
            .with_target(READY_TARGET, LevelFilter::INFO)
            .with_targets(self.parts.clone())
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self {
            root: LevelFilter::INFO,
            parts: BTreeMap::new(),
        }
    }
}

/// As it is parsed.
impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)?;
        self.parts
            .iter()
            .try_for_each(|(part, level)| write!(f, ",{}={level}", kafka_logger(part)))
    }
}

/// Kafka's tools take no colons in a name, so that what Rust calls `a::b` is `a.b` to them.
pub fn kafka_logger(target: &str) -> String {
    target.replace("::", ".")
}

/// The part of the program that is meant, whichever way it is written.
pub fn target_of(logger: &str) -> String {
    logger.replace('.', "::")
}

/// Kafka's name of a level. Nothing is fatal here: where only that would be logged, nothing is.
pub fn kafka_name(level: LevelFilter) -> &'static str {
    let known = KAFKAS.iter().find(|(_, known)| *known == level);
    known.map_or("INFO", |(name, _)| name)
}

/// The level of one of Kafka's names, which are upper case.
pub fn of_kafka_name(name: &str) -> Option<LevelFilter> {
    let known = KAFKAS.iter().find(|(known, _)| *known == name);
    known.map(|(_, level)| *level)
}

fn level_of(text: &str) -> Result<LevelFilter, String> {
    let known = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|(_, level)| *level).ok_or_else(|| {
        let names = LEVELS.map(|(name, _)| name).join(", ");
        match crate::config::nearest(text, LEVELS.iter().map(|(name, _)| *name)) {
            Some(name) => format!("`{text}` is not a log level. Did you mean `{name}`?"),
            None => format!("`{text}` is not a log level ({names})"),
        }
    })
}

/// Of the line that says that a broker is ready: whoever waits for it waits at any level, unless it names this.
pub const READY_TARGET: &str = "millstream::startup::ready";

/// The name of what holds where nothing else does.
pub const ROOT: &str = "root";

/// The parts of the program that log.
pub const LOGGERS: [&str; 7] = [
    "millstream::cli",
    "millstream::controller",
    "millstream::partition",
    "millstream::server",
    "millstream::shard",
    "millstream::startup",
    "millstream_storage",
];

/// Kafka's names of levels, sorted as its messages list them.
pub const LEVEL_NAMES: [&str; 6] = ["DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"];

const KAFKAS: [(&str, LevelFilter); 6] = [
    ("DEBUG", LevelFilter::DEBUG),
    ("ERROR", LevelFilter::ERROR),
    ("FATAL", LevelFilter::OFF),
    ("INFO", LevelFilter::INFO),
    ("TRACE", LevelFilter::TRACE),
    ("WARN", LevelFilter::WARN),
];

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_of_them() {
        for (good, shown) in [
            ("info", "info"),
            ("WARN", "warn"),
            ("off", "off"),
            ("info,millstream::server=debug", "info,millstream.server=debug"),
            (" warn , a = trace ", "warn,a=trace"),
            ("info,millstream.server=debug", "info,millstream.server=debug"),
        ] {
            assert_eq!(Levels::parse(good).unwrap().to_string(), shown);
        }
        let check = |bad: &str, part: &str| {
            let error = Levels::parse(bad).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        };
        check("inof", "Did you mean `info`?");
        check("loudest", "off, error, warn");
        check("info,=debug", "names no part");
        check("", "is not a log level");
    }

    #[test]
    fn the_longest_part_prevails() {
        let levels = Levels::parse("warn,millstream=info,millstream::shard=debug").unwrap();
        assert_eq!(levels.of("root"), LevelFilter::WARN);
        assert_eq!(levels.of("millstream::server"), LevelFilter::INFO);
        assert_eq!(levels.of("millstream::shard::turn"), LevelFilter::DEBUG);
        assert_eq!(levels.of("other"), LevelFilter::WARN);
        assert!(levels.names().any(|name| name == "millstream"));
    }
}
