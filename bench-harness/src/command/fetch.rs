//! `millstream-bench fetch`: read distinct records over and over, every CRC checked.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use crate::client::admin::Admin;
use crate::client::driver::{Load, drive};
use crate::command::{Report, print, stop_flag};
use crate::host::Host;
use crate::report::outcome_table;
use crate::target::{Target, attach};
use crate::workload::fetch::FetchWorkload;
use crate::workload::fill::FillWorkload;

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

/// Create the topic, fill it unless something is in it, and return the end offset of every partition.
pub fn fill(
    target: Target,
    topic: &str,
    partitions: usize,
    bytes: u64,
    stop: &AtomicBool,
) -> Result<Vec<i64>, Box<dyn Error>> {
    let mut admin = Admin::connect(target.address)?;
    admin.create_topic(topic, partitions)?;
    let ends = admin.end_offsets(topic, partitions)?;
    if ends.iter().any(|&end| end > 0) {
        return Ok(ends);
    }
    let load = Load {
        address: target.address,
        connections: 2,
        in_flight: 4,
        rate: None,
        warmup: Duration::ZERO,
        measure: FILL_PATIENCE,
        server_pid: None,
    };
    let mut workload = FillWorkload::new(topic, partitions, FILL_RECORDS, FILL_RECORD_BYTES, bytes);
    drive(&load, &mut workload, stop)?;
    Ok(admin.end_offsets(topic, partitions)?)
}

/// A hundred records of 1 KiB a batch: what a consumer commonly meets.
const FILL_RECORDS: usize = 100;
const FILL_RECORD_BYTES: usize = 1024;

const FILL_PATIENCE: Duration = Duration::from_secs(120);

const EXAMPLES: &str = "\
Examples:
  256 MiB of distinct records, read over and over on two connections:
    millstream-bench fetch --pid $(pidof millstream)
  A gigabyte, which the broker may have to read from its disk:
    millstream-bench fetch --topic big --fill-mebibytes 1024 --seconds 10";
