//! `--print-config`: the effective configuration as a valid `millstream.toml`, each line with its source.

use std::fmt::Write;

use super::broker_settings;
use super::cores::show_cores;
use super::effective::Config;
use super::key::{BROKER_TABLE, KEYS, Key, KeySpec};
use super::source::Source;

impl Config {
    /// Reads back to the same configuration. Keys without a value stand as comments with an example.
    pub fn to_toml(&self) -> String {
        let mut lines = vec![Line::comment(
            "The effective configuration; what follows a value is where it comes from.",
        )];
        let mut table = None;
        for spec in &KEYS {
            if spec.table != table {
                table = spec.table;
                lines.push(Line::header(spec.table.unwrap_or_default()));
            }
            lines.push(Line::comment(&format!(
                "{} ({}, {})",
                spec.help, spec.flag, spec.variable
            )));
            lines.push(match self.shown(spec) {
                Some((value, source)) => Line::value(spec.name, &value, &source.to_string()),
                None => Line::value(
                    &format!("# {}", spec.name),
                    spec.example,
                    "unset; this is an example",
                ),
            });
        }
        lines.push(Line::header(BROKER_TABLE));
        lines.push(Line::comment(
            "Kafka's broker settings under Kafka's names (--set NAME=VALUE, MILLSTREAM_BROKER_NAME)",
        ));
        lines.push(Line::comment(
            "(those that nobody set stand as comments: set, they would no longer be defaults)",
        ));
        for (name, value, source) in self.broker_values() {
            let bare = value.parse::<i64>().is_ok() || matches!(value, "true" | "false");
            let value = if bare { value.to_owned() } else { quote(value) };
            let comment = if source == Source::Default.to_string() {
                "# "
            } else {
                ""
            };
            lines.push(Line::value(&format!("{comment}{}", quote(name)), &value, &source));
        }
        align(&lines)
    }

    /// What was set, and the defaults of what was not, by name.
    fn broker_values(&self) -> Vec<(&str, &str, String)> {
        let set = self
            .broker
            .iter()
            .map(|(name, set)| (name.as_str(), set.value.as_str(), set.source.to_string()));
        let unset =
            broker_settings::effective_defaults().filter(|(name, _)| !self.broker.contains_key(*name));
        let unset = unset.map(|(name, value)| (name, value, Source::Default.to_string()));
        let mut all: Vec<(&str, &str, String)> = set.chain(unset).collect();
        all.sort_by_key(|(name, ..)| *name);
        all
    }

    /// The value in TOML and its source; `None` where nothing is set.
    fn shown(&self, spec: &KeySpec) -> Option<(String, &Source)> {
        let list = |addresses: &[super::Address]| {
            let quoted: Vec<String> = addresses
                .iter()
                .map(|address| quote(&address.to_string()))
                .collect();
            format!("[{}]", quoted.join(", "))
        };
        Some(match spec.key {
            Key::DataDir => (
                quote(&self.data_dir.value.to_string_lossy()),
                &self.data_dir.source,
            ),
            Key::Listen => (list(&self.listen.value), &self.listen.source),
            Key::Advertise => {
                let set = self.advertise.as_ref()?;
                (quote(&set.value.to_string()), &set.source)
            }
            Key::Cores => (quote(&show_cores(&self.cores.value)), &self.cores.source),
            Key::Memory => {
                let set = self.memory.as_ref()?;
                (set.value.to_string(), &set.source)
            }
            Key::FreeSpaceMin => (self.free_space_min.value.to_string(), &self.free_space_min.source),
            Key::LogFormat => (quote(self.log_format.value.name()), &self.log_format.source),
            Key::LogLevel => (quote(&self.log_level.value), &self.log_level.source),
            Key::ClientBrokers => {
                let set = self.client_brokers.as_ref()?;
                (list(&set.value), &set.source)
            }
        })
    }
}

struct Line {
    text: String,
    source: Option<String>,
}

impl Line {
    fn comment(text: &str) -> Line {
        Line {
            text: format!("# {text}"),
            source: None,
        }
    }
    fn header(table: &str) -> Line {
        Line {
            text: format!("\n[{table}]"),
            source: None,
        }
    }
    fn value(name: &str, value: &str, source: &str) -> Line {
        Line {
            text: format!("{name} = {value}"),
            source: Some(source.to_owned()),
        }
    }
}

/// The sources stand in one column.
fn align(lines: &[Line]) -> String {
    let width = lines
        .iter()
        .filter(|line| line.source.is_some())
        .map(|line| line.text.chars().count())
        .max();
    let width = width.unwrap_or(0).min(COLUMN_MAX);
    let mut text = String::new();
    for line in lines {
        match &line.source {
            // A name that came from a file's path must not end the comment.
            Some(source) => {
                let source: String = source
                    .chars()
                    .map(|c| if c.is_control() { '?' } else { c })
                    .collect();
                let _ = writeln!(text, "{:width$}  # {source}", line.text);
            }
            None => {
                let _ = writeln!(text, "{}", line.text);
            }
        }
    }
    text
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

const COLUMN_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::source::{Raw, Sources};
    use super::*;

    /// Prints, reads the print as the only source, and compares everything but the sources.
    fn check_round_trip(name: &str, sources: &Sources) -> String {
        let first = Config::load(sources).unwrap();
        let printed = first.to_toml();
        let path = std::env::temp_dir().join(format!("millstream-print-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, &printed).unwrap();
        let second = Config::load(&Sources {
            config_file: Some(path.clone()),
            ..Sources::default()
        });
        std::fs::remove_file(&path).unwrap();
        let second = second.unwrap_or_else(|error| panic!("{error}\n{printed}"));
        for spec in &KEYS {
            assert_eq!(
                first.shown(spec).map(|s| s.0),
                second.shown(spec).map(|s| s.0),
                "{}",
                spec.name
            );
        }
        let values = |config: &Config| -> Vec<(String, String)> {
            let all = config.broker_values().into_iter();
            all.map(|(name, value, _)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        assert_eq!(values(&first), values(&second));
        printed
    }

    #[test]
    fn what_is_printed_is_a_configuration_with_the_same_values() {
        let printed = check_round_trip("default", &Sources::default());
        assert!(printed.contains("listen = [\"127.0.0.1:9092\"]"), "{printed}");
        assert!(
            printed
                .lines()
                .any(|line| line.starts_with("# memory = ") && line.ends_with("# unset; this is an example"))
        );

        let text = |text: &str| Raw::Text(text.to_owned());
        let full = Sources {
            flags: vec![
                (Key::DataDir, text("/data/with \"quotes\" and \\")),
                (Key::Listen, text("0.0.0.0:1,[::1]:2")),
                (Key::Advertise, text("b.example:3")),
                (Key::Cores, text("5,")),
                (Key::Memory, text("1.5GiB")),
                (Key::LogFormat, text("json")),
                (Key::LogLevel, text("warn,millstream=trace")),
                (Key::ClientBrokers, text("b1:9092,b2:9092")),
            ],
            broker_flags: vec!["num.partitions=3".into(), "log.cleanup.policy=delete".into()],
            environment: vec![(
                "MILLSTREAM_BROKER_AUTO_CREATE_TOPICS_ENABLE".into(),
                "false".into(),
            )],
            config_file: None,
        };
        let printed = check_round_trip("full", &full);
        assert!(printed.contains("\"num.partitions\" = 3"), "{printed}");
        assert!(
            printed.contains("# MILLSTREAM_BROKER_AUTO_CREATE_TOPICS_ENABLE"),
            "{printed}"
        );
    }

    #[test]
    fn a_control_character_in_a_path_cannot_break_the_print() {
        let mut config = Config::load(&Sources::default()).unwrap();
        config.data_dir.source = Source::File {
            path: PathBuf::from("a\nlisten = 1"),
            line: 1,
        };
        config.data_dir.value = PathBuf::from("a\nb");
        let printed = config.to_toml();
        assert!(printed.contains("\"a\\u000Ab\""));
        assert!(!printed.contains("\nlisten = 1"));
    }
}
