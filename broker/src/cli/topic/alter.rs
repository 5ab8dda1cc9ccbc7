//! `millstream topic alter`: more partitions, other configs.

use crate::cli::args::{ClientArgs, parse_config};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::client::ConfigOwner;

/// Change a topic's configs, or give it more partitions
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct AlterArgs {
    /// The topic
    name: String,

    /// How many partitions it shall have; partitions can be added, never taken away
    #[arg(long, short = 'p', value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// Set a config, such as retention.ms=7d; may be given several times
    #[arg(long, short = 's', value_name = "NAME=VALUE", value_parser = parse_config)]
    set: Vec<(String, String)>,

    /// Return a config to its default; may be given several times
    #[arg(long, short = 'u', value_name = "NAME")]
    unset: Vec<String>,

    /// Let the broker check the changes and make none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    client: ClientArgs,
}

pub fn run(args: &AlterArgs) -> Result<(), Failure> {
    let set = args
        .set
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone())));
    let unset = args.unset.iter().map(|name| (name.clone(), None));
    let changes: Vec<(String, Option<String>)> = set.chain(unset).collect();
    if changes.is_empty() && args.partitions.is_none() {
        let message = "nothing to change: give --set, --unset or --partitions";
        return Err(Failure::new(Exit::Usage, message));
    }
    let mut cluster = args.client.connect()?;
    cluster.topic(&args.name, false)?;
    if !changes.is_empty() {
        cluster.alter_configs(ConfigOwner::Topic(&args.name), &changes, args.dry_run)?;
    }
    if let Some(partitions) = args.partitions {
        cluster.grow_topic(&args.name, partitions, args.dry_run)?;
    }
    tell(if args.dry_run {
        "It could be changed so."
    } else {
        "Changed."
    });
    Ok(())
}

const AFTER_HELP: &str = "\
Examples:
  millstream topic alter orders --set retention.ms=7d --set max.message.bytes=4MiB
  millstream topic alter orders --unset retention.ms
  millstream topic alter orders --partitions 16";
