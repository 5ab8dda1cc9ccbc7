//! `millstream group …`: look at groups of consumers, move their offsets, and delete them.

mod delete;
mod describe;
mod list;
mod reset_offsets;

use super::Failure;
use super::exit::Exit;
use crate::client::ClientError;

/// Look at groups of consumers, move their offsets, and delete them
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, clap::Subcommand)]
enum GroupCommand {
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    ResetOffsets(reset_offsets::ResetOffsetsArgs),
    Delete(delete::DeleteArgs),
}

pub fn run(args: &GroupArgs) -> Result<(), Failure> {
    match &args.command {
        GroupCommand::List(args) => list::run(args),
        GroupCommand::Describe(args) => describe::run(args),
        GroupCommand::ResetOffsets(args) => reset_offsets::run(args),
        GroupCommand::Delete(args) => delete::run(args),
    }
}

/// A failure of a request about one group; of one that there is not, with where to look.
fn failure(group: &str, error: ClientError) -> Failure {
    let failure = Failure::from(error);
    match failure.exit {
        Exit::NotFound => unknown(group),
        _ => failure,
    }
}

fn unknown(group: &str) -> Failure {
    let message = format!("there is no group `{group}`; `millstream group list` shows what there is");
    Failure::new(Exit::NotFound, message)
}

const AFTER_HELP: &str = "\
Examples:
  millstream group list
  millstream group describe billing
  millstream group reset-offsets billing --topic orders --to 1h";
