//! `millstream-bench produce`: one produce load against a running broker.

use std::error::Error;

use clap::Args;
use serde::Serialize;

use crate::client::admin::Admin;
use crate::client::driver::drive_together;
use crate::command::{RunArgs, stop_flag};
use crate::workload::idempotent::Producers;
use crate::workload::produce::{ProduceShape, ProduceWorkload};

/// Produce from prebuilt batches and time the acknowledgements.
#[derive(Args, Debug, Serialize)]
#[command(after_help = EXAMPLES)]
pub struct ProduceArgs {
    #[command(flatten)]
    #[serde(skip)]
    pub run: RunArgs,
    /// Topic to write to; created when it does not exist.
    #[arg(long, default_value = "bench")]
    #[serde(skip)]
    pub topic: String,
    /// The target is a bare loop, which knows no topics.
    #[arg(long)]
    pub bare: bool,
    #[arg(long, default_value_t = 8)]
    pub partitions: usize,
    /// Bytes of each record's value.
    #[arg(long, default_value_t = 1024)]
    pub record_bytes: usize,
    #[arg(long, default_value_t = 100)]
    pub records_per_batch: usize,
    /// Partitions that one request writes to, one batch each.
    #[arg(long, visible_alias = "batches-per-request", default_value_t = 1)]
    pub partitions_per_request: usize,
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
    /// Requests that each connection keeps in flight.
    #[arg(long, default_value_t = 5)]
    pub in_flight: usize,
    /// Records a second over all connections, sent on schedule whatever the answers do: an open loop, whose
    /// latencies count from the intended sending time. Without it, as fast as answers come.
    #[arg(long)]
    pub rate: Option<f64>,
    /// -1: all, 1: the leader.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    pub acks: i16,
    /// Write as idempotent producers, one for each connection: ids from the broker, sequences in every batch.
    #[arg(long, conflicts_with = "bare")]
    pub idempotent: bool,
}

pub fn run(args: &ProduceArgs) -> Result<(), Box<dyn Error>> {
    let stop = stop_flag()?;
    let target = args.run.target()?;
    let shape = args.shape()?;
    let mut admin = None;
    if !args.bare {
        let admin = admin.insert(Admin::connect(target.address)?);
        admin.create_topic(&args.topic, args.partitions)?;
    }
    let mut workload = ProduceWorkload::new(&args.topic, shape, args.connections);
    let mut load = args.run.load(target, args.connections, args.in_flight)?;
    load.rate = args.rate.map(|records| records / workload.work().records as f64);
    let scenario = RunArgs::scenario(
        "produce",
        format!(
            "{} records of {} bytes a batch, {} partitions, {} connections",
            args.records_per_batch, args.record_bytes, args.partitions, args.connections
        ),
        args,
    )?;
    args.run.report(&stop, scenario, |member| {
        // New ones for each round, which may have ended before everything was answered.
        if let Some(admin) = admin.as_mut().filter(|_| args.idempotent) {
            workload.set_producers(Producers::init(admin, args.connections, args.partitions)?);
        }
        Ok(drive_together(&load, &mut workload, member)?)
    })
}

impl ProduceArgs {
    fn shape(&self) -> Result<ProduceShape, String> {
        let counts = [
            self.partitions,
            self.records_per_batch,
            self.partitions_per_request,
            self.connections,
        ];
        if counts.contains(&0) || self.in_flight == 0 || self.rate.is_some_and(|rate| rate <= 0.0) {
            return Err("counts and the rate must be above zero".into());
        }
        if !self.partitions.is_multiple_of(self.partitions_per_request) {
            return Err("--partitions must be a multiple of --partitions-per-request".into());
        }
        if !matches!(self.acks, -1 | 1) {
            return Err("--acks is -1 or 1: without an acknowledgement there is nothing to time".into());
        }
        Ok(ProduceShape {
            partitions: self.partitions,
            record_bytes: self.record_bytes,
            records_per_batch: self.records_per_batch,
            partitions_per_request: self.partitions_per_request,
            acks: self.acks,
        })
    }
}

const EXAMPLES: &str = "\
Examples:
  As fast as it goes, 100-byte records, 1000 a batch:
    millstream-bench produce --record-bytes 100 --records-per-batch 1000
  50 MB/s of 1 KiB records on schedule, with the broker's CPU and memory:
    millstream-bench produce --rate 48828 --pid $(pidof millstream)
  One record a request, one in flight on each connection:
    millstream-bench produce --partitions 1 --records-per-batch 1 --in-flight 1";
