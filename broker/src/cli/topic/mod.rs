//! `millstream topic …`: create, look at, change and delete topics.

mod alter;
mod create;
mod delete;
mod describe;
mod list;
mod trim;

use super::Failure;

/// Create, look at, change and delete topics
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TopicCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    Alter(alter::AlterArgs),
    Delete(delete::DeleteArgs),
    Trim(trim::TrimArgs),
}

pub fn run(args: &TopicArgs) -> Result<(), Failure> {
    match &args.command {
        TopicCommand::Create(args) => create::run(args),
        TopicCommand::List(args) => list::run(args),
        TopicCommand::Describe(args) => describe::run(args),
        TopicCommand::Alter(args) => alter::run(args),
        TopicCommand::Delete(args) => delete::run(args),
        TopicCommand::Trim(args) => trim::run(args),
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream topic create orders --partitions 8 --set retention.ms=7d
  millstream topic list
  millstream topic describe orders";
