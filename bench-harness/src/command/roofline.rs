//! `millstream-bench roofline`: what the machine can do at all, and whether the bare loop that says so is
//! honest.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::command::suite::select;
use crate::command::{ScenarioArgs, print, stop_flag};
use crate::honesty::{self, Leg};
use crate::report::{finding_tables, host_line, leg_table};
use crate::result::Stamp;
use crate::scenario::{Finding, Scenario};

/// Load the bare loop: receive, check CRC-32C, one direct durable write, answer. No broker, no log.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RooflineArgs {
    /// Compare its disk leg with fio and its network leg with iperf3 instead, both of which must be
    /// installed.
    #[arg(long)]
    pub check: bool,
    /// Directory of the pre-written files, on the disk that is to be measured.
    #[arg(long, default_value = ".")]
    pub scratch: PathBuf,
    #[command(flatten)]
    pub scenarios: ScenarioArgs,
}

#[derive(Serialize)]
struct RooflineReport {
    #[serde(flatten)]
    stamp: Stamp,
    findings: Vec<Finding>,
    legs: Vec<Leg>,
}

pub fn run(args: &RooflineArgs) -> Result<(), Box<dyn Error>> {
    let stop = stop_flag()?;
    let scenarios: Vec<Scenario> = select(&args.scenarios.only, &[])?
        .into_iter()
        .filter(Scenario::has_roofline)
        .collect();
    let mut arena = args.scenarios.arena(args.scratch.clone(), &stop)?;
    let mut report = RooflineReport {
        stamp: Stamp::read(),
        findings: Vec::new(),
        legs: Vec::new(),
    };
    if args.check {
        report.legs = honesty::run(&mut arena)?;
    } else {
        for scenario in scenarios {
            if !arena.stopped() {
                report.findings.push(scenario.run(&mut arena)?);
            }
        }
    }
    print(args.scenarios.json, &report, || {
        host_line(&report.stamp.host) + &finding_tables(&report.findings) + &leg_table(&report.legs)
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
