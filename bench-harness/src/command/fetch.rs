//! `millstream-bench fetch`: read distinct records over and over, every CRC checked.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;

use crate::client::driver::{Load, drive};
use crate::command::{Report, print, stop_flag};
use crate::host::Host;
use crate::report::outcome_table;
use crate::target::attach;
use crate::workload::fetch::FetchWorkload;
use crate::workload::fill::fill;

/// Fetch records and check every CRC. Fills the topic first, with records that are all different.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FetchArgs {
    /// Broker to load, HOST:PORT.
    #[arg(long, env = "MILLSTREAM_BROKERS", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// Topic to read; created and filled when it does not exist or is empty.
    #[arg(long, default_value = "bench-fetch")]
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
    /// Seconds measured in each round.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds before each measured round.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    #[arg(long, default_value_t = 1)]
    pub rounds: usize,
    /// Process of the broker, to sample its CPU time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &FetchArgs) -> Result<(), Box<dyn Error>> {
    if args.partitions == 0 || args.connections == 0 || args.partition_bytes <= 0 {
        return Err("counts must be above zero".into());
    }
    let stop = stop_flag()?;
    let target = attach(&args.brokers, args.pid)?;
    let ends = fill(
        target,
        &args.topic,
        args.partitions,
        args.fill_mebibytes << 20,
        &stop,
    )?;
    let load = Load {
        address: target.address,
        connections: args.connections,
        in_flight: 1,
        rate: None,
        warmup: Duration::try_from_secs_f64(args.warmup)?,
        measure: Duration::try_from_secs_f64(args.seconds)?,
        server_pid: target.pid,
    };
    let mut report = Report {
        host: Host::read(),
        rounds: Vec::new(),
        interrupted: false,
    };
    for _ in 0..args.rounds {
        let mut workload = FetchWorkload::new(&args.topic, &ends, args.connections, args.partition_bytes)?;
        report.rounds.push(drive(&load, &mut workload, &stop)?);
        report.interrupted = stop.load(Ordering::Relaxed);
        if report.interrupted {
            break;
        }
    }
    print(args.json, &report, || outcome_table(&report.host, &report.rounds))
}

const EXAMPLES: &str = "\
Examples:
  256 MiB of distinct records, read over and over on two connections:
    millstream-bench fetch --pid $(pidof millstream)
  A gigabyte, which the broker may have to read from its disk:
    millstream-bench fetch --topic big --fill-mebibytes 1024 --seconds 10";
