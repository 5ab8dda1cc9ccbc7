//! `millstream-bench suite`: every scenario, broker and bare loop by turns, each figure against its target.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::command::{ScenarioArgs, print, stop_flag};
use crate::report::{finding_tables, host_line};
use crate::result::Stamp;
use crate::scenario::{Arena, Finding, SCENARIOS, Scenario, Timing};
use crate::target::{Broker, BrokerCommand, attach};

/// Run all scenarios and say which targets were met.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SuiteArgs {
    /// Broker to start, on a free port. Without it, --brokers is loaded and the start scenario is left out.
    #[arg(long, conflicts_with = "brokers", requires = "data_dir")]
    pub broker_bin: Option<PathBuf>,
    /// Directory in which each started broker gets an empty data directory of its own.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Cores of the started broker.
    #[arg(long)]
    pub cores: Option<String>,
    /// Further argument of the started broker; may be given several times.
    #[arg(long, allow_hyphen_values = true)]
    pub broker_arg: Vec<String>,
    /// A broker that runs already, HOST:PORT.
    #[arg(long)]
    pub brokers: Option<String>,
    /// Process of that broker.
    #[arg(long, requires = "brokers")]
    pub pid: Option<u32>,
    #[command(flatten)]
    pub scenarios: ScenarioArgs,
    /// Scenarios to leave out.
    #[arg(long, value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Directory of the bare loop's pre-written files, on the broker's disk; the data directory when not
    /// given.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
    /// Seconds that the broker is watched idle.
    #[arg(long, default_value_t = 60.0)]
    pub idle_seconds: f64,
    /// Gigabytes that the start scenario writes before it stops the broker for the first time.
    #[arg(long, default_value_t = 0.0)]
    pub start_gb: f64,
    /// Write the JSON to this file as well.
    #[arg(long)]
    pub json_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct SuiteReport {
    #[serde(flatten)]
    stamp: Stamp,
    timing: Timing,
    cores: Option<String>,
    findings: Vec<Finding>,
    /// Scenarios that need a broker of their own where one that runs already was given.
    left_out: Vec<&'static str>,
    /// Scenarios that ended with an error, and what it was.
    failed: Vec<(&'static str, String)>,
    /// Ctrl-C came before the end.
    interrupted: bool,
}

pub fn run(args: &SuiteArgs) -> Result<(), Box<dyn Error>> {
    let stop: Arc<AtomicBool> = stop_flag()?;
    let scratch = args
        .scratch
        .clone()
        .or_else(|| args.data_dir.clone())
        .unwrap_or_else(|| ".".into());
    std::fs::create_dir_all(&scratch)?;
    let mut arena = args.scenarios.arena(scratch, &stop)?;
    arena.idle = Duration::try_from_secs_f64(args.idle_seconds)?;
    arena.start_bytes = (args.start_gb * 1e9) as u64;
    arena.command = args.command();
    let mut report = SuiteReport {
        stamp: Stamp::read(),
        timing: arena.timing,
        cores: args.cores.clone(),
        findings: Vec::new(),
        left_out: Vec::new(),
        failed: Vec::new(),
        interrupted: false,
    };
    for scenario in select(&args.scenarios.only, &args.skip)? {
        if arena.stopped() {
            break;
        }
        if scenario.starts_brokers() && arena.command.is_none() {
            eprintln!("{}: left out, as it needs --broker-bin", scenario.name());
            report.left_out.push(scenario.name());
            continue;
        }
        match run_one(&scenario, &mut arena, args) {
            Ok(finding) => report.findings.push(finding),
            Err(error) => {
                eprintln!("{}: {error}", scenario.name());
                report.failed.push((scenario.name(), error.to_string()));
            }
        }
    }
    report.interrupted = arena.stopped();
    if let Some(path) = &args.json_file {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    print(args.scenarios.json, &report, || {
        host_line(&report.stamp.host) + &finding_tables(&report.findings)
    })?;
    match &report.failed[..] {
        [] => Ok(()),
        failed => Err(format!("{} scenarios failed: {}", failed.len(), names(failed)).into()),
    }
}

/// Scenarios by name, in their own order.
pub fn select(only: &[String], skip: &[String]) -> Result<Vec<Scenario>, String> {
    let known = || SCENARIOS.iter().map(Scenario::name).collect::<Vec<_>>();
    if let Some(unknown) = only
        .iter()
        .chain(skip)
        .find(|name| !known().contains(&name.as_str()))
    {
        return Err(format!(
            "there is no scenario {unknown:?}; there are {}",
            known().join(", ")
        ));
    }
    let wanted = |scenario: &Scenario| {
        let named = |names: &[String]| names.iter().any(|name| name == scenario.name());
        (only.is_empty() || named(only)) && !named(skip)
    };
    Ok(SCENARIOS.into_iter().filter(wanted).collect())
}

/// A loaded scenario gets a broker with an empty directory; the others start their own.
fn run_one(scenario: &Scenario, arena: &mut Arena<'_>, args: &SuiteArgs) -> Result<Finding, Box<dyn Error>> {
    let mut own = None;
    arena.broker = match (&arena.command, &args.brokers) {
        (Some(command), _) if scenario.has_roofline() => {
            let mut broker = Broker::start(&command.aside(scenario.name())?)?;
            broker.wait_until_listening(PATIENCE)?;
            Some(own.insert(broker).target())
        }
        (None, Some(brokers)) => Some(attach(brokers, args.pid)?),
        (None, None) => return Err("give --broker-bin and --data-dir, or --brokers".into()),
        _ => None,
    };
    let finding = scenario.run(arena);
    if let Some(broker) = own {
        broker.terminate(PATIENCE)?;
    }
    finding
}

impl SuiteArgs {
    fn command(&self) -> Option<BrokerCommand> {
        Some(BrokerCommand {
            binary: self.broker_bin.clone()?,
            data_dir: self.data_dir.clone()?,
            cores: self.cores.clone(),
            arguments: self.broker_arg.clone(),
        })
    }
}

fn names(failed: &[(&'static str, String)]) -> String {
    failed
        .iter()
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(", ")
}

const PATIENCE: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  Everything, with a broker of its own on both cores:
    millstream-bench suite --broker-bin target/release/millstream --data-dir /var/tmp/suite
  How long a start takes with 10 GB in the log:
    millstream-bench suite --broker-bin target/release/millstream --data-dir /var/tmp/suite --only start \
        --start-gb 10
  Two scenarios against a running broker:
    millstream-bench suite --brokers 127.0.0.1:9092 --only small-records,steady-rate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_selected_by_name() {
        let names = |only: &[&str], skip: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            select(&owned(only), &owned(skip)).map(|all| all.iter().map(Scenario::name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["start", "idle"], &["idle"]).unwrap(), ["start"]);
        assert_eq!(names(&[], &[]).unwrap().len(), SCENARIOS.len());
        assert!(names(&["idel"], &[]).unwrap_err().contains("idle"));
    }
}
