//! A whole run as data: what is written to a file, shown as a page and compared with another run.
//! Place: filled by the commands, read again by `compare`. The rounds stay apart, so that a reader can tell a
//! difference from noise.

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::recorder::Outcome;
use crate::server_series::ServerSeries;

/// What a reader of [`RunResult`] must know. It grows when the meaning or the shape of a field changes.
pub const FORMAT: u32 = 1;

/// One scenario, run against one target for some rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// [`FORMAT`] of the program that wrote it.
    pub format: u32,
    #[serde(flatten)]
    pub stamp: Stamp,
    pub scenario: ScenarioText,
    pub target: TargetFacts,
    pub rounds: Vec<Round>,
    /// Ctrl-C or SIGTERM came before the end: the last round is shorter than asked for.
    pub interrupted: bool,
}

/// Where and when it was measured, and by what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stamp {
    pub host: Host,
    /// Version of the load generator.
    pub version: String,
    /// The command line, the program left out.
    pub arguments: Vec<String>,
    /// When the run began: UTC, RFC 3339, whole seconds.
    pub date: String,
}

impl Stamp {
    pub fn read() -> Self {
        Stamp {
            host: Host::read(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arguments: std::env::args().skip(1).collect(),
            date: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
        }
    }
}

/// What was asked for. Runs of different scenarios are not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioText {
    /// Short and unique, for files and options.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Everything that decides what is sent, as text: two runs did the same when it is the same.
    pub text: String,
}

/// What was loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetFacts {
    /// HOST:PORT.
    pub address: String,
    /// Name and version of the broker, where it is known.
    pub broker: Option<String>,
    /// What an acknowledgement promises, where it is known: that the record is on the disk, or only in memory.
    pub durability: Option<String>,
}

/// All loads at the same time, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    /// At least one; the names are those of the scenario, the same in every round.
    pub loads: Vec<NamedOutcome>,
    /// What the server used, where its process is on this machine.
    pub server: Option<ServerSeries>,
}

/// One load of a round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NamedOutcome {
    pub name: String,
    pub outcome: Outcome,
}

impl RunResult {
    /// Names of the loads, in the scenario's order.
    pub fn load_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for load in self.rounds.iter().flat_map(|round| &round.loads) {
            if !names.contains(&load.name.as_str()) {
                names.push(&load.name);
            }
        }
        names
    }

    /// What one load did, round by round.
    pub fn outcomes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Outcome> {
        let loads = self.rounds.iter().flat_map(|round| &round.loads);
        loads
            .filter(move |load| load.name == name)
            .map(|load| &load.outcome)
    }
}

#[cfg(test)]
pub mod sample {
    //! Runs made up for tests.

    use std::time::{Duration, Instant};

    use super::*;
    use crate::recorder::{Cost, Recorder, Window, Work};
    use crate::server_series::ServerPoint;

    /// A round of two seconds for each of `rates`, in records a second, which every load moved. Its requests of ten
    /// records took a second over the rate.
    pub fn run(loads: &[&str], rates: &[f64]) -> RunResult {
        RunResult {
            format: FORMAT,
            stamp: Stamp {
                host: Host {
                    cpu: "a processor <of ours> & theirs".into(),
                    cores: 2,
                    memory_bytes: 1 << 30,
                    kernel: "6.0".into(),
                },
                version: "0.1.0".into(),
                arguments: vec!["run".into(), "--scenario".into(), "a \"<b>\"".into()],
                date: "2026-01-02T03:04:05Z".into(),
            },
            scenario: ScenarioText {
                name: "sample".into(),
                title: "a sample".into(),
                text: "loads = 1".into(),
            },
            target: TargetFacts {
                address: "127.0.0.1:9092".into(),
                broker: Some("broker 1.0".into()),
                durability: Some("on disk".into()),
            },
            rounds: rates.iter().map(|&rate| round(loads, rate)).collect(),
            interrupted: false,
        }
    }

    fn round(loads: &[&str], rate: f64) -> Round {
        let named = |&name: &&str| NamedOutcome {
            name: name.to_owned(),
            outcome: outcome(rate),
        };
        let loads: Vec<NamedOutcome> = loads.iter().map(named).collect();
        let point = |at_seconds: f64| ServerPoint {
            at_seconds,
            seconds: 1.0,
            cpu_share: 0.5,
            rss: 100 << 20,
            disk_write_bytes: Some(1_000_000),
        };
        let server = ServerSeries {
            started_at: loads[0].outcome.started_at,
            points: vec![point(0.0), point(1.0)],
        };
        Round {
            loads,
            server: Some(server),
        }
    }

    fn outcome(rate: f64) -> Outcome {
        let start = Instant::now();
        let window = Window {
            start,
            end: start + Duration::from_secs(2),
        };
        let mut recorder = Recorder::new(window, false);
        for index in 0..20u32 {
            let now = start + Duration::from_millis(100) * index + Duration::from_millis(50);
            let work = Work {
                records: (rate / 10.0) as u64,
                bytes: (rate * 10.0) as u64,
            };
            recorder.answered(now - Duration::from_secs_f64(1.0 / rate), now, work);
        }
        let cost = Cost {
            client_cpu_share: 0.25,
            server_cpu_share: Some(0.5),
            server_rss: Some(100 << 20),
            ..Cost::default()
        };
        recorder.finish(window.end, cost, 0)
    }

    #[test]
    fn a_run_survives_being_written_and_read() {
        let run = run(&["write", "read"], &[1000.0, 2000.0]);
        let json = serde_json::to_string(&run).unwrap();
        let again: RunResult = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), json);
        assert_eq!(again.load_names(), ["write", "read"]);
        assert_eq!(again.outcomes("read").count(), 2);
    }
}
