//! `millstream client …`: look at what clients tell of themselves.

mod metrics;

use super::Failure;

/// Look at what clients tell of themselves
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ClientCommandArgs {
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ClientCommand {
    Metrics(metrics::MetricsArgs),
}

pub fn run(args: &ClientCommandArgs) -> Result<(), Failure> {
    match &args.command {
        ClientCommand::Metrics(args) => metrics::run(args),
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream client metrics
  millstream client metrics --json";
