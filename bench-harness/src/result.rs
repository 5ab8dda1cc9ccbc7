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
