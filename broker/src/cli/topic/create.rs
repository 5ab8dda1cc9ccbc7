//! `millstream topic create`.

use crate::cli::args::{ClientArgs, parse_config};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::tell;
use crate::client::NewTopic;

/// Create a topic
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct CreateArgs {
    /// Letters, digits, `.`, `_` and `-`, at most 249 of them
    name: String,

    /// How many partitions [default: the broker's num.partitions]
    #[arg(long, short = 'p', value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// How many replicas of each partition [default: the broker's default.replication.factor]
    #[arg(long, short = 'r', value_name = "COUNT", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,

    /// Set a config of the topic, such as retention.ms=7d; may be given several times
    #[arg(long, short = 's', value_name = "NAME=VALUE", value_parser = parse_config)]
    set: Vec<(String, String)>,

    /// It is no error if the topic exists, whatever it looks like
    #[arg(long)]
    if_not_exists: bool,

    /// Let the broker check the request and create nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    client: ClientArgs,
}

pub fn run(args: &CreateArgs) -> Result<(), Failure> {
    let mut cluster = args.client.connect()?;
    let topic = NewTopic {
        name: &args.name,
        partitions: args.partitions,
        replication_factor: args.replication_factor,
        configs: &args.set,
        dry_run: args.dry_run,
    };
    match cluster.create_topic(&topic).map_err(Failure::from) {
        Err(failure) if failure.exit == Exit::Exists && args.if_not_exists => tell("It exists already."),
        Ok(()) if args.dry_run => tell("It could be created."),
        done => {
            done?;
            tell(&format!("{} was created.", args.name));
        }
    }
    Ok(())
}

const AFTER_HELP: &str = "\
Examples:
  millstream topic create orders
  millstream topic create orders --partitions 8 --set retention.ms=7d --set segment.bytes=256MiB
  millstream topic create orders --if-not-exists";
