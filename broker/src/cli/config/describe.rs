//! `millstream config describe`.

use super::{ConfigRow, OwnerArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Page, print_json};
use crate::client::{Cluster, ConfigOwner, ConfigSource};

/// Show configs: of a broker, unless a topic, a group or a subscription is named
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DescribeArgs {
    /// Only these configs
    #[arg(value_name = "CONFIG")]
    names: Vec<String>,

    /// Show every config, not only those that were set
    #[arg(long)]
    all: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    owner: OwnerArgs,
}

pub fn run(args: &DescribeArgs) -> Result<(), Failure> {
    let mut cluster = args.owner.connect()?;
    let owner = match args.owner.named() {
        Some(owner) => owner,
        None => ConfigOwner::Broker(first_broker(&cluster)?),
    };
    let configs = cluster.configs(owner)?;
    let unknown = args
        .names
        .iter()
        .find(|name| configs.iter().all(|config| config.name != **name));
    if let Some(name) = unknown {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{owner} has no config `{name}`"),
        ));
    }
    let shown = configs.into_iter().filter(|config| match args.names.is_empty() {
        true => args.all || config.source != ConfigSource::Default,
        false => args.names.contains(&config.name),
    });
    let rows: Vec<ConfigRow> = shown.map(ConfigRow::new).collect();
    if args.json {
        return print_json(&rows);
    }
    let mut page = Page::new();
    if rows.is_empty() {
        page.line("No config was set; --all shows the defaults.");
    } else {
        page.heading(&format!("Configs of {owner}"));
        let cells: Vec<[String; 3]> = rows.iter().map(ConfigRow::cells).collect();
        page.table(["CONFIG", "VALUE", "SOURCE"], &cells);
    }
    if let [row] = &rows[..]
        && let Some(documentation) = &row.documentation
        && !args.names.is_empty()
    {
        page.line("");
        page.line(documentation);
    }
    page.print()
}

fn first_broker(cluster: &Cluster) -> Result<i32, Failure> {
    let first = cluster.nodes().next().map(|node| node.id);
    first.ok_or_else(|| Failure::new(Exit::Unreachable, "the cluster names no broker"))
}

const AFTER_HELP: &str = "\
Examples:
  millstream config describe
  millstream config describe log.retention.ms
  millstream config describe --topic orders --all --json";
