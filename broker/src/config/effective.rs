//! The effective configuration: every key's value after all sources have spoken, and where it came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::address::Address;
use super::broker_settings;
use super::cores::parse_cores;
use super::error::ConfigError;
use super::file::{self, Placed};
use super::key::{KEYS, Key};
use super::nearest::nearest;
use super::source::{Raw, Source, Sources};
use super::{SEARCH_PATH, units};
use crate::startup::{CoreSet, DEFAULT_PORT, FREE_SPACE_BYTES_MIN_DEFAULT};

/// What applies. A value is replaced whole by a stronger source: lists do not add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub data_dir: Setting<PathBuf>,
    /// Not empty.
    pub listen: Setting<Vec<Address>>,
    pub advertise: Option<Setting<Address>>,
    pub cores: Setting<CoreSet>,
    /// Bytes for the whole process.
    pub memory: Option<Setting<u64>>,
    /// Bytes; at least 64 MiB.
    pub free_space_min: Setting<u64>,
    pub log_format: Setting<LogFormat>,
    /// In the grammar of `telemetry::logging`; checked there.
    pub log_level: Setting<String>,
    /// Not empty where it is set.
    pub client_brokers: Option<Setting<Vec<Address>>>,
    /// Kafka's broker settings that were set, by Kafka's name.
    pub broker: BTreeMap<String, Setting<String>>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    pub value: T,
    pub source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

impl Config {
    /// Weakest source first, so that what is said later prevails.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        let mut config = Config::defaults();
        if let Some(path) = find_file(sources) {
            config.apply_file(&path)?;
            config.file = Some(path);
        }
        config.apply_environment(sources)?;
        for (key, raw) in &sources.flags {
            config
                .set(*key, raw, Source::Flag(key.spec().flag))
                .map_err(|text| {
                    let flag = key.spec().flag;
                    ConfigError::new(Source::Flag(flag), text)
                })?;
        }
        for pair in &sources.broker_flags {
            let source = Source::Flag(SET_FLAG);
            let fail = |text: String| ConfigError::new(Source::Flag(SET_FLAG), text);
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| fail(format!("`{pair}` is not of the form NAME=VALUE")))?;
            config
                .set_broker(name.trim(), &Raw::Text(value.to_owned()), source)
                .map_err(fail)?;
        }
        Ok(config)
    }

    fn defaults() -> Config {
        let default = || Source::Default;
        Config {
            data_dir: Setting {
                value: PathBuf::from("./millstream-data"),
                source: default(),
            },
            listen: Setting {
                value: vec![Address {
                    host: "127.0.0.1".to_owned(),
                    port: Some(DEFAULT_PORT),
                }],
                source: default(),
            },
            advertise: None,
            cores: Setting {
                value: CoreSet::All,
                source: default(),
            },
            memory: None,
            free_space_min: Setting {
                value: FREE_SPACE_BYTES_MIN_DEFAULT,
                source: default(),
            },
            log_format: Setting {
                value: LogFormat::Human,
                source: default(),
            },
            log_level: Setting {
                value: "info".to_owned(),
                source: default(),
            },
            client_brokers: None,
            broker: BTreeMap::new(),
            file: None,
        }
    }

    fn apply_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = file::read(path)?;
        let values = file::parse(path, &text)?;
        let sorted = |place: &Placed| match &place.source {
            Source::File { line, .. } => *line,
            _ => 0,
        };
        let mut first_error: Option<(usize, ConfigError)> = None;
        let mut note = |place: &Placed, result: Result<(), String>| {
            if let Err(text) = result
                && first_error.as_ref().is_none_or(|(line, _)| sorted(place) < *line)
            {
                first_error = Some((sorted(place), place.error(text)));
            }
        };
        for (key, place) in &values.keys {
            let result = self.set(*key, &place.raw, place.source.clone());
            note(place, result);
        }
        for (name, place) in &values.broker {
            let result = self.set_broker(name, &place.raw, place.source.clone());
            note(place, result);
        }
        first_error.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn apply_environment(&mut self, sources: &Sources) -> Result<(), ConfigError> {
        for (variable, value) in &sources.environment {
            if !variable.starts_with(PREFIX) || value.is_empty() || is_planted(variable) {
                continue;
            }
            let source = Source::Environment(variable.clone());
            let raw = Raw::Text(value.clone());
            let result = if let Some(spec) = KEYS.iter().find(|spec| spec.variable == variable) {
                self.set(spec.key, &raw, source.clone())
            } else if let Some(name) = broker_settings::name_of_variable(variable) {
                self.set_broker(&name, &raw, source.clone())
            } else if variable == FILE_VARIABLE {
                Ok(())
            } else {
                Err(unknown_variable(variable))
            };
            result.map_err(|text| ConfigError::new(source, text))?;
        }
        Ok(())
    }

    /// One value, from anywhere. The error says what is wrong with it; the caller knows where it stands.
    fn set(&mut self, key: Key, raw: &Raw, source: Source) -> Result<(), String> {
        match key {
            Key::DataDir => {
                self.data_dir = Setting {
                    value: PathBuf::from(text(raw)?),
                    source,
                }
            }
            Key::Listen => {
                self.listen = Setting {
                    value: addresses(raw)?,
                    source,
                }
            }
            Key::Advertise => {
                let value = Address::parse(text(raw)?)?;
                if matches!(value.host.as_str(), "0.0.0.0" | "::") {
                    return Err(format!(
                        "clients cannot connect to {}: name an address that they reach",
                        value.host
                    ));
                }
                self.advertise = Some(Setting { value, source });
            }
            Key::Cores => {
                self.cores = Setting {
                    value: parse_cores(raw)?,
                    source,
                }
            }
            Key::Memory => {
                self.memory = Some(Setting {
                    value: bytes(raw)?,
                    source,
                })
            }
            Key::FreeSpaceMin => {
                let value = bytes(raw)?;
                if value < FREE_SPACE_MIN_LEAST {
                    return Err(format!("at least {}", units::show_bytes(FREE_SPACE_MIN_LEAST)));
                }
                self.free_space_min = Setting { value, source };
            }
            Key::LogFormat => {
                self.log_format = Setting {
                    value: LogFormat::parse(text(raw)?)?,
                    source,
                }
            }
            Key::LogLevel => {
                let level = text(raw)?;
                crate::telemetry::logging::check_level(level)?;
                self.log_level = Setting {
                    value: level.to_owned(),
                    source,
                };
            }
            Key::ClientBrokers => {
                self.client_brokers = Some(Setting {
                    value: addresses(raw)?,
                    source,
                })
            }
        }
        Ok(())
    }

    fn set_broker(&mut self, name: &str, raw: &Raw, source: Source) -> Result<(), String> {
        let value = broker_settings::parse(name, raw)?;
        self.broker.insert(name.to_owned(), Setting { value, source });
        Ok(())
    }
}

impl LogFormat {
    fn parse(text: &str) -> Result<LogFormat, String> {
        match text {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            _ => {
                let hint = nearest(text, ["human", "json"]).map(|name| format!(". Did you mean `{name}`?"));
                Err(format!(
                    "`{text}` is not a log format (human, json){}",
                    hint.unwrap_or_default()
                ))
            }
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        }
    }
}

/// The file to read: the one that is named, else the first that exists. A named one that is missing is an
/// error when it is read; one that is merely looked for is not.
fn find_file(sources: &Sources) -> Option<PathBuf> {
    let named = sources
        .config_file
        .clone()
        .or_else(|| sources.variable(FILE_VARIABLE).map(PathBuf::from));
    named.or_else(|| SEARCH_PATH.iter().map(PathBuf::from).find(|path| path.is_file()))
}

/// Orchestrators plant variables under a service's name (`MILLSTREAM_SERVICE_HOST`, `MILLSTREAM_PORT_9092_TCP_ADDR`,
/// and for a service called millstream-broker the same behind `MILLSTREAM_BROKER_`): nobody has written them.
fn is_planted(variable: &str) -> bool {
    let of_service = ["_SERVICE_HOST", "_SERVICE_PORT"];
    let of_port = variable.split_once("_PORT").is_some_and(|(_, rest)| {
        let number = rest.strip_prefix('_').and_then(|rest| rest.split('_').next());
        rest.is_empty() || number.is_some_and(|number| number.parse::<u16>().is_ok())
    });
    of_port || of_service.iter().any(|mark| variable.contains(mark))
}

fn unknown_variable(variable: &str) -> String {
    let names = KEYS.iter().map(|spec| spec.variable).chain([FILE_VARIABLE]);
    let hint = nearest(variable, names).map(|name| format!(". Did you mean `{name}`?"));
    format!(
        "`{variable}` is not a variable of millstream{}",
        hint.unwrap_or_default()
    )
}

fn text(raw: &Raw) -> Result<&str, String> {
    match raw {
        Raw::Text(text) if !text.trim().is_empty() => Ok(text.trim()),
        Raw::Text(_) => Err("the value is empty".to_owned()),
        _ => Err(format!("a string is expected, not {}", raw.kind())),
    }
}

/// One address, several with commas, or a list.
fn addresses(raw: &Raw) -> Result<Vec<Address>, String> {
    let mut found = Vec::new();
    match raw {
        Raw::List(items) => {
            for item in items {
                found.push(Address::parse(text(item)?)?);
            }
        }
        _ => {
            for part in text(raw)?.split(',') {
                found.push(Address::parse(part)?);
            }
        }
    }
    if found.is_empty() {
        return Err("at least one address is needed".to_owned());
    }
    if let Some(twice) = found
        .iter()
        .enumerate()
        .find(|(at, address)| found[..*at].contains(address))
    {
        return Err(format!("{} is named twice", twice.1));
    }
    Ok(found)
}

fn bytes(raw: &Raw) -> Result<u64, String> {
    match raw {
        Raw::Text(text) | Raw::Integer(text) => units::parse_bytes(text).map_err(|error| error.to_string()),
        _ => Err(format!("a size such as \"2GiB\" is expected, not {}", raw.kind())),
    }
}

/// Room for a checkpoint and a few segments' ends.
const FREE_SPACE_MIN_LEAST: u64 = 64 << 20;
const PREFIX: &str = "MILLSTREAM_";
const FILE_VARIABLE: &str = "MILLSTREAM_CONFIG";
const SET_FLAG: &str = "--set";

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of its own for one test, removed with it.
    pub struct TestFile(PathBuf);
    impl TestFile {
        pub fn new(name: &str, text: &str) -> TestFile {
            let path =
                std::env::temp_dir().join(format!("millstream-config-{}-{name}.toml", std::process::id()));
            std::fs::write(&path, text).unwrap();
            TestFile(path)
        }
    }
    impl Drop for TestFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let file = TestFile::new(
            "precedence",
            "cores = 2\n[log]\nlevel = \"warn\"\n[broker]\nnum.partitions = 2\n",
        );
        let mut sources = Sources {
            config_file: Some(file.0.clone()),
            ..Sources::default()
        };
        let shown = |sources: &Sources| {
            let config = Config::load(sources).unwrap();
            let partitions = &config.broker["num.partitions"];
            (
                super::super::cores::show_cores(&config.cores.value),
                config.cores.source,
                partitions.value.clone(),
                partitions.source.clone(),
            )
        };
        let line = |line| Source::File {
            path: file.0.clone(),
            line,
        };
        assert_eq!(shown(&sources), ("2".into(), line(1), "2".into(), line(5)));

        sources.environment = environment(&[
            ("MILLSTREAM_CORES", "3"),
            ("MILLSTREAM_BROKER_NUM_PARTITIONS", "3"),
        ]);
        let variable = |name: &str| Source::Environment(name.to_owned());
        let expected = (
            "3".into(),
            variable("MILLSTREAM_CORES"),
            "3".into(),
            variable("MILLSTREAM_BROKER_NUM_PARTITIONS"),
        );
        assert_eq!(shown(&sources), expected);

        sources.flags = vec![(Key::Cores, Raw::Text("4".into()))];
        sources.broker_flags = vec!["num.partitions=4".into()];
        assert_eq!(
            shown(&sources),
            (
                "4".into(),
                Source::Flag("--cores"),
                "4".into(),
                Source::Flag("--set")
            )
        );
        assert_eq!(Config::load(&sources).unwrap().log_level.value, "warn");
        assert_eq!(Config::load(&sources).unwrap().log_format.source, Source::Default);
    }

    /// One wrong value a row: what the file says, the line, and what the message must hold.
    #[test]
    fn wrong_values_name_their_line() {
        let check = |text: &str, line: usize, part: &str| {
            let file = TestFile::new("wrong-value", text);
            let sources = Sources {
                config_file: Some(file.0.clone()),
                ..Sources::default()
            };
            let shown = Config::load(&sources).unwrap_err().to_string();
            assert!(
                shown.starts_with(&format!("{}:{line}: ", file.0.display())),
                "{shown}"
            );
            assert!(shown.contains(part), "{shown}");
        };
        check("listen = 9092", 1, "a string is expected, not a number");
        check("listen = []", 1, "at least one address");
        check("listen = [\"a:1\", \"a:1\"]", 1, "a:1 is named twice");
        check("\n\nlisten = [\"a:x\"]", 3, "`x` is not a port");
        check(
            "advertise = \"0.0.0.0:9092\"",
            1,
            "clients cannot connect to 0.0.0.0",
        );
        check("memory = \"2 parsecs\"", 1, "`parsecs` is not a unit");
        check("free_space_min = \"63MiB\"", 1, "at least 64MiB");
        check("cores = 0", 1, "at least one core");
        check("[log]\nformat = \"jsn\"", 2, "Did you mean `json`?");
        check("[log]\nlevel = \"inof\"", 2, "Did you mean `info`?");
        check("data_dir = \"\"", 1, "empty");
        check("[broker]\nlog.segment.bytes = \"big\"", 2, "a number is expected");
        check(
            "[broker]\nlog.segment.bytes = \"big\"\n[log]\nlevel = 3",
            2,
            "a number is expected",
        );
    }

    #[test]
    fn wrong_flags_and_variables_are_named() {
        let flag = Sources {
            flags: vec![(Key::Memory, Raw::Text("x".into()))],
            ..Sources::default()
        };
        assert!(
            Config::load(&flag)
                .unwrap_err()
                .to_string()
                .starts_with("--memory: ")
        );
        let set = Sources {
            broker_flags: vec!["oops".into()],
            ..Sources::default()
        };
        assert!(Config::load(&set).unwrap_err().to_string().contains("NAME=VALUE"));
        let variable = Sources {
            environment: environment(&[("MILLSTREAM_CORES", "no")]),
            ..Sources::default()
        };
        assert!(
            Config::load(&variable)
                .unwrap_err()
                .to_string()
                .starts_with("MILLSTREAM_CORES: ")
        );
    }

    #[test]
    fn a_named_file_must_exist() {
        let sources = Sources {
            config_file: Some(PathBuf::from("/nowhere/m.toml")),
            ..Sources::default()
        };
        let shown = Config::load(&sources).unwrap_err().to_string();
        assert!(
            shown.contains("/nowhere/m.toml") && shown.contains("cannot be read"),
            "{shown}"
        );
    }

    #[test]
    fn strange_variables_are_errors_and_planted_ones_are_not() {
        let load = |variables: &[(&str, &str)]| {
            Config::load(&Sources {
                environment: environment(variables),
                ..Sources::default()
            })
        };
        let planted = [
            ("MILLSTREAM_SERVICE_HOST", "10.0.0.1"),
            ("MILLSTREAM_PORT", "tcp://10.0.0.1:9092"),
            ("MILLSTREAM_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
            ("MILLSTREAM_BROKER_SERVICE_PORT_KAFKA", "9092"),
            ("MILLSTREAM_BROKER_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("MILLSTREAM_CORES", ""),
            ("OTHER", "x"),
        ];
        assert_eq!(load(&planted), load(&[]));
        let error = load(&[("MILLSTREAM_LISTN", "x")]).unwrap_err().to_string();
        assert!(error.contains("Did you mean `MILLSTREAM_LISTEN`?"), "{error}");
        let error = load(&[("MILLSTREAM_BROKER_NUM_PARTITION", "1")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("Did you mean `num.partitions`?"), "{error}");
    }
}
