//! The subcommands of `millstream-bench`, one file each.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::client::driver::Load;
use crate::client::together::{Member, Together};
use crate::command::output::OutputArgs;
use crate::live::LiveView;
use crate::recorder::Outcome;
use crate::result::{FORMAT, NamedOutcome, Round, RunResult, ScenarioText, Stamp, TargetFacts};
use crate::scenario::{Arena, Timing};
use crate::server_series::ServerWatch;
use crate::target::{Target, attach};

pub mod bare_loop;
pub mod commit;
pub mod compare;
pub mod end_with_parent;
pub mod fetch;
pub mod output;
pub mod produce;
pub mod roofline;
pub mod run;
pub mod scenarios;
pub mod show;
pub mod suite;

/// How one load is run and told: what `produce` and `fetch` share.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Broker to load, HOST:PORT.
    #[arg(long, env = "MILLSTREAM_BROKERS", default_value = "127.0.0.1:9092")]
    pub brokers: String,
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
    /// Name and version of the broker, to be told in the results.
    #[arg(long, value_name = "TEXT")]
    pub broker_name: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which scenarios are run, and for how long: what `suite` and `roofline` share.
#[derive(Args, Debug)]
pub struct ScenarioArgs {
    /// Scenarios to run, all when none is named.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Seconds measured in each round.
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

impl ScenarioArgs {
    /// An arena whose bare loops' files lie in `scratch`.
    pub fn arena<'a>(&self, scratch: PathBuf, stop: &'a AtomicBool) -> Result<Arena<'a>, Box<dyn Error>> {
        let timing = Timing {
            warmup: Duration::try_from_secs_f64(self.warmup)?,
            measure: Duration::try_from_secs_f64(self.seconds)?,
            rounds: self.rounds,
        };
        let mut arena = Arena::new(timing, scratch, stop);
        arena.with_ring = self.with_ring;
        Ok(arena)
    }
}

impl RunArgs {
    pub fn target(&self) -> io::Result<Target> {
        attach(&self.brokers, self.pid)
    }

    pub fn load(&self, target: Target, connections: usize, in_flight: usize) -> Result<Load, Box<dyn Error>> {
        Ok(Load {
            address: target.address,
            connections,
            in_flight,
            rate: None,
            warmup: Duration::try_from_secs_f64(self.warmup)?,
            measure: Duration::try_from_secs_f64(self.seconds)?,
            server_pid: target.pid,
        })
    }

    /// What a command asks for, from its own arguments.
    pub fn scenario(
        name: &str,
        title: String,
        arguments: &impl Serialize,
    ) -> serde_json::Result<ScenarioText> {
        Ok(ScenarioText {
            name: name.to_owned(),
            title,
            text: serde_json::to_string(arguments)?,
        })
    }

    /// Runs the rounds of one load and gives out what they brought, also after Ctrl-C.
    pub fn report(
        &self,
        stop: &AtomicBool,
        scenario: ScenarioText,
        mut round: impl FnMut(Member<'_>) -> Result<Outcome, Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let mut result = RunResult {
            format: FORMAT,
            stamp: Stamp::read(),
            target: TargetFacts {
                address: self.brokers.clone(),
                broker: self.broker_name.clone(),
                durability: None,
            },
            rounds: Vec::new(),
            interrupted: false,
            scenario,
        };
        while result.rounds.len() < self.rounds && !result.interrupted {
            let watch = self.pid.map(ServerWatch::start);
            let title = match self.rounds {
                1 => String::new(),
                rounds => format!("round {} of {rounds}", result.rounds.len() + 1),
            };
            let view = LiveView::open(title, &[&result.scenario.name], self.output.quiet);
            let line = view.as_ref().map(|view| view.line(0));
            let together = Together::new(stop, 1);
            let outcome = round(together.member().shown(line))?;
            drop(view);
            result.rounds.push(Round {
                loads: vec![NamedOutcome {
                    name: result.scenario.name.clone(),
                    outcome,
                }],
                server: watch.map(ServerWatch::finish),
            });
            result.interrupted = stop.load(Ordering::Relaxed);
        }
        self.output.give(&result)
    }
}

/// A flag that Ctrl-C and SIGTERM raise; a second one ends the process at once.
pub fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// Print a report: JSON for programs, text for people.
pub fn print(
    json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Box<dyn Error>> {
    if json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        print!("{}", text());
    }
    Ok(())
}

/// Exit code of a process that an interrupt ended, by the shells' convention.
const INTERRUPTED: i32 = 130;
