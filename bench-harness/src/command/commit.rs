//! `millstream-bench commit`: groups that commit offsets against a running broker.

use std::error::Error;

use clap::Args;
use serde::Serialize;

use crate::client::admin::Admin;
use crate::client::driver::drive_together;
use crate::command::{RunArgs, stop_flag};
use crate::workload::commit::CommitWorkload;

/// Commit offsets of many groups and time the acknowledgements. A record is one offset.
#[derive(Args, Debug, Serialize)]
#[command(after_help = EXAMPLES)]
pub struct CommitArgs {
    #[command(flatten)]
    #[serde(skip)]
    pub run: RunArgs,
    /// Topic whose offsets are committed; created when it does not exist.
    #[arg(long, default_value = "bench-commit")]
    #[serde(skip)]
    pub topic: String,
    /// Partitions in each commit.
    #[arg(long, default_value_t = 1)]
    pub partitions: usize,
    #[arg(long, default_value_t = 100)]
    pub groups: usize,
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
    /// Commits that each connection keeps in flight.
    #[arg(long, default_value_t = 5)]
    pub in_flight: usize,
}

pub fn run(args: &CommitArgs) -> Result<(), Box<dyn Error>> {
    if args.partitions == 0 || args.connections == 0 || args.in_flight == 0 {
        return Err("counts must be above zero".into());
    }
    let stop = stop_flag()?;
    let target = args.run.target()?;
    let groups: Vec<String> = (0..args.groups)
        .map(|number| format!("bench-group-{number}"))
        .collect();
    let mut workload = CommitWorkload::new(&args.topic, args.partitions, &groups, args.connections)?;
    let mut admin = Admin::connect(target.address)?;
    admin.create_topic(&args.topic, args.partitions)?;
    for group in &groups {
        admin.wait_for_coordinator(group, &args.topic)?;
    }
    let load = args.run.load(target, args.connections, args.in_flight)?;
    let scenario = RunArgs::scenario(
        "commit",
        format!(
            "{} groups, {} partitions a commit, {} connections",
            args.groups, args.partitions, args.connections
        ),
        args,
    )?;
    args.run.report(&stop, scenario, |member| {
        Ok(drive_together(&load, &mut workload, member)?)
    })
}

const EXAMPLES: &str = "\
Examples:
  A hundred groups, one offset a commit:
    millstream-bench commit
  A thousand groups that commit all of ten partitions, with the broker's CPU and memory:
    millstream-bench commit --groups 1000 --partitions 10 --pid $(pidof millstream)";
