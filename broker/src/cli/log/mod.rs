//! `millstream log …`: a data directory looked at, and repaired, while no broker needs to run.
//!
//! Everything but `repair` only reads, and all of it by the reading of a start. A broker may hold the directory while
//! `dump` reads, and what it writes at that moment may look torn. `verify` keeps brokers away.

mod batches;
mod directory;
mod dump;
mod journal_dump;
mod metadata_file;
mod metadata_look;
mod partition_bytes;
mod raw;
mod repair;
mod sidecar_dump;
mod sink;
mod state_dump;
mod verdict;
mod verify;

use super::Failure;

/// Look into the files of a data directory
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LogCommand {
    Dump(dump::DumpArgs),
    Verify(verify::VerifyArgs),
    Repair(repair::RepairArgs),
}

pub fn run(args: &LogArgs) -> Result<(), Failure> {
    match &args.command {
        LogCommand::Dump(args) => dump::run(args),
        LogCommand::Verify(args) => verify::run(args),
        LogCommand::Repair(args) => repair::run(args),
    }
}

const AFTER_HELP: &str = "\
Examples:
  millstream log dump
  millstream log dump --data-dir /var/lib/millstream --topic orders --records
  millstream log verify
  millstream log repair";
