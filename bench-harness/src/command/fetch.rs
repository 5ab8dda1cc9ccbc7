//! `millstream-bench fetch`: read distinct records over and over, every CRC checked.

use std::error::Error;

use clap::Args;
use serde::Serialize;

use crate::client::driver::drive_together;
use crate::command::{RunArgs, stop_flag};
use crate::workload::fetch::FetchWorkload;
use crate::workload::fill::fill;

/// Fetch records and check every CRC and every offset. Fills the topic first, with records that are all different.
#[derive(Args, Debug, Serialize)]
#[command(after_help = EXAMPLES)]
pub struct FetchArgs {
    #[command(flatten)]
    #[serde(skip)]
    pub run: RunArgs,
    /// Topic to read; created and filled when it does not exist or is empty.
    #[arg(long, default_value = "bench-fetch")]
    #[serde(skip)]
    pub topic: String,
    #[arg(long, default_value_t = 8)]
    pub partitions: usize,
    /// Mebibytes of distinct records that an empty topic is filled with.
    #[arg(long, default_value_t = 256)]
    pub fill_mebibytes: u64,
    #[arg(long, default_value_t = 2)]
    pub connections: usize,
    /// Most bytes of one partition in an answer.
    #[arg(long, default_value_t = 1 << 20)]
    pub partition_bytes: i32,
}

pub fn run(args: &FetchArgs) -> Result<(), Box<dyn Error>> {
    if args.partitions == 0 || args.connections == 0 || args.partition_bytes <= 0 {
        return Err("counts must be above zero".into());
    }
    let stop = stop_flag()?;
    let target = args.run.target()?;
    let ends = fill(
        target,
        &args.topic,
        args.partitions,
        args.fill_mebibytes << 20,
        &stop,
    )?;
    let load = args.run.load(target, args.connections, 1)?;
    let scenario = RunArgs::scenario(
        "fetch",
        format!("{} partitions, {} connections", args.partitions, args.connections),
        args,
    )?;
    args.run.report(&stop, scenario, |member| {
        let mut workload = FetchWorkload::new(&args.topic, &ends, args.connections, args.partition_bytes)?;
        Ok(drive_together(&load, &mut workload, member)?)
    })
}

const EXAMPLES: &str = "\
Examples:
  256 MiB of distinct records, read over and over on two connections:
    millstream-bench fetch --pid $(pidof millstream)
  A gigabyte, which the broker may have to read from its disk:
    millstream-bench fetch --topic big --fill-mebibytes 1024 --seconds 10";
