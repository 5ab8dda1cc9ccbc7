//! `millstream cluster info`: who the brokers are, and what they hold and speak.

use millstream_protocol::api;
use serde::Serialize;

use super::Failure;
use super::args::ClientArgs;
use super::output::{Page, count, print_json};
use crate::shard::health::ShardHealth;

/// Look at the cluster
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ClusterCommand {
    Info(InfoArgs),
}

/// Show the brokers, the controller and what they hold
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
struct InfoArgs {
    /// Show which requests the broker takes, in which versions
    #[arg(long)]
    apis: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Serialize)]
struct Info {
    cluster_id: Option<String>,
    controller: Option<i32>,
    brokers: Vec<BrokerRow>,
    topics: usize,
    partitions: usize,
    /// Partitions without a leader.
    offline_partitions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    apis: Option<Vec<ApiRow>>,
}

#[derive(Serialize)]
struct BrokerRow {
    id: i32,
    address: String,
    rack: Option<String>,
    /// The shards that are not well; absent where the broker does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    unwell: Option<Vec<ShardHealth>>,
}

#[derive(Serialize)]
struct ApiRow {
    key: i16,
    /// `None` for a request that this tool does not know.
    name: Option<&'static str>,
    min_version: i16,
    max_version: i16,
}

pub fn run(args: &ClusterArgs) -> Result<(), Failure> {
    let ClusterCommand::Info(args) = &args.command;
    let info = gather(args)?;
    if args.json {
        print_json(&info)
    } else {
        info.show().print()
    }
}

fn gather(args: &InfoArgs) -> Result<Info, Failure> {
    let mut cluster = args.client.connect()?;
    let topics = cluster.all_topics()?;
    let partitions = topics.iter().flat_map(|topic| &topic.partitions);
    let offline_partitions = partitions
        .clone()
        .filter(|partition| partition.leader.is_none())
        .count();
    let brokers = cluster.nodes().map(|node| BrokerRow {
        id: node.id,
        address: node.address(),
        rack: node.rack.clone(),
        unwell: None,
    });
    let mut brokers: Vec<BrokerRow> = brokers.collect();
    for broker in &mut brokers {
        broker.unwell = cluster.health(broker.id)?;
    }
    let apis = args.apis.then(|| {
        let offered = cluster.any().offered().iter();
        let row = |&(key, min_version, max_version): &(i16, i16, i16)| ApiRow {
            key,
            name: api::spec(key).map(|spec| spec.name),
            min_version,
            max_version,
        };
        offered.map(row).collect()
    });
    Ok(Info {
        cluster_id: cluster.cluster_id.clone(),
        controller: cluster.controller_id,
        brokers,
        topics: topics.len(),
        partitions: partitions.count(),
        offline_partitions,
        apis,
    })
}

impl Info {
    fn show(&self) -> Page {
        let mut page = Page::new();
        page.heading(&format!(
            "Cluster {}",
            self.cluster_id.as_deref().unwrap_or("without an id")
        ));
        let (topics, partitions) = (count(self.topics, "topic"), count(self.partitions, "partition"));
        page.line(&match self.offline_partitions {
            0 => format!("{topics}, {partitions}"),
            offline => format!("{topics}, {partitions}, {offline} of them without a leader"),
        });
        page.heading("Brokers");
        let rows: Vec<[String; 4]> = self
            .brokers
            .iter()
            .map(|broker| self.broker_cells(broker))
            .collect();
        page.table(["ID", "ADDRESS", "RACK", "ROLE"], &rows);
        for broker in &self.brokers {
            let unwell = broker.unwell.iter().flatten();
            unwell.for_each(|shard| page.line(&format!("broker {}, {}", broker.id, shard.to_text())));
        }
        if let Some(apis) = &self.apis {
            page.heading("Requests");
            let rows = apis.iter().map(|api| {
                let name = api.name.unwrap_or("(unknown to this tool)").to_owned();
                [
                    api.key.to_string(),
                    name,
                    format!("{} to {}", api.min_version, api.max_version),
                ]
            });
            page.table(["KEY", "NAME", "VERSIONS"], &rows.collect::<Vec<_>>());
        }
        page
    }

    fn broker_cells(&self, broker: &BrokerRow) -> [String; 4] {
        let role = if self.controller == Some(broker.id) {
            "controller"
        } else {
            ""
        };
        let rack = broker.rack.clone().unwrap_or_default();
        [
            broker.id.to_string(),
            broker.address.clone(),
            rack,
            role.to_owned(),
        ]
    }
}

const AFTER_HELP: &str = "\
A broker whose disk stalls, whose journal failed or that fenced partitions has a line for each such shard, and in the
JSON an entry below `unwell`.

Examples:
  millstream cluster info
  millstream cluster info --apis
  millstream cluster info --brokers broker-1.example:9092 --json";
