//! `millstream config …`: look at the configs of brokers, topics, groups and subscriptions to clients' metrics, and
//! change them while the broker runs.

mod alter;
mod describe;

use serde::Serialize;

use super::Failure;
use super::args::ClientArgs;
use crate::client::{Cluster, ConfigEntry, ConfigOwner};

/// Look at configs of brokers, topics and groups, and change them
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ConfigCommandArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    Describe(describe::DescribeArgs),
    Alter(alter::AlterArgs),
}

pub fn run(args: &ConfigCommandArgs) -> Result<(), Failure> {
    match &args.command {
        ConfigCommand::Describe(args) => describe::run(args),
        ConfigCommand::Alter(args) => alter::run(args),
    }
}

/// Whose configs, and of which cluster.
#[derive(Debug, clap::Args)]
struct OwnerArgs {
    /// Those of a topic
    #[arg(long, short = 't', value_name = "NAME")]
    topic: Option<String>,

    /// Those of one broker
    #[arg(long, value_name = "ID", conflicts_with = "topic")]
    broker: Option<i32>,

    /// Those of a subscription to clients' metrics: `metrics`, `interval.ms` and `match`
    #[arg(long, value_name = "NAME", conflicts_with_all = ["topic", "broker"])]
    client_metrics: Option<String>,

    /// Those of a group, such as consumer.session.timeout.ms
    #[arg(long, value_name = "NAME", conflicts_with_all = ["topic", "broker", "client_metrics"])]
    group: Option<String>,

    #[command(flatten)]
    client: ClientArgs,
}

impl OwnerArgs {
    /// `None` where nobody was named.
    fn named(&self) -> Option<ConfigOwner<'_>> {
        let topic = self.topic.as_deref().map(ConfigOwner::Topic);
        let metrics = self.client_metrics.as_deref().map(ConfigOwner::ClientMetrics);
        let group = self.group.as_deref().map(ConfigOwner::Group);
        let broker = self.broker.map(ConfigOwner::Broker);
        topic.or(broker).or(metrics).or(group)
    }

    fn connect(&self) -> Result<Cluster, Failure> {
        let mut cluster = self.client.connect()?;
        if let Some(topic) = &self.topic {
            cluster.topic(topic, false)?;
        }
        Ok(cluster)
    }
}

/// A config as a row of a table, or in JSON.
#[derive(Serialize)]
pub(super) struct ConfigRow {
    name: String,
    value: Option<String>,
    source: &'static str,
    read_only: bool,
    documentation: Option<String>,
}

impl ConfigRow {
    pub(super) fn new(config: ConfigEntry) -> ConfigRow {
        let value = if config.sensitive {
            Some("(secret)".to_owned())
        } else {
            config.value
        };
        ConfigRow {
            name: config.name,
            value,
            source: config.source.name(),
            read_only: config.read_only,
            documentation: config.documentation,
        }
    }

    pub(super) fn cells(&self) -> [String; 3] {
        let value = self.value.clone().unwrap_or_else(|| "(none)".to_owned());
        [self.name.clone(), value, self.source.to_owned()]
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream config describe
  millstream config alter --set log.retention.ms=7d
  millstream config describe --topic orders";
