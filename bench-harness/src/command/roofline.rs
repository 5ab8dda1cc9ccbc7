//! `millstream-bench roofline`: what the machine can do at all, and whether the bare loop that says so is
//! honest.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::command::suite::select;
use crate::command::{print, stop_flag};
use crate::compare::{self, Leg};
use crate::host::Host;
use crate::report::{finding_tables, host_line, leg_table};
use crate::scenario::{Arena, Finding, Scenario, Timing};

/// Load the bare loop: receive, check CRC-32C, one direct durable write, answer. No broker, no log.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RooflineArgs {
    /// Compare its disk leg with fio and its network leg with iperf3 instead, both of which must be
    /// installed.
    #[arg(long)]
    pub check: bool,
    /// Scenarios to run, all that have a bare loop when none is named.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Directory of the pre-written files, on the disk that is to be measured.
    #[arg(long, default_value = ".")]
    pub scratch: PathBuf,
    #[arg(long, default_value_t = 4.0)]
    pub seconds: f64,
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Measure the bare loop on the broker's own ring, too; it is shown and never counts.
    #[arg(long)]
    pub with_ring: bool,
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct RooflineReport {
    host: Host,
    findings: Vec<Finding>,
    legs: Vec<Leg>,
}

pub fn run(args: &RooflineArgs) -> Result<(), Box<dyn Error>> {
    let stop = stop_flag()?;
    let timing = Timing {
        warmup: Duration::try_from_secs_f64(args.warmup)?,
        measure: Duration::try_from_secs_f64(args.seconds)?,
        rounds: args.rounds,
    };
    let scenarios: Vec<Scenario> = select(&args.only, &[])?
        .into_iter()
        .filter(Scenario::has_roofline)
        .collect();
    let mut arena = Arena::new(timing, args.scratch.clone(), &stop);
    arena.with_ring = args.with_ring;
    let mut report = RooflineReport {
        host: Host::read(),
        findings: Vec::new(),
        legs: Vec::new(),
    };
    if args.check {
        report.legs = compare::run(&mut arena)?;
    } else {
        for scenario in scenarios {
            if !arena.stopped() {
                report.findings.push(scenario.run(&mut arena)?);
            }
        }
    }
    print(args.json, &report, || {
        host_line(&report.host) + &finding_tables(&report.findings) + &leg_table(&report.legs)
    })?;
    match report.legs.iter().find(|leg| !leg.honest()) {
        Some(leg) => Err(format!("the bare loop is not honest: {} is below {}", leg.what, leg.tool).into()),
        None => Ok(()),
    }
}

const EXAMPLES: &str = "\
Examples:
  All scenarios against the bare loop, on this directory's disk:
    millstream-bench roofline
  Is the bare loop honest:
    millstream-bench roofline --check --scratch /var/lib/millstream";
