//! Arguments that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};

use super::Failure;
use crate::client::Cluster;
use crate::config::{Config, Key, Raw, Sources, units};

/// Where to read the configuration from.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file [default: millstream.toml here or in /etc/millstream, if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Which cluster to talk to.
#[derive(Debug, Default, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ClientArgs {
    /// Brokers to start from, separated by commas [default: as configured, else 127.0.0.1:9092]
    #[arg(long, short = 'b', value_name = "HOST:PORT")]
    pub brokers: Option<String>,

    /// How long to wait for a connection or an answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,

    #[command(flatten)]
    pub config: ConfigArgs,
}

impl ClientArgs {
    pub fn connect(&self) -> Result<Cluster, Failure> {
        let flags = self
            .brokers
            .iter()
            .map(|brokers| (Key::ClientBrokers, Raw::Text(brokers.clone())));
        let sources = Sources {
            config_file: self.config.config.clone(),
            flags: flags.collect(),
            ..Sources::from_environment()
        };
        let brokers = Config::load(&sources)?.broker_addresses();
        Ok(Cluster::connect(&brokers, self.timeout)?)
    }
}

/// `NAME=VALUE` of one of Kafka's configs; a size or a duration may have a unit, as in `retention.ms=7d`.
pub fn parse_config(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    let name = name.trim();
    let value = crate::config::resolve_units(name, &Raw::Text(value.to_owned()))?;
    Ok((name.to_owned(), value))
}

pub fn parse_duration(text: &str) -> Result<Duration, String> {
    units::parse_millis(text)
        .map(Duration::from_millis)
        .map_err(|error| error.to_string())
}

/// Help in the colours of cargo's, which most readers know.
pub const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());
