//! `millstream topic describe`: partitions with their offsets, and the configs.

use serde::Serialize;

use crate::cli::args::ClientArgs;
use crate::cli::config::ConfigRow;
use crate::cli::exit::Failure;
use crate::cli::output::{Page, count, print_json};
use crate::client::{ConfigOwner, ConfigSource, Topic, Watermarks};

/// Show a topic's partitions, offsets and configs
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DescribeArgs {
    /// The topics
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Show every config, not only those that were set
    #[arg(long)]
    all_configs: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Serialize)]
struct Description {
    name: String,
    id: String,
    internal: bool,
    partitions: Vec<PartitionRow>,
    configs: Vec<ConfigRow>,
}

#[derive(Serialize)]
struct PartitionRow {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: Option<i32>,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    /// Inclusive; `None` where the partition does not answer.
    start: Option<i64>,
    /// Exclusive.
    end: Option<i64>,
}

pub fn run(args: &DescribeArgs) -> Result<(), Failure> {
    let mut cluster = args.client.connect()?;
    let mut described = Vec::new();
    let mut silent = None;
    for name in &args.names {
        let topic = cluster.topic(name, false)?;
        let mut partitions = Vec::new();
        for partition in &topic.partitions {
            let marks = cluster.watermarks(name, &[partition.index]);
            let marks = marks.map(|marks| marks.get(&partition.index).copied());
            // One partition that does not answer must not hide the others.
            partitions.push(PartitionRow::new(
                partition,
                marks.unwrap_or_else(|error| {
                    silent.get_or_insert(error);
                    None
                }),
            ));
        }
        let configs = cluster.configs(ConfigOwner::Topic(name))?;
        let shown = configs
            .into_iter()
            .filter(|config| args.all_configs || config.source == ConfigSource::Topic);
        described.push(Description::new(
            topic,
            partitions,
            shown.map(ConfigRow::new).collect(),
        ));
    }
    if args.json {
        print_json(&described)?;
    } else {
        let mut page = Page::new();
        for description in &described {
            description.show(&mut page, args.all_configs);
        }
        page.print()?;
    }
    silent.map_or(Ok(()), |error| Err(error.into()))
}

impl Description {
    fn new(topic: Topic, partitions: Vec<PartitionRow>, configs: Vec<ConfigRow>) -> Description {
        let id = String::from_utf8_lossy(&topic.id.to_base64()).into_owned();
        Description {
            name: topic.name,
            id,
            internal: topic.internal,
            partitions,
            configs,
        }
    }

    fn show(&self, page: &mut Page, all_configs: bool) {
        let partitions = count(self.partitions.len(), "partition");
        page.heading(&format!("{} ({partitions}, id {})", self.name, self.id));
        let heads = [
            "PARTITION",
            "LEADER",
            "EPOCH",
            "REPLICAS",
            "IN SYNC",
            "START",
            "END",
            "RECORDS",
        ];
        let rows: Vec<[String; 8]> = self.partitions.iter().map(PartitionRow::cells).collect();
        page.table(heads, &rows);
        if self.configs.is_empty() {
            page.line("No config was set; --all-configs shows the defaults.");
            return;
        }
        page.heading(if all_configs {
            "Configs"
        } else {
            "Configs that were set"
        });
        let rows: Vec<[String; 3]> = self.configs.iter().map(ConfigRow::cells).collect();
        page.table(["CONFIG", "VALUE", "SOURCE"], &rows);
    }
}

impl PartitionRow {
    fn new(partition: &crate::client::Partition, marks: Option<Watermarks>) -> PartitionRow {
        PartitionRow {
            partition: partition.index,
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replicas.clone(),
            in_sync: partition.in_sync.clone(),
            start: marks.map(|marks| marks.start),
            end: marks.map(|marks| marks.end),
        }
    }

    fn cells(&self) -> [String; 8] {
        let number = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
        let list = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let records = self.start.zip(self.end).map(|(start, end)| end - start);
        [
            self.partition.to_string(),
            number(self.leader.map(i64::from)),
            number(self.leader_epoch.map(i64::from)),
            list(&self.replicas),
            list(&self.in_sync),
            number(self.start),
            number(self.end),
            number(records),
        ]
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream topic describe orders
  millstream topic describe orders --all-configs
  millstream topic describe orders payments --json";
