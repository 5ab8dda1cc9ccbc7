//! Where a value was written, and the value as it was written there.

use std::fmt;
use std::path::PathBuf;

use super::key::Key;

/// Everything that a configuration is read from. The environment is passed in, so that tests have their own.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// The file that `--config` names; `None` looks at `MILLSTREAM_CONFIG`, then along
    /// [`super::SEARCH_PATH`].
    pub config_file: Option<PathBuf>,
    /// Flags of the command line that set a key.
    pub flags: Vec<(Key, Raw)>,
    /// `--set NAME=VALUE` pairs, as they were given.
    pub broker_flags: Vec<String>,
    /// The process environment.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// The process environment and nothing else. Variables that are not UTF-8 cannot be ours and are left
    /// out.
    pub fn from_environment() -> Sources {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Sources {
            environment: std::env::vars_os().filter_map(utf8).collect(),
            ..Sources::default()
        }
    }

    /// The value of an environment variable; an empty one counts as unset.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self
            .environment
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }
}

/// A value before it has a type. Flags and environment give `Text`; a file may give any of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    Text(String),
    Integer(String),
    Boolean(bool),
    List(Vec<Raw>),
    /// A TOML type that no setting takes, by its name.
    Unfit(&'static str),
}

impl Raw {
    /// The text of a scalar, whatever type it was written as.
    pub fn scalar(&self) -> Option<String> {
        match self {
            Raw::Text(text) | Raw::Integer(text) => Some(text.clone()),
            Raw::Boolean(value) => Some(value.to_string()),
            Raw::List(_) | Raw::Unfit(_) => None,
        }
    }

    /// What an error calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Raw::Text(_) => "a string",
            Raw::Integer(_) => "a number",
            Raw::Boolean(_) => "true or false",
            Raw::List(_) => "a list",
            Raw::Unfit(kind) => kind,
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Environment(name) => f.write_str(name),
            Source::Flag(name) => f.write_str(name),
        }
    }
}
