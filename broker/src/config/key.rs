//! The one table of keys: what each is called in the file, in the environment and on the command line.

/// A setting of Millstream's own. Kafka's broker settings are not here: they live in `[broker]` under Kafka's
/// names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    DataDir,
    Listen,
    Advertise,
    Cores,
    Memory,
    FreeSpaceMin,
    LogFormat,
    LogLevel,
    ClientBrokers,
}

/// One row of the table.
#[derive(Debug)]
pub struct KeySpec {
    pub key: Key,
    /// The TOML table that holds the key; `None` is the top of the file.
    pub table: Option<&'static str>,
    pub name: &'static str,
    pub variable: &'static str,
    /// The flag that sets it, as an error names it.
    pub flag: &'static str,
    /// A value in TOML, shown by `--print-config` where nothing is set.
    pub example: &'static str,
    /// One line of what it is.
    pub help: &'static str,
}

impl Key {
    pub fn spec(self) -> &'static KeySpec {
        let spec = &KEYS[self as usize];
        assert!(spec.key == self, "KEYS is in the order of the enum");
        spec
    }
}

impl KeySpec {
    /// The name with its table, as it is written in messages: `log.level`.
    pub fn path(&self) -> String {
        match self.table {
            Some(table) => format!("{table}.{}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// The table that holds Kafka's own broker settings.
pub const BROKER_TABLE: &str = "broker";

/// In the order of [`Key`], which is also the order of `--print-config`: the top of the file first.
pub const KEYS: [KeySpec; 9] = [
    KeySpec {
        key: Key::DataDir,
        table: None,
        name: "data_dir",
        variable: "MILLSTREAM_DATA_DIR",
        flag: "--data-dir",
        example: "\"/var/lib/millstream\"",
        help: "where the records live; relative to the working directory",
    },
    KeySpec {
        key: Key::Listen,
        table: None,
        name: "listen",
        variable: "MILLSTREAM_LISTEN",
        flag: "--listen",
        example: "[\"127.0.0.1:9092\", \"[::1]:9092\"]",
        help: "addresses that serve Kafka clients",
    },
    KeySpec {
        key: Key::Advertise,
        table: None,
        name: "advertise",
        variable: "MILLSTREAM_ADVERTISE",
        flag: "--advertise",
        example: "\"broker.example.com:9092\"",
        help: "address that clients are told; unset, they are told the listener's own",
    },
    KeySpec {
        key: Key::Cores,
        table: None,
        name: "cores",
        variable: "MILLSTREAM_CORES",
        flag: "--cores",
        example: "\"0-3\"",
        help: "how many cores, or which: a number, a list such as \"0-3,6\", or \"all\"",
    },
    KeySpec {
        key: Key::Memory,
        table: None,
        name: "memory",
        variable: "MILLSTREAM_MEMORY",
        flag: "--memory",
        example: "\"2GiB\"",
        help: "memory that the broker may use; unset, a part of what the host has",
    },
    KeySpec {
        key: Key::FreeSpaceMin,
        table: None,
        name: "free_space_min",
        variable: "MILLSTREAM_FREE_SPACE_MIN",
        flag: "--free-space-min",
        example: "\"4GiB\"",
        help: "free space of the file system below which producing is refused",
    },
    KeySpec {
        key: Key::LogFormat,
        table: Some("log"),
        name: "format",
        variable: "MILLSTREAM_LOG_FORMAT",
        flag: "--log-format",
        example: "\"json\"",
        help: "what log lines look like: \"human\" or \"json\"",
    },
    KeySpec {
        key: Key::LogLevel,
        table: Some("log"),
        name: "level",
        variable: "MILLSTREAM_LOG_LEVEL",
        flag: "--log-level",
        example: "\"info\"",
        help: "error, warn, info, debug or trace, also \"info,millstream.server=debug\"; SIGHUP reads it anew",
    },
    KeySpec {
        key: Key::ClientBrokers,
        table: Some("client"),
        name: "brokers",
        variable: "MILLSTREAM_BROKERS",
        flag: "--brokers",
        example: "[\"127.0.0.1:9092\"]",
        help: "brokers that `millstream topic`, `produce`, `consume` … talk to",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_finds_its_own_row() {
        for spec in &KEYS {
            assert_eq!(spec.key.spec().name, spec.name);
        }
    }
}
