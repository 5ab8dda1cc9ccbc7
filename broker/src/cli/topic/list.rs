//! `millstream topic list`.

use serde::Serialize;

use crate::cli::args::ClientArgs;
use crate::cli::exit::Failure;
use crate::cli::output::{Page, print_json};
use crate::client::Topic;

/// List the topics
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ListArgs {
    /// Show the cluster's own topics too
    #[arg(long)]
    internal: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Serialize)]
struct Row {
    name: String,
    partitions: usize,
    replicas: usize,
    internal: bool,
}

pub fn run(args: &ListArgs) -> Result<(), Failure> {
    let topics = args.client.connect()?.all_topics()?;
    let rows: Vec<Row> = topics
        .into_iter()
        .filter(|topic| args.internal || !topic.internal)
        .map(Row::new)
        .collect();
    if args.json {
        return print_json(&rows);
    }
    let mut page = Page::new();
    if rows.is_empty() {
        page.line("There are no topics; `millstream topic create NAME` makes one.");
    } else {
        let cells = rows.iter().map(|row| {
            [
                row.name.clone(),
                row.partitions.to_string(),
                row.replicas.to_string(),
            ]
        });
        page.table(["TOPIC", "PARTITIONS", "REPLICAS"], &cells.collect::<Vec<_>>());
    }
    page.print()
}

impl Row {
    fn new(topic: Topic) -> Row {
        Row {
            partitions: topic.partitions.len(),
            replicas: topic
                .partitions
                .iter()
                .map(|partition| partition.replicas.len())
                .max()
                .unwrap_or(0),
            internal: topic.internal,
            name: topic.name,
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream topic list
  millstream topic list --brokers broker-1.example:9092 --json";
