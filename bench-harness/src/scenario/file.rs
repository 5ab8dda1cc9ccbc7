//! A scenario as a TOML file: the topics there are, and the loads that run on them at the same time.
//! Invariant: what [`parse`] returns can be run; a file that cannot be is refused with its line and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::limits::{
    CONNECTIONS_MAX, IN_FLIGHT_MAX, LOADS_MAX, PARTITIONS_MAX, PREBUILT_BYTES_MAX, RECORD_BYTES_MAX,
    RECORDS_PER_BATCH_MAX, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX, ROUNDS_MAX,
};
use crate::scenario::quantity::{Amount, Bytes, Count, Rate, Time};
use crate::workload::send_time::SEND_TIME_BYTES;

/// A scenario that was checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScenarioFile {
    /// One line for people.
    pub title: String,
    /// How long each round is measured, where the command line does not say.
    #[serde(default = "seconds")]
    seconds: f64,
    /// Before each measured time.
    #[serde(default = "warmup")]
    warmup: f64,
    #[serde(default = "rounds")]
    rounds: Count<ROUNDS_MAX>,
    /// The rate is sought, instead of the one that is given.
    knee: Option<Spanned<KneeSpec>>,
    /// By name.
    pub topics: BTreeMap<String, TopicSpec>,
    #[serde(default)]
    produce: Vec<Spanned<ProduceSpec>>,
    #[serde(default)]
    consume: Vec<Spanned<ConsumeSpec>>,
    #[serde(default)]
    idle: Vec<Spanned<IdleSpec>>,
}

/// The highest rate of the only load that has one, with these latencies.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KneeSpec {
    /// At most.
    pub p99: Time,
}

/// A topic that is made for each round.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TopicSpec {
    pub partitions: Count<PARTITIONS_MAX>,
    /// Kafka's topic configurations.
    #[serde(default)]
    pub configs: BTreeMap<String, ConfigValue>,
    pub preload: Option<PreloadSpec>,
}

/// What is written before the clock starts, spread evenly over the partitions.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PreloadSpec {
    pub amount: Amount,
    #[serde(default = "record_bytes")]
    pub record_bytes: Count<RECORD_BYTES_MAX>,
    #[serde(default = "records_per_batch")]
    pub records_per_batch: Count<RECORDS_PER_BATCH_MAX>,
}

/// A configuration as a broker is told: text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue(pub String);

/// Connections that write.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProduceSpec {
    pub name: String,
    /// May be left out where there is one topic.
    #[serde(default)]
    pub topic: String,
    pub connections: Count<CONNECTIONS_MAX>,
    /// Requests that each connection keeps without an answer.
    #[serde(default = "in_flight")]
    pub in_flight: Count<IN_FLIGHT_MAX>,
    /// Of each record's value; the records have no key.
    #[serde(default = "record_bytes")]
    pub record_bytes: Count<RECORD_BYTES_MAX>,
    #[serde(default = "records_per_batch")]
    pub records_per_batch: Count<RECORDS_PER_BATCH_MAX>,
    /// Partitions that one request writes to, one batch each.
    #[serde(default = "one_partition")]
    pub partitions_per_request: Count<PARTITIONS_MAX>,
    #[serde(default)]
    pub acks: Acks,
    /// A producer id for each connection, sequences in every batch.
    #[serde(default)]
    pub idempotent: bool,
    /// Over all connections, on schedule whatever the answers do; without it, as fast as answers come.
    pub rate: Option<Rate>,
}

/// Connections that read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConsumeSpec {
    pub name: String,
    /// May be left out where there is one topic.
    #[serde(default)]
    pub topic: String,
    pub connections: Count<CONNECTIONS_MAX>,
    pub from: ReadFrom,
    /// Every connection reads everything; otherwise each has its own partitions.
    #[serde(default)]
    pub fan_out: bool,
    /// Start over where the preload ends.
    #[serde(default)]
    pub repeat: bool,
    /// Most bytes of one partition in an answer.
    #[serde(default = "partition_bytes")]
    pub partition_bytes: Bytes,
}

/// Connections that only sit there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdleSpec {
    pub name: String,
    pub connections: Count<CONNECTIONS_MAX>,
    /// Seconds between two small requests of one connection.
    #[serde(default = "heartbeat_seconds")]
    pub heartbeat_seconds: Count<86_400>,
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Acks {
    #[default]
    #[serde(rename = "all")]
    All,
    #[serde(rename = "leader")]
    Leader,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadFrom {
    Beginning,
    End,
}

/// One load, of any kind.
#[derive(Clone, Copy, Debug)]
pub enum Load<'a> {
    Produce(&'a ProduceSpec),
    Consume(&'a ConsumeSpec),
    Idle(&'a IdleSpec),
}

impl ScenarioFile {
    /// All loads: those that write, those that read, those that sit there, each in the file's order.
    pub fn loads(&self) -> Vec<Load<'_>> {
        let produce = self.produce.iter().map(|load| Load::Produce(load.get_ref()));
        let consume = self.consume.iter().map(|load| Load::Consume(load.get_ref()));
        let idle = self.idle.iter().map(|load| Load::Idle(load.get_ref()));
        produce.chain(consume).chain(idle).collect()
    }

    pub fn measure(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup)
    }

    /// What is asked of the rate that is sought, and of which load.
    pub fn knee(&self) -> Option<(KneeSpec, &ProduceSpec)> {
        let knee = self.knee.as_ref()?;
        let load = self.produce.iter().find(|load| load.get_ref().rate.is_some())?;
        Some((*knee.get_ref(), load.get_ref()))
    }

    pub fn rounds(&self) -> usize {
        self.rounds.get()
    }

    /// Whether what is written to a topic has to say when it was meant to be sent: somebody waits for it at the end,
    /// or the broker deletes by time.
    pub fn is_stamped(&self, topic: &str) -> bool {
        let by_time = self
            .topics
            .get(topic)
            .is_some_and(|topic| topic.configs.contains_key("retention.ms"));
        let tailed = |load: &Spanned<ConsumeSpec>| {
            load.get_ref().topic == topic && load.get_ref().from == ReadFrom::End
        };
        by_time || self.consume.iter().any(tailed)
    }
}

impl Load<'_> {
    pub fn name(&self) -> &str {
        match self {
            Load::Produce(load) => &load.name,
            Load::Consume(load) => &load.name,
            Load::Idle(load) => &load.name,
        }
    }

    pub fn connections(&self) -> usize {
        match self {
            Load::Produce(load) => load.connections.get(),
            Load::Consume(load) => load.connections.get(),
            Load::Idle(load) => load.connections.get(),
        }
    }

    /// What its latencies are.
    pub fn measures(&self) -> &'static str {
        match self {
            Load::Produce(load) if load.rate.is_some() => {
                "from when a request was meant to be sent to its acknowledgement"
            }
            Load::Produce(_) => "from sending a request to its acknowledgement",
            Load::Consume(load) if load.from == ReadFrom::End => {
                "from when a record was meant to be sent by its producer to its arrival at this consumer"
            }
            Load::Consume(_) => "from sending a fetch to its answer",
            Load::Idle(_) => "from when a heartbeat was meant to be sent to its answer",
        }
    }
}

/// Why a file is no scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    file: String,
    /// From 1, and the line itself.
    at: Option<(usize, String)>,
    what: String,
}

/// Read a scenario. `file`: what errors call it.
pub fn parse(file: &str, text: &str) -> Result<ScenarioFile, ScenarioError> {
    let error = |span: Option<Range<usize>>, what: String| ScenarioError {
        file: file.to_owned(),
        at: span.map(|span| line_at(text, span.start)),
        what,
    };
    let mut scenario: ScenarioFile = toml::from_str(text).map_err(|syntax| {
        let what = syntax.message().lines().collect::<Vec<_>>().join("; ");
        error(syntax.span(), what)
    })?;
    scenario
        .complete()
        .and_then(|()| scenario.check())
        .map_err(|Fault { span, what }| error(span, what))?;
    Ok(scenario)
}

/// What cannot be run, and where it stands.
struct Fault {
    span: Option<Range<usize>>,
    what: String,
}

impl ScenarioFile {
    /// A load that names no topic has the only one.
    fn complete(&mut self) -> Result<(), Fault> {
        let topics: Vec<&String> = self.topics.keys().collect();
        let produce = self
            .produce
            .iter_mut()
            .map(|load| (load.span(), &mut load.get_mut().topic));
        let consume = self
            .consume
            .iter_mut()
            .map(|load| (load.span(), &mut load.get_mut().topic));
        for (span, topic) in produce.chain(consume) {
            if let (true, [only]) = (topic.is_empty(), &topics[..]) {
                topic.clone_from(only);
            }
            if !topics.contains(&&*topic) {
                let known = topics.iter().map(|name| name.as_str()).collect::<Vec<_>>();
                let what = match topic.is_empty() {
                    true => "this load has no topic: add topic = \"NAME\"".to_owned(),
                    false => format!("there is no [topics.{topic}]; there are: {}", known.join(", ")),
                };
                return Err(Fault {
                    span: Some(span),
                    what,
                });
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Fault> {
        let anywhere = |what: String| Fault { span: None, what };
        for (name, seconds) in [("seconds", self.seconds), ("warmup", self.warmup)] {
            let least = if name == "seconds" { 0.001 } else { 0.0 };
            if !(least..=SECONDS_MAX).contains(&seconds) {
                return Err(anywhere(format!(
                    "{name} = {seconds} is not between {least} and {SECONDS_MAX}"
                )));
            }
        }
        let loads = self.loads();
        if loads.is_empty() || loads.len() > LOADS_MAX {
            return Err(anywhere(format!(
                "there are {} loads, from 1 to {LOADS_MAX} are wanted: [[produce]], [[consume]] or [[idle]]",
                loads.len()
            )));
        }
        for name in self.topics.keys() {
            check_name("topic", name).map_err(anywhere)?;
        }
        let mut names = BTreeSet::new();
        let mut named = |span: Range<usize>, name: &str| {
            check_name("load", name)
                .and_then(|()| match names.insert(name.to_owned()) {
                    true => Ok(()),
                    false => Err(format!("two loads have the name {name}: each needs its own")),
                })
                .map_err(|what| at(span, what))
        };
        for load in &self.produce {
            named(load.span(), &load.get_ref().name)?;
            self.check_produce(load.get_ref())
                .map_err(|what| at(load.span(), what))?;
        }
        for load in &self.consume {
            named(load.span(), &load.get_ref().name)?;
            self.check_consume(load.get_ref())
                .map_err(|what| at(load.span(), what))?;
        }
        for load in &self.idle {
            named(load.span(), &load.get_ref().name)?;
        }
        let rates = self.produce.iter().filter(|load| load.get_ref().rate.is_some());
        match &self.knee {
            Some(knee) if rates.count() != 1 => Err(at(
                knee.span(),
                "[knee] seeks one rate: it needs exactly one [[produce]] with a rate, to begin with"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn check_produce(&self, load: &ProduceSpec) -> Result<(), String> {
        let partitions = self.topics[&load.topic].partitions.get();
        let each = load.partitions_per_request.get();
        if !partitions.is_multiple_of(each) {
            return Err(format!(
                "partitions-per-request = {each} does not divide the {partitions} partitions of {}",
                load.topic
            ));
        }
        let batch = load.records_per_batch.get() * (load.record_bytes.get() + RECORD_OVERHEAD);
        if batch * each > REQUEST_BYTES_MAX {
            return Err(format!(
                "a request of {} bytes is more than {REQUEST_BYTES_MAX}: make record-bytes, records-per-batch or \
                 partitions-per-request smaller",
                batch * each
            ));
        }
        if batch * partitions > PREBUILT_BYTES_MAX {
            return Err(format!(
                "a batch for each of {partitions} partitions takes {} bytes of memory, more than {PREBUILT_BYTES_MAX}: \
                 make the batches smaller or the partitions fewer",
                batch * partitions
            ));
        }
        if self.is_stamped(&load.topic) && load.record_bytes.get() < SEND_TIME_BYTES {
            return Err(format!(
                "record-bytes is below {SEND_TIME_BYTES}, which a record needs to say when it was meant to be sent"
            ));
        }
        Ok(())
    }

    fn check_consume(&self, load: &ConsumeSpec) -> Result<(), String> {
        let topic = &self.topics[&load.topic];
        let (partitions, connections) = (topic.partitions.get(), load.connections.get());
        if !load.fan_out && partitions < connections {
            return Err(format!(
                "{partitions} partitions cannot keep {connections} connections busy: have fewer connections, more \
                 partitions, or fan-out = true"
            ));
        }
        let read = if load.fan_out {
            partitions
        } else {
            partitions.div_ceil(connections)
        };
        if read as u64 * load.partition_bytes.0 > RESPONSE_BYTES_MAX as u64 / 2 {
            return Err(format!(
                "an answer may have {read} partitions of {} bytes, more than {} in all: make partition-bytes smaller",
                load.partition_bytes.0,
                RESPONSE_BYTES_MAX / 2
            ));
        }
        let written = self
            .produce
            .iter()
            .any(|produce| produce.get_ref().topic == load.topic);
        if load.repeat && (load.from == ReadFrom::End || topic.preload.is_none() || written) {
            return Err(
                "repeat = true reads a preload over and over: it needs from = \"beginning\", a topic with a preload, \
                 and nobody who writes to it"
                    .to_owned(),
            );
        }
        if !load.repeat && !written && topic.preload.is_none() {
            return Err(format!(
                "there is nothing to read: {} has no preload, and no load writes to it",
                load.topic
            ));
        }
        Ok(())
    }
}

fn at(span: Range<usize>, what: String) -> Fault {
    Fault {
        span: Some(span),
        what,
    }
}

/// Names become parts of topics' names and of files' names.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(fits) {
        true => Ok(()),
        false => Err(format!(
            "the {what} name {name:?} must have from 1 to {NAME_CHARS_MAX} letters, digits, - and _"
        )),
    }
}

fn line_at(text: &str, position: usize) -> (usize, String) {
    let before = text.get(..position).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default();
    (number, line.to_owned())
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some((number, line)) => {
                write!(f, "{}:{number}: {}\n  {}", self.file, self.what, line.trim_end())?
            }
            None => write!(f, "{}: {}", self.file, self.what)?,
        }
        write!(
            f,
            "\n`millstream-bench scenarios produce-rate` prints a file that is right, to begin with"
        )
    }
}

impl std::error::Error for ScenarioError {}

impl<'de> Deserialize<'de> for ConfigValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a configuration is text, a number, true or false")]
        enum Value {
            Text(String),
            Number(i64),
            Boolean(bool),
        }
        Ok(ConfigValue(match Value::deserialize(deserializer)? {
            Value::Text(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Boolean(value) => value.to_string(),
        }))
    }
}

fn seconds() -> f64 {
    10.0
}

fn warmup() -> f64 {
    2.0
}

fn rounds() -> Count<ROUNDS_MAX> {
    fixed(3)
}

fn in_flight() -> Count<IN_FLIGHT_MAX> {
    fixed(5)
}

fn record_bytes() -> Count<RECORD_BYTES_MAX> {
    fixed(1024)
}

fn records_per_batch() -> Count<RECORDS_PER_BATCH_MAX> {
    fixed(100)
}

fn one_partition() -> Count<PARTITIONS_MAX> {
    fixed(1)
}

fn heartbeat_seconds() -> Count<86_400> {
    fixed(30)
}

/// The default of Kafka's own consumer.
fn partition_bytes() -> Bytes {
    Bytes(1 << 20)
}

fn fixed<const MAX: i64>(count: i64) -> Count<MAX> {
    Count::try_from(count).expect("a default is within its bound")
}

/// Thirty days.
const SECONDS_MAX: f64 = 30.0 * 86_400.0;

const NAME_CHARS_MAX: usize = 60;

/// More than a record takes beside its value.
const RECORD_OVERHEAD: usize = 32;

#[cfg(test)]
mod tests;
