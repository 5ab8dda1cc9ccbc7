//! The broker configurations that the process was started with.
//!
//! Place: built once by the shell from its file, environment and flags; everything else reads it.
//!
//! Invariants: every value was accepted by its definition.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use core::fmt;

use super::broker::BROKER_CONFIGS;
use super::definition::{ConfigValue, find};

/// Kafka's `server.properties`, as far as somebody wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerSettings {
    values: BTreeMap<&'static str, String>,
}

/// Why a setting cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingError {
    /// No broker configuration is called so.
    Unknown { name: String },
    /// The value does not read; the message names the setting.
    Invalid { message: String },
}

impl BrokerSettings {
    /// What holds where nobody set anything.
    pub const fn new() -> Self {
        Self {
            values: BTreeMap::new(),
        }
    }

    /// Sets `name`, over a value that it had.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let Some(definition) = find(BROKER_CONFIGS, name) else {
            return Err(SettingError::Unknown {
                name: name.to_string(),
            });
        };
        let value = definition.parse(value).map_err(|error| SettingError::Invalid {
            message: error.message,
        })?;
        self.values.insert(definition.name, value.to_text());
        Ok(())
    }

    /// The text that was set, `None` where nobody did.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value that holds, set or by default. Panics where `name` is no broker configuration or has no
    /// value at all.
    #[track_caller]
    pub fn value(&self, name: &str) -> ConfigValue {
        let definition = find(BROKER_CONFIGS, name).expect("a broker configuration");
        let text = self
            .get(name)
            .or(definition.default)
            .expect("a configuration with a default");
        definition.parse(text).expect("settings and defaults read")
    }

    /// [`Self::value`] of a number.
    #[track_caller]
    pub fn number(&self, name: &str) -> i64 {
        match self.value(name) {
            ConfigValue::Number(number) => number,
            other => panic!("{name} is no number: {other:?}"),
        }
    }

    /// [`Self::value`] of a boolean.
    #[track_caller]
    pub fn is_on(&self, name: &str) -> bool {
        self.value(name) == ConfigValue::Boolean(true)
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingError::Unknown { name } => write!(f, "no broker setting is called {name}"),
            SettingError::Invalid { message } => f.write_str(message),
        }
    }
}

impl core::error::Error for SettingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_prevail_over_defaults() {
        let mut settings = BrokerSettings::new();
        assert_eq!(settings.number("num.partitions"), 1);
        assert!(settings.is_on("auto.create.topics.enable"));
        settings.set("num.partitions", " 12 ").unwrap();
        settings.set("auto.create.topics.enable", "False").unwrap();
        assert_eq!(settings.number("num.partitions"), 12);
        assert!(!settings.is_on("auto.create.topics.enable"));
    }

    #[test]
    fn what_does_not_read_changes_nothing() {
        let mut settings = BrokerSettings::new();
        let unknown = SettingError::Unknown {
            name: "num.partition".to_string(),
        };
        assert_eq!(settings.set("num.partition", "1"), Err(unknown));
        let error = settings.set("num.partitions", "0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Invalid value 0 for configuration num.partitions: Value must be at least 1"
        );
        assert_eq!(settings, BrokerSettings::new());
    }
}
