//! One round of a scenario file against a running broker: topics of its own, the preload, all loads at once.
//! Invariants: only topics that were made here are written to and deleted; a round that was interrupted tells what was
//! seen, and deletes its topics as well.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::admin::Admin;
use crate::client::driver::{self, DriveError, drive_together};
use crate::client::together::{Member, Together};
use crate::limits::PRELOAD_SECONDS;
use crate::live::LiveView;
use crate::recorder::Outcome;
use crate::result::NamedOutcome;
use crate::scenario::file::{Acks, ConsumeSpec, Load, PreloadSpec, ProduceSpec, ReadFrom, ScenarioFile};
use crate::scenario::quantity::Rate;
use crate::target::Target;
use crate::workload::fetch::{FetchWorkload, Reading};
use crate::workload::fill::FillWorkload;
use crate::workload::idempotent::Producers;
use crate::workload::idle::IdleWorkload;
use crate::workload::produce::{ProduceShape, ProduceWorkload};
use crate::workload::send_time::SendClock;

/// Rounds of one scenario on one broker.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    pub scenario: &'a ScenarioFile,
    pub target: Target,
    pub warmup: Duration,
    pub measure: Duration,
    /// What the names of its topics begin with: nobody else has such topics.
    pub prefix: String,
    /// Times the rates of the scenario.
    pub rate_factor: f64,
    /// How many there will be, for a person who waits.
    pub rounds: usize,
    /// Show nothing while it runs.
    pub quiet: bool,
    pub stop: &'a AtomicBool,
}

/// A load that is ready to run.
struct Ready {
    name: String,
    load: driver::Load,
    sends: Sends,
    /// The topic that is read at its end, and its partitions.
    tail: Option<(String, usize)>,
}

enum Sends {
    Produce(Box<ProduceWorkload>),
    Fetch(FetchWorkload),
    Idle(IdleWorkload),
}

impl Stage<'_> {
    /// One outcome for each load, in the scenario's order; none where it was interrupted before the loads began.
    pub fn round(&self, number: usize) -> Result<Vec<NamedOutcome>, Box<dyn Error>> {
        let mut admin = Admin::connect(self.target.address)
            .map_err(|error| format!("connecting to {}: {error}", self.target.address))?;
        let brokers = admin.broker_count()?;
        if brokers > 1 {
            return Err(format!(
                "the cluster has {brokers} brokers; this generator loads one that leads every partition"
            )
            .into());
        }
        let mut made = Vec::new();
        let result = self.on_topics(&mut admin, number, &mut made);
        self.delete(&made);
        result
    }

    /// What was measured is not lost for a topic that stays.
    fn delete(&self, made: &[String]) {
        // A broker may have closed the connection that was idle as long as the loads ran.
        let admin = &mut Admin::connect(self.target.address);
        for topic in made {
            let deleted = match admin {
                Ok(admin) => admin.delete_topic(topic),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            if let Err(error) = deleted {
                eprintln!("{topic} could not be deleted: {error}");
            }
        }
    }

    fn on_topics(
        &self,
        admin: &mut Admin,
        number: usize,
        made: &mut Vec<String>,
    ) -> Result<Vec<NamedOutcome>, Box<dyn Error>> {
        for (name, topic) in &self.scenario.topics {
            let full = self.topic(number, name);
            let configs: Vec<(&str, &str)> = topic
                .configs
                .iter()
                .map(|(name, value)| (name.as_str(), value.0.as_str()))
                .collect();
            let partitions = topic.partitions.get();
            admin.create_new_topic(&full, partitions, &configs)?;
            made.push(full.clone());
            if let Some(preload) = &topic.preload
                && !self.preload(number, &full, partitions, preload)?
            {
                return Ok(Vec::new());
            }
        }
        let clock = SendClock::start();
        let loads = self.scenario.loads();
        let ready = loads
            .iter()
            .map(|load| self.ready(admin, number, load, clock))
            .collect::<Result<Vec<_>, _>>()?;
        let names: Vec<&str> = loads.iter().map(Load::name).collect();
        let view = LiveView::open(self.heading(number), &names, self.quiet);
        let ran = run(ready, self.stop, view.as_ref())?;
        drop(view);
        ran.into_iter()
            .map(|(ready, mut outcome)| {
                outcome.records_missing = self.missing(&ready)?;
                Ok(NamedOutcome {
                    name: ready.name,
                    outcome,
                })
            })
            .collect()
    }

    /// What a reader at the end would still have had to read; `None` where nobody reads at the end, or not to its end.
    fn missing(&self, ready: &Ready) -> io::Result<Option<u64>> {
        match (&ready.sends, &ready.tail) {
            (Sends::Fetch(fetch), Some((topic, partitions))) if !self.stop.load(Ordering::Relaxed) => {
                let ends = Admin::connect(self.target.address)?.end_offsets(topic, *partitions)?;
                Ok(Some(fetch.behind(&ends)))
            }
            _ => Ok(None),
        }
    }

    /// False: interrupted.
    fn preload(
        &self,
        number: usize,
        topic: &str,
        partitions: usize,
        preload: &PreloadSpec,
    ) -> Result<bool, Box<dyn Error>> {
        let mut fill = FillWorkload::new(
            topic,
            partitions,
            preload.records_per_batch.get(),
            preload.record_bytes.get(),
            preload.amount,
        );
        let load = driver::Load {
            address: self.target.address,
            connections: PRELOAD_CONNECTIONS,
            in_flight: PRELOAD_IN_FLIGHT,
            rate: None,
            warmup: Duration::ZERO,
            measure: Duration::from_secs(PRELOAD_SECONDS),
            server_pid: None,
        };
        let view = LiveView::open(self.heading(number), &["preload"], self.quiet);
        let alone = Together::new(self.stop, 1);
        let member = alone.member().shown(view.as_ref().map(|view| view.line(0)));
        drive_together(&load, &mut fill, member).map_err(|error| format!("preload of {topic}: {error}"))?;
        drop(view);
        if self.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if !fill.is_done() {
            return Err(format!("the preload of {topic} was not written in {PRELOAD_SECONDS} s").into());
        }
        Ok(true)
    }

    fn ready(
        &self,
        admin: &mut Admin,
        number: usize,
        load: &Load<'_>,
        clock: SendClock,
    ) -> Result<Ready, Box<dyn Error>> {
        let mut tail = None;
        let (in_flight, rate, sends) = match load {
            Load::Produce(spec) => {
                let topic = self.topic(number, &spec.topic);
                let mut produce = self.produce(spec, &topic);
                if spec.idempotent {
                    let partitions = self.scenario.topics[&spec.topic].partitions.get();
                    produce.set_producers(Producers::init(admin, spec.connections.get(), partitions)?);
                }
                if self.scenario.is_stamped(&spec.topic) {
                    produce.set_clock(clock);
                }
                let rate = requests_per_second(spec, &produce).map(|rate| rate * self.rate_factor);
                (spec.in_flight.get(), rate, Sends::Produce(Box::new(produce)))
            }
            Load::Consume(spec) => {
                let topic = self.topic(number, &spec.topic);
                let mut fetch = self.consume(admin, spec, &topic)?;
                if spec.from == ReadFrom::End {
                    fetch.set_clock(clock);
                    tail = Some((topic, self.scenario.topics[&spec.topic].partitions.get()));
                }
                (1, None, Sends::Fetch(fetch))
            }
            Load::Idle(spec) => {
                let rate = spec.connections.get() as f64 / spec.heartbeat_seconds.get() as f64;
                (1, Some(rate), Sends::Idle(IdleWorkload::new()))
            }
        };
        Ok(Ready {
            name: load.name().to_owned(),
            load: driver::Load {
                address: self.target.address,
                connections: load.connections(),
                in_flight,
                rate,
                warmup: self.warmup,
                measure: self.measure,
                server_pid: self.target.pid,
            },
            sends,
            tail,
        })
    }

    fn produce(&self, spec: &ProduceSpec, topic: &str) -> ProduceWorkload {
        let shape = ProduceShape {
            partitions: self.scenario.topics[&spec.topic].partitions.get(),
            record_bytes: spec.record_bytes.get(),
            records_per_batch: spec.records_per_batch.get(),
            partitions_per_request: spec.partitions_per_request.get(),
            acks: match spec.acks {
                Acks::All => -1,
                Acks::Leader => 1,
            },
        };
        ProduceWorkload::new(topic, shape, spec.connections.get())
    }

    fn consume(
        &self,
        admin: &mut Admin,
        spec: &ConsumeSpec,
        topic: &str,
    ) -> Result<FetchWorkload, Box<dyn Error>> {
        let partitions = self.scenario.topics[&spec.topic].partitions.get();
        let ends = admin.end_offsets(topic, partitions)?;
        let starts = match spec.from {
            ReadFrom::Beginning => admin.start_offsets(topic, partitions)?,
            ReadFrom::End => ends.clone(),
        };
        Ok(FetchWorkload::reading(Reading {
            topic,
            starts: &starts,
            ends: spec.repeat.then_some(&ends[..]),
            connections: spec.connections.get(),
            fan_out: spec.fan_out,
            partition_bytes: i32::try_from(spec.partition_bytes.0)?,
        })?)
    }

    fn heading(&self, number: usize) -> String {
        match self.rounds {
            rounds if number > rounds => format!("step {}", number - rounds),
            1 => String::new(),
            rounds => format!("round {number} of {rounds}"),
        }
    }

    fn topic(&self, number: usize, name: &str) -> String {
        format!("{}-{name}-{number}", self.prefix)
    }
}

/// All at once, each on a thread of its own. What one failed of is told, not what the others did of it.
fn run(
    loads: Vec<Ready>,
    stop: &AtomicBool,
    view: Option<&LiveView>,
) -> Result<Vec<(Ready, Outcome)>, Box<dyn Error>> {
    let together = Together::new(stop, loads.len());
    let results: Vec<_> = std::thread::scope(|scope| {
        let member = |index| together.member().shown(view.map(|view| view.line(index)));
        let members: Vec<_> = (loads.into_iter().enumerate())
            .map(|(index, ready)| (ready, member(index)))
            .collect();
        let threads: io::Result<Vec<_>> = members
            .into_iter()
            .map(|(mut ready, member)| {
                let thread = std::thread::Builder::new().name(ready.name.clone());
                thread.spawn_scoped(scope, move || {
                    let result = ready.run(member);
                    (ready, result)
                })
            })
            .collect();
        threads.map(|threads| {
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a load does not panic"))
                .collect()
        })
    })?;
    let mut outcomes = Vec::with_capacity(results.len());
    let mut failed = None;
    for (ready, result) in results {
        match result {
            Ok(outcome) => outcomes.push((ready, outcome)),
            Err(DriveError::Abandoned) => {}
            Err(error) => {
                failed.get_or_insert_with(|| format!("{}: {error}", ready.name));
            }
        }
    }
    match failed {
        None => Ok(outcomes),
        Some(error) => Err(error.into()),
    }
}

impl Ready {
    fn run(&mut self, member: Member<'_>) -> Result<Outcome, DriveError> {
        match &mut self.sends {
            Sends::Produce(produce) => drive_together(&self.load, &mut **produce, member),
            Sends::Fetch(fetch) => drive_together(&self.load, fetch, member),
            Sends::Idle(idle) => drive_together(&self.load, idle, member),
        }
    }
}

fn requests_per_second(spec: &ProduceSpec, workload: &ProduceWorkload) -> Option<f64> {
    let records = workload.work().records as f64;
    spec.rate.map(|rate| match rate {
        Rate::Records(rate) => rate / records,
        Rate::Bytes(rate) => rate / (records * spec.record_bytes.get() as f64),
    })
}

const PRELOAD_CONNECTIONS: usize = 4;
const PRELOAD_IN_FLIGHT: usize = 4;
