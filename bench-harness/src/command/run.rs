//! `millstream-bench run`: a scenario, built in or from a file, against a running broker.

use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use clap::Args;

use crate::client::descriptors;
use crate::command::output::OutputArgs;
use crate::command::stop_flag;
use crate::limits::SCENARIO_BYTES_MAX;
use crate::report::{count, micros};
use crate::result::{FORMAT, Round, RunResult, ScenarioText, Stamp, TargetFacts};
use crate::scenario::built_in::{self, BUILT_IN};
use crate::scenario::file;
use crate::scenario::knee::Search;
use crate::scenario::round::Stage;
use crate::server_series::ServerWatch;
use crate::target::attach;

/// Run a scenario against any broker that speaks Kafka's protocol. Ctrl-C ends it with what was seen so far.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunScenarioArgs {
    /// A built-in scenario (`millstream-bench scenarios` lists them), or a file whose name ends in .toml.
    #[arg(value_name = "NAME|FILE.toml")]
    pub scenario: String,
    /// Broker to load, HOST:PORT. Topics are made there for each round, and deleted after it.
    #[arg(long, env = "MILLSTREAM_BROKERS", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// Seconds measured in each round, instead of the scenario's.
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Seconds before each measured round, instead of the scenario's.
    #[arg(long)]
    pub warmup: Option<f64>,
    /// Rounds, instead of the scenario's.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// Process of the broker, to sample its CPU time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Name and version of the broker, to be told in the results.
    #[arg(long, value_name = "TEXT")]
    pub broker_name: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

pub fn run(args: &RunScenarioArgs) -> Result<(), Box<dyn Error>> {
    let stop = stop_flag()?;
    let (name, text) = read(&args.scenario)?;
    let scenario = file::parse(&args.scenario, &text)?;
    let connections = scenario.loads().iter().map(|load| load.connections()).sum();
    descriptors::reserve(connections)?;
    let mut result = RunResult {
        format: FORMAT,
        stamp: Stamp::read(),
        scenario: ScenarioText {
            name: name.clone(),
            title: scenario.title.clone(),
            text,
        },
        target: TargetFacts {
            address: args.brokers.clone(),
            broker: args.broker_name.clone(),
            durability: None,
        },
        rounds: Vec::new(),
        interrupted: false,
    };
    let rounds = args.rounds.map_or(scenario.rounds(), |rounds| rounds as usize);
    let mut stage = Stage {
        rate_factor: 1.0,
        rounds,
        quiet: args.output.quiet,
        target: attach(&args.brokers, args.pid).map_err(|error| format!("{}: {error}", args.brokers))?,
        warmup: duration(args.warmup, scenario.warmup(), 0.0)?,
        measure: duration(args.seconds, scenario.measure(), 0.001)?,
        prefix: prefix(&name),
        scenario: &scenario,
        stop: &stop,
    };
    if !args.output.quiet {
        tell(&name, &stage);
    }
    let failed = seek(&mut stage)
        .and_then(|()| all_rounds(&stage, args.pid, &mut result))
        .err();
    result.interrupted = stop.load(Ordering::Relaxed);
    // What was seen before is told all the same.
    if failed.is_none() || !result.rounds.is_empty() {
        args.output.give(&result)?;
    }
    match failed {
        None => Ok(()),
        Some(error) => Err(format!("round {}: {error}", result.rounds.len() + 1).into()),
    }
}

/// Where the scenario seeks a rate, the rounds have the highest that held what is asked for.
fn seek(stage: &mut Stage<'_>) -> Result<(), Box<dyn Error>> {
    let Some((knee, load)) = stage.scenario.knee() else {
        return Ok(());
    };
    let asked = knee.p99.0.as_secs_f64() * 1e6;
    let mut search = Search::new();
    // Numbered after the rounds, whose topics are still to come.
    let mut steps = stage.rounds + 1..;
    while let Some(factor) = search.next() {
        stage.rate_factor = factor;
        let mut held = false;
        // Once may be something else on the machine.
        for _ in 0..TRIES {
            let loads = stage.round(steps.next().expect("no end"))?;
            if stage.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let seen = loads.iter().find(|seen| seen.name == load.name);
            let outcome = &seen
                .ok_or("the load whose rate is sought was not measured")?
                .outcome;
            held = outcome.latency.p99_us <= asked && outcome.unanswered == 0;
            eprintln!(
                "  {} records/s, p99 {}: {}",
                count(outcome.records_per_second),
                micros(outcome.latency.p99_us),
                if held { "held" } else { "too slow" }
            );
            pause(stage.stop);
            if held {
                break;
            }
        }
        search.note(factor, held);
    }
    let none = || format!("no rate of {} has a p99 of {} or less", load.name, micros(asked));
    stage.rate_factor = search.found().ok_or_else(none)?;
    Ok(())
}

fn all_rounds(stage: &Stage<'_>, pid: Option<u32>, result: &mut RunResult) -> Result<(), Box<dyn Error>> {
    for number in 1..=stage.rounds {
        if number > 1 {
            pause(stage.stop);
        }
        if stage.stop.load(Ordering::Relaxed) {
            break;
        }
        let watch = pid.map(ServerWatch::start);
        let loads = stage.round(number);
        let server = watch.map(ServerWatch::finish);
        let loads = loads?;
        // One that was interrupted before its window began has nothing to tell.
        if loads.iter().any(|load| load.outcome.seconds > 0.0) {
            result.rounds.push(Round { loads, server });
        }
    }
    Ok(())
}

/// For the broker to give back the deleted topics' space before the next round.
fn pause(stop: &AtomicBool) {
    for _ in 0..PAUSE_TENTHS {
        if !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What the latencies of each load are, while the user waits.
fn tell(name: &str, stage: &Stage<'_>) {
    eprintln!("{name}: {}", stage.scenario.title);
    for load in stage.scenario.loads() {
        eprintln!("  {}: latency {}", load.name(), load.measures());
    }
}

/// The scenario's name and its text.
pub fn read(scenario: &str) -> Result<(String, String), String> {
    if let Some(known) = built_in::find(scenario) {
        return Ok((known.name.to_owned(), known.text.to_owned()));
    }
    let path = Path::new(scenario);
    if path.extension().is_none_or(|extension| extension != "toml") {
        let known: Vec<&str> = BUILT_IN.iter().map(|known| known.name).collect();
        return Err(format!(
            "there is no scenario {scenario:?}; there are {}, or give a file whose name ends in .toml",
            known.join(", ")
        ));
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("{scenario}: {error}"))?;
    file.take(SCENARIO_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("{scenario}: {error}"))?;
    if text.len() as u64 > SCENARIO_BYTES_MAX {
        return Err(format!(
            "{scenario}: a scenario has at most {SCENARIO_BYTES_MAX} bytes"
        ));
    }
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok((name, text))
}

fn duration(given: Option<f64>, else_it_is: Duration, least: f64) -> Result<Duration, String> {
    match given {
        None => Ok(else_it_is),
        Some(seconds) if (least..=SECONDS_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Some(seconds) => Err(format!(
            "{seconds} seconds are not between {least} and {SECONDS_MAX}"
        )),
    }
}

/// Topics' names begin with it: no two runs have the same.
fn prefix(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(NAME_CHARS_MAX)
        .collect();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("bench-{name}-{:x}-{:x}", now.as_secs(), std::process::id())
}

/// A rate is too high when it misses so often.
const TRIES: usize = 2;

const PAUSE_TENTHS: usize = 15;
const NAME_CHARS_MAX: usize = 60;

/// A hundred days.
const SECONDS_MAX: f64 = 100.0 * 86_400.0;

const EXAMPLES: &str = "\
Examples:
  50 MB/s on schedule against a broker on this machine, with its CPU and memory:
    millstream-bench run produce-rate --pid $(pidof millstream)
  The same against another machine, one long round, as JSON:
    millstream-bench run produce-rate --brokers kafka.example:9092 --seconds 60 --rounds 1 --json
  A scenario of your own, from a built-in one:
    millstream-bench scenarios consume-tail > mine.toml
    millstream-bench run mine.toml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_those_there_are() {
        let error = read("produce-mux").unwrap_err();
        assert!(
            error.contains("produce-max") && error.contains(".toml"),
            "{error}"
        );
        let error = read("nowhere/mine.toml").unwrap_err();
        assert!(error.contains("nowhere/mine.toml: No such file"), "{error}");
        assert_eq!(read("soak").unwrap().0, "soak");
    }

    #[test]
    fn a_prefix_is_a_legal_topic_name_whatever_the_file_is_called() {
        let prefix = prefix("mein täglicher Lauf (2)");
        assert!(
            prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "{prefix}"
        );
    }
}
